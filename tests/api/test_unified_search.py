"""One search over many accounts over HTTP: what is found, in which order, and what is said of the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.mime.words import words_of
from mailquay.model.account import Account, AccountState
from mailquay.model.mailbox import ListedMailbox, MailboxCursor, MailboxNumber
from mailquay.model.message import Address, Envelope, IndexEntry, Structure, Uid
from mailquay.services.identifiers import thread_id
from mailquay.storage.repositories.texts import MessageWords, joined_words
from mailquay.storage.store import open_store
from tests.api.world import SMTP, World

DAY_MS = 24 * 3600 * 1000
NOW = 1_793_577_600_000


async def _mailbox(
    world: World, account: Account, path: str, texts: dict[int, str], *, use: str | None = None, read: bool = True
) -> MailboxNumber:
    """A mailbox with messages: by UID, which is the day of the message too, what they say."""
    store = world.store
    listing = ListedMailbox(path, "/", frozenset(), special_use=use)
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, 0))
    entries = [_entry(account, uid) for uid in texts]
    await store.commit(store.messages.put(number, entries, [uid + 100 for uid in texts]))
    words = [MessageWords(one, joined_words(words_of(texts[one.uid], 1000))) for one in entries]
    await store.commit(store.texts.put(number, words))
    cursor = MailboxCursor(7, 100, 1, len(texts), 1, NOW)
    await store.commit(store.mailboxes.begin(number, 7))
    await store.commit(store.mailboxes.update_cursor(number, cursor, 0))
    mailbox = await store.mailboxes.get(number)
    assert mailbox is not None
    if read:
        await store.commit(store.texts.complete(number, mailbox.texts_state, everything=True))
    return number


def _entry(account: Account, uid: int) -> IndexEntry:
    day = NOW + uid * DAY_MS
    envelope = Envelope(
        date_ms=day,
        subject=f"Report {uid} of {account.id}",
        from_=(Address("Zoë", "zoe@b.test"),),
        to=(Address("", f"{account.id}@example.com"),),
        message_id=f"<{account.id}{uid}@b.test>",
    )
    flags = ("\\Seen",) if uid % 2 else ()
    return IndexEntry(Uid(uid), flags, 1, day + 1000, 100 * uid, envelope, Structure(), f"{account.id}-{uid}")


async def _account(world: World, name: str, **more: object) -> Account:
    await world.register(name, **more)
    account = await world.store.accounts.get(name)
    assert account is not None
    status = dataclasses.replace(account.status, state=AccountState.CONNECTED)
    await world.store.commit(world.store.accounts.update_status(account.number, status, None))
    return account


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/m.db"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


@pytest.fixture
async def office(database_url: str, config: Config, tmp_path: Path) -> AsyncIterator[World]:
    """Ann and Bob keep texts, Cora envelopes, Dan identifiers, Eve has no index, Fay only sends."""
    store = await open_store(database_url, key_file=tmp_path / "unified-key")
    async with World(store, config).running() as world:
        ann, bob = [await _account(world, name, index="text") for name in ("ann", "bob")]
        cora, dan = await _account(world, "cora"), await _account(world, "dan", index="identifiers")
        await _account(world, "eve", imapIndexer="fast")
        fay = {"account": "fay", "name": "Fay", "smtp": SMTP}
        assert (await world.call("POST", "/v1/account", fay)).status == 200
        await _mailbox(world, ann, "INBOX", {1: "quick fox", 4: "slow fox", 6: "hound"}, use="\\Inbox")
        await _mailbox(world, ann, "Archive", {2: "quick fox"})
        await _mailbox(world, bob, "INBOX", {3: "quick foxes", 5: "quick fox"}, use="\\Inbox")
        await _mailbox(world, cora, "INBOX", {7: ""}, use="\\Inbox")
        await _mailbox(world, dan, "INBOX", {8: ""}, use="\\Inbox")
        yield world
    await store.close()


async def _search(world: World, search: dict[str, Any], query: str = "", **more: object) -> dict[str, Any]:
    reply = await world.call("POST", f"/v1/unified/search{query}", {"search": search, **more})
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    return answer


def _found(answer: dict[str, Any]) -> list[tuple[str, str, int]]:
    assert answer["total"] >= len(answer["messages"])
    return [(one["account"], one["path"], one["uid"]) for one in answer["messages"]]


def _reasons(answer: dict[str, Any], field: str = "skipped") -> dict[str, str]:
    return {one["account"]: one["reason"] for one in answer[field]}


_NEVER = {"dan": "identifiersOnly", "eve": "noIndex", "fay": "noMailboxes"}


async def test_all_accounts_newest_first_and_none_left_out_in_silence(office: World) -> None:
    answer = await _search(office, {"body": '"quick fox"'})
    assert _found(answer) == [("bob", "INBOX", 5), ("ann", "Archive", 2), ("ann", "INBOX", 1)]
    assert _reasons(answer) == _NEVER | {"cora": "noTexts"}
    assert (answer["incomplete"], answer["accounts"], answer["paths"]) == ([], [], [])
    first = answer["messages"][0]
    assert first["subject"] == "Report 5 of bob" and first["messageSpecialUse"] == "\\Inbox" and first["size"] == 500
    everything = await _search(office, {})
    assert [uid for _, _, uid in _found(everything)] == [7, 6, 5, 4, 3, 2, 1]
    assert _reasons(everything) == _NEVER


@pytest.mark.parametrize(
    ("search", "uids"),
    [
        ({"body": "quick", "subject": "OF ANN"}, [2, 1]),
        ({"body": "fox*"}, [5, 4, 3, 2, 1]),
        ({"body": "fox", "to": "BOB@ex"}, [5]),
        ({"cc": "bob"}, []),
        ({"from": "zoë", "larger": 300, "smaller": 700}, [6, 5, 4]),
        ({"unseen": True}, [6, 4, 2]),
        ({"seen": True, "unseen": True}, []),
        ({"since": NOW + 5 * DAY_MS, "before": NOW + 7 * DAY_MS}, [6, 5]),
        ({"sentSince": "2026-11-07", "sentBefore": NOW + 6 * DAY_MS}, [5]),
        ({"emailId": "ann-2"}, [2]),
        ({"emailIds": ["ann-2", "bob-5", "x"]}, [5, 2]),
        ({"threadId": thread_id(105)}, [5]),
        ({"threadId": "another's"}, []),
    ],
)
async def test_terms(office: World, search: dict[str, Any], uids: list[int]) -> None:
    found = _found(await _search(office, search))
    assert [uid for _, _, uid in found] == uids


async def test_pages_are_exact(office: World) -> None:
    seen: list[int] = []
    for page in range(4):
        answer = await _search(office, {"body": "fox*"}, f"?page={page}&pageSize=2")
        assert (answer["total"], answer["page"], answer["pages"]) == (5, page, 3)
        seen += [uid for _, _, uid in _found(answer)]
    assert seen == [5, 4, 3, 2, 1]
    assert (await _search(office, {"body": "nothing"}))["pages"] == 1


async def test_accounts_and_paths_that_are_named(office: World) -> None:
    answer = await _search(office, {"body": "fox*"}, accounts="bob")
    assert _found(answer) == [("bob", "INBOX", 5), ("bob", "INBOX", 3)] and answer["accounts"] == ["bob"]
    answer = await _search(office, {"body": "fox"}, accounts=["ann", "bob", "nobody"], paths=["Archive"])
    assert _found(answer) == [("ann", "Archive", 2)]
    assert _reasons(answer) == {"nobody": "accountNotFound", "bob": "mailboxNotFound"}
    for paths in ("\\Inbox", "inbox"):
        answer = await _search(office, {"body": "fox"}, paths=paths, accounts=["ann"])
        assert _found(answer) == [("ann", "INBOX", 4), ("ann", "INBOX", 1)]


async def test_a_token_of_one_account_sees_that_alone(office: World) -> None:
    token = await office.tokens.issue(description="ann's", scopes=("api",), account="ann")
    for accounts in (None, ["ann", "bob"]):
        body = {"search": {"body": "fox*"}, **({} if accounts is None else {"accounts": accounts})}
        reply = await office.call("POST", "/v1/unified/search", body, token=token)
        assert reply.status == 200 and {one["account"] for one in reply.json["messages"]} == {"ann"}
        assert _reasons(reply.json) == ({} if accounts is None else {"bob": "accountNotFound"})
    assert (await office.call("GET", "/v1/accounts", token=token)).status == 403


async def test_what_is_not_wholly_read_is_named(office: World) -> None:
    ann = await office.store.accounts.get("ann")
    assert ann is not None
    await _mailbox(office, ann, "Sent", {9: "quick fox"}, use="\\Sent", read=False)
    answer = await _search(office, {"body": "fox"})
    assert _found(answer)[0] == ("ann", "Sent", 9)
    assert _reasons(answer, "incomplete") == {"ann": "notRead"}
    assert _reasons(await _search(office, {"subject": "x"}), "incomplete") == {}
    status = dataclasses.replace(ann.status, state=AccountState.AUTHENTICATION_ERROR)
    await office.store.commit(office.store.accounts.update_status(ann.number, status, None))
    assert _reasons(await _search(office, {}), "incomplete") == {"ann": "notConnected"}


@pytest.mark.parametrize(
    "search",
    [
        {"seq": "1"},
        {"uid": "1:*"},
        {"modseq": 3},
        {"header": {"List-Id": "x"}},
        {"gmailRaw": "x"},
        {"labels": {"has": ["x"]}},
        {"body": "!"},
    ],
)
async def test_terms_that_only_a_server_knows_are_refused(office: World, search: dict[str, Any]) -> None:
    reply = await office.call("POST", "/v1/unified/search", {"search": search})
    assert (reply.status, reply.json["code"]) == (400, "UnsupportedSearchTerm")
    assert next(iter(search)) in reply.json["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"search": {"body": "a" * 10_000}},
        {"search": {"body": "a\0b"}},
        {"search": {"text": "a"}},
        {"search": {}, "accounts": ["a" * 300]},
        {"search": {}, "paths": ["a\0b"]},
        {"search": {}, "documentQuery": {}},
    ],
)
async def test_what_is_wrong_is_refused(office: World, body: dict[str, Any]) -> None:
    reply = await office.call("POST", "/v1/unified/search", body)
    assert (reply.status, reply.json["error"]) == (400, "Bad Request")


@pytest.mark.parametrize(
    "text", ['"', "' OR 1", '" OR *', "(fox", "fox AND", "NEAR(a, b)", "-fox", "{words}: x", "a\\b"]
)
async def test_no_text_fails(office: World, text: str) -> None:
    for field in ("body", "subject", "from", "to"):
        reply = await office.call("POST", "/v1/unified/search", {"search": {field: text}})
        assert reply.status in (200, 400), reply.body


async def test_a_search_that_takes_too_long_is_ended(office: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_args: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(office.store.database, "search", late)
    reply = await office.call("POST", "/v1/unified/search", {"search": {}})
    assert (reply.status, reply.json["code"]) == (504, "Timeout")
