"""How much of the messages an index keeps: what is stored, what is shown all the same, and changing one's mind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailquay.backends.interface import SearchTerms
from mailquay.model.event import EventName
from mailquay.runtime.purge import keep_purged, purge_everything
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.message_request import ReadOptions
from mailquay.storage.store import Store
from tests.runtime.reading import SECONDS, Reader, reading

_OLD = datetime(2020, 1, 1, tzinfo=UTC)
_SECRETS = ("Zwetschgen", "wanda@", "Wanda")


def _letter(name: str, *references: str) -> bytes:
    lines = [
        "From: Wanda <wanda@b.test>",
        "To: ann@sandbox.test",
        f"Subject: Zwetschgen {name if not references else 'Topic'}",
        f"Message-ID: <{name}@b.test>",
        *(f"References: <{one}@b.test>" for one in references),
    ]
    return "\r\n".join([*lines, "", "text", ""]).encode()


def _fill(world: SandboxWorld, names: str) -> None:
    store = world.store_of(world.accounts[0].email)
    for name in names:
        store.append("INBOX", _letter(name), received=_OLD)


def _stored(folder: Path) -> bytes:
    """All that the database has on disk."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("m.db*")))


async def test_with_identifiers_nothing_that_messages_say_is_stored(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "abc")
    world.imap_faults.missing.add("OBJECTID")
    async with reading(world, tmp_path, index="identifiers") as ann:
        entries = await ann.until(digested=3, envelopes=0)
        assert all(entry.structure is None and entry.thread is not None for entry in entries.values())
        shown = await ann.page()
        assert [one["subject"] for one in shown] == ["Zwetschgen c", "Zwetschgen b", "Zwetschgen a"]
        assert shown[0]["from"]["address"] == "wanda@b.test" and "text" in shown[0]
        assert [one["subject"] for one in await ann.found(SearchTerms(text={"subject": "b"}))] == ["Zwetschgen b"]
        threads = {one["uid"]: one["threadId"] for one in shown}
        by_thread = await ann.found(SearchTerms(thread_id=threads[2]))
        assert [(one["uid"], one["threadId"]) for one in by_thread] == [(2, threads[2])]
        read = await ann.service.get(ann.account, shown[0]["id"], ReadOptions(), timeout_seconds=SECONDS)
        assert (read["subject"], read["threadId"]) == ("Zwetschgen c", threads[3])
        world.store_of(world.accounts[0].email).append("INBOX", _letter("d", "c"))
        [new] = await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert new.content is not None and new.content["subject"] == "Zwetschgen Topic"
        assert await ann.until(digested=4, envelopes=0)
        assert await ann.service.needs_owner(ann.account, "INBOX")
    stored = _stored(tmp_path)
    assert b"Ann" in stored and not [secret for secret in _SECRETS if secret.encode() in stored]


async def test_moves_and_known_messages_are_recognised_without_envelopes(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "ab")
    world.imap_faults.missing.add("OBJECTID")
    async with reading(world, tmp_path, index="identifiers") as ann:
        await ann.until(digested=2, envelopes=0)
        [_, first] = await ann.page()
        await ann.service.move(ann.account, first["id"], "Archive", timeout_seconds=SECONDS)
        await ann.node.access.catch_up(ann.account.number, ["INBOX", "Archive"], timeout_seconds=SECONDS)
        [moved] = await ann.node.wait_for(EventName.MESSAGE_MOVED, account=ann.account)
        assert moved.facts["previous"] == {"id": first["id"], "uid": 1, "path": "INBOX"}
        [new] = await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert new.facts["seemsLikeNew"] is False


