"""What goes wrong while an account is served: slow work, lost connections, mailboxes and messages that break it."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import MailSession
from mailquay.config import Config
from mailquay.errors import RemoteProtocolError, Unavailable
from mailquay.model.account import Account, AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.runtime.refusals import Refusals
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.services.new_mail import NewMail
from mailquay.services.sync import MailboxSync
from mailquay.services.sync_context import SyncContext
from tests.runtime.harness import TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser


def _mail(subject: str) -> bytes:
    return (
        f"From: Ann <ann@example.test>\r\nTo: bob@example.test\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject}@example.test>\r\n\r\nHello {subject}\r\n"
    ).encode()


@pytest.mark.server
async def test_work_that_takes_longer_than_any_deadline_does_not_take_the_account_down(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    config = Config(
        imap_sweep_interval_seconds=0.05, imap_command_timeout_seconds=0.1, imap_connect_timeout_seconds=0.5
    )
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        runner = node.supervisor.runner(account.number)
        assert runner._sync_pool is not None
        with structlog.testing.capture_logs() as logs:
            async with runner._sync_pool.borrow(timeout_seconds=5, patient=True):
                await dovecot.deliver(mail_user.login, _mail("waiting"))
                waited = runner.catch_up.now(["INBOX"], timeout_seconds=1.5)
                with pytest.raises(Unavailable):
                    await waited
            await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert [entry for entry in logs if entry["event"] in ("account_failed", "account_runner_failed")] == []


@pytest.mark.server
async def test_who_waits_for_a_mailbox_is_told_when_the_connection_ends(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        runner = node.supervisor.runner(account.number)
        assert runner._sync_pool is not None
        async with runner._sync_pool.borrow(timeout_seconds=5, patient=True):
            waiting = asyncio.create_task(runner.catch_up.now(["INBOX"], timeout_seconds=30))
            async with asyncio.timeout(5):
                while not runner._sync_pool._slots._waiters:
                    await asyncio.sleep(0)
            runner.retry_now()
            with pytest.raises(Unavailable) as caught:
                async with asyncio.timeout(5):
                    await waiting
        assert caught.value.code == "IMAPConnectionClosing"


@pytest.mark.server
async def test_a_mailbox_that_breaks_every_connection_does_not_keep_the_account_down(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MailboxSync.catch_up

    async def poisoned(
        self: MailboxSync, session: MailSession, context: SyncContext, mailbox: Mailbox, **how: bool
    ) -> Mailbox:
        if mailbox.listing.path == "Archive":
            raise RemoteProtocolError("a response that nobody can read")
        return await real(self, session, context, mailbox, **how)

    monkeypatch.setattr(MailboxSync, "catch_up", poisoned)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.deliver(mail_user.login, _mail("sound"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="INBOX")


@pytest.mark.server
async def test_an_envelope_that_breaks_every_connection_is_left_alone(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sync is done without envelopes; afterwards they are filled in, all that can be had."""
    real, asked = ImapSession.fetch_envelopes, 0

    async def poisoned(self: ImapSession, uids: str) -> AsyncIterator[list[IndexEntry]]:
        nonlocal asked
        if "2" in uids:
            asked += 1
            raise RemoteProtocolError("a response that nobody can read")
        async for batch in real(self, uids):
            yield batch

    await dovecot.deliver(mail_user.login, _mail("one"), _mail("two"))
    monkeypatch.setattr(ImapSession, "fetch_envelopes", poisoned)
    config = Config(reconnect_backoff_seconds=0.01, reconnect_backoff_limit_seconds=0.02)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user, notify_from_ms=None))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        async with asyncio.timeout(10):
            while asked < 3 or await _state(node, account) is not AccountState.CONNECTED:
                await asyncio.sleep(0.01)  # nothing tells of it
        for number in range(3, 6):
            await dovecot.deliver(mail_user.login, _mail(str(number)))
            await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=number)
        assert asked == 3
        assert await _state(node, account) is AccountState.CONNECTED


async def _state(node: TestNode, account: Account) -> AccountState | None:
    stored = await node.store.accounts.get(account.id)
    return None if stored is None else stored.status.state


