"""A server in trouble that shows a mailbox empty for a while: nothing is told as deleted, and what is deleted is."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import OpenedMailbox
from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.message import IndexEntry, Uid
from mailquay.runtime import catch_up, doubts
from mailquay.sandbox.imap_capabilities import PLAIN
from mailquay.sandbox.world import SandboxWorld
from mailquay.storage.repositories.fencing import fenced
from tests.runtime.harness import TestNode, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.1, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.1)
_MESSAGES = 40


@asynccontextmanager
async def _synced(folder: Path) -> AsyncIterator[tuple[TestNode, Account, SandboxWorld]]:
    world = SandboxWorld(empty=True, imap_capabilities=PLAIN)
    await world.start()
    try:
        for number in range(_MESSAGES):
            raw = f"Message-ID: <{number}@x.test>\r\nSubject: {number}\r\n\r\nx\r\n".encode()
            world.store_of(world.accounts[0].email).append("INBOX", raw)
        ann = world.accounts[0]
        imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
        async with running_node(f"sqlite:///{folder}/m.db", folder, config=_QUICK) as node:
            account = await node.register("ann", AccountProfile(name="ann", imap=imap))
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            yield node, account, world
    finally:
        await world.stop()


@pytest.fixture
def short_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubts last a second."""
    for module in (doubts, catch_up):
        monkeypatch.setattr(module, "DOUBT_SECONDS", 1.0)


async def test_what_seems_gone_and_returns_was_never_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    trouble = True
    real_open: Callable[..., Awaitable[OpenedMailbox]] = ImapSession.open_mailbox

    async def open_mailbox(self: ImapSession, path: str, **more: Any) -> OpenedMailbox:
        nonlocal looks
        opened = await real_open(self, path, **more)
        looks += trouble
        return dataclasses.replace(opened, messages=0) if trouble and path == "INBOX" else opened

    real_uids = ImapSession.uids

    async def uids(self: ImapSession) -> list[int]:
        return [] if trouble else await real_uids(self)

    async with _synced(tmp_path) as (node, account, world):
        monkeypatch.setattr(ImapSession, "open_mailbox", open_mailbox)
        monkeypatch.setattr(ImapSession, "uids", uids)
        store = world.store_of(world.accounts[0].email)
        for _ in range(3):
            node.supervisor.runner(account.number).catch_up.nudge(["INBOX"], scan_flags=True)
            await node.supervisor.runner(account.number).catch_up.now(["INBOX"], timeout_seconds=10)
        assert looks >= 3
        trouble = False
        store.append("INBOX", b"Message-ID: <last@x.test>\r\nSubject: last\r\n\r\nx\r\n")
        news = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        assert EventName.MESSAGE_DELETED not in {event.name for event in events}
        assert [event.facts["uid"] for event in news] == [_MESSAGES + 1]


@pytest.mark.usefixtures("short_doubt")
async def test_what_stays_gone_is_told_as_deleted(tmp_path: Path) -> None:
    async with _synced(tmp_path) as (node, account, world):
        store = world.store_of(world.accounts[0].email)
        inbox = store.mailbox("INBOX")
        store.expunge(inbox, list(inbox))
        deleted = await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=_MESSAGES)
        assert len({event.facts["uid"] for event in deleted}) == _MESSAGES


async def test_a_few_deletions_are_told_at_once(tmp_path: Path) -> None:
    async with _synced(tmp_path) as (node, account, world):
        store = world.store_of(world.accounts[0].email)
        inbox = store.mailbox("INBOX")
        store.expunge(inbox, list(inbox)[:15])
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=15)


@pytest.mark.usefixtures("short_doubt")
async def test_a_doubt_that_only_a_comparison_raised_is_not_settled_by_counting(tmp_path: Path) -> None:
    """As many others stand there below the last UID, as after a restore: verification alone finds that, once a day."""
    async with _synced(tmp_path) as (node, account, world):
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        present = await node.store.messages.uids(inbox.number)
        store = world.store_of(world.accounts[0].email)
        for number in range(_MESSAGES):
            store.append("INBOX", f"Message-ID: <later{number}@x.test>\r\nSubject: x\r\n\r\nx\r\n".encode())
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=_MESSAGES)
        store.expunge(store.mailbox("INBOX"), list(store.mailbox("INBOX"))[:_MESSAGES])
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=_MESSAGES)
        standing = [message.uid for message in store.mailbox("INBOX")]
        drop = node.store.messages.drop(inbox.number, standing)
        put = node.store.messages.put(inbox.number, [IndexEntry(Uid(uid)) for uid in present])
        fence = node.supervisor.runner(account.number).fence
        await node.store.commit(fenced(fence, drop, put))
        node.supervisor.runner(account.number).catch_up.nudge(["INBOX"], verify=True)
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=2 * _MESSAGES)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2 * _MESSAGES)
        assert await node.store.messages.uids(inbox.number) == standing
