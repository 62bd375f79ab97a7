"""News of a mailbox that come while it is being brought up to date: its index is not taken for current after that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.reading import SECONDS, Reader, reading


def _letter(name: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {name}\r\nMessage-ID: <{name}@b.test>\r\n\r\nx\r\n".encode()


async def _stalled(world: SandboxWorld) -> None:
    async with asyncio.timeout(SECONDS):
        while not world.imap_faults.stalled:
            await asyncio.sleep(0.01)  # nothing tells of an answer that is held back


async def _asked_for(ann: Reader) -> None:
    """Wait until INBOX has been asked for once more."""
    requests = ann.node.supervisor.runner(ann.account.number).catch_up._requests
    async with asyncio.timeout(SECONDS):
        while not requests.waits("INBOX"):
            await asyncio.sleep(0.01)  # nothing tells of a request before it is served


@pytest.mark.parametrize("missing", [frozenset[str](), frozenset(["NOTIFY"]), frozenset(["NOTIFY", "CONDSTORE"])])
async def test_a_page_waits_for_them(world: SandboxWorld, tmp_path: Path, missing: frozenset[str]) -> None:
    faults = world.imap_faults
    faults.missing |= missing
    store = world.store_of(world.accounts[0].email)
    async with reading(world, tmp_path) as ann:
        await ann.catch_up()
        faults.on("UID FETCH", ImapAction.STALL)
        store.append("INBOX", _letter("first"))
        await _stalled(world)
        store.append("INBOX", _letter("second"))
        await _asked_for(ann)
        faults.on("EXAMINE", ImapAction.STALL)
        faults.release()
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        await _stalled(world)
        page = asyncio.create_task(ann.page())
        await asyncio.wait([page], timeout=0.3)
        faults.release()
        assert [one["subject"] for one in await page] == ["second", "first"]
