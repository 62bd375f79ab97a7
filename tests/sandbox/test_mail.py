"""The mail that lies in the mailboxes at the start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailquay.backends.memory_mailbox import StoredMessage
from mailquay.mime.autoreply import is_auto_reply
from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.date import parse_date
from mailquay.sandbox.imap_structure import body_structure, envelope
from mailquay.sandbox.world import SandboxWorld
from mailquay.wire.imap.bodystructure import write_body_structure
from mailquay.wire.imap.bodystructure_read import read_body_structure
from mailquay.wire.imap.envelope import read_envelope, write_envelope
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.writer import LiteralMode, Writer

_NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
_USERS = ("ann@sandbox.test", "bruno@sandbox.test", "chiyo@sandbox.test")


def _all_mail(seed: int = 1) -> list[tuple[str, str, StoredMessage]]:
    world = SandboxWorld(seed=seed, clock=lambda: _NOW)
    return [
        (email, box.path, message) for email in _USERS for box in world.store_of(email).mailboxes() for message in box
    ]


@pytest.fixture(scope="module")
def messages() -> list[StoredMessage]:
    """Every message of every user."""
    return [message for _, _, message in _all_mail()]


def test_the_same_seed_and_time_give_the_same_mail() -> None:
    def shape(seed: int) -> list[tuple[str, str, int, bytes, frozenset[str]]]:
        return [(email, path, one.uid, one.raw, one.flags) for email, path, one in _all_mail(seed)]

    assert shape(1) == shape(1)
    assert shape(1) != shape(2)


def test_it_is_of_the_last_thirty_days(messages: list[StoredMessage]) -> None:
    assert len(messages) > 100
    for message in messages:
        assert _NOW - timedelta(days=30) < message.received <= _NOW
        assert parse_date(message.part.headers.text("Date")) == message.received
    assert any(message.received > _NOW - timedelta(days=1) for message in messages)


def test_uids_follow_the_dates() -> None:
    for email in _USERS:
        dates = [one.received for owner, path, one in _all_mail() if (owner, path) == (email, "INBOX")]
        assert dates == sorted(dates)
        assert len(dates) >= 25


def test_every_kind_of_mail_is_there(messages: list[StoredMessage]) -> None:
    types = {part.content_type for message in messages for part in message.part.walk()}
    assert types >= {
        *("text/plain", "text/html", "multipart/alternative", "multipart/related", "multipart/mixed"),
        *("multipart/report", "message/delivery-status", "message/rfc822", "text/calendar"),
        *("application/pdf", "image/png"),
    }
    attachments = [one for message in messages for one in find_attachments(message.part)]
    assert any(one.inline and one.content_id for one in attachments)
    assert any(one.filename == "échantillon ardoise.png" for one in attachments)
    assert all(one.part.content.startswith(b"%PDF-1.4") for one in attachments if one.content_type == "application/pdf")
    assert all(one.part.content.startswith(b"\x89PNG") for one in attachments if one.content_type == "image/png")
    assert any(message.part.headers.text("List-Unsubscribe-Post") for message in messages)
    assert any(message.part.headers.text("Auto-Submitted") == "auto-replied" for message in messages)
    assert any(
        is_auto_reply(message.part.headers.decoded(), message.part.headers.text("Subject")) for message in messages
    )


def test_it_is_readable_in_many_languages(messages: list[StoredMessage]) -> None:
    subjects = {message.part.headers.text("Subject") or "" for message in messages}
    assert subjects >= {"Отчёт за сентябрь", "关于下周会议的安排", "موعد الاجتماع القادم", "見積書の件", "Документы"}
    texts = "\n".join(find_texts(message.part).plain_text() for message in messages)
    for words in ("見積書をお送りします", "Привезу документы", "Käsespätzle", "يناسبك", "přítelkyně"):
        assert words in texts
    assert "\ufffd" not in texts


def test_threads_hold_together() -> None:
    mail = _all_mail()
    for email in _USERS:
        own = [one for owner, path, one in mail if owner == email and path in ("INBOX", "Sent")]
        plan = [one for one in own if "Lighthouse: plan" in (one.part.headers.text("Subject") or "")]
        by_people = [one for one in plan if "Automatic" not in (one.part.headers.text("Subject") or "")]
        assert len(by_people) == 4
        assert len({one.thread_id for one in by_people}) == 1


def test_what_fetch_says_of_it_can_be_read_again(messages: list[StoredMessage]) -> None:
    for message in messages:
        said, structure = envelope(message.part), body_structure(message.part)
        writer = Writer(LiteralMode.SERVER)
        write_envelope(writer, said)
        write_body_structure(writer, structure)
        reader = Reader(writer.line())
        assert read_envelope(reader) == said
        assert read_body_structure(reader) == structure
        assert reader.at_end()
        assert not reader.leniencies
