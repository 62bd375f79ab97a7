"""What a durable commit costs: events, submissions and single commits on SQLite, in a file of this checkout."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mailquay.model.account import AccountId, AccountProfile
from mailquay.model.event import EventName, NewEvent
from mailquay.model.submission import Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.storage.interface import append_events
from mailquay.storage.store import Store, open_store

_EVENTS = 20_000
_SUBMISSIONS = 5_000
_SINGLE = 500
_READS = 20_000


async def _timed(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    began = time.perf_counter()
    await work()
    print(f"| {name} | {count / (time.perf_counter() - began):,.0f}/s |", flush=True)


async def _measure(store: Store) -> None:
    unit = store.accounts.upsert(AccountId("a"), lambda _: AccountProfile(name="a"), 0)
    account = (await store.commit(unit)).account

    def event(n: int) -> NewEvent:
        return NewEvent(account.number, EventName.MESSAGE_NEW, n, {"n": n}, {"subject": f"subject {n}"})

    def submission(n: int) -> Submission:
        return Submission(
            queue_id=f"q{n}",
            account=account.number,
            message_id=f"<{n}@x>",
            envelope=SubmissionEnvelope("a@x", ("b@x",)),
            options=SubmissionOptions(),
            phase=Phase.QUEUED,
            created_ms=0,
            scheduled_ms=0,
            next_attempt_ms=0,
            attempts_made=0,
            attempts=10,
            size_bytes=0,
        )

    async def events() -> None:
        await asyncio.gather(*(store.commit(append_events([event(n)])) for n in range(_EVENTS)))

    async def submissions() -> None:
        enqueue = store.outbox.enqueue
        await asyncio.gather(
            *(store.commit(enqueue(submission(n), b"x" * 2000, {"n": n}, f"k{n}")) for n in range(_SUBMISSIONS))
        )

    async def single() -> None:
        for n in range(_SINGLE):
            await store.commit(append_events([event(n)]))

    async def reads() -> None:
        for _ in range(_READS):
            await store.accounts.get("a")

    await _timed("events committed, many at once", _EVENTS, events)
    await _timed("submissions of 2 KB with key committed, many at once", _SUBMISSIONS, submissions)
    await _timed("events committed, one after another", _SINGLE, single)
    await _timed("accounts read and unsealed", _READS, reads)


async def main() -> None:
    """Measure on a fresh file."""
    Path(".cache").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=".cache"))
    print("| durable on SQLite | |\n| --- | --- |")
    store = await open_store(f"sqlite:///{folder.resolve()}/bench.db", key_file=folder / "key")
    try:
        await _measure(store)
    finally:
        await store.close()
        shutil.rmtree(folder)
