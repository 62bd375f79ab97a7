"""Connections that died without a word: a peer that is frozen takes bytes, acknowledges keepalives and says nothing."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.pump import DriverOptions
from mailquay.config import Config
from mailquay.errors import Unavailable
from mailquay.model.account import ImapSettings
from mailquay.runtime.session_pool import SessionPool
from mailquay.sandbox.world import SandboxWorld
from tests.servers.tcp_proxy import TcpProxy

_OPTIONS = ImapOptions(connect_seconds=5, command_seconds=0.5, idle_restart_seconds=0.3, poll_seconds=0.3, client_id={})


@pytest.fixture
async def proxy(world: SandboxWorld) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(world.accounts[0].imap_port) as proxy:
        yield proxy


def _backend(world: SandboxWorld, proxy: TcpProxy, options: ImapOptions = _OPTIONS) -> ImapBackend:
    ann = world.accounts[0]
    settings = ImapSettings(proxy.host, proxy.port, user=ann.user, password=ann.password, tls={"disabled": True})
    return ImapBackend(settings, options)


def test_the_usual_configuration_finds_a_dead_watch_within_ninety_seconds() -> None:
    assert Config().imap_idle_restart_seconds + DriverOptions().proof_seconds < 90


@pytest.mark.parametrize("everywhere", [True, False], ids=["all mailboxes", "one mailbox"])
@pytest.mark.parametrize("missing", [None, "IDLE"], ids=["idle", "polling"])
async def test_a_watch_finds_out_that_its_peer_is_frozen(
    world: SandboxWorld, proxy: TcpProxy, everywhere: bool, missing: str | None
) -> None:
    """Whether it idles or looks at intervals: after its interval and one deadline."""
    if missing is not None:
        world.imap_faults.missing.add(missing)
    watch = await _backend(world, proxy).open_watch("INBOX", everywhere=everywhere)
    await watch.start()
    proxy.freeze()
    with pytest.raises(Unavailable) as lost:
        async with asyncio.timeout(5):
            await watch.next_news()
    assert lost.value.code == "ETIMEDOUT"
    await watch.close()


async def test_the_next_user_of_a_dead_session_gets_a_living_one(world: SandboxWorld, proxy: TcpProxy) -> None:
    options = dataclasses.replace(_OPTIONS, command_seconds=0.3)
    pool = SessionPool(_backend(world, proxy, options), limit=1, idle_seconds=60, trusted_seconds=0)
    async with pool.borrow(timeout_seconds=5) as session:
        first = session
    async with pool.borrow(timeout_seconds=5) as session:
        assert session is first
    proxy.freeze()
    async with pool.borrow(timeout_seconds=5) as session:
        assert session is not first
        assert await session.list_mailboxes()
    assert proxy.connection_count == 2
    await pool.close()
    assert pool.connections == 0
