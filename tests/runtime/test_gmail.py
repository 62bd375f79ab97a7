"""Accounts at Gmail, played by the sandbox and by hoodiecrow: All Mail is followed, labels are not."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.interface import FlagChange, MailSession
from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.imap_capabilities import GMAIL
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import MessageChanges, ReadOptions
from tests.runtime.harness import SystemClock, TestNode, running_node
from tests.servers.availability import require_server
from tests.servers.hoodiecrow import Hoodiecrow
from tests.servers.process import LOOPBACK

ALL_MAIL = "[Gmail]/All Mail"
_PATIENT = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
_QUICK = Config(imap_sweep_interval_seconds=0.5, imap_flag_scan_interval_seconds=0.5, reconnect_backoff_seconds=0.05)


@pytest.fixture
async def gmail() -> AsyncIterator[SandboxWorld]:
    """The sandbox as Gmail, without mail."""
    world = SandboxWorld(empty=True, imap_capabilities=GMAIL)
    await world.start()
    yield world
    await world.stop()


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _settings(world: SandboxWorld) -> ImapSettings:
    ann = world.accounts[0]
    imap = ImapSettings(host=ann.imap_host, port=ann.imap_port, user=ann.user, password=ann.password)
    return dataclasses.replace(imap, tls={"disabled": True})


def _profile(imap: ImapSettings, **changes: Any) -> AccountProfile:
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    return dataclasses.replace(profile, **changes)


def _service(node: TestNode) -> MessageService:
    return MessageService(node.store, node.access, MailboxService(node.store, node.access), SystemClock())


async def _indexed(node: TestNode, account: Account) -> dict[str, int]:
    """How many messages of each mailbox are in the index, of those that are followed."""
    boxes = [box for box in await node.store.mailboxes.of_account(account.number) if box.cursor is not None]
    return {box.listing.path: await node.store.messages.count(box.number) for box in boxes}


async def _page(node: TestNode, account: Account, path: str) -> list[dict[str, Any]]:
    current = await node.store.accounts.by_number(account.number)
    assert current is not None
    page = await _service(node).page(current, path=path, page=0, page_size=20, timeout_seconds=10)
    messages: list[dict[str, Any]] = page["messages"]
    return messages


def _changes(facts: Mapping[str, Any]) -> Any:
    return facts["changes"]


async def test_all_mail_is_watched_with_its_labels(gmail: SandboxWorld, tmp_path: Path) -> None:
    store = gmail.store_of(gmail.accounts[0].email)
    store.append("INBOX", _mail("old"))
    store.append("Trash", _mail("thrown-away"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_PATIENT) as node:
        account = await node.register("ann", _profile(_settings(gmail)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert await _indexed(node, account) == {ALL_MAIL: 1, "Junk": 0, "Trash": 1}
        told = [event.path for event in await node.wait_for(EventName.MAILBOX_NEW, account=account)]
        assert set(told) == {ALL_MAIL, "Junk", "Trash"}
        store.append("INBOX", _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (new.path, new.special_use, new.facts["path"]) == (ALL_MAIL, "\\All", ALL_MAIL)
        assert (new.facts["uid"], new.facts["labels"]) == (2, ["\\Inbox"])
        fresh = next(message for message in store.mailbox("INBOX") if message.uid == 2)
        store.copy([fresh], "Archive")
        store.expunge(store.mailbox("INBOX"), [fresh])
        updates = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, uid=2)
        while _changes(updates[-1].facts)["labels"]["value"] != ["Archive"]:
            updates = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, uid=2, count=len(updates) + 1)
        assert all("flags" not in _changes(update.facts) for update in updates)
        first, _ = await _page(node, account, ALL_MAIL)
        assert first["labels"] == ["Archive"]
        assert len(await node.wait_for(EventName.MESSAGE_NEW, account=account)) == 1


async def test_a_label_is_shown_from_the_server(gmail: SandboxWorld, tmp_path: Path) -> None:
    store = gmail.store_of(gmail.accounts[0].email)
    store.append("INBOX", _mail("a"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_PATIENT) as node:
        account = await node.register("ann", _profile(_settings(gmail)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        service = _service(node)
        [shown] = await _page(node, account, "INBOX")
        assert shown["subject"] == "a"
        seen = MessageChanges(add=("\\Seen",))
        assert await service.update(account, shown["id"], seen, timeout_seconds=10) == {"flags": {"add": True}}
        [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
        assert (updated.path, updated.facts["uid"]) == (ALL_MAIL, 1)
        await service.move(account, shown["id"], "Archive", timeout_seconds=10)
        updates = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, count=2)
        while _changes(updates[-1].facts)["labels"]["value"] != ["Archive"]:
            updates = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, count=len(updates) + 1)
        assert "INBOX" not in await _indexed(node, account)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        assert EventName.MESSAGE_DELETED not in {event.name for event in events}


async def test_changes_through_us_in_all_mail(gmail: SandboxWorld, tmp_path: Path) -> None:
    store = gmail.store_of(gmail.accounts[0].email)
    store.append("INBOX", _mail("a"))
    store.create("Work")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_PATIENT) as node:
        account = await node.register("ann", _profile(_settings(gmail)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        service = _service(node)
        [shown] = await _page(node, account, ALL_MAIL)
        moved = await service.move(account, shown["id"], "Work", timeout_seconds=10)
        assert moved == {"path": "Work", "id": shown["id"], "uid": 1}
        assert len(store.mailbox("Work")) == 1
        changes = MessageChanges(labels_delete=("\\Inbox",), labels_add=("\\Sent",))
        await service.update(account, shown["id"], changes, timeout_seconds=10)
        told = [_changes(event.facts) for event in await node.wait_for(EventName.MESSAGE_UPDATED, account=account)]
        assert told[0] == {"labels": {"added": ["Work"], "value": ["Work", "\\Inbox"]}}
        assert told[-1]["labels"]["value"] == ["Work", "\\Sent"]
        read = await service.get(account, shown["id"], ReadOptions(), timeout_seconds=10)
        assert (read["labels"], read["messageSpecialUse"], read["specialUse"]) == (
            ["Work", "\\Sent"],
            "\\Sent",
            "\\All",
        )
        deleted = await service.delete(account, shown["id"], force=False, timeout_seconds=10)
        assert deleted["moved"]["destination"] == "Trash"
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=1)
        [arrived] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (arrived.path, arrived.facts["seemsLikeNew"]) == ("Trash", False)
        assert len(store.mailbox("Work")) == 0


async def test_labels_that_the_account_names_are_followed_as_mailboxes(gmail: SandboxWorld, tmp_path: Path) -> None:
    store = gmail.store_of(gmail.accounts[0].email)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_PATIENT) as node:
        account = await node.register("ann", _profile(_settings(gmail), path=("INBOX",)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert await _indexed(node, account) == {"INBOX": 0}
        store.append("INBOX", _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (new.path, new.facts["labels"]) == ("INBOX", [])


async def test_without_all_mail_labels_are_mailboxes(gmail: SandboxWorld, tmp_path: Path) -> None:
    """Users can hide it from IMAP."""
    store = gmail.store_of(gmail.accounts[0].email)
    store.all_mail = None
    store.delete(ALL_MAIL)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_PATIENT) as node:
        account = await node.register("ann", _profile(_settings(gmail)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert "Archive" in await _indexed(node, account)
        store.append("INBOX", _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert new.path == "INBOX"


@asynccontextmanager
async def _session(settings: ImapSettings) -> AsyncIterator[MailSession]:
    options = ImapOptions(
        connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={"name": "mailquay"}
    )
    session = await ImapBackend(settings, options).open_session()
    try:
        yield session
    finally:
        await session.close()


async def _append(session: MailSession, path: str, subject: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield _mail(subject)

    await session.append(path, body(), len(_mail(subject)))


@pytest.mark.server
async def test_on_a_server_of_another_make(tmp_path: Path) -> None:
    require_server("hoodiecrow")
    with Hoodiecrow(gmail=True) as server:
        user = server.user
        imap = ImapSettings(LOOPBACK, server.imap_port, tls={"disabled": True}, user=user.login, password=user.password)
        async with (
            _session(imap) as session,
            running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node,
        ):
            await _append(session, "INBOX", "in-the-inbox")
            account = await node.register("ann", _profile(imap))
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            assert await _indexed(node, account) == {ALL_MAIL: 0, "[Gmail]/Spam": 0, "[Gmail]/Trash": 0}
            await _append(session, ALL_MAIL, "fresh")
            [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
            assert (new.path, new.facts["labels"]) == (ALL_MAIL, ["\\All"])
            assert str(new.facts["emailId"]).isdigit()
            await session.open_mailbox(ALL_MAIL, writable=True)
            await session.store_flags("1", FlagChange.ADD, ["Work"], labels=True)
            [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
            assert _changes(updated.facts) == {"labels": {"added": ["Work"], "value": ["Work", "\\All"]}}
            [shown] = await _page(node, account, "INBOX")
            assert (shown["subject"], shown["labels"]) == ("in-the-inbox", ["\\Inbox"])
            await _append(session, "[Gmail]/Spam", "unwanted")
            await node.wait_for(EventName.MESSAGE_NEW, account=account, path="[Gmail]/Spam")
