"""Messages that a server announces before it can give them: told as missing after a while, and as new once there."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName, LoggedEvent
from mailquay.runtime import filling
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import arrivals, late_messages, set_aside
from tests.runtime.harness import SystemClock, TestNode, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.2, reconnect_backoff_seconds=0.05)


@asynccontextmanager
async def _following(
    folder: Path, *, indexer: str = "full", config: Config = _QUICK
) -> AsyncIterator[tuple[SandboxWorld, TestNode, Account]]:
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    world.store_of(ann.email).append("INBOX", _mail("old"))
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, imap_indexer=indexer, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{folder}/m.db", folder, config=config) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield world, node, account
    await world.stop()


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _arrive(world: SandboxWorld, *subjects: str) -> None:
    for subject in subjects:
        world.store_of(world.accounts[0].email).append("INBOX", _mail(subject))


class _Pauses:
    """Pauses without end; `begun` when the first is over."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def __iter__(self) -> Iterator[float]:
        while True:
            yield 0.01
            self.begun.set()


async def _told(node: TestNode, account: Account) -> list[tuple[str, object]]:
    events: list[LoggedEvent] = await node.store.events.of_account_after(account.number, 0, 1000)
    return [(event.name.value, event.facts["uid"]) for event in events if "uid" in event.facts]


@pytest.mark.parametrize("indexer", ["full", "fast"])
async def test_a_message_that_comes_a_moment_later_is_new_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexer: str
) -> None:
    pauses = _Pauses()
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", pauses)
    async with _following(tmp_path, indexer=indexer) as (world, node, account):
        world.imap_faults.late_uids.add(2)
        _arrive(world, "late", "punctual")
        async with asyncio.timeout(10):
            await pauses.begun.wait()
        world.imap_faults.late_uids.clear()
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        _arrive(world, "last")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=3)
        assert await _told(node, account) == [("messageNew", 2), ("messageNew", 3), ("messageNew", 4)]


async def test_a_message_that_stays_away_is_missing_and_new_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(set_aside, "UNIDENTIFIED_PAUSES_MS", (100,) * 100)
    monkeypatch.setattr(filling, "_SHORTEST_SLEEP_SECONDS", 0.1)
    async with _following(tmp_path) as (world, node, account):
        world.imap_faults.late_uids.add(2)
        _arrive(world, "late", "punctual")
        [missing] = await node.wait_for(EventName.MESSAGE_MISSING, account=account)
        assert {key: missing.facts[key] for key in ("uid", "missingRetries", "missingDelay")} == {
            "uid": 2,
            "missingRetries": 2,
            "missingDelay": 30,
        }
        _arrive(world, "next")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=4)
        await node.access.catch_up(account.number, ["INBOX"], timeout_seconds=10)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None and inbox.current
        world.imap_faults.late_uids.clear()
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=2)
        assert new.facts["id"] == missing.facts["id"]
        await node.access.catch_up(account.number, ["INBOX"], timeout_seconds=10)
        assert await _told(node, account) == [
            ("messageNew", 3),
            ("messageMissing", 2),
            ("messageNew", 4),
            ("messageNew", 2),
        ]


async def test_one_window_alone_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other mailboxes of the account wait as long, however many windows lack a message."""
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(arrivals, "_UID_WINDOW", 2)
    quiet = dataclasses.replace(_QUICK, imap_sweep_interval_seconds=3600)
    async with _following(tmp_path, config=quiet) as (world, node, account):
        world.imap_faults.late_uids |= {2, 4, 6, 8}
        _arrive(world, *"abcdefgh")
        missing = await node.wait_for(EventName.MESSAGE_MISSING, account=account, count=4)
        assert [(event.facts["uid"], event.facts["missingRetries"]) for event in missing] == [
            (2, 2),
            (4, 0),
            (6, 0),
            (8, 0),
        ]


async def test_a_message_found_by_comparing_that_is_not_given_is_missing(tmp_path: Path) -> None:
    verifying = dataclasses.replace(_QUICK, imap_verify_pause_seconds=0.05, imap_verify_interval_seconds=0)
    async with _following(tmp_path, config=verifying) as (world, node, account):
        _arrive(world, "second", "third")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        world.imap_faults.late_uids.add(2)
        await node.store.commit(node.store.messages.delete(inbox.number, [2]))
        [missing] = await node.wait_for(EventName.MESSAGE_MISSING, account=account)
        assert (missing.facts["uid"], missing.facts["missingRetries"]) == (2, 0)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None and inbox.current


async def test_a_message_that_has_gone_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", (0.01,) * 3)
    async with _following(tmp_path) as (world, node, account):
        world.imap_faults.late_uids.add(2)
        _arrive(world, "late", "punctual")
        store = world.store_of(world.accounts[0].email)
        inbox = store.mailbox("INBOX")
        store.expunge(inbox, [message for message in inbox if message.uid == 2])
        await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert await _told(node, account) == [("messageNew", 3)]
