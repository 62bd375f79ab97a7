"""Messages of others: nothing fails, nothing takes long, structures stay what they were when somebody looked."""

from __future__ import annotations

import email
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mailquay.mime.address import parse_addresses
from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.date import parse_date
from mailquay.mime.html_text import html_to_text
from mailquay.mime.message import Part, parse_message
from mailquay.mime.websafe import web_safe_html
from tests.mime.test_sanitize import assert_harmless

CORPUS = Path(__file__).parent.parent / "corpus" / "mime"
# Where we differ from the standard library on purpose: it descends into message/external-body and into embedded
# messages that are base64 (RFC 2046 §5.2.1 forbids those), without decoding them.
DIFFERENT = {"001.eml", "008.eml"}
NOT_MESSAGES = {".json", ".md", ".golden"}


def own_files() -> list[Path]:
    return sorted([*CORPUS.glob("**/*.eml"), *CORPUS.glob("**/*.raw")])


def foreign_files() -> list[Path]:
    folder = os.environ.get("MAILQUAY_CORPORA")
    found = sorted(Path(folder).glob("**/*")) if folder else []
    return [path for path in found if path.is_file() and path.suffix not in NOT_MESSAGES]


def read_everything(source: bytes) -> Part:
    """Do with a message what the product does with it."""
    root = parse_message(source)
    texts = find_texts(root)
    plain, markup = texts.plain_text(), texts.html_text()
    html_to_text(markup)
    for attachment in find_attachments(root):
        assert isinstance(attachment.part.content, bytes)
    for part in root.walk():
        assert 0 <= part.start <= part.stop <= len(part.source)
        json.dumps(part.headers.decoded(), ensure_ascii=False).encode("utf-8")
    for name in ("from", "to", "cc", "reply-to"):
        for field in root.headers.all(name):
            parse_addresses(field.unfolded)
    parse_date(root.headers.text("date"))
    result = web_safe_html(markup or None, plain)
    if result is not None:
        result.encode("utf-8")
        assert_harmless(result)
    return root


@pytest.mark.parametrize("path", own_files() + foreign_files(), ids=lambda path: "/".join(path.parts[-3:]))
def test_every_message_can_be_read(path: Path) -> None:
    source = path.read_bytes()
    started = time.process_time()
    read_everything(source)
    read_everything(source.replace(b"\r\n", b"\n"))
    read_everything(source.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert time.process_time() - started < 10


def summary(root: Part) -> list[str]:
    lines: list[str] = []
    for part in root.walk():
        content = "" if part.children else f" {len(part.content)} bytes"
        name = f" {part.filename!r}" if part.filename else ""
        lines.append(f"{part.number or '-'} {part.content_type}{name}{content}")
    return lines


def test_structures(golden: Callable[[str, str], None]) -> None:
    found = {
        "/".join(path.relative_to(CORPUS).parts): summary(parse_message(path.read_bytes())) for path in own_files()
    }
    golden("mime-corpus.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


SAME = [path for path in sorted(CORPUS.glob("stalwart/rfc/*.eml")) if path.name not in DIFFERENT]


@pytest.mark.parametrize("path", SAME, ids=lambda path: path.name)
def test_the_standard_library_sees_the_same(path: Path) -> None:
    source = path.read_bytes().replace(b"\r\n", b"\n")
    theirs = [
        (part.get_content_type(), part.get_payload(decode=True))
        for part in email.message_from_bytes(source).walk()
        if not part.is_multipart()
    ]
    ours = [
        (part.content_type, part.content)
        for part in parse_message(source).walk()
        if not part.children and part.content_type != "message/rfc822"
    ]
    assert ours == [pair for pair in theirs if pair[0] != "message/rfc822"]
