"""Response codes: what a status response tells a program (RFC 9051 §7.1, RFC 5530 and the extensions)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.condstore import HighestModSeq, Modified
from mailquay.wire.imap.flag import format_flags, parse_flags
from mailquay.wire.imap.in_progress import InProgress, format_in_progress, read_in_progress
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.message_limit import MessageLimit, format_message_limit, read_message_limit
from mailquay.wire.imap.sequence_set import format_ranges, parse_ranges
from mailquay.wire.imap.uidplus import (
    AppendUid,
    CopyUid,
    format_appenduid,
    format_copyuid,
    read_appenduid,
    read_copyuid,
)


@dataclass(frozen=True, slots=True)
class Code:
    """A code by its name (upper case) and the raw rest of it: ALERT, TRYCREATE, AUTHENTICATIONFAILED and many more.

    Those of extensions that carry nothing are such too: COMPRESSIONACTIVE (RFC 4978 §3), NOTIFICATIONOVERFLOW (RFC 5465
    §5.8), NOTSAVED (RFC 5182 §2.1), OVERQUOTA (RFC 9208 §4.3.1), TOOBIG (RFC 7889 §4), UIDREQUIRED (RFC 9586 §3.1).
    """

    name: str
    argument: bytes | None = None


@dataclass(frozen=True, slots=True)
class CapabilityCode:
    """CAPABILITY, in a greeting or after login (RFC 9051 §7.1)."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class PermanentFlags:
    """PERMANENTFLAGS: the flags that can be changed for good; `\\*` allows new keywords (RFC 9051 §7.1)."""

    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class UidNext:
    """UIDNEXT (RFC 9051 §7.1)."""

    value: int


@dataclass(frozen=True, slots=True)
class UidValidity:
    """UIDVALIDITY, never 0 (RFC 9051 §7.1)."""

    value: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """UNSEEN: the sequence number of the first unseen message (RFC 3501 §7.1)."""

    seq: int


@dataclass(frozen=True, slots=True)
class MailboxId:
    """MAILBOXID of the mailbox created or selected (RFC 8474 §4)."""

    object_id: str


@dataclass(frozen=True, slots=True)
class BadCharsetCode:
    """BADCHARSET, with the charsets that the server does know (RFC 9051 §7.1)."""

    charsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadEvent:
    """BADEVENT, with the events that the server can tell of (RFC 5465 §5)."""

    events: tuple[str, ...]


ResponseCode = (
    Code
    | CapabilityCode
    | PermanentFlags
    | UidNext
    | UidValidity
    | Unseen
    | MailboxId
    | HighestModSeq
    | Modified
    | AppendUid
    | CopyUid
    | BadCharsetCode
    | BadEvent
    | InProgress
    | MessageLimit
)

_NAMES: Final[dict[type, str]] = {
    CapabilityCode: "CAPABILITY",
    PermanentFlags: "PERMANENTFLAGS",
    UidNext: "UIDNEXT",
    UidValidity: "UIDVALIDITY",
    Unseen: "UNSEEN",
    MailboxId: "MAILBOXID",
    HighestModSeq: "HIGHESTMODSEQ",
    Modified: "MODIFIED",
    AppendUid: "APPENDUID",
    CopyUid: "COPYUID",
    BadCharsetCode: "BADCHARSET",
    BadEvent: "BADEVENT",
    InProgress: "INPROGRESS",
    MessageLimit: "MESSAGELIMIT",
}
_CODE_NAME = re.compile(rb"[^\x00-\x20\]\"(){]+")
_CODE_END = re.compile(rb'(?:[^\]"]|"(?:[^"\\]|\\.)*+")*+(?=\])')
_INSIDE_TEXT = re.compile(rb"\[((?:COPYUID|APPENDUID) [0-9:, ]+)\]", re.IGNORECASE)
_FLAG_LIST = re.compile(rb"\(([^()]*)\)")
_WORD = re.compile(r"[A-Za-z0-9_.:+-]+")


def code_name(code: ResponseCode | None) -> str | None:
    """The name of any code, as in `AUTHENTICATIONFAILED`."""
    if code is None:
        return None
    return code.name if isinstance(code, Code) else _NAMES[type(code)]


def parse_capabilities(raw: bytes) -> frozenset[str]:
    """Capability names, upper case."""
    return frozenset(name.decode("latin-1").upper() for name in raw.split())


def _read_uidvalidity(r: Reader) -> UidValidity | Code:
    value = r.number()
    if value:
        return UidValidity(value)
    r.note(Leniency.UIDVALIDITY_ZERO)
    return Code("UIDVALIDITY", b"0")


def _read_permanent_flags(r: Reader) -> PermanentFlags:
    match = r.match(_FLAG_LIST)
    if match is None:
        raise r.error("a flag list")
    return PermanentFlags(parse_flags(match.group(1)))


