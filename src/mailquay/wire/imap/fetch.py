"""FETCH responses: everything a server tells about one message (RFC 9051 §7.5.2).

What cannot be parsed costs that message, not the session: it is delivered with `error` set and as much of it as
could be read. Only lost framing (a literal that is not as long as announced) is fatal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.bodystructure import BodyStructure
from mailquay.wire.imap.bodystructure_lenient import parse_lenient_number
from mailquay.wire.imap.bodystructure_read import read_body_structure
from mailquay.wire.imap.date import parse_date_time
from mailquay.wire.imap.envelope import (
    ENVELOPE_PATTERN,
    PLAIN_ENVELOPE_PATTERN,
    Envelope,
    envelope_from_groups,
    read_envelope,
)
from mailquay.wire.imap.flag import parse_flags
from mailquay.wire.imap.gmail import read_labels
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import CR, LF, FramingLost, Reader
from mailquay.wire.imap.objectid import read_object_id
from mailquay.wire.imap.section import Section, SectionKind, SectionText, read_section


class SectionData(NamedTuple):
    """A section of the body as a server gives it.

    `item` is the name it came under: BODY, BINARY, RFC822, RFC822.HEADER or RFC822.TEXT. `origin` is the offset of
    a partial. `data` is None for NIL, and for a section that was streamed: then `size_bytes` is not 0.
    """

    section: Section
    origin: int | None
    data: bytes | None
    size_bytes: int
    item: str = "BODY"


class FetchResponse(NamedTuple):
    """What one FETCH response holds; None and () for what it does not mention.

    `seq` is 0 when it came as UIDFETCH, which knows the UID alone (RFC 9586 §3.3).
    `size_bytes` is RFC822.SIZE. `binary_sizes` holds BINARY.SIZE answers, `unknown` items we do not know with their raw
    values. `error` says why the rest of the response could not be read.
    """

    seq: int
    uid: int | None = None
    flags: frozenset[str] | None = None
    modseq: int | None = None
    internal_date: datetime | None = None
    size_bytes: int | None = None
    envelope: Envelope | None = None
    body_structure: BodyStructure | None = None
    body: BodyStructure | None = None
    email_id: str | None = None
    thread_id: str | None = None
    gmail_message_id: int | None = None
    gmail_thread_id: int | None = None
    gmail_labels: tuple[str, ...] | None = None
    save_date: datetime | None = None
    preview: bytes | None = None
    sections: tuple[SectionData, ...] = ()
    binary_sizes: tuple[tuple[Section, int], ...] = ()
    unknown: tuple[tuple[str, bytes], ...] = ()
    error: str | None = None


_UID, _FLAGS, _MODSEQ, _DATE, _SIZE, _ENVELOPE, _BODY_STRUCTURE = 1, 2, 3, 4, 5, 6, 7
_SECTIONS, _BINARY_SIZES, _UNKNOWN, _ERROR = 16, 17, 18, 19
_ITEM = re.compile(rb" *([A-Za-z0-9][A-Za-z0-9.\-]*)(?: |(?=[\[)]))")
_NUMBER = re.compile(rb"\d{1,10}(?=[ )])")
_MODSEQ_VALUE = re.compile(rb"\((\d{1,19})\)")
_LENIENT_NUMBER = re.compile(rb"[0-9.eE+\-]{1,40}")
_FLAG_LIST = re.compile(rb"\(([^()\"{\r\n]*)\)")
_QUOTED = re.compile(rb'"([^"\\]*)"')
_ORIGIN = re.compile(rb"<(\d{1,19})>")
_UID_AT_END = re.compile(rb" UID (\d{1,10})\)\Z")
FETCH_HEAD = re.compile(rb"\* (\d{1,10}) (UID)?FETCH (?=\()", re.IGNORECASE)
_SECTION_TAIL = re.compile(
    rb"[( ]((?:BODY|BINARY)\[[^\]]*\](?:<\d{1,19}>)? |RFC822(?:\.TEXT|\.HEADER)? )~?\{\d+\}\r\n\Z", re.IGNORECASE
)
_SECTION_TAIL_MAX_BYTES = 8192
_RFC822_SECTIONS: Final = {
    "RFC822": Section(),
    "RFC822.HEADER": Section((), SectionText.HEADER),
    "RFC822.TEXT": Section((), SectionText.TEXT),
}


def _read_flags(r: Reader) -> frozenset[str]:
    match = r.match(_FLAG_LIST)
    if match is None:
        raise r.error("a flag list")
    return parse_flags(match.group(1))


def _read_modseq(r: Reader) -> int:
    match = r.match(_MODSEQ_VALUE)
    if match is None:
        raise r.error("a MODSEQ in parentheses")
    return int(match.group(1))


def _read_uid(r: Reader) -> int:
    match = r.match(_NUMBER)
    uid = 0 if match is None else int(match.group())
    if not 0 < uid < 2**32:
        raise r.error("a UID")
    return uid


def _read_date(r: Reader) -> datetime | None:
    match = r.match(_QUOTED)
    if match is not None:
        return parse_date_time(match.group(1))
    return None if r.nil() else parse_date_time(r.string())


def _read_size(r: Reader) -> int | None:
    match = r.match(_NUMBER)
    if match is not None:
        return int(match.group())
    if r.nil():
        r.note(Leniency.BODY_NUMBER_NIL)
        return None
    lenient = r.match(_LENIENT_NUMBER)
    if lenient is None:
        raise r.error("a size")
    return parse_lenient_number(lenient.group(), r)


def _read_gmail_id(r: Reader) -> int:
    return r.number(2**64 - 1)


_READERS: Final[dict[bytes, tuple[int, Callable[[Reader], object]]]] = {
    b"UID": (_UID, _read_uid),
    b"FLAGS": (_FLAGS, _read_flags),
    b"MODSEQ": (_MODSEQ, _read_modseq),
    b"INTERNALDATE": (_DATE, _read_date),
    b"RFC822.SIZE": (_SIZE, _read_size),
    b"ENVELOPE": (_ENVELOPE, read_envelope),
    b"BODYSTRUCTURE": (_BODY_STRUCTURE, read_body_structure),
    b"BODY": (8, read_body_structure),
    b"EMAILID": (9, read_object_id),
    b"THREADID": (10, read_object_id),
    b"X-GM-MSGID": (11, _read_gmail_id),
    b"X-GM-THRID": (12, _read_gmail_id),
    b"X-GM-LABELS": (13, read_labels),
    b"SAVEDATE": (14, _read_date),
    b"PREVIEW": (15, Reader.nstring),
}


def _usual_start(envelope: bytes) -> re.Pattern[bytes]:
    """The items of every sync, in the order in which we ask for them; a server that keeps it is read faster.

    MODSEQ may stand at the end as well: some have an order of their own.
    """
    return re.compile(
        rb"\((?:UID ([1-9]\d{0,8}) )?(?:FLAGS \(([^()\"{\r\n]*)\) )?(?:MODSEQ \((\d{1,19})\) )?"
        rb'(?:INTERNALDATE "([^"\\]*)" )?(?:RFC822\.SIZE (\d{1,10}) )?(?:MODSEQ \((\d{1,19})\) )?'
        rb"(?:(ENVELOPE) " + envelope + rb" )?"
    )


_USUAL_START = _usual_start(ENVELOPE_PATTERN)
_USUAL_PLAIN_START = _usual_start(PLAIN_ENVELOPE_PATTERN)
_ENVELOPE_ITEM = b" ENVELOPE ("
_CLOSE = 0x29
_USUAL_END = b"BODYSTRUCTURE ("
_LAST_ITEM = b" BODY[HEADER.FIELDS ("
_USUAL_LAST = re.compile(rb' BODY\[HEADER\.FIELDS \("?REFERENCES"?\)\] \{(\d{1,7})\}\r\n')
_REFERENCES: Final = Section((), SectionText.HEADER_FIELDS, ("REFERENCES",))

_Values = list[Any]
"""The fields of a FetchResponse while it is read; the repeatable ones are lists."""


def _new_values(seq: int, uid: int | None = None) -> _Values:
    return [seq, uid, None, None, None, None, None, None, None, None, None, None, None, None, None, None,
            (), (), (), None]  # fmt: skip


def _append(values: _Values, index: int, item: object, r: Reader) -> None:
    if not values[index]:
        values[index] = []
    elif len(values[index]) >= r.limits.max_list_items:
        raise RemoteProtocolError(f"more than {r.limits.max_list_items} items of one kind")
    values[index].append(item)


def _build(values: _Values) -> FetchResponse:
    if values[_SECTIONS]:
        values[_SECTIONS] = tuple(values[_SECTIONS])
    if values[_BINARY_SIZES]:
        values[_BINARY_SIZES] = tuple(values[_BINARY_SIZES])
    if values[_UNKNOWN]:
        values[_UNKNOWN] = tuple(values[_UNKNOWN])
    return tuple.__new__(FetchResponse, values)


def _read_items(r: Reader, values: _Values, *, cut: bool) -> None:
    """Read items up to the closing parenthesis, or to the end if a message is `cut` behind a streamed literal."""
    data = r.data
    last = _last_item(data)
    end = len(data) if last is None else last.start()
    # Flags hold backslashes and stand before the envelope; behind it they are rare, and line breaks are nowhere.
    r.plain = (
        data.rfind(b"\\", 0, end) < data.find(_ENVELOPE_ITEM)
        and data.find(LF, 0, end) < 0
        and data.find(CR, 0, end) < 0
    )
    match = (_USUAL_PLAIN_START if r.plain else _USUAL_START).match(data, r.pos)
    if match is None:
        raise r.error("a list of FETCH items")
    r.pos = match.end()
    groups = match.groups()
    uid, flags, modseq, internal_date, size, late_modseq, has_envelope = groups[:7]
    if uid is not None:
        values[_UID] = int(uid)
    if flags is not None:
        values[_FLAGS] = parse_flags(flags)
    if modseq is not None or late_modseq is not None:
        values[_MODSEQ] = int(late_modseq or modseq)
    if internal_date is not None:
        values[_DATE] = parse_date_time(internal_date)
    if size is not None:
        values[_SIZE] = int(size)
    if has_envelope is not None:
        values[_ENVELOPE] = envelope_from_groups(groups[7:], r)
    if data.startswith(_USUAL_END, r.pos):
        r.pos += len(_USUAL_END) - 1
        values[_BODY_STRUCTURE] = read_body_structure(r)
        if r.pos == len(data) - 1 and data[r.pos] == _CLOSE:
            return
    while not (cut and r.at_end()):
        if last is not None and r.pos == end:
            header = data[last.end() : -1]
            _append(values, _SECTIONS, SectionData(_REFERENCES, None, header, len(header)), r)
            return
        match = _ITEM.match(data, r.pos)
        if match is not None:
            name = match.group(1)
            known = _READERS.get(name)
            if known is not None and not data.startswith(b"[", match.end()):
                r.pos = match.end()
                values[known[0]] = known[1](r)
                continue
            r.pos = match.end()
            _read_other(r, values, name.upper())
        elif data.startswith(b")", r.pos):
            r.pos += 1
            if r.pos != len(data):
                r.expect_end()
            return
        else:
            _close_with_blank(r)
            return


def _last_item(data: bytes) -> re.Match[bytes] | None:
    """The header fields that we ask for with envelopes, if they are what the response ends with."""
    start = data.rfind(_LAST_ITEM)
    last = _USUAL_LAST.match(data, start) if start >= 0 else None
    if last is None or last.end() + int(last.group(1)) != len(data) - 1 or data[-1] != _CLOSE:
        return None
    return last


def _close_with_blank(r: Reader) -> None:
    if not r.skip_blanks() or not r.skip(b")"):
        raise r.error("a FETCH item")
    r.note(Leniency.EXTRA_BLANK)
    r.expect_end()


def _read_other(r: Reader, values: _Values, upper: bytes) -> None:
    name = upper.decode("ascii")
    bracket = r.peek() == b"["
    if upper in _READERS and not bracket:
        index, read = _READERS[upper]
        values[index] = read(r)
    elif name in _RFC822_SECTIONS and not bracket:
        _append(values, _SECTIONS, _read_data(r, _RFC822_SECTIONS[name], None, name), r)
    elif name in ("BODY", "BINARY") and bracket:
        section = read_section(r)
        origin = r.match(_ORIGIN)
        r.space()
        data = _read_data(r, section, None if origin is None else int(origin.group(1)), name)
        _append(values, _SECTIONS, data, r)
    elif name == SectionKind.BINARY_SIZE and bracket:
        section = read_section(r)
        r.space()
        _append(values, _BINARY_SIZES, (section, r.number64()), r)
    else:
        start = r.pos
        r.node()
        _append(values, _UNKNOWN, (name, r.data[start : r.pos]), r)


def _read_data(r: Reader, section: Section, origin: int | None, item: str) -> SectionData:
    if r.peek() != b'"' and r.starts_string():
        streamed = r.streamed_literal()
        if streamed is not None:
            data, size = None, streamed
        else:
            data = r.string()
            size = len(data)
        if not r.at_end() and r.peek() not in (b" ", b")"):
            raise FramingLost(f"a literal is not as long as announced: {r.data[r.pos : r.pos + 40]!r} follows it")
    else:
        data = r.nstring()
        size = 0 if data is None else len(data)
    return SectionData(section, origin, data, size, item)


def fetch_head_numbers(head: re.Match[bytes]) -> tuple[int, int | None]:
    """Sequence number and UID in what FETCH_HEAD has matched: one is known, the other 0 or None."""
    number = int(head.group(1))
    return (number, None) if head.group(2) is None else (0, number)


def read_fetch(r: Reader, seq: int, uid: int | None = None) -> FetchResponse:
    """Read the rest of `* seq FETCH ` or `* uid UIDFETCH `.

    A malformed response gives what was read up to the fault, with `error` set. Raises FramingLost when the fault
    lies in the framing.
    """
    values = _new_values(seq, uid)
    shared, r.leniencies = r.leniencies, set()
    try:
        if uid is not None and not 0 < uid < 2**32:
            raise r.error("a UID before UIDFETCH")
        _read_items(r, values, cut=False)
    except FramingLost:
        raise
    except RemoteProtocolError as error:
        # What was guessed on the way to the fault did not help: only the fault itself counts.
        r.leniencies = {Leniency.MESSAGE_ISOLATED}
        # Without what was found instead, which may be a piece of the message.
        values[_ERROR] = error.message.partition(", found ")[0]
        if values[_UID] is None:
            late_uid = _UID_AT_END.search(r.data)
            values[_UID] = None if late_uid is None else int(late_uid.group(1))
    if r.leniencies:
        shared |= r.leniencies
    return _build(values)


def may_stream(head: bytes) -> bool:
    """Whether a message that stops at a literal is a FETCH response, and the literal the value of a section."""
    return FETCH_HEAD.match(head) is not None and _SECTION_TAIL.search(head[-_SECTION_TAIL_MAX_BYTES:]) is not None


def read_streamed_head(r: Reader) -> tuple[int, int | None, SectionData]:
    """For a message that stops at a streamed literal: sequence number, UID if given before, and the section.

    Raises RemoteProtocolError when `may_stream` is false for it or the section is malformed.
    """
    head = r.match(FETCH_HEAD)
    if head is None:
        raise r.error("a FETCH response")
    values = _new_values(*fetch_head_numbers(head))
    try:
        _read_items(r, values, cut=True)
    except RemoteProtocolError:
        # Something before this section is broken; the whole response will say so when it is complete.
        values = _new_values(*fetch_head_numbers(head))
        _read_items(_section_alone(r), values, cut=True)
    if not values[_SECTIONS]:
        raise r.error("a section")
    return values[0], values[_UID], values[_SECTIONS][-1]


def _section_alone(r: Reader) -> Reader:
    tail_start = max(0, len(r.data) - _SECTION_TAIL_MAX_BYTES)
    tail = _SECTION_TAIL.search(r.data, tail_start)
    if tail is None:
        raise r.error("a section")
    shift = tail.start(1) - 1
    streamed = {offset - shift: size for offset, size in r.streamed.items()}
    return Reader(b"(" + r.data[tail.start(1) :], limits=r.limits, leniencies=r.leniencies, streamed=streamed)
