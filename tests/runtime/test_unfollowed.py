"""Mailboxes that an account does not follow are read all the same, and shown as they are."""

from __future__ import annotations

from pathlib import Path

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from tests.runtime.harness import SystemClock, running_node


class _LaterClock(SystemClock):
    """A clock by which nothing was looked at within the last second."""

    def now_ms(self) -> int:
        return super().now_ms() + 5000


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


async def test_an_inbox_that_nobody_follows_is_no_older_than_the_question(world: SandboxWorld, tmp_path: Path) -> None:
    at = world.accounts[0]
    inbox = world.store_of(at.email)
    imap = ImapSettings(at.imap_host, at.imap_port, tls={"disabled": True}, user=at.user, password=at.password)
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", AccountProfile(name="x", imap=imap, path=("\\Sent",)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        account = await node.connected(account)
        service = MessageService(node.store, node.access, MailboxService(node.store, node.access), _LaterClock())
        for subject in ("first", "second", "third"):
            inbox.append("INBOX", _mail(subject))
            page = await service.page(account, path="INBOX", page=0, page_size=1, timeout_seconds=10)
            assert [one["subject"] for one in page["messages"]] == [subject]
