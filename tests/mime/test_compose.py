from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest
from mailquay.mime.address import Address, parse_addresses
from mailquay.mime.compose import AttachmentContent, Draft, bracketed, compose, compose_bytes
from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.date import parse_date
from mailquay.mime.message import parse_message

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DRAFT = Draft(date=DATE, message_id="id@example.com", from_=(Address("Me", "me@example.com"),))


def shape(draft: Draft) -> list[str]:
    return [f"{p.number} {p.content_type}" for p in parse_message(compose_bytes(draft)).walk()]


def test_the_smallest_message() -> None:
    assert compose_bytes(replace(DRAFT, text="Hi\n")) == (
        b"From: Me <me@example.com>\r\n"
        b"Message-ID: <id@example.com>\r\n"
        b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hi\r\n"
    )


IMAGE = AttachmentContent(b"png", "a.png", "image/png", content_id="img@x")
PDF = AttachmentContent(b"pdf", "b.pdf", "application/pdf")


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (DRAFT, ["1 text/plain"]),
        (replace(DRAFT, html="<p>"), ["1 text/html"]),
        (replace(DRAFT, text="t", html="<p>"), [" multipart/alternative", "1 text/plain", "2 text/html"]),
        (
            replace(DRAFT, text="t", html="<p>", attachments=(IMAGE, PDF)),
            [
                " multipart/mixed",
                "1 multipart/alternative",
                "1.1 text/plain",
                "1.2 multipart/related",
                "1.2.1 text/html",
                "1.2.2 image/png",
                "2 application/pdf",
            ],
        ),
        (replace(DRAFT, text="t", attachments=(IMAGE,)), [" multipart/mixed", "1 text/plain", "2 image/png"]),
        (replace(DRAFT, attachments=(PDF,)), ["1 application/pdf"]),
        (replace(DRAFT, attachments=(PDF, PDF)), [" multipart/mixed", "1 application/pdf", "2 application/pdf"]),
    ],
)
def test_structure(draft: Draft, expected: list[str]) -> None:
    assert shape(draft) == expected


def test_related_parts_are_inline_and_found_by_their_id() -> None:
    message = parse_message(compose_bytes(replace(DRAFT, html="<img src=cid:img@x>", attachments=(IMAGE,))))
    (attachment,) = find_attachments(message)
    assert (attachment.content_id, attachment.inline, attachment.embedded) == ("<img@x>", True, True)


@pytest.mark.parametrize(
    ("content", "encoding"), [(b"Subject: x\n\nhello\n", b"7bit"), ("Subject: x\n\nhé\n".encode(), b"8bit")]
)
def test_messages_are_embedded_as_they_are(content: bytes, encoding: bytes) -> None:
    attachment = AttachmentContent(content, "m.eml", "message/rfc822")
    source = compose_bytes(replace(DRAFT, text="see", attachments=(attachment,)))
    assert b"Content-Transfer-Encoding: " + encoding in source
    assert content.replace(b"\n", b"\r\n") in source
    assert shape(replace(DRAFT, text="see", attachments=(attachment,)))[-1] == "2.1 text/plain"


@pytest.mark.parametrize(
    "draft",
    [
        replace(DRAFT, subject="x\r\nBcc: evil@example.com"),
        replace(DRAFT, to=(Address("x\n", "a@b.c"),)),
        replace(DRAFT, to=(Address("", "a@b.c\r\nX: y"),)),
        replace(DRAFT, message_id="x\r\nX: y"),
        replace(DRAFT, in_reply_to="x\r\nX: y"),
        replace(DRAFT, references=("x\r\nX:y",)),
        replace(DRAFT, headers=(("X-A", "1\r\n2"),)),
        replace(DRAFT, headers=(("X A", "1"),)),
        replace(DRAFT, headers=(("X-A\r\nX-B", "1"),)),
        replace(DRAFT, headers=(("Reply-To", "a@b.c\r\nX: y"),)),
        replace(DRAFT, attachments=(AttachmentContent(b"", "a\r\nb"),)),
        replace(DRAFT, attachments=(AttachmentContent(b"", None, "text/plain\r\nX: y"),)),
        replace(DRAFT, attachments=(AttachmentContent(b"", None, "text plain"),)),
        replace(DRAFT, attachments=(AttachmentContent(b"", None, "multipart/mixed; boundary=x"),)),
        replace(DRAFT, attachments=(AttachmentContent(b"", None, None, "in line\r\n"),)),
        replace(DRAFT, html="", attachments=(AttachmentContent(b"", content_id="a\r\nX: y"),)),
    ],
)
def test_nothing_breaks_out_of_a_header(draft: Draft) -> None:
    with pytest.raises(InvalidRequest):
        compose_bytes(draft)


