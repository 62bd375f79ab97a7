"""winmail.dat: what others see in real ones, what we make of hostile ones."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.rtf_compression import MAX_COMPRESSED_BYTES, MAX_RTF_BYTES, decompress_rtf
from mailquay.mime.tnef import MAX_FILES, TnefFile, unpack_tnef

FOLDER = Path(__file__).parent.parent / "corpus" / "mime" / "mimekit" / "tnef"
FILES = sorted(FOLDER.glob("*.tnef"))


def attribute(level: int, tag: int, value: bytes) -> bytes:
    """One attribute, with its checksum."""
    return struct.pack("<BII", level, tag, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def tnef(*attributes: bytes) -> bytes:
    """A stream of attributes."""
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join(attributes)


def file(name: bytes, content: bytes) -> bytes:
    """The attributes of one attachment."""
    return b"".join(
        [attribute(2, 0x00069002, bytes(14)), attribute(2, 0x00018010, name), attribute(2, 0x0006800F, content)]
    )


def properties(*values: tuple[int, int, bytes]) -> bytes:
    """MAPI properties of variable length: type, number, value."""
    packed = [
        struct.pack("<HHII", kind, number, 1, len(value)) + value + bytes(-len(value) % 4)
        for kind, number, value in values
    ]
    return struct.pack("<I", len(values)) + b"".join(packed)


def shown(found: TnefFile) -> list[object]:
    """What is compared of a file."""
    digest = hashlib.sha256(found.content).hexdigest()[:16]
    return [found.filename, found.content_type, len(found.content), found.content_id, found.body, digest]


def test_real_ones(golden: Callable[[str, str], None]) -> None:
    found = {path.name: [shown(one) for one in unpack_tnef(path.read_bytes())] for path in FILES}
    assert len(found) >= 10
    golden("tnef-corpus.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _lists() -> list[Path]:
    """What another program found, line by line: ours, and those of a folder of corpora."""
    folder = os.environ.get("MAILQUAY_CORPORA")
    found = [*FOLDER.glob("*.list"), *(Path(folder).glob("**/tnef/*.list") if folder else ())]
    return sorted(path for path in found if path.with_suffix(".tnef").exists())


@pytest.mark.parametrize("path", _lists(), ids=lambda path: path.name)
def test_everything_is_found_that_others_find(path: Path) -> None:
    """They call bodies `body.rtf` and the like, and leave out files that are named in attributes alone."""
    expected = set(filter(None, path.read_text().split("\n")))
    files = unpack_tnef(path.with_suffix(".tnef").read_bytes())
    endings = {"html": "html", "plain": "txt", "rtf": "rtf"}
    found = {file.filename if file.body is None else f"body.{endings[file.body]}" for file in files}
    assert expected <= found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_one_that_is_cut_off_gives_what_came_whole(path: Path) -> None:
    source = path.read_bytes()
    whole = {one.content for one in unpack_tnef(source)}
    for stop in range(0, len(source), max(1, len(source) // 60)):
        assert {one.content for one in unpack_tnef(source[:stop]) if one.body is None} <= whole


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_one_with_wrong_bytes_is_read_all_the_same(path: Path) -> None:
    chance = random.Random(path.name)
    source = path.read_bytes()
    started = time.process_time()
    for _ in range(40):
        broken = bytearray(source)
        for _ in range(20):
            broken[chance.randrange(min(len(broken), 4000))] = chance.randrange(256)
        unpack_tnef(bytes(broken))
    assert time.process_time() - started < 20


@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    unpack_tnef(data)
    unpack_tnef(tnef() + data)
    unpack_tnef(tnef(attribute(1, 0x00069003, data), attribute(2, 0x00069005, data)))
    decompress_rtf(struct.pack("<IIII", len(data), 1000, 0x75465A4C, 0) + data)


def test_names_in_the_code_page_of_the_sender() -> None:
    source = tnef(
        attribute(1, 0x00069007, struct.pack("<II", 1251, 0)), file("Отчёт.doc".encode("cp1251") + b"\0", b"x")
    )
    assert [one.filename for one in unpack_tnef(source)] == ["Отчёт.doc"]


def test_a_wrapped_message_gives_its_attachments() -> None:
    inner = tnef(file(b"inner.txt\0", b"within"), attribute(1, 0x0002800C, b"its text\0"))
    interface = bytes.fromhex("0703020000000000c000000000000046")
    wrapped = attribute(2, 0x00069005, properties((0x0D, 0x3701, interface + inner)))
    source = tnef(file(b"first.txt\0", b"1"), attribute(2, 0x00069002, bytes(14)), wrapped)
    assert [(one.filename, one.content, one.body) for one in unpack_tnef(source)] == [
        ("first.txt", b"1", None),
        ("inner.txt", b"within", None),
        ("message-1.txt", b"its text", "plain"),
    ]


def test_messages_wrapped_without_end_are_left_at_some_depth() -> None:
    interface = bytes.fromhex("0703020000000000c000000000000046")
    source = tnef(file(b"deepest\0", b"x"))
    for _ in range(100):
        wrapped = attribute(2, 0x00069005, properties((0x0D, 0x3701, interface + source)))
        source = tnef(file(b"f\0", b"x"), attribute(2, 0x00069002, bytes(14)), wrapped)
    assert [one.filename for one in unpack_tnef(source)] == ["f"] * 6


def test_more_files_than_anybody_attaches_are_left_out() -> None:
    started = time.process_time()
    assert len(unpack_tnef(tnef(*[file(b"f\0", b"x")] * 100_000))) == MAX_FILES
    assert time.process_time() - started < 5


def _rtf(size: int, magic: int, tokens: bytes) -> bytes:
    return struct.pack("<IIII", len(tokens) + 12, size, magic, 0) + tokens


def test_rtf_of_the_specification() -> None:
    """Both examples of [MS-OXRTFCP] §3."""
    simple = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert decompress_rtf(simple) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    crossing = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert decompress_rtf(crossing) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert decompress_rtf(_rtf(5, 0x414C454D, b"{\\rtf")) == b"{\\rtf"


def test_rtf_that_would_grow_without_end_is_refused() -> None:
    bomb = b"\x00" + b"a" * 8 + (b"\xff" + b"\x0d\x0f" * 8) * 100_000
    started = time.process_time()
    assert decompress_rtf(_rtf(0xFFFFFFFF, 0x75465A4C, bomb)) is None
    assert decompress_rtf(_rtf(MAX_RTF_BYTES + 1, 0x75465A4C, bomb)) is None
    assert decompress_rtf(_rtf(100, 0x75465A4C, bytes(MAX_COMPRESSED_BYTES))) is None
    limit = len(decompress_rtf(_rtf(10_000_000, 0x75465A4C, bomb)) or b"")
    assert limit in (0, 10_000_000)
    assert time.process_time() - started < 10


def test_wrapped_messages_have_no_more_rtf_together_than_one_alone() -> None:
    interface = bytes.fromhex("0703020000000000c000000000000046")
    rtf = _rtf(600_000, 0x414C454D, bytes(600_000))
    inner = tnef(attribute(1, 0x00069003, properties((0x102, 0x1009, rtf))))
    wrapped = attribute(2, 0x00069002, bytes(14)) + attribute(
        2, 0x00069005, properties((0x0D, 0x3701, interface + inner))
    )
    found = unpack_tnef(tnef(*[wrapped] * 6))
    assert [one.body for one in found] == ["rtf"] * 3
