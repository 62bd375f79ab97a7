"""A message that cannot be read costs itself alone: it is told of, listed, tried again, and announced when it heals."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.session_reading import SessionReading
from mailquay.backends.interface import FetchedSections
from mailquay.errors import CommandRejected, PartUnavailable
from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction, ImapFault, ImapFaults
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.new_mail import NewMail
from mailquay.services.retries import ROUND
from mailquay.wire.imap.leniency import Leniency
from tests.runtime.reading import Reader, reading

_OLD = datetime(2020, 1, 1, tzinfo=UTC)
_BROKEN, _NEW = EventName.MESSAGE_UNPROCESSABLE, EventName.MESSAGE_NEW


def _letter(name: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {name}\r\nMessage-ID: <{name}@b.test>\r\n\r\nx\r\n".encode()


def _fill(world: SandboxWorld, count: int) -> None:
    store = world.store_of(world.accounts[0].email)
    for number in range(1, count + 1):
        store.append("INBOX", _letter(str(number)), received=_OLD)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the server got each command."""
    counted: Counter[str] = Counter()
    take = ImapFaults.take

    def counting(self: ImapFaults, command: str) -> ImapFault | None:
        counted[command] += 1
        return take(self, command)

    monkeypatch.setattr(ImapFaults, "take", counting)
    return counted


async def _their_turn(ann: Reader) -> None:
    """Let the time pass after which messages in INBOX are tried again; nothing is at work there in that moment."""
    await ann.catch_up()
    number = (await ann.mailbox()).number
    waiting = await ann.node.store.quarantine.all(number, 1000)
    await ann.node.store.commit(ann.node.store.quarantine.tried(number, [(one.uid, one.tries, 1) for one in waiting]))


@pytest.mark.parametrize("broken", [{3}, {1000}, {1, 2, 500, 501, 999}], ids=str)
async def test_a_broken_message_among_a_thousand(
    world: SandboxWorld, tmp_path: Path, commands: Counter[str], broken: set[int]
) -> None:
    _fill(world, 1000)
    world.imap_faults.unavailable_uids |= broken
    async with reading(world, tmp_path) as ann:
        fetches = sum(commands.values())
        assert fetches < 60 + 45 * len(broken), commands
        entries = await ann.until(digested=1000 - len(broken), envelopes=1000 - len(broken))
        assert {uid for uid, entry in entries.items() if entry.error is not None} == broken
        # What is known to be broken is left out from then on.
        assert sum(commands.values()) < fetches + 25, commands
        assert sorted(await ann.events(_BROKEN)) == sorted((_BROKEN, uid) for uid in broken)
        shown = {one["uid"]: one for one in await ann.page(size=1000)}
        assert len(shown) == 1000
        for uid in broken:
            assert {**shown[uid], "id": ""} == {
                "id": "", "uid": uid, "flags": [], "status": "failed", "error": "UID FETCH Server error"
            }  # fmt: skip
        world.store_of(world.accounts[0].email).append("INBOX", _letter("fresh"))
        await ann.node.wait_for(_NEW, account=ann.account, uid=1001)
        before = sum(commands.values())
        await ann.catch_up()
        assert sum(commands.values()) < before + 10
    async with reading(world, tmp_path) as ann:
        await ann.catch_up()
        assert len(await ann.events(_BROKEN)) == len(broken)


async def test_one_that_heals_is_completed_and_was_no_news(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, 5)
    world.imap_faults.unavailable_uids |= {2, 4}
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=3, envelopes=3)
        store = world.store_of(world.accounts[0].email)
        inbox = store.mailbox("INBOX")
        world.imap_faults.unavailable_uids.remove(2)
        await ann.catch_up()
        assert (await ann.entries())[2].error is not None
        await _their_turn(ann)
        store.set_flags(inbox, [(message, frozenset(["\\Seen"])) for message in inbox if message.uid == 2])
        await ann.catch_up()
        healed = (await ann.until(digested=4, envelopes=4))[2]
        assert (healed.error, healed.flags) == (None, ("\\Seen",))
    world.imap_faults.clear()
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=4, envelopes=4)
        await _their_turn(ann)
    # It is nobody's turn to look at the mailbox, but that of the message.
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=5, envelopes=5)
        assert [one["subject"] for one in await ann.page()] == ["5", "4", "3", "2", "1"]
        assert await ann.events(_NEW) == [] and len(await ann.events(_BROKEN)) == 2


