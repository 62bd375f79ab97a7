"""Servers that offer IDLE and do not do it, or say nothing in it: mail is noticed all the same."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from mailquay.backends.imap import driver
from mailquay.backends.imap.watch import ImapWatch
from mailquay.backends.interface import MailboxNews
from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import running_node

_QUICK = Config(imap_sweep_interval_seconds=0.2, reconnect_backoff_seconds=0.05)
_NO_SWEEP = dataclasses.replace(_QUICK, imap_sweep_interval_seconds=3600)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=imap)


@pytest.mark.parametrize("missing", ["NOTIFY", "MOVE"])
@pytest.mark.parametrize("action", [ImapAction.NO, ImapAction.BAD])
async def test_an_idle_that_is_refused_is_done_without(
    world: SandboxWorld, tmp_path: Path, action: ImapAction, missing: str
) -> None:
    world.imap_faults.missing.add(missing)
    world.imap_faults.on("IDLE", action, times=None)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NO_SWEEP) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        world.store_of(world.accounts[0].email).append("INBOX", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account)


@pytest.mark.parametrize("missing", ["NOTIFY", "MOVE"])
async def test_an_idle_that_is_not_renewed_costs_one_reconnect_at_most(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(driver, "MAX_IDLE_SECONDS", 0.1)
    world.imap_faults.missing.add(missing)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NO_SWEEP) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        world.imap_faults.on("IDLE", ImapAction.BAD, times=None)
        for number in range(1, 5):
            world.store_of(world.accounts[0].email).append("INBOX", _mail(str(number)))
            await node.wait_for(EventName.MESSAGE_NEW, account=account, count=number)
        await node.connected(account)
        logins = await node.wait_for(EventName.AUTHENTICATION_SUCCESS, account=account)
        assert len(logins) == 1


async def test_a_mailbox_whose_idle_says_nothing_is_looked_at_like_the_others(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: ImapWatch) -> list[MailboxNews]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    monkeypatch.setattr(ImapWatch, "next_news", silent)
    world.imap_faults.missing.add("NOTIFY")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        world.store_of(world.accounts[0].email).append("INBOX", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account)
