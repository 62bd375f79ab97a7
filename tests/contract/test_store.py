"""What every store promises: transactions, group commit, positions, fences, sealed fields, migrations."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from pathlib import Path

import pytest
import structlog

from mailquay.errors import Fenced, StorageError
from mailquay.model.account import AccountId, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import IndexEntry, Uid
from mailquay.model.node import Fence
from mailquay.storage.interface import Pending, Run, Script, Signal, append_events, run_together
from mailquay.storage.repositories.events import ParkedDelivery, WebhookCursor
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.sqlite.database import SqliteDatabase
from mailquay.storage.store import Store, open_store
from tests.contract.records import NOW, SECRET, named, new_event, own, queued, register


async def test_upsert_creates_then_updates_and_logs_only_the_first(store: Store) -> None:
    first = await store.commit(store.accounts.upsert(AccountId("ann"), named, NOW))
    again = await store.commit(
        store.accounts.upsert(AccountId("ann"), lambda p: dataclasses.replace(p, name="Anna"), NOW)
    )
    assert (first.created, again.created) == (True, False)
    assert again.account.profile.name == "Anna"
    assert again.account.profile.imap == ImapSettings(host="h", password=SECRET)
    assert again.account.revision == first.account.revision + 1
    assert [event.name for event in await store.events.after(0, 10)] == [EventName.ACCOUNT_ADDED]


async def test_listing_filters_by_state_and_by_a_literal_substring(store: Store) -> None:
    for account_id in ("a_1", "ab1", "c"):
        await register(store, account_id)
    total, page = await store.accounts.page(query="A_", limit=10, offset=0)
    assert (total, [account.id for account in page]) == (1, ["a_1"])
    total, page = await store.accounts.page(state="init", limit=2, offset=2)
    assert (total, [account.id for account in page]) == (3, ["c"])


async def test_positions_and_sequences_have_no_gap_under_concurrency(store: Store) -> None:
    accounts = [await register(store, f"a{n}") for n in range(4)]
    await asyncio.gather(
        *(
            store.commit(append_events([new_event(accounts[n % 4], n), new_event(accounts[n % 3], n)]))
            for n in range(200)
        )
    )
    log = await store.events.after(0, 1000)
    assert [event.position for event in log] == list(range(1, 405))
    assert len({event.event_id for event in log}) == 404
    for account in accounts:
        own = [event.sequence for event in log if event.account == account.number]
        assert own == list(range(1, len(own) + 1))
    counters = await store.accounts.event_counters(accounts[3].number)
    assert counters == {"accountAdded": 1, "messageNew": 50}


async def test_a_failing_unit_stores_nothing_and_harms_no_neighbour(store: Store) -> None:
    account = await register(store)

    def broken(pending: Pending) -> Script[None]:
        pending.append(new_event(account, 1))
        yield Run("queue_pause", ("submit", 1))
        raise StorageError("on purpose")

    results = await asyncio.gather(
        store.commit(append_events([new_event(account, 2)])),
        store.commit(broken),
        store.commit(append_events([new_event(account, 3)])),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StorageError, type(None)]
    assert await store.settings.paused_queues() == set()
    assert [dict(event.facts) for event in await store.events.after(1, 10)] == [{"n": 2}, {"n": 3}]


async def test_an_event_that_cannot_be_stored_harms_no_neighbour_and_no_later_commit(store: Store) -> None:
    account = await register(store)
    poison = dataclasses.replace(new_event(account, 1), facts={"n": object()})
    results = await asyncio.gather(
        store.commit(append_events([new_event(account, 2)])),
        store.commit(append_events([poison])),
        store.commit(append_events([new_event(account, 3)])),
        return_exceptions=True,
    )
    assert [result is None for result in results] == [True, False, True]
    await store.commit(append_events([new_event(account, 4)]))
    events = await store.events.after(1, 10)
    assert [dict(event.facts) for event in events] == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert [event.position for event in events] == [2, 3, 4]


async def test_a_statement_that_fails_is_a_storage_error_and_harms_no_neighbour(store: Store) -> None:
    account = await register(store)
    first = store.outbox.enqueue(queued(account), b"x", {}, None)
    results = await asyncio.gather(
        store.commit(first),
        store.commit(store.outbox.enqueue(queued(account), b"twice", {}, None)),
        store.commit(append_events([new_event(account, 5)])),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["Enqueued", "StorageError", "NoneType"]


async def test_contents_are_kept_until_the_webhook_cursor_has_passed(store: Store) -> None:
    account = await register(store)
    await store.commit(append_events([new_event(account, n, {"subject": f"s{n}"}) for n in range(3)]))
    events = await store.events.of_account_after(account.number, 1, 10)
    assert [event.data for event in events] == [{"subject": f"s{n}"} for n in range(3)]
    parked = ParkedDelivery(events[0].position, "http://x/", 10, "410", NOW)
    await store.commit(store.events.settle_webhooks(account.number, 1, WebhookCursor(sequence=3), parked))
    contents = [event.content for event in await store.events.of_account_after(account.number, 1, 10)]
    assert contents == [{"subject": "s0"}, None, {"subject": "s2"}]
    assert await store.events.webhook_backlog() == {account.number: 1}
    assert (await store.events.webhook_cursor(account.number)).sequence == 3


async def test_old_events_expire_from_the_front_with_all_that_belongs_to_them(store: Store) -> None:
    account = await register(store)  # logs accountAdded at NOW
    await store.commit(append_events([new_event(account, n, {"subject": f"s{n}"}) for n in (1, 10**12, 2, 50, 3)]))
    events = await store.events.after(0, 10)
    parked = ParkedDelivery(events[1].position, "http://x/", 10, "410", NOW)
    await store.commit(store.events.settle_webhooks(account.number, 0, WebhookCursor(sequence=1), parked))
    assert await store.commit(store.events.expire(NOW + 40, NOW + 100, 3)) == 3
    assert await store.commit(store.events.expire(NOW + 40, NOW + 100, 3)) == 1
    left = await store.events.after(0, 10)
    assert [event.date_ms - NOW for event in left] == [50, 3]
    assert left[0].content == {"subject": "s50"}
    assert await store.database.fetch("parked_of_account", account.number) == []


async def test_resuming_a_queue_wakes_its_readers(store: Store) -> None:
    heard: set[Signal] = set()
    store.database.subscribe(heard.update)
    await store.commit(store.settings.pause_queue("notify", False))
    assert {Signal("outbox"), Signal("events"), Signal("settings")} <= heard


async def test_deleting_an_account_removes_all_but_its_events(store: Store) -> None:
    account = await register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1))]))
    await store.commit(store.outbox.enqueue(queued(account), b"x" * (CHUNK_BYTES + 1), {}, "k"))
    assert await store.commit(store.accounts.delete(account.id, NOW)) is not None
    assert await store.commit(store.accounts.delete(account.id, NOW)) is None
    assert await store.accounts.get("ann") is None
    assert await store.mailboxes.get(number) is None
    assert await store.outbox.get("q1") is None
    events = await store.events.after(0, 10)
    assert [(event.name, event.account_id) for event in events] == [
        (EventName.ACCOUNT_ADDED, "ann"),
        (EventName.ACCOUNT_DELETED, "ann"),
    ]
    assert await store.events.webhook_orphans() == [account.number]


async def test_status_changes_with_its_events_or_not_at_all(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    status = dataclasses.replace(account.status, state=AccountState.CONNECTED, ever_connected=True)
    await store.commit(store.accounts.update_status(account.number, status, fence, [new_event(account)]))
    with pytest.raises(Fenced):
        stale = Fence(account.number, fence.epoch - 1)
        await store.commit(store.accounts.update_status(account.number, account.status, stale, [new_event(account)]))
    found = await store.accounts.get("ann")
    assert found is not None
    assert found.status == status
    assert len(await store.events.after(1, 10)) == 1


async def test_signals_reach_subscribers_here_and_on_another_node(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    other = await open_store(database_url, key_file=tmp_path / "key", watch_interval_seconds=0.02)
    heard: asyncio.Queue[frozenset[Signal]] = asyncio.Queue()
    other.database.subscribe(heard.put_nowait)
    try:
        account = await register(store)
        signals = await asyncio.wait_for(heard.get(), 5)
        assert signals & {Signal("any"), Signal("account", account.number)}
    finally:
        await other.close()


async def test_own_commits_are_not_taken_for_those_of_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    own = await open_store(url, key_file=tmp_path / "key", watch_interval_seconds=0.01)
    heard: asyncio.Queue[frozenset[Signal]] = asyncio.Queue()
    own.database.subscribe(heard.put_nowait)
    for number in range(20):
        await own.commit(own.settings.put({"locale": f"x{number}"}, set()))
        await asyncio.sleep(0.01)  # the pace at which others' commits are looked for
    other = await open_store(url, key_file=tmp_path / "key")
    await other.commit(other.settings.put({"locale": "de"}, set()))
    told = [await asyncio.wait_for(heard.get(), 5) for _ in range(21)]
    assert told == [frozenset([Signal("settings")])] * 20 + [frozenset([Signal("any")])]
    await own.close()
    await other.close()


async def test_a_file_that_cannot_be_read_for_a_while_ends_neither_watching_nor_writing(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/m.db", tmp_path / "m.db"
    own = await open_store(url, key_file=tmp_path / "key", watch_interval_seconds=0.01)
    other = await open_store(url, key_file=tmp_path / "key")
    assert isinstance(own.database, SqliteDatabase)
    heard: asyncio.Queue[frozenset[Signal]] = asyncio.Queue()
    own.database.subscribe(heard.put_nowait)
    await other.commit(other.settings.put({"locale": "de"}, set()))
    assert await asyncio.wait_for(heard.get(), 5) == frozenset([Signal("any")])
    # Everything into the file itself, and its beginning away, as on a disk with an error.
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE positions SET value = value")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    begin = file.read_bytes()[:100]
    with file.open("r+b") as opened:
        opened.write(bytes(100))
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(5):
            while not any(entry["event"] == "watching_failed" for entry in logs):
                await asyncio.sleep(0.01)  # the pace at which others' commits are looked for
    with pytest.raises(StorageError):
        await own.database._others_commits()
    with file.open("r+b") as opened:
        opened.write(begin)
    while not heard.empty():
        heard.get_nowait()
    await other.commit(other.settings.put({"locale": "fr"}, set()))
    assert await asyncio.wait_for(heard.get(), 5) == frozenset([Signal("any")])
    await asyncio.wait_for(own.commit(own.settings.put({"locale": "it"}, set())), 5)
    await own.close()
    await other.close()


async def test_counters_add_up(store: Store) -> None:
    await store.commit(store.settings.add_stats({(10, "a"): 2, (11, "a"): 3, (9, "b"): 1}, 0))
    await store.commit(store.settings.add_stats({(11, "a"): 1}, 10))
    assert await store.settings.stats_since(11) == {"a": 4}
    assert await store.settings.stats_since(0) == {"a": 6}


async def test_a_committed_group_survives_although_the_caller_gave_up(store: Store) -> None:
    account = await register(store)
    commit = asyncio.create_task(store.commit(run_together(append_events([new_event(account)]))))
    await asyncio.sleep(0)
    commit.cancel()
    await store.commit(append_events([new_event(account, 1)]))
    assert len(await store.events.after(1, 10)) == 2


async def test_renaming_keeps_the_number(store: Store) -> None:
    account = await register(store)
    listing = ListedMailbox("Old", "/", frozenset())
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, 1))
    await store.commit(store.mailboxes.update_listing(number, dataclasses.replace(listing, path="New")))
    found = await store.mailboxes.by_path(account.number, "New")
    assert found is not None
    assert found.number == MailboxNumber(number)