def test_custom_headers() -> None:
    draft = replace(
        DRAFT,
        subject="ours",
        headers=(
            ("X-One", "é"),
            ("X-One", "two"),
            ("Subject", "theirs"),
            ("Content-Type", "text/evil"),
            ("Reply-To", "Jörg <j@b.example>"),
            ("List-Unsubscribe", "<https://x.example/" + "u" * 200 + ">"),
        ),
    )
    headers = parse_message(compose_bytes(draft)).headers.decoded()
    assert headers["x-one"] == ["é", "two"]
    assert headers["subject"] == ["ours"]
    assert headers["content-type"] == ["text/plain; charset=us-ascii"]
    assert headers["reply-to"] == ["Jörg <j@b.example>"]
    assert headers["list-unsubscribe"] == ["<https://x.example/" + "u" * 200 + ">"]


def test_utf8_addresses_make_a_utf8_header() -> None:
    source = compose_bytes(replace(DRAFT, to=(Address("Jörg", "jörg@bücher.example"),), subject="é"))
    assert "jörg@bücher.example".encode() in source
    assert "Subject: é".encode() in source


def test_long_lines_are_encoded() -> None:
    source = compose_bytes(replace(DRAFT, text="x" * 5000, html="<p>" + "y" * 5000))
    assert max(map(len, source.split(b"\r\n"))) <= 78


def test_pieces_stay_small() -> None:
    draft = replace(DRAFT, text="x", attachments=(AttachmentContent(bytes(3_000_000), "a"),))
    assert max(map(len, compose(draft))) < 400_000


def test_bracketed() -> None:
    assert bracketed("a@b") == bracketed("<a@b>") == bracketed(" <a@b> ") == bracketed("<a@b") == "<a@b>"


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=300)
line = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=40)
address = st.builds(
    Address,
    line.filter(lambda name: name[0] != "'"),
    st.from_regex(r"[a-z0-9.+-]{1,20}@[a-z0-9]{1,10}\.[a-z]{2,5}", fullmatch=True),
)
attachments = st.builds(
    AttachmentContent,
    content=st.binary(max_size=400),
    filename=st.none() | line,
    content_type=st.sampled_from([None, "image/png", "application/x-y", "text/csv"]),
    disposition=st.sampled_from(["attachment", "inline"]),
    content_id=st.none() | st.from_regex(r"[a-z0-9]{1,20}@[a-z]{1,9}", fullmatch=True),
)


@given(
    st.lists(address, max_size=4),
    st.none() | line,
    st.none() | text,
    st.none() | text,
    st.lists(attachments, max_size=3),
)
def test_parse_undoes_compose(
    to: list[Address], subject: str | None, plain: str | None, html: str | None, files: list[AttachmentContent]
) -> None:
    counter = itertools.count()
    draft = replace(DRAFT, to=tuple(to), subject=subject, text=plain, html=html, attachments=tuple(files))
    source = b"".join(compose(draft, make_boundary=lambda: f"=_boundary_{next(counter)}"))
    message = parse_message(source)
    assert message.headers.text("subject") == (subject.strip() if subject is not None else None)
    assert parse_date(message.headers.text("date")) == DATE
    field = message.headers.first("to")
    assert parse_addresses(field.unfolded if field else b"") == [
        Address("" if a.name == a.address else a.name, a.address) for a in to
    ]
    texts = find_texts(message)
    if plain is not None:
        assert texts.plain_text() == plain
    if html is not None:
        assert texts.html_text() == html
    wanted = sorted((f.filename, f.content) for f in files if f.filename and not _is_text(f))
    assert sorted((a.filename or "", a.part.content) for a in find_attachments(message) if a.filename) == wanted
    assert all(len(row) <= 998 for row in source.split(b"\r\n"))


def _is_text(attachment: AttachmentContent) -> bool:
    return attachment.content_type == "text/csv" and attachment.disposition == "inline"
