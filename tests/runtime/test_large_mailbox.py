"""A mailbox of fifty thousand messages: indexed, and followed through changes of most of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import Account
from mailquay.model.event import EventName
from tests.runtime.harness import SystemClock, TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = [pytest.mark.server, pytest.mark.live]
_QUICK = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_verify_pause_seconds=3600)
_MESSAGES = 50_000
_FLAGGED = 5_000
_LEFT = 10_000
"""The first so many stay; all above them are deleted."""


def _mail(number: int) -> bytes:
    return (
        f"From: Ann <ann@b.test>\r\nTo: Bob <bob@b.test>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n"
        f"Subject: number {number}\r\nMessage-ID: <{number}@b.test>\r\n\r\nThis is message {number}.\r\n"
    ).encode()


async def _until(node: TestNode, account: Account, sequence: int) -> None:
    """Wait until the log of the account has reached a sequence number."""
    changed = asyncio.Event()
    stop = node.store.database.subscribe(lambda _signals: changed.set())
    try:
        async with asyncio.timeout(60):
            while await node.store.events.last_sequence(account.number) < sequence:
                await changed.wait()
                changed.clear()
    finally:
        stop()


async def test_fifty_thousand_messages(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    await asyncio.to_thread(dovecot.fill, mail_user.login, (_mail(number) for number in range(1, _MESSAGES + 1)))
    database = f"sqlite:///{tmp_path}/m.db"
    profile = profile_for(dovecot, mail_user, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account, seconds=300)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None and await node.store.messages.count(inbox.number) == _MESSAGES
        before = await node.store.events.last_sequence(account.number)
    where = ("-u", mail_user.login, "mailbox", "INBOX", "uid")
    await dovecot.doveadm("flags", "add", "-u", mail_user.login, "\\Flagged", *where[2:], f"1:{_FLAGGED}")
    await dovecot.doveadm("expunge", *where, f"{_LEFT + 1}:*")
    await dovecot.deliver(mail_user.login, _mail(_MESSAGES + 1))
    expected = {
        EventName.MESSAGE_UPDATED: _FLAGGED,
        EventName.MESSAGE_DELETED: _MESSAGES - _LEFT,
        EventName.MESSAGE_NEW: 1,
    }
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await _until(node, account, before + sum(expected.values()))
        await node.supervisor.runner(account.number).catch_up.now(["INBOX"], timeout_seconds=60)
        events = await node.store.events.of_account_after(account.number, before, 1_000_000)
        told = Counter(event.name for event in events)
        assert {name: told[name] for name in expected} == expected
        assert {event.facts["uid"] for event in events if event.name is EventName.MESSAGE_DELETED} == set(
            range(_LEFT + 1, _MESSAGES + 1)
        )
        assert await node.store.messages.count(inbox.number) == _LEFT + 1
        await node.envelopes_read(account)
        before = await node.store.events.last_sequence(account.number)
        await dovecot.doveadm("move", "-u", mail_user.login, "Archive", *where[2:], f"1:{_FLAGGED}")
        await _until(node, account, before + 3 * _FLAGGED)
        told = Counter(
            event.name for event in await node.store.events.of_account_after(account.number, before, 100_000)
        )
        moved = (EventName.MESSAGE_DELETED, EventName.MESSAGE_NEW, EventName.MESSAGE_MOVED)
        assert told == dict.fromkeys(moved, _FLAGGED)
