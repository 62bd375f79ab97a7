"""A server that offers to count all mailboxes in its listing, and refuses it: they are counted one by one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.model.event import EventName
from mailquay.sandbox.imap_capabilities import USUAL
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.reading import QUIET, reading


@pytest.mark.parametrize("also_missing", [frozenset[str](), frozenset(["OBJECTID", "CONDSTORE", "QRESYNC"])])
async def test_its_accounts_are_served_all_the_same(tmp_path: Path, also_missing: frozenset[str]) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - {"LIST-STATUS"} - also_missing)
    await world.start()
    world.imap_faults.extra.add("LIST-STATUS")
    store = world.store_of(world.accounts[0].email)
    sweeping = dataclasses.replace(QUIET, imap_sweep_interval_seconds=0.2)
    async with reading(world, tmp_path, config=sweeping) as ann:
        for count, path in enumerate(["Archive", "Drafts", "Archive"], start=1):
            store.append(path, f"Message-ID: <{count}@b.test>\r\nSubject: x\r\n\r\nx\r\n".encode())
            await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=count)
        assert {box.path for box in await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)} == {
            "Archive",
            "Drafts",
        }
    await world.stop()
