"""What keeping texts costs: size, indexing and queries of 50,000 messages on SQLite, in a file of this checkout."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from mailquay.mime.words import parse_query, words_of
from mailquay.model.account import KEEPS_TEXT, AccountId, AccountProfile
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import Address, Envelope, IndexEntry, Structure, Uid
from mailquay.storage.repositories.local_search import LocalTerms
from mailquay.storage.repositories.texts import MessageWords, joined_words
from mailquay.storage.store import Store, open_store

_MESSAGES = 50_000
_BATCH = 50
_LETTERS = "abcdefghijklmnoprstuvwz"
_SECONDS = 60.0
_REPEATS = 5


class _Language:
    """Words as often as words are in a language (Zipf), in messages as long as messages are."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        choose = self._chance.choice
        lengths = [self._chance.randint(2, 11) for _ in range(40_000)]
        self.words = ["".join(choose(_LETTERS) for _ in range(length)) for length in lengths]
        self._weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self.words))))

    def text(self) -> str:
        """About 1,600 characters, some much more."""
        length = int(min(3000, self._chance.lognormvariate(5.2, 0.9)))
        return " ".join(self._chance.choices(self.words, cum_weights=self._weights, k=length))


def _entry(uid: int) -> IndexEntry:
    envelope = Envelope(
        date_ms=uid * 60_000,
        subject=f"Message number {uid}",
        from_=(Address(f"Sender {uid % 500}", f"sender{uid % 500}@example.com"),),
        to=(Address("Ann", "ann@example.com"),),
        message_id=f"<{uid}@example.com>",
    )
    return IndexEntry(Uid(uid), ("\\Seen",), uid, uid * 60_000, 4000, envelope, Structure())


def _forms(texts: list[str]) -> Mapping[str, float]:
    """Bytes per message of the forms that an FTS5 table can have, with what each keeps beside it."""
    folder = Path(tempfile.mkdtemp(dir=".cache"))
    found: dict[str, float] = {}
    for name, options in (("stored in it", ""), ("elsewhere", "content = '', columnsize = 0, ")):
        path = folder / f"{len(found)}.db"
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE VIRTUAL TABLE t USING fts5 (words, {options}tokenize = 'ascii')")
            connection.executemany("INSERT INTO t (rowid, words) VALUES (?, ?)", enumerate(texts, 1))
        connection.close()
        found[f"FTS5 alone, text {name}"] = path.stat().st_size / len(texts)
    shutil.rmtree(folder)
    return found


async def _timed(store: Store, account: int, mailbox: MailboxNumber, name: str, terms: LocalTerms) -> None:
    took = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        found = await store.searches.page({account: [mailbox]}, terms, limit=20, seconds=_SECONDS)
        took.append(time.perf_counter() - began)
    print(f"| {name}: {found.total:,} found | {sorted(took)[_REPEATS // 2] * 1000:,.1f} ms |", flush=True)


async def _measure(store: Store, path: Path) -> None:
    language = _Language(1)
    unit = store.accounts.upsert(AccountId("a"), lambda _: AccountProfile(name="a", index=KEEPS_TEXT), 0)
    account = (await store.commit(unit)).account.number
    mailbox = await store.commit(store.mailboxes.add(account, ListedMailbox("INBOX", "/", frozenset()), 0, 1))
    for start in range(1, _MESSAGES + 1, 1000):
        await store.commit(store.messages.put(mailbox, [_entry(uid) for uid in range(start, start + 1000)]))
    texts = [language.text() for _ in range(_MESSAGES)]
    cut = [joined_words(words_of(text, 100_000)) for text in texts]
    before = await asyncio.to_thread(_size, path)
    began = time.perf_counter()
    for start in range(0, _MESSAGES, _BATCH):
        batch = [MessageWords(_entry(start + n + 1), cut[start + n]) for n in range(_BATCH)]
        await store.commit(store.texts.put(mailbox, batch))
    print(f"| messages indexed, {_BATCH} in a commit | {_MESSAGES / (time.perf_counter() - began):,.0f}/s |")
    began = time.perf_counter()
    for text in texts[:5000]:
        words_of(text, 100_000)
    print(f"| messages cut into words | {5000 / (time.perf_counter() - began):,.0f}/s |")
    print(f"| text of a message | {sum(map(len, texts)) / _MESSAGES:,.0f} bytes |")
    print(f"| kept of it | {(await asyncio.to_thread(_size, path) - before) / _MESSAGES:,.0f} bytes |")
    for name, size in (await asyncio.to_thread(_forms, cut[:10_000])).items():
        print(f"| {name} | {size:,.0f} bytes |")
    common, usual, rare = language.words[0], language.words[500], language.words[20_000]
    for name, terms in {
        "a rare word": LocalTerms(words=tuple(parse_query(rare))),
        "a usual word": LocalTerms(words=tuple(parse_query(usual))),
        "two usual words": LocalTerms(words=tuple(parse_query(f"{usual} {language.words[501]}"))),
        "a word of nearly all": LocalTerms(words=tuple(parse_query(common))),
        "a phrase of two such words": LocalTerms(words=tuple(parse_query(f'"{common} {language.words[1]}"'))),
        "a beginning of two letters": LocalTerms(words=tuple(parse_query(f"{usual[:2]}*"))),
        "an address among the recipients": LocalTerms(to="nn@example"),
        "a sender": LocalTerms(sender="sender77@"),
        "a subject": LocalTerms(subject="number 49"),
    }.items():
        await _timed(store, account, mailbox, name, terms)


def _size(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


async def main() -> None:
    """Measure on a fresh file."""
    Path(".cache").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=".cache")).resolve()
    print(f"| texts of {_MESSAGES:,} messages on SQLite | |\n| --- | --- |")
    store = await open_store(f"sqlite:///{folder}/bench.db", key_file=folder / "key")
    try:
        await _measure(store, folder / "bench.db")
    finally:
        await store.close()
        shutil.rmtree(folder)
