"""What messageNew says of messages that are more than their sections tell: invitations, winmail.dat and others."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.identifiers import parse_attachment_id
from mailquay.wire.imap.leniency import Leniency
from tests.mime.test_calendar_event import calendar
from tests.runtime.reading import Reader, reading
from tests.services.test_message_content import HEAD, encoded, multipart, part, winmail

_EVENT = calendar(
    "UID:1@example.com",
    "DTSTART;TZID=Europe/Berlin:20260701T100000",
    "DTEND:20260701T093000Z",
    "SUMMARY:Lunch",
    "DESCRIPTION:Bring something",
    "ORGANIZER:mailto:ann@example.com",
)
_TOLD = {
    "eventId": "1@example.com",
    "method": "REQUEST",
    "summary": "Lunch",
    "description": "Bring something",
    "timezone": "Europe/Berlin",
    "startDate": "2026-07-01T08:00:00.000Z",
    "endDate": "2026-07-01T09:30:00.000Z",
    "organizer": "ann@example.com",
    "encoding": "base64",
    "content": base64.b64encode(_EVENT).decode(),
}


@contextlib.asynccontextmanager
async def _listening(tmp_path: Path, quirk: Leniency | None = None, **settings: Any) -> AsyncIterator[Listener]:
    world = SandboxWorld(empty=True)
    if quirk is not None:
        world.imap_faults.quirks.add(quirk)
    await world.start()
    async with reading(world, tmp_path) as reader:
        await reader.node.settings.write(settings)
        yield Listener(world, reader)
    await world.stop()


class Listener:
    """An account that mail comes to, and what is told of it."""

    def __init__(self, world: SandboxWorld, reader: Reader) -> None:
        self._world = world
        self._reader = reader
        self._count = 0

    async def told(self, message: bytes) -> dict[str, Any]:
        """Deliver a message; returns the data of its messageNew."""
        self._count += 1
        self._world.store_of(self._world.accounts[0].email).append("INBOX", message)
        reader = self._reader
        events = await reader.node.wait_for(EventName.MESSAGE_NEW, account=reader.account, count=self._count)
        content = events[-1].content
        assert content is not None
        return dict(content)


def _alternative(*more: bytes) -> bytes:
    text, invitation = part("text/plain", b"Please come"), part("text/calendar; method=REQUEST", _EVENT)
    return HEAD + multipart("mixed", "m", multipart("alternative", "a", text, invitation), *more)


async def test_invitations_are_told(tmp_path: Path) -> None:
    file = encoded("application/ics", _EVENT, 'Content-Disposition: attachment; filename="invite.ics"')
    async with _listening(tmp_path, notifyCalendarEvents=True) as ann:
        [inline] = (await ann.told(_alternative()))["calendarEvents"]
        assert parse_attachment_id(inline.pop("attachment"))[1] == "1.2"
        assert inline == {**_TOLD, "contentType": "text/calendar"}
        with_file = await ann.told(_alternative(file))
        [event] = with_file["calendarEvents"]
        assert event.pop("attachment") == with_file["attachments"][0]["id"]
        assert event == {**_TOLD, "filename": "invite.ics", "contentType": "application/ics"}
        broken = await ann.told(_alternative().replace(b"BEGIN:VEVENT", b"BEGIN:\xff"))
        assert "calendarEvents" not in broken and broken["text"]["plain"] == "Please come"


async def test_invitations_are_not_told_unasked(tmp_path: Path) -> None:
    async with _listening(tmp_path) as ann:
        assert "calendarEvents" not in await ann.told(_alternative())


async def test_a_message_whose_structure_is_not_told_has_its_text_and_parts(tmp_path: Path) -> None:
    quirk = Leniency.MULTIPART_WITHOUT_PARTS
    async with _listening(tmp_path, quirk, notifyCalendarEvents=True, notifyAttachments=True) as ann:
        pdf = encoded("application/pdf", b"%PDF", 'Content-Disposition: attachment; filename="a.pdf"')
        told = await ann.told(_alternative(pdf))
        assert told["text"]["plain"] == "Please come"
        assert [one["content"] for one in told["attachments"]] == [base64.b64encode(b"%PDF").decode()]
        assert told["calendarEvents"][0]["summary"] == "Lunch"


async def test_what_winmail_wraps_is_told(tmp_path: Path) -> None:
    async with _listening(tmp_path, notifyAttachments=True, notifyWebSafeHtml=True) as ann:
        told = await ann.told(winmail(with_text=False))
        assert [one["filename"] for one in told["attachments"]][1:] == ["report.pdf", "image.png", "message.html"]
        assert base64.b64decode(told["attachments"][1]["content"]) == b"%PDF wrapped"
        assert "data:application/octet-stream;base64,UE5H" in told["text"]["html"]


async def test_a_message_with_more_text_than_one_answer_holds_is_told(tmp_path: Path) -> None:
    texts = [part("text/plain", f"part{n} ".encode() + b"x" * 8_000_000) for n in range(9)]
    async with _listening(tmp_path, notifyText=True, notifyTextSize=1_000_000) as ann:
        told = await ann.told(HEAD + multipart("mixed", "m", *texts))
        assert told["text"]["hasMore"] and told["text"]["plain"].startswith("part0")
