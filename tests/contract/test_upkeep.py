"""What every store promises about removing much: gone at once, deleted in small steps, gone on with after a restart."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from mailquay.errors import NotFound
from mailquay.model.account import Account, AccountState
from mailquay.model.event import EventName
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, Uid
from mailquay.model.template import Template, TemplateContent, TemplateFormat
from mailquay.model.token import AuditEntry, Token
from mailquay.runtime.purge import purge_everything
from mailquay.runtime.retention import forget_traces
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.interface import PURGE_DUE, Signal, append_events
from mailquay.storage.repositories.bounces import KeptBounce
from mailquay.storage.repositories.events import ParkedDelivery, WebhookCursor
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.repositories.upkeep import FIRST_PLACE
from mailquay.storage.store import Store, open_store
from tests.contract.records import NOW, new_event, own, queued, register

_DAY_MS = 24 * 3600 * 1000
_BULK_TABLES = (
    "messages",
    "known_messages",
    "bounces",
    "outbox",
    "blobs",
    "blob_chunks",
    "idempotency",
    "account_log",
    "parked_deliveries",
    "passing_messages",
    "templates",
    "purges",
)


async def _count(database_url: str, table: str) -> int:
    """How many rows a table has, seen by another client."""
    sql = f"SELECT count(*) FROM {table}"
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            return int(connection.execute(sql).fetchone()[0])
    foreign = await asyncpg.connect(database_url)
    try:
        return int(await foreign.fetchval(sql))
    finally:
        await foreign.close()


async def _mailbox(store: Store, account: Account, messages: int, path: str = "INBOX") -> MailboxNumber:
    listing = ListedMailbox(path, "/", frozenset())
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(uid)) for uid in range(1, messages + 1)]))
    return number


async def _laden(store: Store) -> tuple[Account, MailboxNumber]:
    """An account with some of everything."""
    account = await register(store)
    number = await _mailbox(store, account, 25)
    await _mailbox(store, account, 3, "Archive")
    await store.commit(store.messages.remember(account.number, [-(2**63), *range(-9, 9), 2**63 - 1], NOW))
    bounce = KeptBounce(number, 1, "a@b.example", "failed", "550 no", "5.1.1", NOW)
    for original in (-(2**63), *range(-9, 9), 2**63 - 1):
        await store.commit(store.bounces.put(account.number, original, original, bounce))
    for n in range(12):
        body = b"x" * (2 * CHUNK_BYTES if n < 2 else 10)
        await store.commit(store.outbox.enqueue(queued(account, f"q{n}"), body, {}, f"k{n}"))
    await store.commit(store.accounts.append_log(account.number, ["line"] * 30, NOW, 100))
    for n in range(9):
        template = Template("", "ann", f"t{n}", None, TemplateFormat.HTML, NOW)
        await store.commit(store.templates.add(account.number, template, TemplateContent(), str))
    await store.commit(append_events([new_event(account, n, {"subject": "s"}) for n in range(12)]))
    for event in await store.events.of_account_after(account.number, 1, 12):
        parked = ParkedDelivery(event.position, "http://x/", 10, "410", NOW)
        await store.commit(store.events.settle_webhooks(account.number, 0, WebhookCursor(sequence=1), parked))
    return account, number


async def test_an_account_vanishes_at_once_and_its_rows_go_in_steps(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    heard: set[Signal] = set()
    store.database.subscribe(heard.update)
    account, number = await _laden(store)
    other = await register(store, "bob")
    kept = await _mailbox(store, other, 7)
    assert await store.commit(store.accounts.delete(account.id, NOW)) is not None
    assert Signal(PURGE_DUE) in heard
    assert await _count(database_url, "messages") == 35
    assert await store.accounts.get("ann") is None
    assert await store.mailboxes.get(number) is None
    assert await store.mailboxes.of_account(account.number) == []
    assert await store.outbox.get("q0") is None
    assert await store.outbox.page(NOW, limit=100, offset=0) == (0, [])
    assert await store.outbox.count_by_state(NOW) == {}
    assert not await store.commit(store.outbox.delete("q0"))
    assert (await store.events.after(0, 100))[-1].name is EventName.ACCOUNT_DELETED
    for _ in range(3):
        assert await store.commit(store.upkeep.purge_some(5))
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        await purge_everything(reopened, rows=5)
    finally:
        await reopened.close()
    left = {table: await _count(database_url, table) for table in _BULK_TABLES}
    assert left == dict.fromkeys(_BULK_TABLES, 0) | {"messages": 7}
    assert await store.messages.count(kept) == 7


async def test_a_step_deletes_no_more_than_it_is_told(store: Store, database_url: str) -> None:
    account = await register(store)
    number = await _mailbox(store, account, 23)
    await store.commit(store.mailboxes.remove(number, NOW))
    sizes = [await store.messages.count(number)]
    while await store.commit(store.upkeep.purge_some(5)):
        sizes.append(await store.messages.count(number))
    assert sizes == [23, 18, 13, 8, 3, 0, 0]
    assert await _count(database_url, "purges") == 0
    assert await _count(database_url, "retired_mailboxes") == 1


async def test_a_mailbox_that_begins_anew_is_not_touched_by_the_purge_of_the_old_one(store: Store) -> None:
    account = await register(store)
    before = await _mailbox(store, account, 10)
    await store.commit(store.mailboxes.remove(before, NOW))
    after = await _mailbox(store, account, 4)
    await purge_everything(store, rows=3)
    assert (await store.messages.count(before), await store.messages.count(after)) == (0, 4)


async def test_a_flush_forgets_at_once_and_what_is_learnt_afterwards_stays(store: Store, database_url: str) -> None:
    account, number = await _laden(store)
    flush = store.accounts.forget_index(account.number, account.id, lambda p: dataclasses.replace(p, name="Anna"))
    await store.commit(flush)
    assert await store.mailboxes.get(number) is None
    assert not await store.messages.is_known(account.number, 5)
    assert await store.commit(store.messages.recognise(account.number, [5, 6, 5], NOW)) == [True, True, False]
    found = await store.accounts.get("ann")
    assert found is not None
    assert (found.profile.name, found.status.state) == ("Anna", AccountState.PAUSED)
    assert await store.outbox.get("q0") is not None
    await purge_everything(store, rows=4)
    assert await store.messages.is_known(account.number, 6)
    assert await _count(database_url, "known_messages") == 2
    assert await _count(database_url, "messages") == 0


async def test_who_comes_too_late_writes_nothing_that_nobody_would_ever_delete(store: Store, database_url: str) -> None:
    """A sync, a submission and a log that began while their account and mailbox were still there."""
    account, number = await _laden(store)
    await store.commit(store.mailboxes.remove(number, NOW))
    await purge_everything(store)
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1))]))
    assert await store.messages.count(number) == 0
    await store.commit(store.accounts.delete(account.id, NOW))
    await purge_everything(store)
    with pytest.raises(NotFound):
        await store.commit(store.outbox.enqueue(queued(account, "late"), b"x" * 2 * CHUNK_BYTES, {}, "late"))
    await store.commit(store.accounts.append_log(account.number, ["late"], NOW, 100))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1))]))
    assert {table: await _count(database_url, table) for table in _BULK_TABLES} == dict.fromkeys(_BULK_TABLES, 0)


async def test_two_nodes_may_purge_at_once(store: Store, database_url: str, tmp_path: Path) -> None:
    account, _ = await _laden(store)
    await store.commit(store.accounts.delete(account.id, NOW))
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        await purge_everything(reopened, rows=2)
        await purge_everything(store, rows=2)
    finally:
        await reopened.close()
    assert await _count(database_url, "purges") == 0


async def test_known_messages_are_forgotten_by_age_in_walks_along_the_key(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    old_ms = NOW - 3 * _DAY_MS
    await store.commit(store.messages.remember(ann.number, range(-10, 10, 2), old_ms))
    await store.commit(store.messages.remember(ann.number, range(-9, 10, 2), NOW))
    await store.commit(store.messages.remember(bob.number, [2**63 - 1], old_ms))
    await store.commit(store.messages.recognise(bob.number, [2**63 - 1], NOW))
    forgotten, place, walks = 0, FIRST_PLACE, 0
    while walks == 0 or place != FIRST_PLACE:
        some, place = await store.upkeep.forget_known(place, NOW - _DAY_MS, 4)
        forgotten, walks = forgotten + some, walks + 1
    assert (forgotten, walks) == (11, 6)
    assert not await store.messages.is_known(ann.number, -10)
    assert await store.messages.is_known(ann.number, -9)


async def test_traces_of_what_is_long_gone_are_forgotten(store: Store, database_url: str) -> None:
    account = await register(store)
    for n, age_days in enumerate((31, 29)):
        number = await _mailbox(store, account, 0, f"Box {n}")
        await store.commit(store.mailboxes.remove(number, NOW - age_days * _DAY_MS))
    token = Token(id="t1", description="d", created_ms=NOW)
    await store.commit(store.tokens.add(token))
    for token_id in ("t1", "gone"):
        entry = AuditEntry(NOW, "::1", "GET", "/", action=None, group=None, account=None, allowed=True)
        await store.commit(store.tokens.log(token_id, [entry] * 3, keep=10, oldest_ms=0))
    await forget_traces(store, NOW, FIRST_PLACE)
    assert await _count(database_url, "retired_mailboxes") == 1
    assert (await store.tokens.log_page("t1", limit=10, offset=0))[0] == 3
    assert (await store.tokens.log_page("gone", limit=10, offset=0))[0] == 0


async def test_dead_nodes_are_forgotten_unless_they_hold_a_lease(store: Store) -> None:
    account = await register(store)
    await own(store, account, "owner")
    await store.commit(store.nodes.register("dead", "unix:x", ["sync"], -2000))
    await store.commit(store.nodes.register("owner", "unix:x", ["sync"], -2000))
    await store.commit(store.nodes.register("late", "unix:x", ["sync"], -500))
    await store.commit(store.upkeep.forget_nodes(1000))
    assert [node.id for node in await store.nodes.all()] == ["late", "owner"]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("message_without_envelope", "messages_without_envelope"),
        ("quarantine_due", "messages_with_error"),
        ("quarantine_all", "messages_with_error"),
        ("quarantine_turns", "messages_with_error"),
        ("message_unread", "messages_without_envelope"),
        ("message_unread", "messages_with_error"),
        ("local_unread", "messages_without_envelope"),
        ("local_unread", "messages_with_error"),
        ("outbox_due", "outbox_due"),
        ("outbox_filing_due", "outbox_filing"),
    ],
)
async def test_what_is_asked_often_is_found_by_an_index(store: Store, database_url: str, name: str, index: str) -> None:
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            sql = load_catalogue("sqlite")[name]
            parameters = [1] * len(set(re.findall(r"\?\d+", sql)))
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
    else:
        foreign = await asyncpg.connect(database_url)
        sql = load_catalogue("postgres")[name]
        for n in range(sql.count("$"), 0, -1):
            sql = sql.replace(f"${n}", "1")
        async with foreign.transaction():
            await foreign.execute("SET LOCAL enable_seqscan = off")
            plan = str(await foreign.fetch(f"EXPLAIN {sql}"))
        await foreign.close()
    assert f" {index}" in plan


async def test_a_filled_envelope_leaves_the_index_of_those_without(store: Store) -> None:
    account = await register(store)
    number = await _mailbox(store, account, 3)
    await store.commit(store.messages.put(number, [IndexEntry(Uid(2), envelope=Envelope(subject="s"))]))
    assert [one.uid for one in await store.messages.without_envelope(number, limit=10)] == [3, 1]
