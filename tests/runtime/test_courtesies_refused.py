"""What we can do without: a server that offers it and refuses it is served all the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.imap_capabilities import USUAL
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.reading import QUIET, reading

_SWEEPING = dataclasses.replace(QUIET, imap_sweep_interval_seconds=0.3)


async def _news_arrive(world: SandboxWorld, folder: Path) -> None:
    """Mail that comes into the watched mailbox, and into another one, is told."""
    store = world.store_of(world.accounts[0].email)
    async with reading(world, folder, config=_SWEEPING) as ann:
        for count, path in enumerate(["INBOX", "Archive"], start=1):
            store.append(path, f"Message-ID: <{count}@b.test>\r\nSubject: x\r\n\r\nx\r\n".encode())
            await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=count)
        assert all(box.listing.subscribed for box in await ann.node.store.mailboxes.of_account(ann.account.number))


@pytest.mark.parametrize("action", [ImapAction.NO, ImapAction.BAD])
async def test_who_we_are(world: SandboxWorld, tmp_path: Path, action: ImapAction) -> None:
    world.imap_faults.on("ID", action, times=None)
    await _news_arrive(world, tmp_path)


async def test_what_the_user_has_subscribed(world: SandboxWorld, tmp_path: Path) -> None:
    world.imap_faults.missing.add("LIST-EXTENDED")
    world.imap_faults.on("LSUB", ImapAction.NO, times=None)
    await _news_arrive(world, tmp_path)


async def test_more_than_a_list(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - {"LIST-EXTENDED"})
    await world.start()
    world.imap_faults.extra.add("LIST-EXTENDED")
    await _news_arrive(world, tmp_path)
    await world.stop()


@pytest.mark.parametrize(
    ("command", "code"),
    [("ENABLE", None), ("NOTIFY", "UNAVAILABLE"), ("NOTIFY", "LIMIT"), ("IDLE", "UNAVAILABLE")],
)
async def test_telling_of_news(world: SandboxWorld, tmp_path: Path, command: str, code: str | None) -> None:
    """All mailboxes at once, then one alone, then none: they are looked at."""
    world.imap_faults.on(command, ImapAction.NO, code=code, times=None)
    await _news_arrive(world, tmp_path)
