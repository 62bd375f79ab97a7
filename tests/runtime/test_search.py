"""Searches and what is done with all that they find, on the sandbox's server and on Dovecot."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator
from email.header import Header
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.interface import SearchTerms
from mailquay.config import Config
from mailquay.errors import MailboxNotFound, Unsupported
from mailquay.model.event import EventName
from mailquay.sandbox.imap_capabilities import GMAIL, USUAL
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.identifiers import message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import MessageChanges
from tests.runtime.harness import SystemClock, profile_for, running_node
from tests.runtime.reading import QUIET, Reader, profile_at, reading
from tests.servers.dovecot import Dovecot

_WORDS = ("invoice", "Grüße", "ÄRGER", "re:", "50 %", '"quoted"', "back\\slash", "Ünïcode", "straße", "日本語", "a_b")
_PEOPLE = ("Ann Ólafs <ann@b.test>", '"Doe, John" <john@c.test>', "info@b.test", "Zoë <zoe@d.test>")
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\Deleted")
SECONDS = 10.0
_QUICK = Config(imap_sweep_interval_seconds=0.3, reconnect_backoff_seconds=0.05)


def _mail(subject: str, sender: str = "a@b.test", size: int = 10) -> bytes:
    name, bracket, address = sender.partition("<")
    shown = f"{Header(name.strip(), 'utf-8').encode()} <{address}" if bracket and not name.isascii() else sender
    encoded = Header(subject, "utf-8", header_name="Subject").encode()
    return f"From: {shown}\r\nSubject: {encoded}\r\nMessage-ID: <{subject!a}@x>\r\n\r\n{'x' * size}\r\n".encode()


@pytest.fixture(params=["sandbox", pytest.param("dovecot", marks=pytest.mark.server)])
async def ann(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reader]:
    """An account on either server, without mail."""
    if request.param == "sandbox":
        world = SandboxWorld(empty=True, imap_capabilities=USUAL)
        await world.start()
        profile = profile_at(world)
    else:
        dovecot: Dovecot = request.getfixturevalue("dovecot")
        world, profile = None, profile_for(dovecot, dovecot.new_user())
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield Reader(node, await node.connected(account))
    if world is not None:
        await world.stop()


async def _append(ann: Reader, *messages: tuple[bytes, tuple[str, ...]], path: str = "INBOX") -> list[int]:
    """Add messages by another client's hands; returns their UIDs, once they are indexed."""

    async def whole(raw: bytes) -> AsyncIterator[bytes]:
        yield raw

    uids = []
    async with ann.node.access.session(ann.account, timeout_seconds=SECONDS) as session:
        for raw, flags in messages:
            appended = await session.append(path, whole(raw), len(raw), flags=flags)
            assert appended.uid is not None
            uids.append(appended.uid)
    await ann.node.access.catch_up(ann.account.number, [path], timeout_seconds=SECONDS)
    return uids


async def _uids(ann: Reader, path: str = "INBOX") -> list[int]:
    return [message["uid"] for message in await ann.page(path)]


async def _asked(ann: Reader, terms: SearchTerms) -> set[int]:
    async with ann.node.access.session(ann.account, timeout_seconds=SECONDS) as session:
        await session.open_mailbox("INBOX")
        return set(await session.search(terms))


def _random_terms(chance: random.Random) -> SearchTerms:
    text: dict[str, str] = {}
    if chance.random() < 0.6:
        word = chance.choice(_WORDS)
        start = chance.randrange(len(word))
        # A letter that becomes two is found in either form by us, and by few servers.
        upper = word if "ß" in word else word.upper()
        text["subject"] = chance.choice([word, upper, word[start : start + 3]]).strip() or "e"
    if chance.random() < 0.3:
        text["from"] = chance.choice(["ann", "B.TEST", "Zoë", "doe, john", "@", "nobody"])
    flags = {name: chance.random() < 0.5 for name in ("seen", "flagged", "deleted", "draft") if chance.random() < 0.25}
    larger = chance.randrange(400) if chance.random() < 0.2 else None
    smaller = chance.randrange(200, 800) if chance.random() < 0.2 else None
    return SearchTerms(text=text, flags=flags, larger=larger, smaller=smaller)


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_index_finds_what_the_server_finds(ann: Reader, seed: int) -> None:
    chance = random.Random(seed)
    messages = []
    for number in range(60):
        subject = " ".join(chance.sample(_WORDS, chance.randrange(1, 4))) + f" {number}"
        flags = tuple(flag for flag in _FLAGS if chance.random() < 0.3)
        messages.append((_mail(subject, chance.choice(_PEOPLE), chance.randrange(500)), flags))
    await _append(ann, *messages)
    service, mailbox, found = ann.service, await ann.mailbox(), 0
    for _ in range(150):
        terms = _random_terms(chance)
        lasting = dataclasses.replace(terms, flags={})
        indexed = await service._found_in_index(ann.account, mailbox, lasting)
        assert indexed is not None
        assert indexed == await _asked(ann, lasting), terms
        _, uids = await service._found(ann.account, "INBOX", terms, SECONDS)
        assert uids == await _asked(ann, terms), terms
        found += len(indexed)
    assert found > 500


