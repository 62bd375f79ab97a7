"""Exchange's folders of appointments and contacts: listed, not followed, and no hindrance when their items fail."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailboxes import MailboxService
from tests.runtime.harness import SystemClock, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.1, reconnect_backoff_seconds=0.05)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize("identity", ["Microsoft.Exchange.Imap4.Imap4Server", "another server"])
async def test_they_are_followed_only_on_other_servers_or_by_name(tmp_path: Path, identity: str) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    world.imap_faults.identity = identity
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    store.create("Calendar")
    store.append("Calendar", _mail("appointment"))
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        told = [event for event in events if event.path == "Calendar"]
        assert bool(told) is (identity == "another server")
        account = await node.connected(account)
        listed = await MailboxService(node.store, node.access).list(account, counters=False, timeout_seconds=10)
        assert "Calendar" in [box["path"] for box in listed]
        await node.register("ann", dataclasses.replace(profile, path=("INBOX", "Calendar")))
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Calendar")
        store.append("Calendar", _mail("another"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert new.path == "Calendar"
    await world.stop()


async def test_items_that_cannot_be_had_cost_nothing_but_themselves(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    for number in range(30):
        store.append("Archive", _mail(f"item{number}"))
    # Every item of that one mailbox fails.
    world.imap_faults.unavailable_uids |= set(range(2, 32))
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        store.append("INBOX", _mail("mail"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (new.path, new.facts["uid"]) == ("INBOX", 1)
    await world.stop()
