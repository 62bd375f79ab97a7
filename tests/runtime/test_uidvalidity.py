"""UIDVALIDITY that changes at bad moments, at the built-in server: what is told, what is kept, and how much of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import OpenedMailbox
from mailquay.config import Config
from mailquay.errors import CommandRejected, StorageError
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName, LoggedEvent
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.runtime import catch_up, doubts
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.first_sync import FirstSync
from mailquay.services.replacement import MailboxReplacement
from mailquay.services.sync_context import SyncContext
from tests.runtime.harness import SystemClock, TestNode, running_node

_OLD = datetime(2020, 1, 1, tzinfo=UTC)
_TOLD = (EventName.MESSAGE_NEW, EventName.MESSAGE_UPDATED, EventName.MESSAGE_DELETED)


def _fill(world: SandboxWorld, path: str, *names: str) -> None:
    for name in names:
        raw = f"Message-ID: <{name}@x.test>\r\nSubject: {name}\r\n\r\n{name}\r\n".encode()
        world.store_of(world.accounts[0].email).append(path, raw, received=_OLD)


@contextlib.asynccontextmanager
async def _node(folder: Path, **options: Any) -> AsyncIterator[TestNode]:
    config = Config(
        imap_sweep_interval_seconds=3600,
        reconnect_backoff_seconds=0.01,
        imap_command_timeout_seconds=5,
        **options,
    )
    async with running_node(f"sqlite:///{folder}/m.db", folder, config=config) as node:
        yield node


async def _register(node: TestNode, world: SandboxWorld) -> Account:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    return await node.register("ann", profile)


async def _until(node: TestNode, account: Account, path: str, right: Callable[[Mailbox], bool]) -> Mailbox:
    """Wait for a state of a mailbox that no event tells of."""
    changed = asyncio.Event()
    async with asyncio.timeout(10):
        while True:
            found = await node.store.mailboxes.by_path(account.number, path)
            if found is not None and right(found):
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 0.01)


def _synced_as(mailbox: Mailbox, uidvalidity: int) -> bool:
    return mailbox.cursor is not None and mailbox.uidvalidity == uidvalidity


async def _told(node: TestNode, account: Account) -> list[LoggedEvent]:
    return [one for one in await node.store.events.of_account_after(account.number, 0, 1000) if one.name in _TOLD]


async def test_a_first_sync_that_was_cut_off_makes_no_news_of_what_was_there_before(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store_of(world.accounts[0].email)
    store.create("Work")
    _fill(world, "Work", "one", "two")
    real = FirstSync._placed
    broken: list[bool] = []

    async def interrupted(self: FirstSync, context: SyncContext, mailbox: Mailbox, *args: Any, **more: Any) -> Mailbox:
        if mailbox.listing.path == "Work" and not broken:
            broken.append(True)
            store.mailbox("Work").uidvalidity += 70
            raise StorageError("the disk went away")
        return await real(self, context, mailbox, *args, **more)

    monkeypatch.setattr(FirstSync, "_placed", interrupted)
    async with _node(tmp_path, sync_batch_size=1) as node:
        account = await _register(node, world)
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work")
        work = await _until(node, account, "Work", lambda box: box.cursor is not None)
        assert await node.store.messages.count(work.number) == 2
        assert await _told(node, account) == []


async def test_flags_that_change_while_a_carry_over_is_interrupted_are_told(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store_of(world.accounts[0].email)
    work = store.create("Work")
    _fill(world, "Work", "one", "two")
    real = MailboxReplacement._tell_gone
    broken: list[bool] = []

    async def interrupted(*args: Any) -> None:
        if not broken:
            broken.append(True)
            [one, _] = work
            store.set_flags(work, [(one, frozenset({"\\Flagged"}))])
            raise StorageError("the disk went away")
        await real(*args)

    monkeypatch.setattr(MailboxReplacement, "_tell_gone", interrupted)
    async with _node(tmp_path) as node:
        account = await _register(node, world)
        before = await _until(node, account, "Work", lambda box: box.cursor is not None)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        work.uidvalidity += 70
        node.supervisor.reconnect(account.number)
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", reason="uidValidityChange")
        after = await _until(node, account, "Work", lambda box: box.number != before.number)
        assert broken
        assert [flags for _, flags, _ in await node.store.messages.flags(after.number)] == ["\\Flagged", ""]
        assert [(one.name, one.facts["uid"]) for one in await _told(node, account)] == [(EventName.MESSAGE_UPDATED, 1)]


async def test_a_server_that_shows_two_uidvalidities_by_turns_makes_nothing_grow(
    world: SandboxWorld, tmp_path: Path
) -> None:
    store = world.store_of(world.accounts[0].email)
    work = store.create("Work")
    _fill(world, "Work", "one", "two", "three")
    numbers: set[int] = set()
    async with _node(tmp_path) as node:
        account = await _register(node, world)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        for turn in range(1, 7):
            work.uidvalidity += 70 if turn % 2 else -70
            node.supervisor.reconnect(account.number)
            box = await _until(node, account, "Work", lambda box: _synced_as(box, work.uidvalidity))
            numbers.add(box.number)
        assert await _told(node, account) == []
        assert len(numbers) == 2
        assert await node.store.commit(node.store.replacements.expire(2**60, 1000)) == 6


async def test_a_server_without_uidvalidity_is_not_asked_without_end(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store_of(world.accounts[0].email)
    paths = ("One", "Two", "Three")
    for path in paths:
        store.create(path)
        _fill(world, path, path)
    real = ImapSession.open_mailbox
    opened: list[str] = []

    async def without_uidvalidity(self: ImapSession, path: str, **options: Any) -> OpenedMailbox:
        opened.append(path)
        answer = await real(self, path, **options)
        self._selected_uidvalidity = None
        return dataclasses.replace(answer, uidvalidity=None)

    monkeypatch.setattr(ImapSession, "open_mailbox", without_uidvalidity)
    async with _node(tmp_path) as node:
        account = await _register(node, world)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        for path in paths:
            mailbox = await _until(node, account, path, lambda box: box.cursor is not None)
            async with asyncio.timeout(10):
                while await node.store.messages.without_envelope(mailbox.number, limit=1):
                    await asyncio.sleep(0.01)  # nothing tells of an envelope that was filled in
        assert len(opened) < 30


async def test_a_mailbox_that_refuses_to_show_envelopes_does_not_keep_the_account_down(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store_of(world.accounts[0].email)
    store.create("Work")
    _fill(world, "Work", "one")
    real = ImapSession.fetch_envelopes

    async def refused(self: ImapSession, uids: str) -> AsyncIterator[list[IndexEntry]]:
        if self.selected == "Work":
            raise CommandRejected("no envelopes today")
        async for batch in real(self, uids):
            yield batch

    monkeypatch.setattr(ImapSession, "fetch_envelopes", refused)
    with structlog.testing.capture_logs() as logs:
        async with _node(tmp_path) as node:
            account = await _register(node, world)
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            await node.access.catch_up(account.number, ["Work"], timeout_seconds=5)
            world.store_of(world.accounts[0].email).append("INBOX", b"Subject: news\r\n\r\n")
            await node.wait_for(EventName.MESSAGE_NEW, account=account, path="INBOX")
            async with asyncio.timeout(10):
                while "messages_refused" not in [entry["event"] for entry in logs]:
                    await asyncio.sleep(0.01)  # nothing tells of a line in the log
    assert [entry for entry in logs if entry["event"] == "account_failed"] == []


async def test_messages_that_are_not_given_yet_are_not_told_as_gone(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restore one half of a server may know a mailbox before the other has its messages."""
    for module in (doubts, catch_up):
        monkeypatch.setattr(module, "DOUBT_SECONDS", 1.0)
    doubted = asyncio.Event()
    raised = doubts.Doubts.raised

    def noted(self: doubts.Doubts, path: str) -> bool:
        doubted.set()
        return raised(self, path)

    monkeypatch.setattr(doubts.Doubts, "raised", noted)
    work = world.store_of(world.accounts[0].email).create("Work")
    _fill(world, "Work", *(f"m{number}" for number in range(30)))
    async with _node(tmp_path) as node:
        account = await _register(node, world)
        before = await _until(node, account, "Work", lambda box: box.cursor is not None)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await node.envelopes_read(account)
        work.uidvalidity += 70
        world.imap_faults.late_uids |= {*range(1, 29)}
        node.supervisor.reconnect(account.number)
        async with asyncio.timeout(10):
            await doubted.wait()
        world.imap_faults.late_uids.clear()
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", reason="uidValidityChange")
        after = await _until(node, account, "Work", lambda box: box.number != before.number)
        assert await node.store.messages.count(after.number) == 30
        assert await _told(node, account) == []