async def test_what_only_the_server_knows_is_asked_of_it(ann: Reader) -> None:
    [first, second] = await _append(
        ann,
        (b"From: a@b.test\r\nTo: x@y.test\r\nList-Id: <l>\r\nSubject: one\r\n\r\nneedle\r\n", ()),
        (_mail("two"), ()),
    )
    for terms, expected in (
        (SearchTerms(text={"body": "needle"}), {first}),
        (SearchTerms(text={"to": "x@y", "subject": "ONE"}), {first}),
        (SearchTerms(headers=(("List-Id", ""),)), {first}),
        (SearchTerms(uid=f"{second}:*"), {second}),
        (SearchTerms(seq="1"), {first}),
        (SearchTerms(dates={"since": "2020-01-01"}), {first, second}),
        (SearchTerms(flags={"seen": True, "unseen": True}), set()),
        (SearchTerms(email_ids=()), set()),
    ):
        assert await ann.service._found_in_index(ann.account, await ann.mailbox(), terms) is None
        assert {one["uid"] for one in await ann.found(terms)} == expected, terms


async def test_without_labels_there_are_none_to_search(ann: Reader) -> None:
    for terms in (SearchTerms(gmail_raw="x"), SearchTerms(labels=("a",)), SearchTerms(without_labels=("a",))):
        with pytest.raises(Unsupported) as refused:
            await ann.found(terms)
        assert refused.value.code == "MissingServerExtension"


