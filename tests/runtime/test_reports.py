"""Bounces, complaints and delivery reports that come into a mailbox: told once, after their message, and shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.session_reading import SessionReading
from mailquay.backends.interface import FetchedSections, SearchTerms
from mailquay.errors import NotOperational, Unavailable
from mailquay.model.event import EventName, LoggedEvent
from mailquay.model.submission import DsnRequest, Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.reports.verdict import Verdict
from mailquay.sandbox.imap_capabilities import GMAIL
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import report_reading
from mailquay.services.message_request import ReadOptions
from mailquay.services.report_events import original_digest
from mailquay.services.unified_search import UnifiedRequest, UnifiedSearch
from tests.reports.messages import ORIGINAL, multipart
from tests.runtime.harness import SystemClock
from tests.runtime.reading import SECONDS, Reader, reading

_NEW, _BOUNCE, _COMPLAINT = EventName.MESSAGE_NEW, EventName.MESSAGE_BOUNCE, EventName.MESSAGE_COMPLAINT
_SENT_ID = "<one@sender.example>"
FAILED = (
    "Reporting-MTA: dns; mx.example\nOriginal-Envelope-Id: env-1\n\nFinal-Recipient: rfc822; you@receiver.example\n"
    "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n"
)


def _bounce(
    name: str = "bounce", *, status: str = FAILED, original: str | None = ORIGINAL + "\nHello\n", padding: int = 0
) -> bytes:
    parts = [("text/plain", "It could not be delivered."), ("message/delivery-status", status)]
    if original is not None:
        parts.append(("message/rfc822", original + "x" * padding))
    return multipart(*parts, header=f"Message-ID: <{name}@mx.example>\n").replace(b"\n", b"\r\n")


def _complaint(name: str = "complaint") -> bytes:
    report = "Feedback-Type: abuse\nOriginal-Rcpt-To: <you@receiver.example>\n"
    parts = (("text/plain", "A report."), ("message/feedback-report", report), ("message/rfc822", ORIGINAL + "\nHi\n"))
    raw = multipart(*parts, kind="feedback-report", header=f"Message-ID: <{name}@isp.example>\n")
    _, _, rest = raw.partition(b"Message-ID:")
    return (b"From: feedback@isp.example\nSubject: A complaint\nMessage-ID:" + rest).replace(b"\n", b"\r\n")


def _append(world: SandboxWorld, path: str, raw: bytes) -> None:
    world.store_of(world.accounts[0].email).append(path, raw)


async def _events(ann: Reader, *names: EventName) -> list[LoggedEvent]:
    logged = await ann.node.store.events.of_account_after(ann.account.number, 0, 100_000)
    return [event for event in logged if event.name in (names or (_NEW, _BOUNCE, _COMPLAINT))]


async def _new(ann: Reader, path: str = "INBOX", count: int = 1) -> LoggedEvent:
    """The last message that was announced in a mailbox, once there are so many."""
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(Unavailable, NotOperational):
                # Where the server ends the connection it is for another one to go on.
                await ann.node.access.catch_up(ann.account.number, [path], timeout_seconds=SECONDS)
            found = [event for event in await _events(ann, _NEW) if event.path == path]
            if len(found) >= count:
                return found[-1]
            await asyncio.sleep(0.01)  # nothing tells of an account that is connected again


def _data(event: LoggedEvent) -> Mapping[str, Any]:
    return event.data


async def test_a_bounce_is_told_after_its_message_and_shown_on_the_original(
    world: SandboxWorld, tmp_path: Path
) -> None:
    _append(world, "Sent", ORIGINAL.replace("\n", "\r\n").encode() + b"\r\nHello\r\n")
    async with reading(world, tmp_path) as ann:
        _append(world, "INBOX", _bounce())
        new = await _new(ann)
        [told] = await _events(ann, _BOUNCE)
        assert told.sequence == new.sequence + 1
        assert (told.path, told.special_use) == (None, None)
        assert new.facts["isBounce"] is True
        assert (_data(new)["isBounce"], _data(new)["relatedMessageId"]) == (True, _SENT_ID)
        assert "deliveryReport" not in _data(new)
        assert _data(told) == {
            "bounceMessage": new.facts["id"],
            "recipient": "you@receiver.example",
            "action": "failed",
            "response": {
                "source": "smtp",
                "message": "550 5.1.1 User unknown",
                "status": "5.1.1",
                "category": "user_unknown",
                "recommendedAction": "remove",
            },
            "mta": "mx.example",
            "messageId": _SENT_ID,
            "messageHeaders": {
                "from": ["me@sender.example"],
                "to": ["you@receiver.example"],
                "subject": ["Hello"],
                "message-id": [_SENT_ID],
            },
        }
        # The log keeps no addresses.
        assert "recipient" not in told.facts
        [kept] = world.store_of(world.accounts[0].email).mailbox("INBOX")
        assert "\\Seen" not in kept.flags
        await _shown_everywhere(ann, str(new.facts["id"]))


async def _shown_everywhere(ann: Reader, bounce_id: str) -> None:
    [listed] = await ann.page("Sent")
    [bounce] = listed["bounces"]
    assert {**bounce, "date": ""} == {
        "message": bounce_id,
        "recipient": "you@receiver.example",
        "action": "failed",
        "response": {"message": "550 5.1.1 User unknown", "status": "5.1.1"},
        "date": "",
    }
    read = await ann.service.get(ann.account, listed["id"], ReadOptions(), timeout_seconds=SECONDS)
    assert read["bounces"] == [bounce]
    terms = SearchTerms(text={"subject": "Hello"})
    search = ann.service.search(ann.account, path="Sent", terms=terms, page=0, page_size=20, timeout_seconds=SECONDS)
    assert [one["bounces"] for one in (await search)["messages"]] == [[bounce]]
    unified = UnifiedSearch(ann.node.store).search(UnifiedRequest(terms), timeout_seconds=SECONDS)
    assert [one.get("bounces") for one in (await unified)["messages"]] == [[bounce]]
    [other] = await ann.page()
    assert "bounces" not in other


async def test_a_page_of_messages_takes_one_query(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        _append(world, "Sent", f"Subject: {number}\r\nMessage-ID: <{number}@sender.example>\r\n\r\nx\r\n".encode())
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=30, envelopes=30, path="Sent")
        asked: list[int] = []
        bounces = ann.node.store.bounces
        of = bounces.of

        async def counted(originals: Any) -> Any:
            asked.append(len(originals))
            return await of(originals)

        monkeypatch.setattr(bounces, "of", counted)
        assert len(await ann.page("Sent", size=30)) == 30
        assert asked == [30]


async def test_what_moves_or_comes_again_is_told_once(world: SandboxWorld, tmp_path: Path) -> None:
    async with reading(world, tmp_path) as ann:
        _append(world, "Junk", _bounce())
        first = await _new(ann, "Junk")
        assert _data(first)["isBounce"] is True
        # Somebody takes it out of the junk; another report of the same failure is another matter.
        _append(world, "INBOX", _bounce())
        second = await _new(ann)
        assert _data(second)["relatedMessageId"] == _SENT_ID
        assert len(await _events(ann, _BOUNCE)) == 1
        _append(world, "INBOX", _bounce("another"))
        await _new(ann, count=2)
        assert len(await _events(ann, _BOUNCE)) == 2
    async with reading(world, tmp_path) as ann:
        # After a restart, in a mailbox whose UIDs have lost their meaning, and once more.
        world.store_of(world.accounts[0].email).mailbox("INBOX").uidvalidity += 70
        _append(world, "INBOX", _bounce("another"))
        await ann.catch_up()
        await _new(ann, count=3)
        assert len(await _events(ann, _BOUNCE)) == 2
        assert (
            len(await ann.node.store.bounces.of([(ann.account.number, original_digest(ann.account.number, _SENT_ID))]))
            == 1
        )


async def test_other_mailboxes_and_ordinary_mail_are_left_alone(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    judged = report_reading._judged

    def noted(source: bytes, *, bounces_only: bool) -> Verdict:
        read.append(source)
        return judged(source, bounces_only=bounces_only)

    monkeypatch.setattr(report_reading, "_judged", noted)
    async with reading(world, tmp_path) as ann:
        _append(world, "Archive", _bounce())
        _append(world, "Junk", _complaint())
        _append(world, "INBOX", b"From: a@b.example\r\nSubject: Hello\r\n\r\nHello\r\n")
        for path in ("Archive", "Junk", "INBOX"):
            new = await _new(ann, path)
            assert not {"isBounce", "isComplaint", "relatedMessageId"} & set(_data(new))
        assert read == []
        assert await _events(ann, _BOUNCE, _COMPLAINT) == []


async def test_a_complaint(world: SandboxWorld, tmp_path: Path) -> None:
    async with reading(world, tmp_path) as ann:
        _append(world, "INBOX", _complaint())
        new = await _new(ann)
        [told] = await _events(ann, _COMPLAINT)
        assert told.sequence == new.sequence + 1
        assert (_data(new)["isComplaint"], _data(new)["relatedMessageId"]) == (True, _SENT_ID)
        assert _data(told) == {
            "complaintMessage": new.facts["id"],
            "arf": {"feedbackType": "abuse", "originalRcptTo": ["you@receiver.example"]},
            "headers": {
                "messageId": _SENT_ID,
                "from": "me@sender.example",
                "to": ["you@receiver.example"],
                "subject": "Hello",
            },
        }
        _append(world, "INBOX", _complaint())
        await _new(ann, count=2)
        assert len(await _events(ann, _COMPLAINT)) == 1


async def test_a_delivery_report(world: SandboxWorld, tmp_path: Path) -> None:
    delivered = FAILED.replace("failed", "delivered").replace("5.1.1", "2.1.5")
    async with reading(world, tmp_path) as ann:
        _append(world, "INBOX", _bounce(status=delivered))
        data = _data(await _new(ann))
        assert data["deliveryReport"]["finalRecipient"] == {"label": "rfc822", "value": "you@receiver.example"}
        assert "isBounce" not in data
        # In the junk mailbox nobody looks for such, and a bounce says what it says.
        _append(world, "Junk", _bounce("junk", status=delivered))
        assert "deliveryReport" not in _data(await _new(ann, "Junk"))


async def test_gmail_goes_by_labels(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=GMAIL)
    await world.start()
    try:
        async with reading(world, tmp_path) as ann:
            _append(world, "INBOX", _bounce())
            new = await _new(ann, "[Gmail]/All Mail")
            assert _data(new)["isBounce"] is True
            _append(world, "[Gmail]/All Mail", _bounce("archived"))
            assert "isBounce" not in _data(await _new(ann, "[Gmail]/All Mail", count=2))
            assert len(await _events(ann, _BOUNCE)) == 1
    finally:
        await world.stop()


async def test_a_source_that_ends_the_connection_costs_no_more_than_itself(world: SandboxWorld, tmp_path: Path) -> None:
    async with reading(world, tmp_path) as ann:
        world.imap_faults.section_limit = 50_000
        _append(world, "INBOX", _bounce("large", padding=100_000))
        _append(world, "INBOX", _bounce("small"))
        await _new(ann, count=2)
        large, small = (event for event in await _events(ann, _NEW))
        assert "isBounce" not in _data(large)
        assert _data(small)["isBounce"] is True
        assert len(await _events(ann, _BOUNCE)) == 1


async def test_a_refused_source_and_an_error_of_ours_are_only_logged(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_source: bytes, **_rest: object) -> None:
        raise ValueError("a mistake")

    async with reading(world, tmp_path) as ann:
        monkeypatch.setattr(report_reading, "_judged", broken)
        _append(world, "INBOX", _bounce())
        assert "isBounce" not in _data(await _new(ann))
        monkeypatch.setattr(report_reading, "_MOST_SECONDS", 0.0)
        _append(world, "INBOX", _bounce("late"))
        assert "isBounce" not in _data(await _new(ann, count=2))


async def test_a_source_that_never_comes_is_not_waited_for_twice(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, headers = 0, 0
    fetch_sections = SessionReading.fetch_sections

    async def stalled(
        self: SessionReading, uids: str, sections: Sequence[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        nonlocal sources, headers
        if list(sections) == [""]:
            sources += 1
            await asyncio.Event().wait()
        headers += 1
        if headers == 1:
            raise Unavailable("the answer before this one is still awaited")
        return await fetch_sections(self, uids, sections, limit_bytes=limit_bytes)

    async with reading(world, tmp_path) as ann:
        monkeypatch.setattr(report_reading, "_MOST_SECONDS", 0.05)
        monkeypatch.setattr(SessionReading, "fetch_sections", stalled)
        _append(world, "INBOX", _bounce())
        assert "isBounce" not in _data(await _new(ann))
        assert (sources, headers) == (1, 2)


async def test_many_at_once_are_all_read_however_slow_the_server(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_sections = SessionReading.fetch_sections
    count = 20

    async def slow(
        self: SessionReading, uids: str, sections: Sequence[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        if list(sections) == [""]:
            await asyncio.sleep(0.6)
        return await fetch_sections(self, uids, sections, limit_bytes=limit_bytes)

    async with reading(world, tmp_path) as ann:
        monkeypatch.setattr(report_reading, "_MOST_SECONDS", 1.5)
        monkeypatch.setattr(SessionReading, "fetch_sections", slow)
        for number in range(count):
            _append(world, "INBOX", _bounce(f"bounce-{number}"))
        await _new(ann, count=count)
        assert len(await _events(ann, _BOUNCE)) == count


def _submitted(
    ann: Reader, queue_id: str, recipient: str, *, envid: str | None = None, ago_ms: int = 5000
) -> Submission:
    now_ms = SystemClock().now_ms() - ago_ms
    dsn = DsnRequest("headers", ("failure",), envid) if envid is not None else None
    return Submission(
        queue_id=queue_id,
        account=ann.account.number,
        message_id=f"<{queue_id}@sender.example>",
        envelope=SubmissionEnvelope("me@sender.example", (recipient,)),
        options=SubmissionOptions(dsn=dsn),
        phase=Phase.SENT,
        created_ms=now_ms,
        scheduled_ms=now_ms,
        next_attempt_ms=None,
        attempts_made=1,
        attempts=10,
        size_bytes=1,
    )


async def test_without_a_message_id_the_submissions_tell(world: SandboxWorld, tmp_path: Path) -> None:
    async with reading(world, tmp_path) as ann:
        store = ann.node.store

        async def submit(*args: str, envid: str | None = None) -> None:
            await store.commit(store.outbox.enqueue(_submitted(ann, *args, envid=envid), b"x", {}, None))

        plain = FAILED.replace("Original-Envelope-Id: env-1\n", "")
        _append(world, "INBOX", _bounce("unknown", status=plain, original=None))
        data = _data(await _new(ann))
        assert (data["isBounce"], "relatedMessageId" in data) == (True, False)
        assert await _events(ann, _BOUNCE) == []
        await submit("q1", "YOU@receiver.example")
        await submit("q2", "other@receiver.example", envid="env-1")
        _append(world, "INBOX", _bounce("by-recipient", status=plain, original=None))
        assert _data(await _new(ann, count=2))["relatedMessageId"] == "<q1@sender.example>"
        _append(world, "INBOX", _bounce("by-envelope", original=None))
        assert _data(await _new(ann, count=3))["relatedMessageId"] == "<q2@sender.example>"
        await submit("q3", "you@receiver.example")
        _append(world, "INBOX", _bounce("in-doubt", status=plain, original=None))
        assert "relatedMessageId" not in _data(await _new(ann, count=4))
        told = [_data(event)["messageId"] for event in await _events(ann, _BOUNCE)]
        assert told == ["<q1@sender.example>", "<q2@sender.example>"]


async def test_a_submission_may_come_back_in_the_same_second(world: SandboxWorld, tmp_path: Path) -> None:
    """INTERNALDATE has whole seconds, and is of the mail server's clock: it may lie before the submission."""
    plain = FAILED.replace("Original-Envelope-Id: env-1\n", "")
    async with reading(world, tmp_path) as ann:
        submission = _submitted(ann, "q1", "you@receiver.example", ago_ms=0)
        await ann.node.store.commit(ann.node.store.outbox.enqueue(submission, b"x", {}, None))
        raw = _bounce(status=plain, original=None)
        received = datetime.fromtimestamp(submission.created_ms // 1000 - 2, UTC)
        world.store_of(world.accounts[0].email).append("INBOX", raw, received=received)
        assert _data(await _new(ann))["relatedMessageId"] == "<q1@sender.example>"


async def test_accounts_without_an_index_are_told_too(world: SandboxWorld, tmp_path: Path) -> None:
    _append(world, "Sent", ORIGINAL.replace("\n", "\r\n").encode() + b"\r\nHello\r\n")
    async with reading(world, tmp_path, imap_indexer="fast") as ann:
        _append(world, "INBOX", _bounce())
        await _new(ann)
        assert len(await _events(ann, _BOUNCE)) == 1
        [listed] = await ann.page("Sent")
        assert [one["recipient"] for one in listed["bounces"]] == ["you@receiver.example"]


async def test_a_flush_forgets_bounces(world: SandboxWorld, tmp_path: Path) -> None:
    _append(world, "Sent", ORIGINAL.replace("\n", "\r\n").encode() + b"\r\nHello\r\n")
    async with reading(world, tmp_path) as ann:
        _append(world, "INBOX", _bounce())
        await _new(ann)
        [listed] = await ann.page("Sent")
        assert "bounces" in listed
        store, number = ann.node.store, ann.account.number
        await store.commit(store.accounts.forget_index(number, ann.account.id, lambda profile: profile))
        assert await store.bounces.of([(number, original_digest(number, _SENT_ID))]) == {}
