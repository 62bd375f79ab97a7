"""What every store promises: transactions, group commit, positions, fences, sealed fields, migrations."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import sqlite3
from importlib import resources
from pathlib import Path

import asyncpg
import pytest
import structlog

from mailquay.errors import Fenced, KeyMismatch, StorageError
from mailquay.model.account import Account, AccountId, AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import ListedMailbox, MailboxCursor, MailboxNumber
from mailquay.model.message import Address, Envelope, IndexEntry, MessageMarks, Uid
from mailquay.model.node import Fence
from mailquay.model.submission import Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.interface import Pending, Run, Script, Signal, append_events, run_together
from mailquay.storage.migrations import load_migrations, split_statements
from mailquay.storage.repositories.events import ParkedDelivery, WebhookCursor
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.secrets import generate_key, write_key_file
from mailquay.storage.sqlite.database import SqliteDatabase
from mailquay.storage.sqlite.words import WORD_FUNCTIONS
from mailquay.storage.store import Store, drop_old_keys, open_store, rotate_key

NOW = 1_800_000_000_000
SECRET = "correct-horse-battery"


def _named(profile: AccountProfile) -> AccountProfile:
    return dataclasses.replace(
        profile, name="Ann", email="ann@example.test", imap=ImapSettings(host="h", password=SECRET)
    )


async def _register(store: Store, account_id: str = "ann") -> Account:
    return (await store.commit(store.accounts.upsert(AccountId(account_id), _named, NOW))).account


def _event(account: Account, n: int = 0, content: dict[str, object] | None = None) -> NewEvent:
    return NewEvent(account.number, EventName.MESSAGE_NEW, NOW + n, {"n": n}, content, path="INBOX")


def _submission(account: Account, queue_id: str = "q1", due_ms: int = NOW) -> Submission:
    return Submission(
        queue_id=queue_id,
        account=account.number,
        message_id="<m@example.test>",
        envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
        options=SubmissionOptions(subject="Plans"),
        phase=Phase.QUEUED,
        created_ms=NOW,
        scheduled_ms=due_ms,
        next_attempt_ms=due_ms,
        attempts_made=0,
        attempts=10,
        size_bytes=0,
        progress={"status": "queued"},
    )


async def _own(store: Store, account: Account, node: str = "n1") -> Fence:
    await store.commit(store.nodes.register(node, "unix:x", ["sync"], 9000))
    leases = [lease for lease in await store.nodes.free() if lease.account == account.number]
    [won] = await store.commit(store.nodes.take(node, leases))
    return Fence(won.account, won.epoch)


async def test_upsert_creates_then_updates_and_logs_only_the_first(store: Store) -> None:
    first = await store.commit(store.accounts.upsert(AccountId("ann"), _named, NOW))
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
        await _register(store, account_id)
    total, page = await store.accounts.page(query="A_", limit=10, offset=0)
    assert (total, [account.id for account in page]) == (1, ["a_1"])
    total, page = await store.accounts.page(state="init", limit=2, offset=2)
    assert (total, [account.id for account in page]) == (3, ["c"])


async def test_positions_and_sequences_have_no_gap_under_concurrency(store: Store) -> None:
    accounts = [await _register(store, f"a{n}") for n in range(4)]
    await asyncio.gather(
        *(store.commit(append_events([_event(accounts[n % 4], n), _event(accounts[n % 3], n)])) for n in range(200))
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
    account = await _register(store)

    def broken(pending: Pending) -> Script[None]:
        pending.append(_event(account, 1))
        yield Run("queue_pause", ("submit", 1))
        raise StorageError("on purpose")

    results = await asyncio.gather(
        store.commit(append_events([_event(account, 2)])),
        store.commit(broken),
        store.commit(append_events([_event(account, 3)])),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StorageError, type(None)]
    assert await store.settings.paused_queues() == set()
    assert [dict(event.facts) for event in await store.events.after(1, 10)] == [{"n": 2}, {"n": 3}]


async def test_an_event_that_cannot_be_stored_harms_no_neighbour_and_no_later_commit(store: Store) -> None:
    account = await _register(store)
    poison = dataclasses.replace(_event(account, 1), facts={"n": object()})
    results = await asyncio.gather(
        store.commit(append_events([_event(account, 2)])),
        store.commit(append_events([poison])),
        store.commit(append_events([_event(account, 3)])),
        return_exceptions=True,
    )
    assert [result is None for result in results] == [True, False, True]
    await store.commit(append_events([_event(account, 4)]))
    events = await store.events.after(1, 10)
    assert [dict(event.facts) for event in events] == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert [event.position for event in events] == [2, 3, 4]


async def test_a_statement_that_fails_is_a_storage_error_and_harms_no_neighbour(store: Store) -> None:
    account = await _register(store)
    first = store.outbox.enqueue(_submission(account), b"x", {}, None)
    results = await asyncio.gather(
        store.commit(first),
        store.commit(store.outbox.enqueue(_submission(account), b"twice", {}, None)),
        store.commit(append_events([_event(account, 5)])),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["Enqueued", "StorageError", "NoneType"]


async def test_a_write_of_a_former_owner_is_fenced_off(store: Store) -> None:
    account = await _register(store)
    old = await _own(store, account, "n1")
    [node] = await store.nodes.all()
    await store.commit(store.nodes.unregister("n1", node.started_ms))
    new = await _own(store, account, "n2")
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        await store.commit(fenced(old, append_events([_event(account)])))
    await store.commit(fenced(new, append_events([_event(account)])))
    assert len(await store.events.after(1, 10)) == 1


async def test_one_caller_at_a_time_holds_a_lock_of_the_instance(store: Store) -> None:
    nodes = store.nodes
    assert await store.commit(nodes.lock("flush", "a", 60_000))
    assert await store.commit(nodes.lock("flush", "a", 60_000)), "its holder may have it for longer"
    assert not await store.commit(nodes.lock("flush", "b", 60_000))
    assert await store.commit(nodes.lock("other", "b", 60_000))
    await store.commit(nodes.unlock("flush", "b"))
    assert not await store.commit(nodes.lock("flush", "b", 60_000))
    await store.commit(nodes.unlock("flush", "a"))
    assert await store.commit(nodes.lock("flush", "b", -1))
    assert await store.commit(nodes.lock("flush", "c", 60_000)), "what has expired is anybody's"


async def test_a_restarted_node_goes_on_with_its_leases_and_higher_epochs(store: Store) -> None:
    account = await _register(store)
    fence = await _own(store, account)
    _started, leases = await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    assert [(lease.account, lease.epoch) for lease in leases] == [(account.number, fence.epoch + 1)]
    assert await store.nodes.free() == []


async def test_only_a_live_node_renews_under_its_own_start_time(store: Store) -> None:
    started, _ = await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    assert await store.commit(store.nodes.renew("n1", started, 9000))
    assert not await store.commit(store.nodes.renew("n1", started - 1, 9000))


async def test_no_two_starts_share_their_time(store: Store) -> None:
    """Also within a millisecond: the time is what tells two processes of one id from each other."""
    starts = [await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000)) for _ in range(20)]
    times = [started for started, _ in starts]
    assert sorted(set(times)) == times
    assert await store.commit(store.nodes.renew("n1", times[-1], 9000))


async def test_a_process_whose_id_was_taken_stops_without_harm_to_the_other(store: Store) -> None:
    account = await _register(store)
    fence = await _own(store, account)
    [node] = await store.nodes.all()
    await store.commit(store.nodes.drain("n1", node.started_ms - 1))
    await store.commit(store.nodes.unregister("n1", node.started_ms - 1))
    assert [(one.id, one.draining) for one in await store.nodes.all()] == [("n1", False)]
    assert [(lease.account, lease.epoch) for lease in await store.nodes.leases_of("n1")] == [
        (account.number, fence.epoch)
    ]
    [lease] = await store.nodes.leases_of("n1")
    assert await store.nodes.agrees("n1", [lease]) and await store.nodes.agrees("n2", [])
    for wrong in ([], [lease, lease], [dataclasses.replace(lease, epoch=lease.epoch + 1)]):
        assert not await store.nodes.agrees("n1", wrong)
    await store.commit(store.nodes.drain("n1", node.started_ms))
    assert [one.draining for one in await store.nodes.all()] == [True]


async def test_an_idempotency_key_gives_the_first_response_again(store: Store) -> None:
    account = await _register(store)
    submits = [
        store.commit(store.outbox.enqueue(_submission(account, f"q{n}"), b"body", {"queueId": f"q{n}"}, "key"))
        for n in range(8)
    ]
    results = await asyncio.gather(*submits)
    assert sorted(result.repeated for result in results) == [False] + [True] * 7
    assert len({result.response["queueId"] for result in results}) == 1
    assert (await store.outbox.page(NOW, limit=10, offset=0))[0] == 1
    stored = await store.outbox.idempotent_response(account.number, "key", NOW)
    assert stored == results[0].response
    assert await store.outbox.idempotent_response(account.number, "key", NOW + 25 * 3600 * 1000) is None


async def test_a_large_body_is_kept_in_sealed_chunks_and_dropped_with_its_submission(store: Store) -> None:
    account = await _register(store)
    body = bytes(range(256)) * (CHUNK_BYTES // 100)
    await store.commit(store.outbox.enqueue(_submission(account), body, {}, None))
    chunks = [chunk async for chunk in store.outbox.body("q1")]
    assert b"".join(chunks) == body
    assert max(len(chunk) for chunk in chunks) <= CHUNK_BYTES
    assert await store.commit(store.outbox.delete("q1"))
    assert [chunk async for chunk in store.outbox.body("q1")] == []
    assert await store.database.fetch("blob_chunk", 1, 0) == []


async def test_phases_of_a_delivery(store: Store) -> None:
    account = await _register(store)
    fence = await _own(store, account)
    await store.commit(store.outbox.enqueue(_submission(account), b"body", {}, None))
    [due] = await store.outbox.due(account.number, NOW, 10)
    assert due == dataclasses.replace(_submission(account), size_bytes=4)
    assert await store.commit(store.outbox.begin_data(due, fence, {"status": "smtp-starting"}))
    assert not await store.commit(store.outbox.begin_data(due, fence, {}))
    assert await store.outbox.due(account.number, NOW + 1, 10) == []
    assert not await store.commit(store.outbox.delete("q1"))
    assert await store.commit(store.outbox.mark_uncertain(account.number, fence)) == ["q1"]
    found = await store.outbox.get("q1")
    assert found is not None
    assert found.phase is Phase.UNCERTAIN
    await store.commit(store.outbox.settle_and_remove(due, fence, [_event(account, 9)]))
    assert await store.outbox.get("q1") is None


async def test_index_and_cursor_and_events_are_one_transaction(store: Store) -> None:
    account = await _register(store)
    fence = await _own(store, account)
    listing = ListedMailbox("INBOX", "/", frozenset({"\\hasnochildren"}), special_use="\\Inbox")
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, fence.epoch))
    envelope = Envelope(subject="Grüße", from_=(Address("Ann", "ann@example.test"),), message_id="<1@x>")
    entries = [IndexEntry(Uid(uid), ("\\Seen",), 5, NOW, 100, envelope if uid == 3 else None) for uid in range(1, 6)]
    cursor = MailboxCursor(7, 6, 5, 5, 1, NOW)
    unit = fenced(
        fence,
        store.messages.put(number, entries),
        store.mailboxes.update_cursor(number, cursor, fence.epoch),
        append_events([_event(account)]),
    )
    await store.commit(unit)
    mailbox = await store.mailboxes.by_path(account.number, "INBOX")
    assert mailbox is not None
    assert (mailbox.number, mailbox.cursor, mailbox.current, mailbox.listing) == (number, cursor, True, listing)
    page = await store.messages.page(number, limit=2, offset=1)
    assert [entry.uid for entry in page] == [4, 3]
    assert page[1].envelope == envelope
    assert [one.uid for one in await store.messages.without_envelope(number, limit=3)] == [5, 4, 2]
    assert await store.messages.unseen(number) == 0
    await store.commit(store.messages.update_flags(number, [(3, ["\\Flagged"], 6, None)]))
    changed = await store.messages.get(number, 3)
    assert changed is not None
    assert (changed.flags, changed.modseq, changed.envelope) == (("\\Flagged",), 6, envelope)
    assert await store.messages.unseen(number) == 1


async def test_a_mailbox_that_returns_keeps_its_number_and_a_removed_one_never_comes_back(store: Store) -> None:
    account = await _register(store)
    listing = ListedMailbox("Work", "/", frozenset())
    first = await store.commit(store.mailboxes.add(account.number, listing, NOW, 1))
    await store.commit(store.mailboxes.mark_missing(first, NOW))
    assert await store.commit(store.mailboxes.add(account.number, listing, NOW, 1)) == first
    await store.commit(store.mailboxes.remove(first, NOW))
    assert await store.commit(store.mailboxes.add(account.number, listing, NOW, 1)) > first


async def test_flags_of_messages_far_apart_are_compared_without_what_lies_between(store: Store) -> None:
    account = await _register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    uids = [1, 2, 50, 5000, 4_000_000_000]
    await store.commit(store.messages.put(number, [IndexEntry(Uid(uid)) for uid in uids]))
    changes = [(uid, ("\\Seen",), None, None) for uid in (4_000_000_000, 1, 50, 60, 7000)]
    changed = await store.commit(store.messages.update_flags(number, changes))
    assert sorted(changed) == [1, 50, 4_000_000_000]
    assert await store.commit(store.messages.update_flags(number, changes)) == {}
    assert await store.commit(store.messages.update_flags(number, [])) == {}


async def test_labels_are_compared_like_flags_once_they_are_known(store: Store) -> None:
    account = await _register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1), ("\\Seen",))]))

    async def update(labels: tuple[str, ...] | None) -> dict[int, MessageMarks]:
        return await store.commit(store.messages.update_flags(number, [(1, ("\\Seen",), None, labels)]))

    assert await update(None) == {}
    assert await update(("b", "a")) == {1: MessageMarks(("\\Seen",))}
    assert await update(("a", "b")) == {}
    assert await update(None) == {}
    assert await update(("a",)) == {1: MessageMarks(("\\Seen",), ("a", "b"))}
    entry = await store.messages.get(number, 1)
    assert entry is not None and entry.labels == ("a",)


async def test_message_digests_are_new_once(store: Store) -> None:
    account = await _register(store)
    assert await store.commit(store.messages.recognise(account.number, [1, -2, 1], NOW)) == [True, True, False]
    await store.commit(store.messages.remember(account.number, [-2, 3], NOW))
    assert await store.messages.is_known(account.number, 3)


async def test_contents_are_kept_until_the_webhook_cursor_has_passed(store: Store) -> None:
    account = await _register(store)
    await store.commit(append_events([_event(account, n, {"subject": f"s{n}"}) for n in range(3)]))
    events = await store.events.of_account_after(account.number, 1, 10)
    assert [event.data for event in events] == [{"subject": f"s{n}"} for n in range(3)]
    parked = ParkedDelivery(events[0].position, "http://x/", 10, "410", NOW)
    await store.commit(store.events.settle_webhooks(account.number, 1, WebhookCursor(sequence=3), parked))
    contents = [event.content for event in await store.events.of_account_after(account.number, 1, 10)]
    assert contents == [{"subject": "s0"}, None, {"subject": "s2"}]
    assert await store.events.webhook_backlog() == {account.number: 1}
    assert (await store.events.webhook_cursor(account.number)).sequence == 3


async def test_old_events_expire_from_the_front_with_all_that_belongs_to_them(store: Store) -> None:
    account = await _register(store)  # logs accountAdded at NOW
    await store.commit(append_events([_event(account, n, {"subject": f"s{n}"}) for n in (1, 10**12, 2, 50, 3)]))
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
    account = await _register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1))]))
    await store.commit(store.outbox.enqueue(_submission(account), b"x" * (CHUNK_BYTES + 1), {}, "k"))
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
    account = await _register(store)
    fence = await _own(store, account)
    status = dataclasses.replace(account.status, state=AccountState.CONNECTED, ever_connected=True)
    await store.commit(store.accounts.update_status(account.number, status, fence, [_event(account)]))
    with pytest.raises(Fenced):
        stale = Fence(account.number, fence.epoch - 1)
        await store.commit(store.accounts.update_status(account.number, account.status, stale, [_event(account)]))
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
        account = await _register(store)
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


async def test_settings_are_sealed_when_secret(store: Store, database_url: str, tmp_path: Path) -> None:
    await store.commit(store.settings.put({"serviceSecret": SECRET, "notifyText": True}, {"serviceSecret"}))
    await store.commit(store.settings.put({"notifyText": False, "locale": "de"}, set(), keep_existing=True))
    assert await store.settings.all() == {"serviceSecret": SECRET, "notifyText": True, "locale": "de"}
    await store.commit(store.settings.put({"locale": None}, set()))
    assert "locale" not in await store.settings.all()


async def test_counters_add_up(store: Store) -> None:
    await store.commit(store.settings.add_stats({(10, "a"): 2, (11, "a"): 3, (9, "b"): 1}, 0))
    await store.commit(store.settings.add_stats({(11, "a"): 1}, 10))
    assert await store.settings.stats_since(11) == {"a": 4}
    assert await store.settings.stats_since(0) == {"a": 6}


async def test_rotation_seals_everything_anew_and_drops_the_old_key(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    account = await _register(store)
    await store.commit(store.settings.put({"serviceSecret": SECRET}, {"serviceSecret"}))
    await store.commit(store.outbox.enqueue(_submission(account), b"y" * (CHUNK_BYTES + 1), {"a": 1}, "key"))
    await store.commit(store.outbox.enqueue(_submission(account, "q2"), b"small", {}, None))
    await store.commit(append_events([_event(account, 1, {"subject": "s"})]))
    old_key = (tmp_path / "key").read_text()
    assert await rotate_key(store, tmp_path / "key") == 9
    assert (await store.settings.all())["serviceSecret"] == SECRET, "a running node finds the new key by itself"
    assert await drop_old_keys(store, tmp_path / "key") == 0
    assert old_key not in (tmp_path / "key").read_text()
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        found = await reopened.accounts.get("ann")
        assert found is not None
        assert found.profile.imap == ImapSettings(host="h", password=SECRET)
        assert [chunk async for chunk in reopened.outbox.body("q2")] == [b"small"]
        assert len([chunk async for chunk in reopened.outbox.body("q1")]) == 2
    finally:
        await reopened.close()
    (tmp_path / "key").write_text(old_key)
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "key")


async def test_a_wrong_or_missing_key_stops_the_start(store: Store, database_url: str, tmp_path: Path) -> None:
    write_key_file(tmp_path / "other", [generate_key()])
    with pytest.raises(KeyMismatch, match="restore that key"):
        await open_store(database_url, key_file=tmp_path / "other")
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


async def test_a_passphrase_makes_the_same_key_again(database_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        opened = await open_store(database_url, key_file=tmp_path / "unused", passphrase="open sesame")
        await _register(opened)
        await opened.close()
    assert not (tmp_path / "unused").exists()
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "unused", passphrase="wrong")


async def test_two_nodes_may_start_at_once(database_url: str, tmp_path: Path) -> None:
    write_key_file(tmp_path / "key", [generate_key()])
    stores = await asyncio.gather(*(open_store(database_url, key_file=tmp_path / "key") for _ in range(4)))
    await asyncio.gather(*(_register(opened, f"a{n}") for n, opened in enumerate(stores)))
    assert [event.position for event in await stores[0].events.after(0, 10)] == [1, 2, 3, 4]
    for opened in stores:
        await opened.close()


async def test_a_newer_schema_is_refused(store: Store, database_url: str, tmp_path: Path) -> None:
    number = len(load_migrations("sqlite")) + 1
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.execute("INSERT INTO migrations VALUES (?, 'future', 0)", (number,))
    else:
        connection = await asyncpg.connect(database_url)
        await connection.execute("INSERT INTO migrations VALUES ($1, 'future', 0)", number)
        await connection.close()
    with pytest.raises(StorageError, match="newer release"):
        await open_store(database_url, key_file=tmp_path / "key")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_all_migrations_together_are_the_schema(dialect: str) -> None:
    schema = (resources.files(f"mailquay.storage.{dialect}") / "schema.sql").read_text(encoding="utf-8")
    together = [part for migration in load_migrations(dialect) for part in split_statements(migration.sql)]
    assert together == split_statements(schema)


def test_both_dialects_know_the_same_statements() -> None:
    assert load_catalogue("sqlite").keys() == load_catalogue("postgres").keys()


async def test_every_statement_is_understood_by_the_database(store: Store, database_url: str) -> None:
    dialect = "sqlite" if database_url.startswith("sqlite") else "postgres"
    if dialect == "sqlite":
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            for name, arguments, function in WORD_FUNCTIONS:
                connection.create_function(name, arguments, function)
            for sql in load_catalogue(dialect).values():
                parameters = [None] * len(set(re.findall(r"\?\d+", sql)))
                assert connection.execute(f"EXPLAIN {sql}", parameters).fetchall()
        return
    connection = await asyncpg.connect(database_url)
    for sql in load_catalogue(dialect).values():
        assert await connection.prepare(sql) is not None
    await connection.close()


async def test_a_sealed_field_cannot_be_moved_or_changed(store: Store) -> None:
    sealed = store.vault.seal(b"x", table="t", column="c", row=1)
    assert store.vault.open(sealed, table="t", column="c", row=1) == b"x"
    for place in ({"row": 2, "column": "c"}, {"row": 1, "column": "d"}):
        with pytest.raises(StorageError, match="moved"):
            store.vault.open(sealed, table="t", **place)  # type: ignore[arg-type]
    with pytest.raises(StorageError):
        store.vault.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), table="t", column="c", row=1)


async def test_no_secret_is_stored_in_clear(store: Store, database_url: str, tmp_path: Path) -> None:
    account = await _register(store)
    await store.commit(store.settings.put({"serviceSecret": SECRET}, {"serviceSecret"}))
    await store.commit(store.outbox.enqueue(_submission(account), SECRET.encode(), {"a": SECRET}, SECRET))
    await store.commit(append_events([_event(account, 1, {"subject": SECRET})]))
    if database_url.startswith("sqlite"):
        files = [path for path in tmp_path.iterdir() if path.name.startswith("mailquay.db")]
        assert files
        assert not any(SECRET.encode() in path.read_bytes() for path in files)
        return
    connection = await asyncpg.connect(database_url)
    tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert len(tables) > 20
    for table in tables:
        rows = await connection.fetch(f"SELECT t::text FROM {table} t")
        assert not any(SECRET in row[0] or SECRET.encode().hex() in row[0] for row in rows)
    await connection.close()


async def test_a_committed_group_survives_although_the_caller_gave_up(store: Store) -> None:
    account = await _register(store)
    commit = asyncio.create_task(store.commit(run_together(append_events([_event(account)]))))
    await asyncio.sleep(0)
    commit.cancel()
    await store.commit(append_events([_event(account, 1)]))
    assert len(await store.events.after(1, 10)) == 2


async def test_renaming_keeps_the_number(store: Store) -> None:
    account = await _register(store)
    listing = ListedMailbox("Old", "/", frozenset())
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, 1))
    await store.commit(store.mailboxes.update_listing(number, dataclasses.replace(listing, path="New")))
    found = await store.mailboxes.by_path(account.number, "New")
    assert found is not None
    assert found.number == MailboxNumber(number)
