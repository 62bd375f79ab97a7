"""Speed of reading and writing messages: `python bench/mime.py` prints a table; nothing is asserted."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from mailquay.mime.address import Address
from mailquay.mime.compose import AttachmentContent, Draft, compose, compose_bytes
from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.html_text import html_to_text
from mailquay.mime.message import parse_message
from mailquay.mime.websafe import web_safe_html
from mailquay.wire.smtp.dot_stuffing import DotStuffer

WORDS = "Grüße aus dem Hafen, the quick brown fox jumps over the lazy dog. "
HTML = "<html><head><style>p{color:#222}</style></head><body>" + f"<p>{WORDS * 4}</p>" * 30 + "</body></html>"
DRAFT = Draft(
    date=datetime(2026, 1, 1, tzinfo=UTC),
    message_id="bench@example.com",
    from_=(Address("Jörg Müller", "me@example.com"),),
    to=(Address("You", "you@example.net"),),
    subject="Grüße und ein Angebot",
    text=WORDS * 60,
    html=HTML,
)


def measure(name: str, action: Callable[[], object], size_bytes: int = 0) -> None:
    """Run `action` for about a second and print microseconds per run, and megabytes per second."""
    runs, started = 0, time.perf_counter()
    while time.perf_counter() - started < 1 or runs < 2:
        action()
        runs += 1
    seconds = (time.perf_counter() - started) / runs
    rate = f"{size_bytes / seconds / 1e6:10.0f} MB/s" if size_bytes else ""
    print(f"{name:44} {seconds * 1e6:12.0f} µs {rate}")


def drain(pieces: Iterable[bytes]) -> int:
    return sum(map(len, pieces))


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    action()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> None:
    small = compose_bytes(DRAFT)
    large_draft = Draft(
        date=DRAFT.date,
        message_id="large@example.com",
        text="see attachment",
        attachments=(AttachmentContent(os.urandom(25_000_000), "large.bin"),),
    )
    large = compose_bytes(large_draft)
    print(f"small message {len(small)} bytes, large message {len(large)} bytes")
    measure("parse structure, small", lambda: parse_message(small), len(small))
    measure("parse structure, large", lambda: parse_message(large), len(large))
    measure("parse and decode texts, small", lambda: find_texts(parse_message(small)).html_text(), len(small))
    measure(
        "parse and decode the attachment, large",
        lambda: [item.part.content for item in find_attachments(parse_message(large))],
        len(large),
    )
    measure("compose, small", lambda: compose_bytes(DRAFT), len(small))
    measure("compose, large", lambda: drain(compose(large_draft)), len(large))
    measure("dot-stuff, large", lambda: drain(map(DotStuffer().feed, _pieces(large))), len(large))
    measure("HTML to text", lambda: html_to_text(HTML), len(HTML))
    measure("web-safe HTML", lambda: web_safe_html(HTML, None), len(HTML))
    print(
        f"peak memory beyond the input: compose large {peak_bytes(lambda: drain(compose(large_draft))) / 1e6:.1f} MB,"
    )
    print(f"  parse large {peak_bytes(lambda: parse_message(large)) / 1e6:.1f} MB")


def _pieces(data: bytes) -> Iterable[bytes]:
    return (data[start : start + 65536] for start in range(0, len(data), 65536))


if __name__ == "__main__":
    main()