def _read_mailbox_id(r: Reader) -> MailboxId:
    r.expect(b"(")
    object_id = r.atom().decode("latin-1")
    r.expect(b")")
    return MailboxId(object_id)


def _read_bad_charset(r: Reader) -> BadCharsetCode:
    if r.at_end():
        return BadCharsetCode()
    return BadCharsetCode(r.items(lambda reader: reader.astring().decode("latin-1").upper()))


def _read_bad_event(r: Reader) -> BadEvent:
    return BadEvent(r.items(lambda reader: reader.atom().decode("latin-1")))


_READERS: Final[dict[str, Callable[[Reader], ResponseCode]]] = {
    "PERMANENTFLAGS": _read_permanent_flags,
    "UIDNEXT": lambda r: UidNext(r.number()),
    "UIDVALIDITY": _read_uidvalidity,
    "UNSEEN": lambda r: Unseen(r.number()),
    "MAILBOXID": _read_mailbox_id,
    "HIGHESTMODSEQ": lambda r: HighestModSeq(r.number64()),
    "MODIFIED": lambda r: Modified(parse_ranges(r.atom_of_set(), r.limits.max_list_items)),
    "APPENDUID": read_appenduid,
    "COPYUID": read_copyuid,
    "BADCHARSET": _read_bad_charset,
    "BADEVENT": _read_bad_event,
    "INPROGRESS": read_in_progress,
    "MESSAGELIMIT": read_message_limit,
}


def _parse_code(name: str, argument: bytes | None, r: Reader) -> ResponseCode:
    if name == "CAPABILITY":
        return CapabilityCode(parse_capabilities(argument or b""))
    read = _READERS.get(name)
    if read is None:
        return Code(name, argument)
    inner = Reader(argument or b"", limits=r.limits, leniencies=r.leniencies)
    try:
        code = read(inner)
        inner.expect_end()
    except RemoteProtocolError:
        r.note(Leniency.CODE_MALFORMED)
        return Code(name, argument)
    return code


def read_response_text(r: Reader) -> tuple[ResponseCode | None, str]:
    """Read the rest of a status response: a code in brackets if there is one, and the text for people.

    A code whose arguments are malformed is kept uninterpreted; a missing text is empty.
    """
    code: ResponseCode | None = None
    r.skip_blanks()
    start = r.pos
    if r.skip(b"["):
        name = r.match(_CODE_NAME)
        end = r.match(_CODE_END)
        if name is None or end is None:
            r.pos = start
        else:
            r.expect(b"]")
            code = _parse_code(name.group().decode("latin-1").upper(), end.group().strip() or None, r)
            r.skip(b" ")
    raw = r.rest()
    if not raw:
        r.note(Leniency.TEXT_MISSING)
    elif code is None:
        inside = _INSIDE_TEXT.search(raw[:4096])
        if inside is not None:
            r.note(Leniency.CODE_AFTER_TEXT)
            name_bytes, _, argument = inside.group(1).partition(b" ")
            code = _parse_code(name_bytes.decode("ascii").upper(), argument.strip(), r)
    return code, raw.decode("utf-8", "replace")


def format_code(code: ResponseCode) -> bytes:
    """A code without its brackets. Raises LocalProtocolError for what cannot be written."""
    match code:
        case Code(name, argument):
            clean = name.encode("ascii", "replace")
            return clean if argument is None else clean + b" " + argument
        case CapabilityCode(names):
            return b"CAPABILITY " + format_capabilities(names)
        case PermanentFlags(flags):
            return b"PERMANENTFLAGS " + format_flags(flags)
        case UidNext(value) | UidValidity(value) | HighestModSeq(value):
            return f"{_NAMES[type(code)]} {value}".encode("ascii")
        case Unseen(seq):
            return b"UNSEEN %d" % seq
        case MailboxId(object_id):
            return b"MAILBOXID (" + object_id.encode("ascii", "replace") + b")"
        case Modified(ranges):
            return b"MODIFIED " + format_ranges(ranges)
        case AppendUid():
            return format_appenduid(code)
        case CopyUid():
            return format_copyuid(code)
        case InProgress():
            return format_in_progress(code)
        case MessageLimit():
            return format_message_limit(code)
        case BadCharsetCode(words) | BadEvent(words):
            return _format_words(_NAMES[type(code)], words)


def _format_words(name: str, words: tuple[str, ...]) -> bytes:
    """A code with a list of atoms, or without anything when there is none."""
    if not all(_WORD.fullmatch(word) for word in words):
        raise LocalProtocolError(f"{name} takes atoms")
    return f"{name} ({' '.join(words)})".encode("ascii") if words else name.encode("ascii")


def format_capabilities(names: frozenset[str]) -> bytes:
    """Capability names with the protocol version first, as some clients expect it."""
    ordered = sorted(names, key=lambda name: (not name.startswith("IMAP4"), name))
    return " ".join(ordered).encode("ascii", "replace")
