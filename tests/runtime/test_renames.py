"""A level of the hierarchy that is renamed with all that is below it: each mailbox is looked at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapFault, ImapFaults
from mailquay.sandbox.imap_capabilities import PLAIN
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.reading import reading

_MAILBOXES = 20


@pytest.fixture
async def world() -> AsyncIterator[SandboxWorld]:
    """A server that gives its mailboxes no ids, and one UIDVALIDITY to all of them."""
    world = SandboxWorld(empty=True, imap_capabilities=PLAIN)
    await world.start()
    yield world
    await world.stop()


@pytest.mark.parametrize("messages", [0, 3])
async def test_they_keep_their_numbers_and_are_opened_once_each(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    store = world.store_of(world.accounts[0].email)
    for number in range(_MAILBOXES):
        store.create(f"Work/{number}")
        store.mailbox(f"Work/{number}").uidvalidity = 7
        for letter in range(messages):
            raw = f"Message-ID: <{letter}-{number}@b.test>\r\nSubject: {'x' * number}\r\n\r\nx\r\n".encode()
            store.append(f"Work/{number}", raw, received=datetime(2020, 1, 1, tzinfo=UTC))
    commands: Counter[str] = Counter()
    take = ImapFaults.take

    def taking(self: ImapFaults, command: str) -> ImapFault | None:
        commands[command] += 1
        return take(self, command)

    async with reading(world, tmp_path) as ann:
        before = [(await ann.mailbox(f"Work/{number}")).number for number in range(_MAILBOXES)]
        store.rename("Work", "Done")
        monkeypatch.setattr(ImapFaults, "take", taking)
        ann.node.supervisor.runner(ann.account.number).catch_up.nudge_followed()
        for number in range(_MAILBOXES):
            await ann.node.wait_for(EventName.MAILBOX_NEW, account=ann.account, path=f"Done/{number}")
        after = [(await ann.mailbox(f"Done/{number}")).number for number in range(_MAILBOXES)]
        assert (after == before) is bool(messages)
        await ann.catch_up()
        # To be recognised, and to be brought up to date.
        assert commands["EXAMINE"] <= 2 * _MAILBOXES + 5, commands
