"""How fast FETCH responses become values: `python -m bench.imap_fetch [--messages N] [--passes N]`.

Two streams are generated from a fixed seed: what a first sync reads (UID, FLAGS, MODSEQ, INTERNALDATE, RFC822.SIZE,
ENVELOPE, BODYSTRUCTURE), with structures and addresses as varied as in a mailbox and a literal here and there; and the
lines of a flag scan (UID, FLAGS, MODSEQ). Both go through the whole client core in reads of 64 KiB. Printed are
messages per second, median and best of several passes; the first stream is read by IMAPClient as well, turn by turn,
given the answer as its own connection would give it.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time

from imapclient.response_parser import parse_fetch_response

from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ImapClient
from mailquay.wire.imap.client_state import State

READ_BYTES = 64 * 1024
NAMES = [
    f"{first} {last}"
    for first in ("Ann", "Bob", "=?utf-8?q?Chlo=C3=A9?=", "Dirk", "Eve")
    for last in ("Smith", "Okafor", "Ito")
]
WORDS = ["report", "invoice", "meeting", "notes", "update", "weekly", "draft", "contract", "photos", "ticket", "order"]
FLAGS = ["\\Seen", "\\Seen \\Answered", "", "\\Seen \\Flagged", "\\Seen $Forwarded", "\\Seen NonJunk"]


def quoted(text: str) -> str:
    """A quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def nstring(rng: random.Random, text: str) -> str:
    """A string as servers write it: most quoted, the odd one as a literal."""
    if text.isascii() and rng.random() > 0.01:
        return quoted(text)
    return f"{{{len(text.encode())}}}\r\n{text}"


def address(rng: random.Random, people: list[tuple[str, str]]) -> str:
    """One address of the mailbox's correspondents."""
    name, mailbox = people[min(int(rng.expovariate(4) * len(people)), len(people) - 1)]
    return f"({nstring(rng, name)} NIL {quoted(mailbox)} {quoted('mail.example')})"


def envelope(rng: random.Random, number: int, people: list[tuple[str, str]]) -> str:
    """An ENVELOPE, one in three a reply."""
    subject = " ".join(rng.choices(WORDS, k=rng.randint(2, 6)))
    if rng.random() < 0.2:
        subject = f"=?utf-8?q?{subject.replace(' ', '_')}_=C3=A9?="
    sender = f"({address(rng, people)})"
    to = "(" + "".join(address(rng, people) for _ in range(1 if rng.random() < 0.8 else rng.randint(2, 6))) + ")"
    cc = f"({address(rng, people)})" if rng.random() < 0.2 else "NIL"
    reply = quoted(f"<{number - 3}.{rng.getrandbits(48):x}@mail.example>") if rng.random() < 0.33 else "NIL"
    date = f"Tue, {number % 28 + 1} Jan 2026 {number % 24:02}:{number % 60:02}:00 +0100"
    message_id = quoted(f"<{number}.{rng.getrandbits(64):x}@mail.example>")
    return f"({quoted(date)} {nstring(rng, subject)} {sender} {sender} {sender} {to} {cc} NIL {reply} {message_id})"


def text_part(rng: random.Random, subtype: str) -> str:
    """A text leaf."""
    charset = rng.choice(["utf-8", "utf-8", "us-ascii", "iso-8859-1"])
    encoding = rng.choice(["7bit", "quoted-printable", "quoted-printable", "base64"])
    size = rng.randint(200, 90_000)
    return f'("text" "{subtype}" ("charset" "{charset}") NIL NIL "{encoding}" {size} {size // 60} NIL NIL NIL NIL)'


def boundary(rng: random.Random) -> str:
    """Parameters of a multipart."""
    return f'("boundary" "----=_Part_{rng.getrandbits(60):x}")'


def attachment(rng: random.Random) -> str:
    """A file."""
    kind = rng.choice(['"application" "pdf"', '"image" "png"', '"image" "jpeg"', '"application" "octet-stream"'])
    name = f"{rng.choice(WORDS)}-{rng.randint(1, 9999)}.bin"
    return (
        f'({kind} ("name" "{name}") NIL NIL "base64" {rng.randint(1000, 5_000_000)} NIL '
        f'("attachment" ("filename" "{name}" "size" "{rng.randint(1000, 5_000_000)}")) NIL NIL)'
    )


