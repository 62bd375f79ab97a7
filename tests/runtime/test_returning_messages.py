"""New is what the index does not hold: mail that comes with an old date, among old UIDs, or back again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailquay.backends.memory_mailbox import MemoryMailbox
from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.imap_capabilities import PLAIN, USUAL
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import SystemClock, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.1, imap_flag_scan_interval_seconds=1, reconnect_backoff_seconds=0.05)
_OLD = datetime(2001, 1, 1, tzinfo=UTC)
_WAYS = {
    "qresync": USUAL,
    "qresync-idle": USUAL - {"NOTIFY"},
    "condstore": USUAL - {"NOTIFY", "QRESYNC"},
    "plain": PLAIN,
    "plain-counters": PLAIN | {"LIST-EXTENDED", "LIST-STATUS", "UIDPLUS"},
}


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _insert(world: SandboxWorld, uid: int) -> None:
    """Put a message among those that are there already, under a UID that nobody has seen."""
    inbox = _inbox(world)
    following, inbox.uidnext = inbox.uidnext, uid
    world.store_of(world.accounts[0].email).append("INBOX", _mail("inserted"), received=_OLD)
    inbox.uidnext = following
    inbox._messages = dict(sorted(inbox._messages.items()))


def _inbox(world: SandboxWorld) -> MemoryMailbox:
    return world.store_of(world.accounts[0].email).mailbox("INBOX")


@pytest.mark.parametrize("hidden", [False, True], ids=["counted", "count unchanged"])
@pytest.mark.parametrize("way", _WAYS)
async def test_whatever_its_date_or_uid(way: str, hidden: bool, tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=_WAYS[way])
    await world.start()
    ann = world.accounts[0]
    store, inbox = world.store_of(ann.email), _inbox(world)
    for number in range(3):
        store.append("INBOX", _mail(f"m{number}"))
    inbox.uidnext = 10
    store.append("INBOX", _mail("m10"))
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        if hidden:
            store.expunge(inbox, [message for message in inbox if message.uid == 2])
        _insert(world, 5)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=5)
        if hidden:
            await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=2)
        # Moved away and back again: another UID, the date of before.
        [archived] = store.move(inbox, [message for message in inbox if message.uid == 1], "Archive")
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=1)
        store.move(store.mailbox("Archive"), [archived], "INBOX")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=11)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        new = [event.facts["uid"] for event in events if event.name is EventName.MESSAGE_NEW and event.path == "INBOX"]
        assert new == [5, 11]
    await world.stop()
