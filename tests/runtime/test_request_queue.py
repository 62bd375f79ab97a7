"""In which order the mailboxes of an account are brought up to date."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailquay.backends.interface import MailSession
from mailquay.config import Config
from mailquay.errors import CommandRejected, Unavailable
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.runtime.request_queue import RequestQueue
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailboxes import MailboxService
from mailquay.services.messages import MessageReader
from mailquay.services.sync import MailboxSync
from mailquay.services.sync_context import SyncContext
from tests.runtime.harness import SystemClock, running_node

_NO_SWEEP = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=imap)


async def test_those_waited_for_and_the_watched_one_come_early_and_nobody_last() -> None:
    queue = RequestQueue("INBOX")
    for path in ("a", "b", "c", "INBOX", "d"):
        queue.add(path, scan_flags=True)
    queue.wait_for("d", hurry=True)
    queue.wait_for("c", hurry=False)
    order = []
    for _ in range(5):
        path, request = await queue.take()
        assert request.scan_flags
        order.append(path)
        if path in ("INBOX", "d"):
            # Busy mailboxes are asked for again at once.
            queue.add(path, scan_flags=True)
    assert order == ["d", "a", "INBOX", "b", "INBOX"]
    assert [queue.holds(path) for path in ("a", "INBOX", "c")] == [False, True, True]


async def test_who_waits_for_a_mailbox_does_not_wait_for_all_of_them(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, order = MailboxSync.catch_up, []

    async def noted(
        self: MailboxSync, session: MailSession, context: SyncContext, mailbox: Mailbox, **how: bool
    ) -> Mailbox:
        order.append(mailbox.listing.path)
        return await real(self, session, context, mailbox, **how)

    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NO_SWEEP) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        catch_up = node.supervisor.runner(account.number).catch_up
        monkeypatch.setattr(MailboxSync, "catch_up", noted)
        catch_up.nudge(box.listing.path for box in await node.store.mailboxes.of_account(account.number))
        await catch_up.now(["Trash"], timeout_seconds=10)
        assert "Trash" in order[:2]


async def test_a_mailbox_that_is_left_alone_is_not_called_up_to_date(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: MailboxSync, *_: object, **how: bool) -> Mailbox:
        raise CommandRejected("no")

    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NO_SWEEP) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        monkeypatch.setattr(MailboxSync, "catch_up", refused)
        for error in (CommandRejected, CommandRejected, CommandRejected, Unavailable):
            with pytest.raises(error):
                await node.access.catch_up(account.number, ["Archive"], timeout_seconds=10)


async def test_a_page_is_not_taken_from_an_index_that_news_have_overtaken(world: SandboxWorld, tmp_path: Path) -> None:
    """The watched mailbox is as the index says, until we hear of it: also while something else is at work."""
    world.imap_faults.missing.add("NOTIFY")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NO_SWEEP) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        reader = MessageReader(node.store, node.access, MailboxService(node.store, node.access), SystemClock())
        stored = await node.store.accounts.get("ann")
        runner = node.supervisor.runner(account.number)
        assert stored is not None and runner._sync_pool is not None
        async with runner._sync_pool.borrow(timeout_seconds=5, patient=True):
            assert (await reader.page(stored, path="INBOX", page=0, page_size=20, timeout_seconds=1))["total"] == 0
            world.store_of(world.accounts[0].email).append(
                "INBOX", b"From: a@b.test\r\nSubject: 1\r\nMessage-ID: <1@b.test>\r\n\r\nx\r\n"
            )
            async with asyncio.timeout(5):
                while not runner.catch_up._requests.holds("INBOX"):
                    await asyncio.sleep(0.01)  # nothing tells of it
            with pytest.raises(Unavailable):
                await reader.page(stored, path="INBOX", page=0, page_size=20, timeout_seconds=1)
        assert (await reader.page(stored, path="INBOX", page=0, page_size=20, timeout_seconds=5))["total"] == 1