def structure(rng: random.Random) -> str:
    """A BODYSTRUCTURE: a third plain, the rest alternatives, related images, attachments and forwarded messages."""
    draw = rng.random()
    if draw < 0.3:
        return text_part(rng, rng.choice(["plain", "html"]))
    alternative = f'({text_part(rng, "plain")}{text_part(rng, "html")} "alternative" {boundary(rng)} NIL NIL NIL)'
    if draw < 0.65:
        return alternative
    if draw < 0.75:
        images = "".join(attachment(rng) for _ in range(rng.randint(1, 4)))
        return f'({alternative}{images} "related" {boundary(rng)} NIL NIL NIL)'
    if draw < 0.97:
        files = "".join(attachment(rng) for _ in range(rng.randint(1, 3)))
        return f'({alternative}{files} "mixed" {boundary(rng)} NIL NIL NIL)'
    head = f'"message" "rfc822" NIL NIL NIL "7bit" 9000 {envelope(rng, 7, [("Ann", "ann")])}'
    inner = f"({head} {alternative} 150 NIL NIL NIL NIL)"
    return f'({text_part(rng, "plain")}{inner} "mixed" {boundary(rng)} NIL NIL NIL)'


def full_stream(count: int) -> bytes:
    """The answer to the first sync of `count` messages."""
    rng = random.Random(1)
    people = [(f"{rng.choice(NAMES)} {number}", f"person{number}") for number in range(3000)]
    lines = []
    for number in range(1, count + 1):
        lines.append(
            f"* {number} FETCH (UID {number * 3} FLAGS ({rng.choice(FLAGS)}) MODSEQ ({number * 7}) "
            f'INTERNALDATE "{number % 28 + 1:2}-Jan-2026 {number % 24:02}:{number % 60:02}:07 +0100" '
            f"RFC822.SIZE {rng.randint(900, 9_000_000)} "
            f"ENVELOPE {envelope(rng, number, people)} BODYSTRUCTURE {structure(rng)})\r\n"
        )
    return "".join(lines).encode()


def flag_stream(count: int) -> bytes:
    """The answer to a flag scan of `count` messages."""
    rng = random.Random(2)
    return "".join(
        f"* {number} FETCH (UID {number * 3} FLAGS ({rng.choice(FLAGS)}) MODSEQ ({number * 7}))\r\n"
        for number in range(1, count + 1)
    ).encode()


def run(stream: bytes, count: int) -> float:
    """Messages per second of one pass through a fresh client."""
    client = ImapClient()
    client.state = State.SELECTED
    seen = 0
    start = time.perf_counter()
    for offset in range(0, len(stream), READ_BYTES):
        client.receive_data(stream[offset : offset + READ_BYTES])
        while client.next_event() is not NEED_DATA:
            seen += 1
    elapsed = time.perf_counter() - start
    if seen != count or client.leniencies:
        raise SystemExit(f"read {seen} of {count} messages, leniencies {client.leniencies}")
    return count / elapsed


_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")

_Item = bytes | tuple[bytes, bytes]


def library_items(stream: bytes) -> list[_Item]:
    """The same answer as `imaplib` hands it on: lines without their first words, and a pair for each literal."""
    items: list[_Item] = []
    pos = 0
    while pos < len(stream):
        end = stream.index(b"\n", pos) + 1
        line, pos = stream[pos:end].replace(b"* ", b"", 1).replace(b" FETCH ", b" ", 1), end
        while (literal := _LITERAL.search(line)) is not None:
            size = int(literal.group(1))
            items.append((line[:-2], stream[pos : pos + size]))
            end = stream.index(b"\n", pos + size) + 1
            line, pos = stream[pos + size : end], end
        items.append(line[:-2])
    return items


def run_library(items: list[_Item], count: int) -> float:
    """Messages per second of one pass through IMAPClient's parser."""
    start = time.perf_counter()
    found = parse_fetch_response(items)
    elapsed = time.perf_counter() - start
    if len(found) != count:
        raise SystemExit(f"IMAPClient read {len(found)} of {count} messages")
    return count / elapsed


def compare(stream: bytes, count: int, passes: int) -> None:
    """Print how much faster we are than IMAPClient, both measured turn by turn."""
    items = library_items(stream)
    ours, theirs = [], []
    for _ in range(passes):
        ours.append(run(stream, count))
        theirs.append(run_library(items, count))
    factor = statistics.median(ours) / statistics.median(theirs)
    print(f"{'… by IMAPClient':26} {statistics.median(theirs):10,.0f}/s median: ours is {factor:.1f} times that")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    for name, make, count, goal in (
        ("envelopes and structures", full_stream, options.messages, 25_000),
        ("flag lines", flag_stream, options.messages * 10, 250_000),
    ):
        stream = make(count)
        rates = [run(stream, count) for _ in range(options.passes)]
        print(
            f"{name:26} {statistics.median(rates):10,.0f}/s median {max(rates):10,.0f}/s best "
            f"(goal {goal:,}; {len(stream) / count:.0f} bytes each)"
        )
        if make is full_stream:
            compare(stream, count, options.passes)


if __name__ == "__main__":
    main()
