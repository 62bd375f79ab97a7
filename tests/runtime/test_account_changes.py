"""An account that is changed, by its owner or on its server, at a bad moment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.runtime.account_runner import AccountRunner
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import running_node

_QUICK = Config(imap_sweep_interval_seconds=0.2, reconnect_backoff_seconds=0.05)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _profile(world: SandboxWorld, **changes: Any) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=imap, **changes)


async def test_what_a_runner_has_stored_last_counts_for_the_next_one(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first sync ends in the moment in which it is to make way: that is told once."""
    stop = AccountRunner.stop
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", _profile(world))

        async def late(self: AccountRunner) -> None:
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            await stop(self)

        monkeypatch.setattr(AccountRunner, "stop", late)
        await node.wait_for(EventName.MAILBOX_NEW, account=account)
        await node.register("ann", _profile(world, path=("Archive",)))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        world.store_of(world.accounts[0].email).append("Archive", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account)
        names = [event.name for event in await node.store.events.of_account_after(account.number, 0, 1000)]
        assert names.count(EventName.ACCOUNT_INITIALIZED) == names.count(EventName.AUTHENTICATION_SUCCESS) == 1


@pytest.mark.parametrize("missing", ["NOTIFY", "IDLE"])
async def test_a_mailbox_that_is_not_there_keeps_no_other_from_being_followed(
    world: SandboxWorld, tmp_path: Path, missing: str
) -> None:
    world.imap_faults.missing.add(missing)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", _profile(world, path=("Gone", "Archive")))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert node.supervisor.runner(account.number).connections <= 2
        world.store_of(world.accounts[0].email).append("Archive", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive")


async def test_credentials_that_were_mended_in_the_last_moment_are_not_given_up(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(_QUICK, auth_failure_limit_seconds=0)
    good = _profile(world)
    assert good.imap is not None
    wrong = dataclasses.replace(good, imap=dataclasses.replace(good.imap, password="wrong"))
    give_up = AccountRunner._give_up_on_credentials
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:

        async def late(self: AccountRunner, now_ms: int) -> None:
            monkeypatch.undo()
            await node.register("ann", good)
            await give_up(self, now_ms)

        monkeypatch.setattr(AccountRunner, "_give_up_on_credentials", late)
        account = await node.register("ann", wrong)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
