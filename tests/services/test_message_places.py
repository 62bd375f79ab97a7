"""Ids stand for one message each, whatever the server has put at the mailbox's path meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.errors import Unavailable
from mailquay.model.account import Account, AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.identifiers import attachment_id, message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import ReadOptions
from tests.runtime.harness import SystemClock, TestNode, running_node

_SECONDS = 10.0


@dataclasses.dataclass
class _Reading:
    """A connected account, and what the API reads its messages with."""

    node: TestNode
    account: Account
    service: MessageService
    world: SandboxWorld

    def deliver(self, path: str, subject: str) -> None:
        """Put a message into a mailbox of the server."""
        raw = f"Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n{subject}\r\n".encode()
        self.world.store_of(self.world.accounts[0].email).append(path, raw)

    async def mailbox(self, path: str) -> Mailbox:
        """The mailbox as we know it."""
        found = await self.node.store.mailboxes.by_path(self.account.number, path)
        assert found is not None
        return found

    async def synced(self, path: str) -> Mailbox:
        """The mailbox, brought up to date."""
        await self.node.access.catch_up(self.account.number, [path], timeout_seconds=_SECONDS)
        return await self.mailbox(path)

    async def subject(self, mailbox: Mailbox, uid: int, *, mark_as_seen: bool = False) -> Any:
        """The subject of a message, read at the server."""
        options = ReadOptions(mark_as_seen=mark_as_seen)
        shown = await self.service.get(self.account, message_id(mailbox.number, uid), options, timeout_seconds=_SECONDS)
        return shown["subject"], shown["headers"]["subject"]


@pytest.fixture
async def ann(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[_Reading]:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        world.store_of(at.email).create("Work")
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        found = await node.store.accounts.by_number(account.number)
        assert found is not None
        service = MessageService(node.store, node.access, MailboxService(node.store, node.access), SystemClock())
        yield _Reading(node, found, service, world)


async def test_a_session_that_has_the_former_mailbox_open_is_not_read_for_the_present_one(ann: _Reading) -> None:
    ann.deliver("Work", "first")
    before = await ann.synced("Work")
    assert await ann.subject(before, 1) == ("first", ["first"])
    store = ann.world.store_of(ann.world.accounts[0].email)
    store.rename("Work", "Elsewhere")
    store.create("Work")
    ann.deliver("Work", "second")
    after = await ann.synced("Work")
    assert after.number != before.number
    assert await ann.subject(after, 1) == ("second", ["second"])


async def test_flags_never_go_to_a_mailbox_that_took_the_place_of_the_one_that_is_open(ann: _Reading) -> None:
    ann.deliver("Work", "first")
    work = await ann.synced("Work")
    await ann.subject(work, 1)
    store = ann.world.store_of(ann.world.accounts[0].email)
    store.rename("Work", "Elsewhere")
    store.create("Work")
    ann.deliver("Work", "second")
    # Our index does not know yet, and the session that is reused has the former mailbox open.
    with pytest.raises(Unavailable):
        await ann.subject(work, 1, mark_as_seen=True)
    assert [set(message.flags) for message in store.mailbox("Work")] == [set()]


async def test_a_page_that_the_server_is_asked_for_gives_no_ids_of_another_mailbox(ann: _Reading) -> None:
    ann.deliver("Work", "first")
    await ann.synced("Work")
    store = ann.world.store_of(ann.world.accounts[0].email)
    store.delete("Work")
    store.create("Work")
    ann.deliver("Work", "second")
    status = dataclasses.replace(ann.account.status, state=AccountState.SYNCING)
    syncing = dataclasses.replace(ann.account, status=status)
    with pytest.raises(Unavailable):
        await ann.service.page(syncing, path="Work", page=0, page_size=10, timeout_seconds=_SECONDS)


async def test_a_download_goes_on_over_another_connection(ann: _Reading) -> None:
    raw = b"Content-Type: application/octet-stream\r\n\r\n" + b"x" * 900_000
    ann.world.store_of(ann.world.accounts[0].email).append("Work", raw)
    number = (await ann.synced("Work")).number
    ann.world.imap_faults.drop_after_bytes = 700_000
    async with ann.service.source(ann.account, message_id(number, 1), timeout_seconds=_SECONDS) as download:
        assert b"".join([chunk async for chunk in download.chunks]) == raw
    part = attachment_id(number, 1, "1")
    async with ann.service.attachment(ann.account, part, timeout_seconds=_SECONDS) as download:
        assert b"".join([chunk async for chunk in download.chunks]) == b"x" * 900_000