@pytest.mark.parametrize("restart", [False, True])
async def test_new_mail_that_is_broken_is_announced_when_it_heals(
    world: SandboxWorld, tmp_path: Path, restart: bool
) -> None:
    _fill(world, 1)
    store = world.store_of(world.accounts[0].email)
    async with reading(world, tmp_path) as ann:
        world.imap_faults.unavailable_uids |= {2, 4}
        for name in ("2", "3", "4"):
            store.append("INBOX", _letter(name))
        await ann.node.wait_for(_BROKEN, account=ann.account, count=2)
        await ann.node.wait_for(_NEW, account=ann.account, uid=3)
        store.append("INBOX", _letter("5"))
        await ann.node.wait_for(_NEW, account=ann.account, uid=5)
        world.imap_faults.unavailable_uids.remove(2)
        await _their_turn(ann)
        if not restart:
            await ann.catch_up()
            await ann.node.wait_for(_NEW, account=ann.account, uid=2)
    async with reading(world, tmp_path) as ann:
        [healed] = await ann.node.wait_for(_NEW, account=ann.account, uid=2)
        assert healed.facts["seemsLikeNew"] is True
        assert healed.content is not None and healed.content["subject"] == "2"
        await ann.catch_up()
        assert sorted(await ann.events(_NEW)) == [(_NEW, 2), (_NEW, 3), (_NEW, 5)]
        inbox = await ann.mailbox()
        assert inbox.cursor is not None and inbox.cursor.messages == len(await ann.entries()) == 5


async def test_verification_tries_those_again_whose_turn_never_comes(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, 3)
    world.imap_faults.unavailable_uids.add(2)
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=2, envelopes=2)
        await ann.node.store.commit(ann.node.store.quarantine.tried((await ann.mailbox()).number, [(2, 4, None)]))
        world.imap_faults.clear()
        await ann.catch_up()
        assert (await ann.entries())[2].error is not None
        ann.node.supervisor.runner(ann.account.number).catch_up.nudge(["INBOX"], verify=True)
        await ann.until(digested=3, envelopes=3)


async def test_a_round_is_bounded_and_all_have_their_turn(
    world: SandboxWorld, tmp_path: Path, commands: Counter[str]
) -> None:
    count = 3 * ROUND
    _fill(world, count + 1)
    world.imap_faults.unavailable_uids |= set(range(1, count + 1))
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=1, envelopes=1)
        number = (await ann.mailbox()).number
        await _their_turn(ann)
        for turn in (1, 2, 3):
            before = sum(commands.values())
            await ann.catch_up()
            assert sum(commands.values()) - before < 5 * ROUND, commands
            tries = Counter(one.tries for one in await ann.node.store.quarantine.all(number, count))
            assert tries == Counter({2: turn * ROUND, 1: count - turn * ROUND}) - Counter()
        assert len(await ann.events(_BROKEN)) == count


@pytest.mark.parametrize("verify", [False, True])
async def test_when_the_server_has_recovered_all_are_completed_at_once(
    world: SandboxWorld, tmp_path: Path, verify: bool
) -> None:
    """Also those whose turn never comes by itself: a round of them a day would be no end."""
    count = 5 * ROUND + 3
    _fill(world, count)
    world.imap_faults.unavailable_uids |= {*range(2, count + 1)}
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=1, envelopes=1)
        world.imap_faults.unavailable_uids.intersection_update({7})
        await _their_turn(ann)
        number = (await ann.mailbox()).number
        if verify:
            waiting = await ann.node.store.quarantine.all(number, count)
            turns = [(one.uid, 9, None) for one in waiting]
            await ann.node.store.commit(ann.node.store.quarantine.tried(number, turns))
            ann.node.supervisor.runner(ann.account.number).catch_up.nudge(["INBOX"], verify=True)
        await ann.catch_up()
        assert [one.uid for one in await ann.node.store.quarantine.all(number, count)] == [7]
        assert await ann.events(_NEW) == []