async def test_a_mailbox_that_is_replaced_is_recognised_without_envelopes(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "abc")
    world.imap_faults.missing.add("OBJECTID")
    store = world.store_of(world.accounts[0].email)
    async with reading(world, tmp_path, index="identifiers") as ann:
        await ann.until(digested=3, envelopes=0)
        before = {one["subject"]: one["threadId"] for one in await ann.page()}
    inbox = store.mailbox("INBOX")
    store.expunge(inbox, list(inbox))
    inbox.uidvalidity += 70
    for name in "bca":
        store.append("INBOX", _letter(name), received=_OLD)
    async with reading(world, tmp_path) as ann:
        [reset] = await ann.node.wait_for(EventName.MAILBOX_RESET, account=ann.account, reason="uidValidityChange")
        assert reset.facts["messagesKept"] == 3
        assert {one["subject"]: one["threadId"] for one in await ann.page()} == before
        assert await ann.events(EventName.MESSAGE_NEW, EventName.MESSAGE_DELETED) == []


async def test_changing_ones_mind_takes_what_is_stored_away_and_brings_it_back(
    world: SandboxWorld, tmp_path: Path
) -> None:
    _fill(world, "abcde")
    async with reading(world, tmp_path) as ann:
        purging = asyncio.create_task(keep_purged(ann.node.store, interval_seconds=3600, rows=2))
        before = await ann.until(digested=5, envelopes=5)
        shown = await ann.page()
        told = await ann.events()
        await ann.change(index="identifiers")
        after = await ann.until(digested=5, envelopes=0)
        assert all(entry.structure is None for entry in after.values())
        assert {uid: entry.thread for uid, entry in after.items()} == {uid: one.thread for uid, one in before.items()}
        assert await ann.page() == shown
        assert await ann.until(digested=5, envelopes=0)
        await ann.change(index="envelopes")
        again = await ann.until(digested=5, envelopes=5)
        assert {uid: entry.envelope for uid, entry in again.items()} == {
            uid: one.envelope for uid, one in before.items()
        }
        assert await ann.page() == shown
        assert await ann.events() == told
        purging.cancel()


async def test_what_was_taken_away_is_not_in_the_file_any_more(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "abcdefghijklmnopqrstuvwxyz")
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=26, envelopes=26)
        assert b"Zwetschgen z" in _stored(tmp_path)
        await ann.change(index="identifiers")
        await purge_everything(ann.node.store)
    assert not [secret for secret in _SECRETS if secret.encode() in _stored(tmp_path)]


async def test_who_still_believes_the_former_wish_stores_nothing_either(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "ab")
    async with reading(world, tmp_path, index="identifiers") as ann:
        await ann.until(digested=2, envelopes=0)
        former = Reader(ann.node, ann.account)
        await former.change(index="envelopes")
        await ann.change(index="identifiers")
        assert former.account.profile.keeps_envelopes
        assert [one["subject"] for one in await former.page()] == ["Zwetschgen b", "Zwetschgen a"]
        await purge_everything(ann.node.store)
        await ann.until(digested=2, envelopes=0)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_process_that_is_killed_in_between_goes_on(world: SandboxWorld, tmp_path: Path, steps: int) -> None:
    """Each step of the clearing and of the filling is a transaction; here the process ends after some of them."""
    _fill(world, "abcdef")
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=6, envelopes=6)
        await ann.change(index="identifiers")
        for _ in range(steps):
            await ann.node.store.commit(ann.node.store.upkeep.purge_some(2))
        await ann.until(digested=6, envelopes=6 - 2 * steps)
    async with reading(world, tmp_path) as ann:
        await purge_everything(ann.node.store, rows=2)
        await ann.until(digested=6, envelopes=0)
        world.imap_faults.on("UID FETCH", ImapAction.DROP, times=steps)
        await ann.change(index="envelopes")
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=6, envelopes=6)
        assert await ann.events() == []


async def test_a_wish_that_returns_before_all_is_cleared_ends_the_clearing(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, "abcdef")
    async with reading(world, tmp_path) as ann:
        store: Store = ann.node.store
        await ann.until(digested=6, envelopes=6)
        await ann.change(index="identifiers")
        await store.commit(store.upkeep.purge_some(2))
        await ann.change(index="envelopes")
        await ann.until(digested=6, envelopes=6)
        assert not await store.commit(store.upkeep.purge_some(2))
        await ann.change(index="identifiers")
        await purge_everything(store, rows=2)
        await ann.until(digested=6, envelopes=0)
