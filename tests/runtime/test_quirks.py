"""The story of test_dialects on servers with habits, played by the sandbox: nothing is missed, nothing is made up."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapFaults
from mailquay.sandbox.imap_capabilities import EVERYTHING, PLAIN, USUAL
from mailquay.sandbox.world import SandboxWorld
from mailquay.wire.imap.leniency import Leniency
from tests.runtime.harness import SystemClock, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.5)
_TOGETHER = frozenset(
    [
        Leniency.TEXT_MISSING,
        Leniency.BODY_NUMBER_NIL,
        Leniency.DISPOSITION_BARE,
        Leniency.UNTAGGED_BEFORE_CONTINUATION,
        Leniency.CONTINUATION_BARE,
        Leniency.COPYUID_UNTAGGED,
        Leniency.OBJECTID_BARE,
        Leniency.NUMBER_FLOATING,
        Leniency.PARAMETER_NIL,
        Leniency.ENVELOPE_SHORT,
        Leniency.EXTRA_BLANK,
    ]
)


def _grammar(faults: ImapFaults) -> None:
    faults.quirks |= _TOGETHER


def _message_limit(faults: ImapFaults) -> None:
    faults.message_limit = 2


def _unavailable(faults: ImapFaults) -> None:
    faults.unavailable_uids.add(3)


def _search_empty(faults: ImapFaults) -> None:
    faults.search_empty = True


def _uidonly(faults: ImapFaults) -> None:
    faults.uidonly = True


def _none(_: ImapFaults) -> None:
    pass


@pytest.fixture(
    params=[
        pytest.param((USUAL, _grammar), id="grammar"),
        pytest.param((USUAL, _message_limit), id="message-limit"),
        pytest.param((PLAIN, _message_limit), id="message-limit-plain"),
        pytest.param((USUAL, _unavailable), id="unavailable"),
        pytest.param((USUAL, _search_empty), id="search-empty"),
        pytest.param((EVERYTHING, _uidonly), id="uidonly"),
        pytest.param((PLAIN | {"UIDONLY", "UIDPLUS"}, _uidonly), id="uidonly-plain"),
        pytest.param((PLAIN, _none), id="plain"),
        pytest.param((EVERYTHING, _none), id="everything"),
    ]
)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[SandboxWorld]:
    capabilities, misbehave = request.param
    world = SandboxWorld(empty=True, imap_capabilities=capabilities)
    change: Callable[[ImapFaults], None] = misbehave
    change(world.imap_faults)
    await world.start()
    yield world
    await world.stop()


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


async def test_the_story_with_habits(world: SandboxWorld, tmp_path: Path) -> None:
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    inbox = store.mailbox("INBOX")
    imap = ImapSettings(host=ann.imap_host, port=ann.imap_port, user=ann.user, password=ann.password)
    imap = dataclasses.replace(imap, tls={"disabled": True})
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    for number in range(5):
        store.append("INBOX", _mail(f"old{number}"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        store.append("INBOX", _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account, seconds=50)
        assert new.facts["uid"] == 6
        first, second = [message for message in inbox if message.uid in (1, 2)]
        store.set_flags(inbox, [(first, frozenset(["\\Flagged"]))])
        [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, seconds=50)
        assert updated.facts["uid"] == 1
        store.expunge(inbox, [second])
        [deleted] = await node.wait_for(EventName.MESSAGE_DELETED, account=account, seconds=50)
        assert deleted.facts["uid"] == 2
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        told = [
            (event.name, event.facts["uid"])
            for event in events
            if "uid" in event.facts and event.name is not EventName.MESSAGE_UNPROCESSABLE
        ]
        assert told == [
            (EventName.MESSAGE_NEW, 6),
            (EventName.MESSAGE_UPDATED, 1),
            (EventName.MESSAGE_DELETED, 2),
        ]
