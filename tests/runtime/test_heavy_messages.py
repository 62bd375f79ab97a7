"""New messages that are too large to be held together, as index entries: fewer at a time, and each told once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap import rows
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import OpenedMailbox
from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.sandbox.faults import ImapFault, ImapFaults
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import arrivals
from mailquay.services.arrivals import Arrivals
from tests.runtime.harness import SystemClock, running_node
from tests.runtime.reading import reading

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


@pytest.mark.parametrize(("gap", "uidnext_told"), [(3000, True), (3000, False), (60_000, True)])
async def test_they_cost_a_bounded_number_of_commands_and_are_never_held_together(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int, uidnext_told: bool
) -> None:
    """However many UIDs there are between the messages, and whether or not the server tells its UIDNEXT."""
    monkeypatch.setattr(rows, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(arrivals, "MOST_BATCHES", 0)
    store = world.store_of(world.accounts[0].email)
    store.append("INBOX", _mail(0), received=datetime(2020, 1, 1, tzinfo=UTC))
    async with reading(world, tmp_path) as ann:
        await ann.catch_up()
    for number in range(1, _MESSAGES + 1):
        if number in (2, _MESSAGES):
            store.mailbox("INBOX").uidnext += gap // 2
        store.append("INBOX", _mail(number))
    expected = [message.uid for message in store.mailbox("INBOX")][1:]

    open_mailbox: Callable[..., Awaitable[OpenedMailbox]] = ImapSession.open_mailbox
    store_new: Callable[..., Awaitable[Mailbox]] = Arrivals.store_new
    take = ImapFaults.take
    held: list[int] = []
    commands: Counter[str] = Counter()

    async def opening(self: ImapSession, path: str, **more: Any) -> OpenedMailbox:
        opened = await open_mailbox(self, path, **more)
        return opened if uidnext_told else dataclasses.replace(opened, uidnext=None)

    async def storing(self: Arrivals, session: Any, context: Any, box: Mailbox, news: Sequence[IndexEntry]) -> Mailbox:
        held.append(len(news))
        return await store_new(self, session, context, box, news)

    def taking(self: ImapFaults, command: str) -> ImapFault | None:
        commands[command] += 1
        return take(self, command)

    monkeypatch.setattr(ImapSession, "open_mailbox", opening)
    monkeypatch.setattr(Arrivals, "store_new", storing)
    monkeypatch.setattr(ImapFaults, "take", taking)
    async with reading(world, tmp_path) as ann:
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=_MESSAGES)
        await ann.catch_up()
        told = await ann.events(EventName.MESSAGE_NEW)
        assert told == [(EventName.MESSAGE_NEW, uid) for uid in expected]
        assert max(held) == 1
        # Looked for once more than by twos, and read for the webhook: not once for each UID.
        assert sum(commands.values()) < 6 * _MESSAGES, commands
