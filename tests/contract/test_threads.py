"""What every store promises about threads of our own: over both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import pairwise, permutations
from pathlib import Path

import asyncpg
import pytest

from mailquay.model.account import Account
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import IndexEntry, MessageRef, Uid
from mailquay.runtime.purge import purge_everything
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.interface import run_together
from mailquay.storage.repositories import threads as threads_module
from mailquay.storage.store import Store, open_store
from tests.contract.records import NOW, register

A, B, C, D, E, F = (2**63 - 1, 20, 30, 40, 50, 60)


async def _mailbox(store: Store, account: Account, path: str = "INBOX") -> MailboxNumber:
    return await store.commit(store.mailboxes.add(account.number, ListedMailbox(path, "/", frozenset()), NOW, 1))


async def _arrive(store: Store, account: Account, number: MailboxNumber, uid: int, *keys: int) -> int | None:
    """A message with these keys is indexed; its thread."""

    def script(pending):  # type: ignore[no-untyped-def]
        threads = yield from store.threads.place(account.number, [keys])(pending)
        yield from store.messages.put(number, [IndexEntry(Uid(uid))], threads)(pending)
        return threads[0]

    thread: int | None = await store.commit(script)
    return thread


async def _links(database_url: str) -> dict[int, int]:
    sql = "SELECT link, thread FROM thread_links"
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            return dict(connection.execute(sql).fetchall())
    foreign = await asyncpg.connect(database_url)
    try:
        return {row[0]: row[1] for row in await foreign.fetch(sql)}
    finally:
        await foreign.close()


async def _plant(database_url: str, account: Account, links: Iterable[tuple[int, int]]) -> None:
    rows = [(account.number, *link) for link in links]
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.executemany("INSERT INTO thread_links VALUES (?, ?, ?)", rows)
        return
    foreign = await asyncpg.connect(database_url)
    await foreign.executemany("INSERT INTO thread_links VALUES ($1, $2, $3)", rows)
    await foreign.close()


async def test_a_message_alone_is_its_own_thread_and_costs_no_link(store: Store, database_url: str) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    assert await _arrive(store, account, number, 1, A) == A
    assert await store.threads.roots(account.number, [A, B]) == [A, B]
    assert await store.threads.messages(account.number, A) == [MessageRef(number, Uid(1))]
    assert await _links(database_url) == {}


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_answers_join_the_thread_of_their_first_reference_in_any_order(
    store: Store, order: tuple[int, ...]
) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    conversation = [(A,), (A, B), (A, B, C), (A, D)]
    for uid in order:
        await _arrive(store, account, number, uid + 1, *conversation[uid])
    assert len(await store.threads.messages(account.number, A)) == 4
    assert await store.threads.roots(account.number, [A, B, C, D]) == [A] * 4
    entry = await store.messages.get(number, 3)
    assert entry is not None and entry.thread == A


async def test_two_threads_become_one_and_the_former_name_leads_there(store: Store, database_url: str) -> None:
    account = await register(store)
    inbox, sent = await _mailbox(store, account), await _mailbox(store, account, "Sent")
    await _arrive(store, account, inbox, 1, A)
    await _arrive(store, account, inbox, 2, C)
    await _arrive(store, account, sent, 1, C, D)
    assert await _arrive(store, account, inbox, 3, A, B, D) == A
    assert await store.threads.messages(account.number, C) == []
    assert await store.threads.roots(account.number, [C]) == [A]
    everyone = [MessageRef(inbox, Uid(uid)) for uid in (1, 2, 3)] + [MessageRef(sent, Uid(1))]
    assert await store.threads.messages(account.number, A) == everyone
    assert await _links(database_url) == {B: A, C: A, D: A}


async def test_ways_are_shortened_by_whoever_goes_them(store: Store, database_url: str) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    for root, child in ((C, D), (B, C), (A, B)):
        await _arrive(store, account, number, root, root, child)
    assert await _links(database_url) == {D: C, C: B, B: A}
    assert await store.threads.roots(account.number, [D]) == [A]
    assert await _arrive(store, account, number, 9, D, E) == A
    assert await _links(database_url) == {D: A, C: A, B: A, E: A}


async def test_one_unit_places_many_messages_and_those_without_keys_are_left_out(store: Store) -> None:
    account = await register(store)
    families = [(B, C), (), (D, E), (A, B, D), (E, F), ()]
    placed = await store.commit(store.threads.place(account.number, families))
    assert placed == [A, None, A, A, A, None]
    assert await store.commit(store.threads.place(account.number, [(), ()])) == [None, None]
    assert await store.commit(store.threads.place(account.number, [])) == []


async def test_accounts_share_no_links(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    await store.commit(store.threads.place(ann.number, [(A, B)]))
    assert await store.threads.roots(bob.number, [B]) == [B]
    number = await _mailbox(store, bob)
    await _arrive(store, bob, number, 1, A)
    assert await store.threads.messages(ann.number, A) == []


async def test_a_thread_with_too_many_messages_is_not_moved(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "MOVED_AT_MOST", 2)
    account = await register(store)
    number = await _mailbox(store, account)
    for uid in range(1, 4):
        await _arrive(store, account, number, uid, B, B + uid)
        await _arrive(store, account, number, 10 + uid, C, C + uid)
    await _arrive(store, account, number, 20, D)
    # Whoever is first: the large one takes the others in.
    assert await _arrive(store, account, number, 21, A, D, B) == B
    assert await store.threads.roots(account.number, [A, D]) == [B, B]
    # Two large ones stay apart.
    assert await _arrive(store, account, number, 22, C, B, E) == C
    assert await store.threads.roots(account.number, [B, C, E]) == [B, C, C]
    assert len(await store.threads.messages(account.number, B)) == 5


async def test_a_circle_of_links_comes_to_an_end(store: Store, database_url: str) -> None:
    """No unit makes one; a damaged table must not stop a sync for good."""
    account = await register(store)
    await _plant(database_url, account, [(B, C), (C, D), (D, B), (E, D)])
    assert await store.threads.roots(account.number, [B, C, D, E]) == [B] * 4
    assert await store.commit(store.threads.place(account.number, [(E, F)])) == [B]
    assert await store.threads.roots(account.number, [E, F]) == [B, B]


async def test_a_long_way_is_gone_to_its_end(store: Store, database_url: str) -> None:
    account = await register(store)
    await _plant(database_url, account, [(n, n + 1) for n in range(1, 500)])
    assert await store.threads.roots(account.number, [1, 250]) == [500, 500]
    assert await store.commit(store.threads.place(account.number, [(1,)])) == [500]
    assert set((await _links(database_url)).values()) == {500}


async def test_threads_survive_a_restart(store: Store, database_url: str, tmp_path: Path) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    await _arrive(store, account, number, 1, A, B)
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        assert await reopened.threads.roots(account.number, [B]) == [A]
        assert await reopened.threads.messages(account.number, A) == [MessageRef(number, Uid(1))]
    finally:
        await reopened.close()


async def test_a_removed_account_leaves_no_links_and_takes_none_along(store: Store, database_url: str) -> None:
    account, other = await register(store), await register(store, "bob")
    many = [(A, *range(1000, 1023)), (2, 1)]
    await store.commit(
        run_together(store.threads.place(account.number, many), store.threads.place(other.number, [(B, C)]))
    )
    number = await _mailbox(store, account)
    await _arrive(store, account, number, 1, A)
    await store.commit(store.accounts.delete(account.id, NOW))
    assert await store.threads.messages(account.number, A) == []
    left = [len(await _links(database_url))]
    while await store.commit(store.upkeep.purge_some(10)):
        left.append(len(await _links(database_url)))
    # The last key of a step goes along.
    assert max(before - after for before, after in pairwise(left)) == 11
    assert await _links(database_url) == {C: B}


async def test_messages_leave_their_thread_with_their_mailbox(store: Store) -> None:
    account = await register(store)
    inbox, sent = await _mailbox(store, account), await _mailbox(store, account, "Sent")
    await _arrive(store, account, inbox, 1, A)
    await _arrive(store, account, sent, 1, A, B)
    await store.commit(store.mailboxes.remove(sent, NOW))
    assert await store.threads.messages(account.number, A) == [MessageRef(inbox, Uid(1))]
    await purge_everything(store)
    await store.commit(store.messages.delete(inbox, [1]))
    assert await store.threads.messages(account.number, A) == []


async def test_what_an_entry_does_not_know_keeps_its_thread(store: Store) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    await _arrive(store, account, number, 1, A)
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1), ("\\Seen",))]))
    entry = await store.messages.get(number, 1)
    assert entry is not None and (entry.thread, entry.flags) == (A, ("\\Seen",))


async def test_several_messages_are_read_at_once(store: Store) -> None:
    account = await register(store)
    number = await _mailbox(store, account)
    for uid in (1, 2, 3):
        await _arrive(store, account, number, uid, A)
    found = await store.messages.several(number, [3, 9, 1])
    assert [(entry.uid, entry.thread) for entry in found] == [(3, A), (1, A)]
    assert await store.messages.several(number, []) == []


@pytest.mark.parametrize("name", ["thread_messages", "thread_move", "thread_sizes"])
async def test_a_thread_is_found_by_an_index(store: Store, database_url: str, name: str) -> None:
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            sql = load_catalogue("sqlite")[name]
            given = ("[1]" if name == "thread_sizes" else 1, 1)
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql}", given).fetchall())
    else:
        foreign = await asyncpg.connect(database_url)
        sql = load_catalogue("postgres")[name].replace("$1", "'[1]'" if name == "thread_sizes" else "1")
        async with foreign.transaction():
            await foreign.execute("SET LOCAL enable_seqscan = off")
            plan = str(await foreign.fetch(f"EXPLAIN {sql}".replace("$2", "1")))
        await foreign.close()
    assert " messages_by_thread" in plan
