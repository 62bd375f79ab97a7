"""Accounts that keep texts: read in the background and with new mail, followed, and searched without the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailquay.backends.imap.session_reading import SessionReading
from mailquay.backends.interface import FetchedSections, SearchTerms
from mailquay.errors import BackendError, CommandRejected, PartUnavailable
from mailquay.mime.words import parse_query
from mailquay.model.account import KEEPS_ENVELOPES, KEEPS_TEXT
from mailquay.model.event import EventName
from mailquay.model.mailbox import TEXTS_AS_WANTED, TEXTS_COMPLETE
from mailquay.runtime.purge import purge_everything
from mailquay.sandbox.world import SandboxWorld
from mailquay.storage.repositories.local_search import LocalTerms
from mailquay.wire.imap.leniency import Leniency
from tests.runtime.harness import SystemClock
from tests.runtime.reading import SECONDS, Reader, reading

_OLD = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world() -> AsyncIterator[SandboxWorld]:
    """Empty mailboxes at the built-in server."""
    made = SandboxWorld(empty=True)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each set of sections was asked for; a message whose UID stands in `refused` fails the command."""
    counted: Counter[str] = Counter()
    fetch = SessionReading.fetch_sections

    async def counting(
        self: SessionReading, uids: str, sections: list[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        counted[" ".join(sections)] += 1
        found = await fetch(self, uids, sections, limit_bytes=limit_bytes)
        if "HEADER" not in sections and any(counted[f"refused {uid}"] for uid in found):
            raise CommandRejected("not this one")
        return found

    monkeypatch.setattr(SessionReading, "fetch_sections", counting)
    return counted


def _letter(text: str, *, html: str | None = None, attached: str | None = None, subject: str = "s") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Zoë <zoe@b.test>", "ann@c.test", subject
    message["Message-ID"] = f"<{abs(hash((text, html, attached)))}@b.test>"
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    if attached is not None:
        message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename=attached)
    return bytes(message)


def _append(world: SandboxWorld, *letters: bytes, new: bool = False) -> None:
    store = world.store_of(world.accounts[0].email)
    for letter in letters:
        store.append("INBOX", letter, received=None if new else _OLD)


async def _complete(ann: Reader, state: int = TEXTS_COMPLETE, path: str = "INBOX") -> None:
    """Wait until every text of a mailbox is in the index."""
    async with asyncio.timeout(20):
        while (await ann.mailbox(path)).texts_state != state:
            await asyncio.sleep(0.01)  # nothing tells of a text that was read


async def _indexed(ann: Reader, query: str, path: str = "INBOX") -> list[int]:
    terms = LocalTerms(words=tuple(parse_query(query)))
    mailbox = await ann.mailbox(path)
    found = await ann.node.store.searches.page({ann.account.number: [mailbox.number]}, terms, seconds=SECONDS)
    return sorted(place.uid for place in found.places)


async def _by_index(ann: Reader, **text: str) -> list[int] | None:
    found = await ann.service._found_in_index(ann.account, await ann.mailbox(), SearchTerms(text=text))
    return None if found is None else sorted(found)


async def test_old_mail_is_read_in_batches_and_found(
    world: SandboxWorld, tmp_path: Path, fetched: Counter[str]
) -> None:
    _append(world, *(_letter(f"common number{n} needle") for n in range(1, 121)))
    _append(world, _letter("stub", html="<p>Gr&uuml;&szlig;e aus <b>Trondheim</b></p>" + "<p> </p>" * 200))
    _append(world, _letter("plain words", html="<p>hidden</p>", attached="Rechnung März.pdf"))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        assert await _indexed(ann, "number7") == [7]
        assert len(await _indexed(ann, '"needle"')) == 120
        assert await _indexed(ann, "grusse trond*") == [121]
        assert await _indexed(ann, '"plain words"') == await _indexed(ann, "rechnung marz") == [122]
        assert await _indexed(ann, "hidden") == []
        # Fifty at a time, a command for each kind of structure among them.
        assert sum(fetched.values()) <= 6, fetched
        assert await _by_index(ann, body="needle number9") == [9]
        assert await _by_index(ann, body="needle", to="ANN@c", **{"from": "zoë"}) == [*range(1, 121)]
        assert {one["uid"] for one in await ann.found(SearchTerms(text={"body": "number7 common"}))} == {7}
        assert not await ann.service.search_needs_owner(ann.account, "INBOX", SearchTerms(text={"body": "x"}))
        assert await _by_index(ann, body="!") is None
        before = sum(fetched.values())
    async with reading(world, tmp_path / "a") as ann:
        assert await _by_index(ann, body="number8") == [8]
        await ann.catch_up()
        assert sum(fetched.values()) == before


async def test_new_mail_is_in_the_index_when_it_is_told_and_its_text_is_fetched_once(
    world: SandboxWorld, tmp_path: Path, fetched: Counter[str]
) -> None:
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        _append(world, _letter("first needle", html="<p>first needle</p>"), new=True)
        await ann.catch_up()
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert await _by_index(ann, body="needle") == [1]
        assert fetched == Counter({"HEADER 1 2": 1})
        await ann.node.settings.write({"notifyText": False})
        _append(world, _letter("second needle"), new=True)
        await ann.catch_up()
        assert await _by_index(ann, body="needle") == [1, 2]
        assert fetched == Counter({"HEADER 1 2": 1, "HEADER": 1, "1": 1})


async def test_texts_leave_with_their_messages(world: SandboxWorld, tmp_path: Path) -> None:
    _append(world, _letter("needle one"), _letter("needle two"), _letter("needle three"))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        async with ann.node.access.session(ann.account, path="INBOX", timeout_seconds=SECONDS) as session:
            await session.open_mailbox("INBOX", writable=True)
            await session.move("1", "Archive")
            await session.expunge("2")
        await ann.node.access.catch_up(ann.account.number, ["INBOX", "Archive"], timeout_seconds=SECONDS)
        assert await _by_index(ann, body="needle") == [3]
        assert await _indexed(ann, "needle", "Archive") == [1]


async def test_a_text_that_cannot_be_read_harms_no_other(
    world: SandboxWorld, tmp_path: Path, fetched: Counter[str]
) -> None:
    _append(world, *(_letter(f"needle {n}", attached=f"file{n}.pdf") for n in range(1, 9)))
    fetched["refused 5"] = 1
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        assert await _by_index(ann, body="needle") == [1, 2, 3, 4, 6, 7, 8]
        assert await _by_index(ann, body="file5") == [5]


async def test_a_new_message_that_cannot_be_read_keeps_nobody_from_the_index(
    world: SandboxWorld, tmp_path: Path, fetched: Counter[str]
) -> None:
    _append(world, _letter("needle 1"))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        await ann.node.settings.write({"notifyText": False})
        fetched["refused 2"] = 1
        _append(world, _letter("needle 2", attached="file.pdf"), new=True)
        await ann.catch_up()
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert await _by_index(ann, body="needle") == [1]
        assert await _by_index(ann, body="file") == [2]


@pytest.mark.parametrize("error", [CommandRejected("no"), PartUnavailable("no", retry_after_seconds=1)], ids=str)
async def test_a_source_that_cannot_be_read_keeps_nobody_from_the_index(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BackendError
) -> None:
    stream = SessionReading.stream_section

    async def refusing(
        self: SessionReading, uid: int, section: str, *, resume_at: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if uid in (2, 4):
            raise error
        async for chunk in stream(self, uid, section, resume_at=resume_at):
            yield chunk

    monkeypatch.setattr(SessionReading, "stream_section", refusing)
    world.imap_faults.quirks.add(Leniency.MULTIPART_WITHOUT_PARTS)
    _append(world, *(_letter(f"needle {n}", attached=f"file{n}.pdf") for n in (1, 2)))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        assert await _indexed(ann, "needle") == [1]
        _append(world, *(_letter(f"needle {n}", attached=f"file{n}.pdf") for n in (3, 4)), new=True)
        await ann.catch_up()
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=2)
        assert await _indexed(ann, "needle") == [1, 3]


async def test_where_no_text_can_be_read_the_server_is_searched(
    world: SandboxWorld, tmp_path: Path, fetched: Counter[str]
) -> None:
    _append(world, *(_letter(f"needle {n}") for n in range(1, 4)))
    fetched.update(f"refused {uid}" for uid in range(1, 4))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        async with asyncio.timeout(20):
            while not fetched["1"]:
                await asyncio.sleep(0.01)  # nothing tells of an attempt
        assert await _by_index(ann, body="needle") is None
        assert {one["uid"] for one in await ann.found(SearchTerms(text={"body": "needle"}))} == {1, 2, 3}
    fetched.subtract(f"refused {uid}" for uid in range(1, 4))
    async with reading(world, tmp_path / "a") as ann:
        await _complete(ann)
        assert await _by_index(ann, body="needle") == [1, 2, 3]


async def test_more_text_than_one_answer_holds_is_read_as_far_as_it_is_kept(
    world: SandboxWorld, tmp_path: Path
) -> None:
    head = b"Message-ID: <1@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    _append(world, head + (b"\r\n--b\r\n\r\nneedle " + b"x" * 610_000) * 112 + b"\r\n--b--\r\n", _letter("needle"))
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT) as ann:
        await _complete(ann)
        assert await _indexed(ann, "needle") == [1, 2]