async def test_one_that_ends_the_connection_is_not_tried_after_every_reconnect(
    world: SandboxWorld, tmp_path: Path
) -> None:
    _fill(world, 2)
    world.imap_faults.unavailable_uids.add(2)
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=1, envelopes=1)
        await _their_turn(ann)
        world.imap_faults.on("UID FETCH", ImapAction.DROP, times=1)
        await ann.catch_up()
        [waiting] = await ann.node.store.quarantine.all((await ann.mailbox()).number, 9)
        assert waiting.tries == 2


async def test_an_answer_that_cannot_be_parsed_is_a_broken_message_too(world: SandboxWorld, tmp_path: Path) -> None:
    """What is told of it quotes nothing of the message, and what could be read of it is shown."""
    _fill(world, 2)
    world.imap_faults.quirks.add(Leniency.MESSAGE_ISOLATED)
    async with reading(world, tmp_path, index="identifiers") as ann:
        told = await ann.node.wait_for(_BROKEN, account=ann.account, count=2)
        assert all("expected" in str(event.facts["error"]) and "word" not in str(event.facts) for event in told)
        assert [(one["uid"], one["status"], one["size"] > 10) for one in await ann.page()] == [
            (2, "failed", True),
            (1, "failed", True),
        ]
        world.imap_faults.clear()
        await _their_turn(ann)
        await ann.catch_up()
        await ann.until(digested=2, envelopes=0)


async def test_without_an_index_it_is_announced_by_its_identifiers(world: SandboxWorld, tmp_path: Path) -> None:
    _fill(world, 1)
    async with reading(world, tmp_path, imap_indexer="fast") as ann:
        world.imap_faults.unavailable_uids.add(2)
        world.store_of(world.accounts[0].email).append("INBOX", _letter("2"))
        await ann.node.wait_for(_BROKEN, account=ann.account)
        assert await ann.events() == [(_NEW, 2), (_BROKEN, 2)]


async def test_a_message_that_we_cannot_turn_into_a_payload_is_announced_and_told_of(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = NewMail._content

    def breaking(self: NewMail, mailbox: Any, entry: Any, read: Any) -> dict[str, Any]:
        if entry.envelope.subject == "odd":
            raise ValueError("a secret of the message")
        return content(self, mailbox, entry, read)

    monkeypatch.setattr(NewMail, "_content", breaking)
    async with reading(world, tmp_path) as ann:
        for name in ("odd", "even"):
            world.store_of(world.accounts[0].email).append("INBOX", _letter(name))
        await ann.node.wait_for(_NEW, account=ann.account, count=2)
        [odd, even] = await ann.node.wait_for(_NEW, account=ann.account, count=2)
        assert odd.content is None and even.content is not None and even.content["subject"] == "even"
        [told] = await ann.node.wait_for(_BROKEN, account=ann.account)
        assert told.facts["uid"] == odd.facts["uid"]
        assert told.facts["error"] == "the message cannot be read (ValueError)"
        assert await ann.node.store.quarantine.all((await ann.mailbox()).number, 9) == []


@pytest.mark.parametrize("error", [CommandRejected("no body"), PartUnavailable("no body", retry_after_seconds=60)])
async def test_a_body_that_the_server_refuses_costs_no_other_message_its_text(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fetch = SessionReading.fetch_sections

    async def refusing(self: SessionReading, uids: str, *rest: Any, **more: Any) -> dict[int, FetchedSections]:
        first, _, last = uids.partition(":")
        if int(first) <= 2 <= int(last or first):
            raise error
        return await fetch(self, uids, *rest, **more)

    monkeypatch.setattr(SessionReading, "fetch_sections", refusing)
    async with reading(world, tmp_path) as ann:
        for name in ("1", "2", "3", "4"):
            world.store_of(world.accounts[0].email).append("INBOX", _letter(name))
        news = await ann.node.wait_for(_NEW, account=ann.account, count=4)
        assert [event.facts["uid"] for event in news if event.content is None] == [2]
        [told] = await ann.node.wait_for(_BROKEN, account=ann.account)
        assert (told.facts["uid"], told.facts["error"]) == (2, "no body")
        assert ann.node.supervisor.runner(ann.account.number).state.value == "connected"
