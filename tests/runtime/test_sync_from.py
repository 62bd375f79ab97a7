"""`syncFrom`: what was received earlier is listed, and read only when somebody asks for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mailquay.model.event import EventName
from mailquay.model.message import IndexEntry, Uid
from mailquay.sandbox.world import SandboxWorld
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.repositories.messages import NEWEST
from tests.runtime.reading import reading

_YEARS = (2019, 2025, 2020, 2026, 2021)
_FROM_MS = int(datetime(2024, 12, 31, 12, 0, 0, 700_000, UTC).timestamp() * 1000)


def _fill(world: SandboxWorld) -> None:
    store = world.store_of(world.accounts[0].email)
    for year in _YEARS:
        raw = f"From: a@b.test\r\nSubject: of {year}\r\nMessage-ID: <{year}@b.test>\r\n\r\nx\r\n".encode()
        store.append("INBOX", raw, received=datetime(year, 1, 1, tzinfo=UTC))
    # In the very second of `syncFrom`: received dates have no fractions.
    store.append("INBOX", b"Subject: just\r\n\r\nx\r\n", received=datetime(2024, 12, 31, 12, tzinfo=UTC))


async def test_older_messages_are_listed_and_read_when_they_are_asked_for(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world)
    async with reading(world, tmp_path, sync_from_ms=_FROM_MS) as ann:
        entries = await ann.until(digested=3, envelopes=3)
        assert {uid for uid, entry in entries.items() if entry.digested} == {2, 4, 6}
        assert all(entry.size_bytes is not None and entry.internal_date_ms is not None for entry in entries.values())
        assert [one["subject"] for one in await ann.page(size=2)] == ["just", "of 2021"]
        await ann.until(digested=4, envelopes=4)
        assert [one["subject"] for one in await ann.page()] == ["just", *(f"of {year}" for year in reversed(_YEARS))]
        await ann.until(digested=6, envelopes=6)
        assert await ann.service.needs_owner(ann.account, "INBOX")
        assert await ann.events() == []


async def test_an_earlier_time_or_none_reads_the_rest(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world)
    async with reading(world, tmp_path, sync_from_ms=_FROM_MS, index="identifiers") as ann:
        await ann.until(digested=3, envelopes=0)
        await ann.change(sync_from_ms=int(datetime(2020, 6, 1, tzinfo=UTC).timestamp() * 1000))
        await ann.until(digested=4, envelopes=0)
        await ann.change(index="envelopes")
        await ann.until(digested=4, envelopes=4)
        await ann.change(sync_from_ms=None)
        await ann.until(digested=6, envelopes=6)
        old = b"From: a@b.test\r\nSubject: late\r\nMessage-ID: <late@b.test>\r\n\r\nx\r\n"
        await ann.change(sync_from_ms=_FROM_MS)
        world.store_of(world.accounts[0].email).append("INBOX", old, received=datetime(2019, 1, 1, tzinfo=UTC))
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert (await ann.until(digested=7, envelopes=7))[7].envelope is not None


def _steps(connection: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How much the database does for something, in its own steps, by tens."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 10)
    work()
    connection.set_progress_handler(None, 0)
    return steps


async def test_what_is_left_out_costs_nothing_at_the_next_reconnect(world: SandboxWorld, tmp_path: Path) -> None:
    async with reading(world, tmp_path, sync_from_ms=_FROM_MS) as ann:
        number = (await ann.mailbox()).number
        for start in range(1, 50_001, 5000):
            old = [
                IndexEntry(Uid(uid), internal_date_ms=uid * 1000, size_bytes=1) for uid in range(start, start + 5000)
            ]
            await ann.node.store.commit(ann.node.store.messages.put(number, old))
        assert await ann.node.store.messages.without_envelope(number, since_ms=_FROM_MS, limit=200) == []
        assert len(await ann.node.store.messages.without_envelope(number, limit=200)) == 200

    def ask(since_ms: int) -> Callable[[], object]:
        key = (number, 0, since_ms, NEWEST.received_ms, NEWEST.uid, 200)
        return lambda: connection.execute(load_catalogue("sqlite")["message_without_envelope"], key).fetchall()

    with sqlite3.connect(tmp_path / "m.db") as connection:
        ask(0)()  # which reads the schema, too
        assert _steps(connection, ask(_FROM_MS)) < 10 < _steps(connection, ask(0))