async def test_a_change_of_mind(world: SandboxWorld, tmp_path: Path) -> None:
    _append(world, _letter("needle"))
    async with reading(world, tmp_path / "a", index=KEEPS_ENVELOPES) as ann:
        await ann.until(digested=1, envelopes=1)
        assert await _by_index(ann, body="needle") is None
        await ann.change(index=KEEPS_TEXT)
        await _complete(ann)
        assert await _by_index(ann, body="needle") == [1]
        await ann.change(index=KEEPS_ENVELOPES)
        assert await _by_index(ann, body="needle") is None
        await purge_everything(ann.node.store)
        assert await _indexed(ann, "needle") == []


async def test_what_was_received_before_sync_from_is_left_to_the_server(world: SandboxWorld, tmp_path: Path) -> None:
    _append(world, _letter("needle"))
    since = SystemClock().now_ms() - 3_600_000
    async with reading(world, tmp_path / "a", index=KEEPS_TEXT, sync_from_ms=since) as ann:
        # No envelope, no text: a page that shows the message has the former fetched.
        await _complete(ann, TEXTS_AS_WANTED)
        assert await _by_index(ann, body="needle") is None
        await ann.page()
        assert await _by_index(ann, body="needle") is None
        await ann.change(sync_from_ms=None)
        async with asyncio.timeout(20):
            while await _by_index(ann, body="needle") != [1]:
                await asyncio.sleep(0.01)  # nothing tells of a text that was read
