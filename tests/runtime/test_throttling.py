"""A server that asks for patience gets it, and the account says why it waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.config import Config
from mailquay.errors import AuthenticationFailed, RateLimited
from mailquay.model.account import AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.runtime.session_pool import SessionPool
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
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


async def test_wrong_credentials_are_no_outage(world: SandboxWorld) -> None:
    world.imap_faults.refuse_login = True
    options = ImapOptions(connect_seconds=5, command_seconds=5, idle_restart_seconds=60, poll_seconds=1, client_id={})
    with pytest.raises(AuthenticationFailed):
        await ImapBackend(_settings(world), options).open_session()
