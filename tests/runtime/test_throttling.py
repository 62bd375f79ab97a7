"""A server that asks for patience gets it, and the account says why it waits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap import refusal
from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.session_opening import SessionOpening
from mailquay.backends.imap.session_reading import SessionReading
from mailquay.backends.interface import FetchedSections, OpenedMailbox
from mailquay.config import Config
from mailquay.errors import AuthenticationFailed, PartUnavailable, RateLimited
from mailquay.model.account import AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.runtime.session_pool import SessionPool
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.account_view import last_error
from tests.runtime.harness import running_node

_QUICK = Config(imap_sweep_interval_seconds=0.2, reconnect_backoff_seconds=0.01, reconnect_backoff_limit_seconds=0.02)
_PAUSE_SECONDS = 1.0
_TEXT = "Request is throttled. Suggested Backoff Time: 1000 milliseconds"


def _settings(world: SandboxWorld) -> ImapSettings:
    ann = world.accounts[0]
    return ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})


@pytest.mark.parametrize(
    ("command", "action", "code"),
    [
        ("LOGIN", ImapAction.NO, "THROTTLED"),
        ("LOGIN", ImapAction.BAD, None),
        ("LOGIN", ImapAction.BYE, "UNAVAILABLE"),
        ("SELECT", ImapAction.NO, "LIMIT"),
        ("LIST", ImapAction.BYE, None),
    ],
)
async def test_the_pause_that_a_server_names_is_kept_and_shown(
    world: SandboxWorld, tmp_path: Path, command: str, action: ImapAction, code: str | None
) -> None:
    """At the login or later: one error is told, nobody comes back early, and then all is well."""
    for name in {command, "AUTHENTICATE" if command == "LOGIN" else command, "EXAMINE" if code == "LIMIT" else command}:
        world.imap_faults.on(name, action, code=code, text=_TEXT)
    # An empty mailbox would not be opened at all.
    world.store_of(world.accounts[0].email).append("INBOX", b"Subject: x\r\n\r\nx\r\n")
    profile = AccountProfile(name="ann", imap=_settings(world))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        [error] = await node.wait_for(EventName.CONNECT_ERROR, account=account)
        began = asyncio.get_running_loop().time()
        assert "Suggested Backoff Time" in str(error.facts["response"])
        stored = await node.store.accounts.get("ann")
        assert stored is not None and stored.status.state is AccountState.CONNECT_ERROR
        assert "Suggested Backoff Time" in str((stored.status.last_error or {}).get("response"))
        world.imap_faults.clear()
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert asyncio.get_running_loop().time() - began >= _PAUSE_SECONDS * 0.9
        assert len(await node.wait_for(EventName.CONNECT_ERROR, account=account)) == 1


async def test_a_connected_account_shows_why_it_waits(world: SandboxWorld, tmp_path: Path) -> None:
    profile = AccountProfile(name="ann", imap=_settings(world))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        world.imap_faults.on("LIST", ImapAction.BYE, code="THROTTLED", text=_TEXT)
        await node.wait_for(EventName.CONNECT_ERROR, account=account)
        await node.wait_for(EventName.AUTHENTICATION_SUCCESS, account=account, count=2)


async def test_a_pool_opens_nothing_before_the_pause_is_over(world: SandboxWorld) -> None:
    """The next login would succeed, and is not tried."""
    for name in ("LOGIN", "AUTHENTICATE"):
        world.imap_faults.on(name, ImapAction.NO, code="LIMIT", text="Too many connections")
    options = ImapOptions(connect_seconds=5, command_seconds=5, idle_restart_seconds=60, poll_seconds=1, client_id={})
    pool = SessionPool(ImapBackend(_settings(world), options), limit=2, idle_seconds=60)
    for _ in range(2):
        with pytest.raises(RateLimited) as refused:
            async with pool.borrow(timeout_seconds=5):
                raise AssertionError("it was let in")
        assert 59 < refused.value.retry_after_seconds <= 60
    await pool.close()


@pytest.mark.parametrize("command", ["LIST", "EXAMINE", "UID FETCH"])
async def test_a_part_of_the_server_that_is_down_pauses_the_account(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It breaks no mailbox and no message, is shown, and then all is well."""
    monkeypatch.setattr(refusal, "PART_UNAVAILABLE_RETRY_SECONDS", _PAUSE_SECONDS)
    for number in range(3):
        world.store_of(world.accounts[0].email).append("INBOX", b"Subject: %d\r\n\r\nx\r\n" % number)
    for name in {command, "SELECT" if command == "EXAMINE" else command}:
        world.imap_faults.on(name, ImapAction.NO, code="UNAVAILABLE", text="storage is down", times=None)
    profile = AccountProfile(name="ann", imap=_settings(world))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        [error] = await node.wait_for(EventName.CONNECT_ERROR, account=account)
        began = asyncio.get_running_loop().time()
        assert error.facts == {"response": "storage is down", "serverResponseCode": "UNAVAILABLE"}
        stored = await node.store.accounts.get("ann")
        assert stored is not None and last_error(stored) == error.facts
        world.imap_faults.clear()
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert asyncio.get_running_loop().time() - began >= _PAUSE_SECONDS * 0.9
        assert last_error(await node.connected(account)) is None
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None and await node.store.quarantine.all(inbox.number, 9) == []


