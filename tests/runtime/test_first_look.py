"""What an account costs its server when it connects: one look at all mailboxes, and none into empty ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.interface import MailSession
from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.sync import MailboxSync
from mailquay.services.sync_context import SyncContext
from tests.runtime.harness import running_node

_QUIET = Config(imap_sweep_interval_seconds=3600, imap_verify_pause_seconds=3600)


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    settings = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=settings)


async def test_empty_mailboxes_are_not_opened_and_their_first_message_is_news(
    world: SandboxWorld, tmp_path: Path
) -> None:
    store = world.store_of(world.accounts[0].email)
    store.create("Empty")
    for command in ("SELECT", "EXAMINE"):
        world.imap_faults.on(command, ImapAction.DROP, times=None)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUIET) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        empty = await node.store.mailboxes.by_path(account.number, "Empty")
        assert empty is not None and empty.cursor is not None
        assert (empty.cursor.messages, empty.cursor.uidvalidity) == (0, store.mailbox("Empty").uidvalidity)
        world.imap_faults.clear()
        resets = [event.path for event in await node.wait_for(EventName.MAILBOX_RESET, account=account, count=2)]
        assert "Empty" in resets
        store.append("Empty", b"Message-ID: <first@x.test>\r\nSubject: first\r\n\r\nx\r\n")
        node.supervisor.sync(account.number)
        [news] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (news.path, news.facts["uid"]) == ("Empty", 1)


async def test_new_mail_is_told_while_other_mailboxes_are_still_being_indexed(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INBOX is done, two archives follow; the mail comes during the first and is told before the second ends."""
    store = world.store_of(world.accounts[0].email)
    for path in ("INBOX", "Yesterday", "Years"):
        if path != "INBOX":
            store.create(path)
        store.append(path, f"Message-ID: <{path}@x.test>\r\nSubject: x\r\n\r\nx\r\n".encode())
    real, reached, going_on = MailboxSync.catch_up, asyncio.Event(), asyncio.Event()

    async def catch_up(
        self: MailboxSync, session: MailSession, context: SyncContext, mailbox: Mailbox, **more: Any
    ) -> Mailbox:
        if mailbox.listing.path == "Years" and mailbox.cursor is None:
            reached.set()
            await going_on.wait()
        return await real(self, session, context, mailbox, **more)

    monkeypatch.setattr(MailboxSync, "catch_up", catch_up)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUIET) as node:
        account = await node.register("ann", _profile(world))
        await reached.wait()
        store.append("INBOX", b"Message-ID: <new@x.test>\r\nSubject: new\r\n\r\nx\r\n")
        async with asyncio.timeout(10):
            while not node.supervisor.runner(account.number).catch_up._requests.holds("INBOX"):
                await asyncio.sleep(0.01)  # nothing tells that the news were heard
        going_on.set()
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        events = [event.name for event in await node.store.events.of_account_after(account.number, 0, 100)]
        assert EventName.MESSAGE_NEW in events, "told before Yesterday was indexed"
