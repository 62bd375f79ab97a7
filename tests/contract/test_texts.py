"""The text index: what is found in it, and that it holds no more than the index of messages: over both databases."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from pathlib import Path

import pytest

from mailquay.mime.words import parse_query, words_of
from mailquay.model.account import (
    KEEPS_ENVELOPES,
    KEEPS_IDENTIFIERS,
    KEEPS_TEXT,
    AccountId,
    AccountNumber,
    AccountProfile,
)
from mailquay.model.mailbox import TEXTS_COMPLETE, ListedMailbox, MailboxNumber
from mailquay.model.message import Address, Envelope, IndexEntry, Structure, Uid
from mailquay.runtime.purge import purge_everything
from mailquay.storage.repositories.local_search import LocalTerms
from mailquay.storage.repositories.replacements import Former
from mailquay.storage.repositories.texts import MessageWords, joined_words
from mailquay.storage.store import Store, open_store

NOW = 1_700_000_000_000
SECONDS = 10.0


def _entry(uid: int, **envelope: object) -> IndexEntry:
    shown = Envelope(date_ms=NOW + uid, subject=f"Subject {uid}", **envelope)  # type: ignore[arg-type]
    return IndexEntry(Uid(uid), ("\\Seen",), 1, NOW - uid * 1000, 10 * uid, shown, Structure())


async def _mailbox(
    store: Store, account_id: str = "ann", path: str = "INBOX", index: str = KEEPS_TEXT
) -> tuple[AccountNumber, MailboxNumber]:
    unit = store.accounts.upsert(AccountId(account_id), lambda _: AccountProfile(account_id, index=index), NOW)
    account = (await store.commit(unit)).account.number
    return account, await store.commit(store.mailboxes.add(account, ListedMailbox(path, "/", frozenset()), NOW, 1))


async def _keep(store: Store, mailbox: MailboxNumber, texts: dict[int, str], **envelope: object) -> None:
    entries = [_entry(uid, **envelope) for uid in texts]
    await store.commit(store.messages.put(mailbox, entries))
    words = [MessageWords(one, joined_words(words_of(texts[one.uid], 100_000))) for one in entries]
    await store.commit(store.texts.put(mailbox, words))


async def _found(
    store: Store, account: int, mailboxes: list[MailboxNumber], query: str = "", **terms: object
) -> list[int]:
    sought = LocalTerms(words=tuple(parse_query(query)), **terms)  # type: ignore[arg-type]
    found = await store.searches.page({account: mailboxes}, sought, seconds=SECONDS)
    assert found.total == len(found.places)
    return [place.uid for place in found.places]


async def _wish(store: Store, index: str) -> None:
    await store.commit(
        store.accounts.update(AccountId("ann"), lambda profile: dataclasses.replace(profile, index=index))
    )


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        ("fox", [1]),
        ("FOX quick", [1]),
        ("fox dog cat", []),
        ('"quick brown"', [1]),
        ('"brown quick"', []),
        ("qui*", [2, 1]),
        ('"brown f"*', [1]),
        ("qui", []),
        ("grusse", [2]),
        ("Gruße", [2]),
        ("GRÜSSE", [2]),
        ("東京", [3]),
        ("京都", [3]),
        ("東京都", [3]),
        ("東都", []),
        ("都", [3]),
        ("ガイド", [3]),
        ("ann@example.com", [2]),
        ("ann@example", [2]),
        ("example@ann", []),
        ("100%", [2]),
        ("हिन्दी", [4]),
        ("학교", [4]),
        ("кафе", [4]),
        ("emoji", [4]),
    ],
)
async def test_words_phrases_and_beginnings(store: Store, query: str, uids: list[int]) -> None:
    account, inbox = await _mailbox(store)
    texts = {
        1: "The quick brown fox jumps",
        2: "Quickly: Grüße an ann@example.com, 100% ¿sí?",
        3: "東京都のガイドブック",
        4: "हिन्दी 학교에서 кафé кафе\u0301 emoji😀",
    }
    await _keep(store, inbox, texts)
    assert await _found(store, account, [inbox], query) == uids


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '""',
        "*",
        '"*',
        "a" * 10_000,
        "a\0b",
        "' OR 1=1 --",
        "NEAR(a b)",
        "-x",
        "a AND",
        "words:fox",
        "\\",
        "a' & b:*",
    ],
)
async def test_no_query_fails(store: Store, query: str) -> None:
    account, inbox = await _mailbox(store)
    await _keep(store, inbox, {1: "a fox near a b or x 1"})
    if parse_query(query):
        await _found(store, account, [inbox], query)


async def test_accounts_and_mailboxes_are_apart(store: Store) -> None:
    ann, inbox = await _mailbox(store)
    _, archive = await _mailbox(store, path="Archive")
    bob, other = await _mailbox(store, "bob")
    for mailbox in (inbox, archive, other):
        await _keep(store, mailbox, {1: "fox hound"})
    assert await _found(store, ann, [archive], "fox") == [1]
    assert await _found(store, ann, [inbox, archive], "fo*") == [1, 1]
    # The words of an account are its own, whatever mailboxes are asked for.
    assert await _found(store, ann, [other], "fox") == []
    found = await store.searches.page(
        {ann: [inbox], bob: [other]}, LocalTerms(words=tuple(parse_query("fox"))), seconds=SECONDS
    )
    assert {place.mailbox for place in found.places} == {inbox, other}


async def test_other_terms_and_pages(store: Store) -> None:
    account, inbox = await _mailbox(store)
    to = (Address("Zoë", "zoe@d.test"),)
    await _keep(store, inbox, dict.fromkeys(range(1, 8), "fox"), to=to, from_=(Address("", "ann@b.test"),))
    assert await _found(store, account, [inbox], "fox", to="ZOË <zoe@D") == [7, 6, 5, 4, 3, 2, 1]
    assert await _found(store, account, [inbox], to="zoe@", cc="x") == []
    assert await _found(store, account, [inbox], larger=20, smaller=50) == [4, 3]
    assert await _found(store, account, [inbox], flags={"seen": False}) == []
    assert await _found(store, account, [inbox], subject="subject 3", sender="ANN@") == [3]
    assert await _found(store, account, [inbox], received_from_ms=NOW - 2000) == [2, 1]
    assert await _found(store, account, [inbox], received_before_ms=NOW - 6000) == [7]
    assert await _found(store, account, [inbox], dated_from_ms=NOW + 6, dated_before_ms=NOW + 7) == [6]
    assert await _found(store, account, [inbox], email_ids=()) == []
    assert await _found(store, account, [inbox], thread_id="t") == []
    seen: list[int] = []
    for page in range(4):
        found = await store.searches.page(
            {account: [inbox]}, LocalTerms(words=tuple(parse_query("fox"))), limit=2, offset=2 * page, seconds=SECONDS
        )
        assert found.total == 7
        seen += [place.uid for place in found.places]
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_text_goes_with_its_message_and_follows_it(store: Store) -> None:
    account, inbox = await _mailbox(store)
    await _keep(store, inbox, {1: "fox one", 2: "fox two", 3: "fox three"})
    await store.commit(store.messages.delete(inbox, [1]))
    assert await _found(store, account, [inbox], "fox") == [3, 2]
    listing = ListedMailbox("INBOX", "/", frozenset())
    again = await store.commit(store.replacements.replace(account, inbox, listing, 9, NOW, 1))
    await store.commit(store.messages.put(again, [_entry(20), _entry(30)]))
    formers = [former async for page in store.replacements.formers(inbox) for former in page]
    pairs: list[tuple[Former, IndexEntry]] = list(zip(formers, (_entry(20), _entry(30)), strict=True))
    await store.commit(store.replacements.carry_over(again, pairs, NOW))
    assert await _found(store, account, [inbox], "fox") == []
    assert await _found(store, account, [again], "fox two") == [20]
    assert await _found(store, account, [again], "fox") == [30, 20]
    await store.commit(store.messages.drop(again, [20]))
    assert await _found(store, account, [again], "two") == []


async def test_a_late_text_brings_nothing_back(store: Store) -> None:
    account, inbox = await _mailbox(store)
    await _keep(store, inbox, {1: "fox"})
    await store.commit(store.texts.put(inbox, [MessageWords(_entry(2), "hound"), MessageWords(_entry(1), "hound")]))
    assert await _found(store, account, [inbox], "hound") == []
    await _wish(store, KEEPS_ENVELOPES)
    await store.commit(store.messages.put(inbox, [_entry(3)]))
    await store.commit(store.texts.put(inbox, [MessageWords(_entry(3), "hound")]))
    assert await _found(store, account, [inbox], "hound") == []


async def test_what_lacks_a_text_is_known(store: Store) -> None:
    _, inbox = await _mailbox(store)

    async def state() -> int:
        mailbox = await store.mailboxes.get(inbox)
        assert mailbox is not None
        return mailbox.texts_state

    await _keep(store, inbox, {1: "a", 3: "b"})
    await store.commit(store.messages.put(inbox, [_entry(2), IndexEntry(Uid(4)), _entry(5)]))
    assert [one.uid for one in await store.texts.lacking(inbox, limit=9)] == [5, 2]
    assert [one.uid for one in await store.texts.lacking(inbox, below=5, limit=9)] == [2]
    assert [one.uid for one in await store.texts.lacking(inbox, since_ms=NOW - 2000, limit=9)] == [2]
    seen = await state()
    await store.commit(store.messages.put(inbox, [_entry(6)]))
    assert not await store.commit(store.texts.complete(inbox, seen, everything=True))
    assert await store.commit(store.texts.complete(inbox, await state(), everything=True))
    await store.commit(store.messages.put(inbox, [_entry(7)], texts_follow=True))
    assert await state() == TEXTS_COMPLETE
    await store.commit(store.messages.put(inbox, [_entry(8)]))
    assert await state() <= 0
    assert await store.commit(store.texts.complete(inbox, await state(), everything=True))
    await _wish(store, KEEPS_ENVELOPES)
    assert await state() <= 0


@pytest.mark.parametrize("index", [KEEPS_ENVELOPES, KEEPS_IDENTIFIERS])
async def test_texts_that_are_not_wanted_any_more_go_in_steps(store: Store, index: str) -> None:
    account, inbox = await _mailbox(store)
    await _keep(store, inbox, dict.fromkeys(range(1, 6), "fox"))
    await _wish(store, index)
    left = [len(await _found(store, account, [inbox], "fox"))]
    while await store.commit(store.upkeep.purge_some(2)):
        left.append(len(await _found(store, account, [inbox], "fox")))
    assert list(dict.fromkeys(left)) == [5, 3, 1, 0]
    await _wish(store, KEEPS_TEXT)
    await store.commit(store.messages.put(inbox, [_entry(uid) for uid in range(1, 6)]))
    assert len(await store.texts.lacking(inbox, limit=9)) == 5


async def test_nothing_of_a_removed_account_is_left_in_the_file(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    _, inbox = await _mailbox(store)
    bob, other = await _mailbox(store, "bob")
    for start in range(1, 400, 20):
        await _keep(store, inbox, {uid: f"zyxwvutsr qponmlkj{uid} common" for uid in range(start, start + 20)})
        await _keep(store, other, {start: "common survivor"})
    await store.commit(store.accounts.delete(AccountId("ann"), NOW))
    await purge_everything(store)
    assert len(await _found(store, bob, [other], "common survivor")) == 20
    await store.close()
    with sqlite3.connect(tmp_path / "m.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = (tmp_path / "m.db").read_bytes()
    assert b"survivor" in content
    assert b"zyxwvutsr" not in content and b"qponmlkj" not in content


async def test_a_search_ends_when_its_time_is_over(store: Store) -> None:
    account, inbox = await _mailbox(store)
    await store.commit(store.messages.put(inbox, [_entry(uid) for uid in range(1, 20_000)]))
    with pytest.raises(TimeoutError):
        await store.searches.page({account: [inbox]}, LocalTerms(subject="9 9"), seconds=0.001)
    async with asyncio.timeout(SECONDS):
        assert await _found(store, account, [inbox], subject="subject 19999") == [19_999]


def test_a_message_of_countless_words_fits_into_both_databases() -> None:
    words = words_of("".join(chr(0x20000 + n) for n in range(0x8000)), 100_000)
    assert len(words) == 0x8000
    assert len(joined_words(words).encode()) <= 900_000