@pytest.mark.server
async def test_a_message_that_cannot_be_read_is_announced_by_its_identifiers(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = NewMail._content

    def poisoned(self: NewMail, mailbox: Mailbox, entry: Any, bodies: Any) -> dict[str, Any]:
        if entry.envelope.subject == "poison":
            raise RecursionError("parts within parts")
        return real(self, mailbox, entry, bodies)

    monkeypatch.setattr(NewMail, "_content", poisoned)
    settings = {"webhooksEnabled": True, "webhooks": "http://127.0.0.1:9/", "webhookEvents": ["*"]}
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, settings=settings) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.deliver(mail_user.login, _mail("poison"), _mail("sound"))
        events = await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        assert [event.facts["uid"] for event in events] == [1, 2]
        assert [(event.content or {}).get("subject") for event in events] == [None, "sound"]


async def test_a_mailbox_pauses_from_its_third_failure_on() -> None:
    refusals = Refusals()
    for _ in range(2):
        refusals.failed("a")
    assert not refusals.skips("a")
    assert refusals.due() == ["a"]
    refusals.failed("a")
    assert refusals.skips("a")
    assert refusals.due() == []
    refusals.succeeded("a")
    assert not refusals.skips("a")
    assert refusals.due() == []


async def test_a_mailbox_pauses_for_ten_minutes_at_most_when_the_network_was_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an evening of lost connections it must not take the night until somebody looks again."""
    now = 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    lost, refused = Refusals(), Refusals()
    for _ in range(30):
        lost.failed("a", lost=True)
        refused.failed("a")
    now += 601
    assert not lost.skips("a")
    assert lost.due() == ["a"]
    assert refused.skips("a")


async def test_a_new_mailbox_does_not_pay_for_one_that_had_its_path(world: SandboxWorld, tmp_path: Path) -> None:
    """What is not there is tried again and again, and each time left alone for longer."""
    store = world.store_of(world.accounts[0].email)
    store.create("Work")
    at = world.accounts[0]
    imap = ImapSettings(at.imap_host, at.imap_port, user=at.user, password=at.password, tls={"disabled": True})
    config = Config(imap_sweep_interval_seconds=3600)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", AccountProfile(name="ann", imap=imap))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        catch_up = node.supervisor.runner(account.number).catch_up
        for _ in range(6):
            catch_up._parts.refusals.failed("Work")
        store.delete("Work")
        node.supervisor.sync(account.number)
        await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Work")
        store.create("Work")
        node.supervisor.sync(account.number)
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Work", count=2)
        store.append("Work", _mail("first"))
        node.supervisor.sync(account.number)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Work")


@pytest.mark.server
async def test_subconnections_bring_news_of_their_mailboxes_at_once(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    """With sweeps an hour apart nothing but a watch of its own can tell of mail in Archive and in Sent."""
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        wanted = ("Archive", "\\Sent", "No such mailbox", "INBOX")
        account = await node.register("ann", profile_for(dovecot, mail_user, subconnections=wanted))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        for path, subject in (("Archive", "a"), ("Sent", "b"), ("Archive", "c")):
            await dovecot.deliver(mail_user.login, _mail(subject))
            query = ("mailbox", "INBOX", "header", "message-id", f"<{subject}@example.test>")
            await dovecot.doveadm("move", "-u", mail_user.login, path, *query)
            await node.wait_for(EventName.MESSAGE_NEW, account=account, path=path, count=2 if subject == "c" else 1)
            await dovecot.doveadm("kick", mail_user.login)


@pytest.mark.server
@pytest.mark.parametrize("named", [0, 1])
async def test_an_account_that_names_a_resync_delay_is_looked_at_as_often(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    real = MailboxListing.refresh
    looks: list[float] = []

    async def noted(self: MailboxListing, *args: Any) -> None:
        looks.append(time.monotonic())
        await real(self, *args)

    monkeypatch.setattr(MailboxListing, "refresh", noted)
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    profile = profile_for(dovecot, mail_user)
    assert profile.imap is not None
    profile = dataclasses.replace(profile, imap=dataclasses.replace(profile.imap, resync_delay_seconds=named))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.doveadm("mailbox", "create", "-u", mail_user.login, "Fresh")
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Fresh")
        async with asyncio.timeout(5):
            while len(looks) < 4:
                await asyncio.sleep(0.05)  # nothing tells of a look that finds nothing
        assert looks[3] - looks[2] > 0.5
