"""New messages that are too large to be held together, as index entries: fewer at a time, and each told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailquay.backends.imap import rows
from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import arrivals
from tests.runtime.harness import SystemClock, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.2, reconnect_backoff_seconds=0.05)
_MESSAGES = 30


def _mail(number: int) -> bytes:
    to = ",\r\n ".join(f"Recipient {n} <r{n}@b.test>" for n in range(200))
    return f"From: a@b.test\r\nTo: {to}\r\nSubject: {number}\r\nMessage-ID: <{number}@b.test>\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize("most", [0, 3, 100])
async def test_messages_with_many_recipients_are_told_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(rows, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(arrivals, "MOST_BATCHES", most)
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    database = f"sqlite:///{tmp_path}/m.db"
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
    for number in range(_MESSAGES):
        store.append("INBOX", _mail(number))
    store.expunge(store.mailbox("INBOX"), [one for one in store.mailbox("INBOX") if one.uid % 7 == 0])
    expected = [uid for uid in range(1, _MESSAGES + 1) if uid % 7]
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=len(expected), seconds=30)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        assert [event.facts["uid"] for event in events if event.name is EventName.MESSAGE_NEW] == expected
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        [entry] = await node.store.messages.several(inbox.number, [1])
        assert entry.envelope is not None and len(entry.envelope.to) == 200
    await world.stop()