async def test_an_index_that_lacks_something_is_not_asked(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    world.store_of(world.accounts[0].email).append("INBOX", _mail("one"))
    terms = SearchTerms(text={"subject": "ONE"})
    async with reading(world, tmp_path, index="identifiers") as ann:
        assert await ann.service._found_in_index(ann.account, await ann.mailbox(), terms) is None
        assert await ann.service._found_in_index(ann.account, await ann.mailbox(), SearchTerms(larger=1)) == {1}
        assert [one["subject"] for one in await ann.found(terms)] == ["one"]
        mailbox = await ann.mailbox()
        assert await ann.node.store.messages.unread(mailbox.number) == (True, False)
    await world.stop()


async def test_flags_are_those_of_this_moment(tmp_path: Path) -> None:
    """Whatever the index says of them, also while nobody has told us: what is chosen by them may be deleted."""
    world = SandboxWorld(empty=True)
    await world.start()
    world.imap_faults.missing |= {"NOTIFY", "IDLE"}
    store = world.store_of(world.accounts[0].email)
    for subject in ("one", "two"):
        store.append("INBOX", _mail(subject))
    async with reading(world, tmp_path, config=QUIET) as ann:
        assert len(await _uids(ann)) == 2
        inbox = store.mailbox("INBOX")
        for flags, found in ((frozenset(["\\Seen"]), [1]), (frozenset[str](), [])):
            store.set_flags(inbox, [(next(iter(inbox)), flags)])
            for terms in (
                SearchTerms(flags={"seen": True}),
                SearchTerms(flags={"unseen": False}, text={"subject": "o"}),
            ):
                assert await ann.service._found_in_index(ann.account, await ann.mailbox(), terms) is None
                assert [one["uid"] for one in await ann.found(terms)] == found
                assert await ann.service.search_needs_owner(ann.account, "INBOX", terms)
        seen = SearchTerms(flags={"seen": True})
        await ann.service.delete_all(ann.account, "INBOX", seen, force=True, timeout_seconds=SECONDS)
        assert len(inbox) == 2
    await world.stop()


# changes of all that is found


async def test_flags_of_all_that_is_found(ann: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailquay.services.bulk_editor._TOGETHER", 2)
    uids = await _append(ann, *((_mail(f"{n} {'x' if n % 2 else 'y'}"), ()) for n in range(6)))
    chosen = [uid for n, uid in enumerate(uids) if n % 2]
    changes = MessageChanges(add=("\\Flagged", "work"), delete=("\\Seen",))
    terms = SearchTerms(text={"subject": "x"})
    done = await ann.service.update_all(ann.account, "INBOX", terms, changes, timeout_seconds=SECONDS)
    assert done == {"flags": {"add": True, "delete": True}}
    flags = {uid: entry.flags for uid, entry in (await ann.entries()).items()}
    assert flags == {uid: ("\\Flagged", "work") if uid in chosen else () for uid in uids}
    await ann.node.wait_for(EventName.MESSAGE_UPDATED, account=ann.account, count=3)
    await ann.catch_up()
    assert sorted(await ann.events(EventName.MESSAGE_UPDATED)) == [(EventName.MESSAGE_UPDATED, uid) for uid in chosen]
    assert await _asked(ann, SearchTerms(flags={"flagged": True})) == set(chosen)


async def test_all_that_is_found_is_moved(ann: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailquay.services.bulk_editor._TOGETHER", 2)
    uids = await _append(ann, *((_mail(f"number {n}"), ()) for n in range(5)))
    moved = await ann.service.move_all(
        ann.account, "INBOX", SearchTerms(smaller=10_000), "Archive", timeout_seconds=SECONDS
    )
    before, after = await ann.mailbox(), await ann.mailbox("Archive")
    assert moved["path"] == "Archive"
    assert [pair[0] for pair in moved["idMap"]] == [message_id(before.number, uid) for uid in uids]
    assert await _uids(ann) == []
    assert [one["id"] for one in await ann.page("Archive")] == [pair[1] for pair in reversed(moved["idMap"])]
    deleted = await ann.events(EventName.MESSAGE_DELETED)
    assert sorted(deleted) == [(EventName.MESSAGE_DELETED, uid) for uid in uids]
    again = await ann.service.move_all(ann.account, "Archive", SearchTerms(), "Archive", timeout_seconds=SECONDS)
    assert {tuple(pair) for pair in again["idMap"]} == {(pair[1], pair[1]) for pair in moved["idMap"]}
    assert after.number == (await ann.mailbox("Archive")).number


async def test_all_that_is_found_is_deleted(ann: Reader) -> None:
    uids = await _append(ann, *((_mail(f"number {n}"), ()) for n in range(4)))

    async def delete(path: str, terms: SearchTerms, *, force: bool = False) -> dict[str, Any]:
        return await ann.service.delete_all(ann.account, path, terms, force=force, timeout_seconds=SECONDS)

    gone = await delete("INBOX", SearchTerms(uid=str(uids[0])), force=True)
    assert (gone, await _uids(ann)) == ({"deleted": True}, [uids[3], uids[2], uids[1]])
    moved = await delete("INBOX", SearchTerms(text={"subject": "number"}))
    assert (moved["deleted"], moved["moved"]["destination"]) == (False, "Trash")
    assert [pair[0] for pair in moved["moved"]["idMap"]] == [
        message_id((await ann.mailbox()).number, uid) for uid in uids[1:]
    ]
    assert await _uids(ann) == []
    assert len(await _uids(ann, "Trash")) == 3
    assert await delete("\\Trash", SearchTerms()) == {"deleted": True}
    assert await _uids(ann, "Trash") == []
    nothing = await delete("INBOX", SearchTerms())
    assert nothing == {"deleted": False, "moved": {"destination": "Trash", "idMap": []}}


async def test_unknown_mailboxes_change_nothing(ann: Reader) -> None:
    [uid] = await _append(ann, (_mail("one"), ()))
    for path, target in (("Nowhere", "Archive"), ("INBOX", "Nowhere")):
        with pytest.raises(MailboxNotFound):
            await ann.service.move_all(ann.account, path, SearchTerms(), target, timeout_seconds=SECONDS)
    assert await _uids(ann) == [uid]


@pytest.mark.parametrize("missing", [{"UIDPLUS"}, {"MOVE"}, {"UIDPLUS", "MOVE"}])
async def test_without_the_extensions_that_make_it_easy(tmp_path: Path, missing: set[str]) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - missing)
    await world.start()
    store = world.store_of(world.accounts[0].email)
    for number in range(3):
        store.append("INBOX", _mail(f"number {number}"))
    async with reading(world, tmp_path) as ann:
        service = MessageService(
            ann.node.store, ann.node.access, MailboxService(ann.node.store, ann.node.access), SystemClock()
        )
        moved = await service.move_all(ann.account, "INBOX", SearchTerms(uid="1:2"), "Archive", timeout_seconds=SECONDS)
        assert ("idMap" in moved) is ("UIDPLUS" not in missing)
        assert [message.uid for message in store.mailbox("INBOX")] == [3]
        assert len(store.mailbox("Archive")) == 2
        assert await _uids(ann) == [3]
    await world.stop()


async def test_labels_of_all_that_is_found(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=GMAIL)
    await world.start()
    store = world.store_of(world.accounts[0].email)
    for subject in ("one", "two"):
        store.append("[Gmail]/All Mail", _mail(subject))
    async with reading(world, tmp_path) as ann:
        changes = MessageChanges(labels_add=("Work",))
        done = await ann.service.update_all(
            ann.account, "\\All", SearchTerms(text={"subject": "two"}), changes, timeout_seconds=SECONDS
        )
        assert done == {"labels": {"add": True}}
        answers = []
        for terms in (SearchTerms(labels=("Work",)), SearchTerms(without_labels=("Work",))):
            page = await ann.service.search(
                ann.account, path="\\All", terms=terms, page=0, page_size=10, timeout_seconds=SECONDS
            )
            answers.append([one["subject"] for one in page["messages"]])
        assert answers == [["two"], ["one"]]
        every = [entry.email_id for entry in (await ann.entries("[Gmail]/All Mail")).values() if entry.email_id]
        page = await ann.service.search(
            ann.account,
            path="\\All",
            terms=SearchTerms(email_ids=(every[0], "12345")),
            page=0,
            page_size=10,
            timeout_seconds=SECONDS,
        )
        assert [one["emailId"] for one in page["messages"]] == [every[0]]
    await world.stop()