async def test_new_mail_waits_with_its_text_until_the_server_has_its_storage_back(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal, "PART_UNAVAILABLE_RETRY_SECONDS", 0.2)
    fetch = SessionReading.fetch_sections
    down = True

    async def refusing(self: SessionReading, *rest: Any, **more: Any) -> dict[int, FetchedSections]:
        if down:
            raise PartUnavailable("storage is down", retry_after_seconds=0.2)
        return await fetch(self, *rest, **more)

    monkeypatch.setattr(SessionReading, "fetch_sections", refusing)
    webhooks = {"webhooksEnabled": True, "webhooks": "http://127.0.0.1:9/", "webhookEvents": ["*"]}
    old = datetime(2020, 1, 1, tzinfo=UTC)
    store = world.store_of(world.accounts[0].email)
    store.append("INBOX", b"Subject: old\r\n\r\nx\r\n", received=old)
    profile = AccountProfile(name="ann", imap=_settings(world), notify_from_ms=int(time.time() * 1000))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK, settings=webhooks) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        store.append("INBOX", b"Subject: new\r\n\r\nx\r\n")
        await node.wait_for(EventName.CONNECT_ERROR, account=account)
        down = False
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert new.content is not None and new.content["subject"] == "new"


async def test_a_mailbox_that_alone_is_down_holds_up_the_others_for_a_while_only(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_mailbox = SessionOpening.open_mailbox

    async def refusing(self: SessionOpening, path: str, **more: Any) -> OpenedMailbox:
        if path == "Archive":
            raise PartUnavailable("storage is down", retry_after_seconds=0.05)
        return await open_mailbox(self, path, **more)

    monkeypatch.setattr(SessionOpening, "open_mailbox", refusing)
    store = world.store_of(world.accounts[0].email)
    for path in ("Archive", "Sent"):
        store.append(path, b"Subject: x\r\n\r\nx\r\n")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", AccountProfile(name="ann", imap=_settings(world)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        sent = await node.store.mailboxes.by_path(account.number, "Sent")
        assert sent is not None and sent.cursor is not None
        assert len(await node.wait_for(EventName.CONNECT_ERROR, account=account)) <= 2


async def test_wrong_credentials_are_no_outage(world: SandboxWorld) -> None:
    world.imap_faults.refuse_login = True
    options = ImapOptions(connect_seconds=5, command_seconds=5, idle_restart_seconds=60, poll_seconds=1, client_id={})
    with pytest.raises(AuthenticationFailed):
        await ImapBackend(_settings(world), options).open_session()
