"""SEARCH keys (RFC 9051 §6.4.4, RFC 5032, RFC 7162, RFC 8474, Gmail's X-GM keys).

NEW, OLD and RECENT are understood from clients; do not send them, some servers drop the connection over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.date import format_date, parse_date
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.writer import Writer


class Simple(StrEnum):
    """Keys without arguments. SAVEDATESUPPORTED asks whether the mailbox keeps save dates (RFC 8514 §4.3)."""

    ALL = "ALL"
    ANSWERED = "ANSWERED"
    DELETED = "DELETED"
    DRAFT = "DRAFT"
    FLAGGED = "FLAGGED"
    NEW = "NEW"
    OLD = "OLD"
    RECENT = "RECENT"
    SAVEDATESUPPORTED = "SAVEDATESUPPORTED"
    SEEN = "SEEN"
    UNANSWERED = "UNANSWERED"
    UNDELETED = "UNDELETED"
    UNDRAFT = "UNDRAFT"
    UNFLAGGED = "UNFLAGGED"
    UNSEEN = "UNSEEN"


class TextField(StrEnum):
    """Where a text is looked for. X_GM_RAW takes Gmail's own query language, X_GM_LABELS a label."""

    BCC = "BCC"
    BODY = "BODY"
    CC = "CC"
    FROM = "FROM"
    SUBJECT = "SUBJECT"
    TEXT = "TEXT"
    TO = "TO"
    X_GM_RAW = "X-GM-RAW"
    X_GM_LABELS = "X-GM-LABELS"


class DateField(StrEnum):
    """Which date is compared, and how."""

    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"
    SENTBEFORE = "SENTBEFORE"
    SENTON = "SENTON"
    SENTSINCE = "SENTSINCE"
    SAVEDBEFORE = "SAVEDBEFORE"
    SAVEDON = "SAVEDON"
    SAVEDSINCE = "SAVEDSINCE"


class NumberField(StrEnum):
    """Keys with a number: sizes in bytes, ages in seconds, a mod-sequence, Gmail's ids."""

    LARGER = "LARGER"
    SMALLER = "SMALLER"
    OLDER = "OLDER"
    YOUNGER = "YOUNGER"
    MODSEQ = "MODSEQ"
    X_GM_MSGID = "X-GM-MSGID"
    X_GM_THRID = "X-GM-THRID"


class IdField(StrEnum):
    """Keys with an object id (RFC 8474 §6)."""

    EMAILID = "EMAILID"
    THREADID = "THREADID"


@dataclass(frozen=True, slots=True)
class Keyword:
    """KEYWORD, or UNKEYWORD when not `present`."""

    flag: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """A substring search, in UTF-8 when it is not ASCII."""

    field: TextField
    value: str


@dataclass(frozen=True, slots=True)
class Header:
    """HEADER: a field that contains a text, or exists when the text is empty."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Date:
    """A comparison by day, without time or zone."""

    field: DateField
    day: date


@dataclass(frozen=True, slots=True)
class Number:
    """A comparison with a number."""

    field: NumberField
    value: int


@dataclass(frozen=True, slots=True)
class ObjectIdKey:
    """A match by object id."""

    field: IdField
    object_id: str


@dataclass(frozen=True, slots=True)
class Not:
    """NOT."""

    key: SearchKey


@dataclass(frozen=True, slots=True)
class Or:
    """OR."""

    first: SearchKey
    second: SearchKey


@dataclass(frozen=True, slots=True)
class And:
    """Several keys that must all match; never empty."""

    keys: tuple[SearchKey, ...]


SearchKey = (
    Simple | Keyword | Text | Header | Date | Number | ObjectIdKey | Not | Or | And | SeqSet | UidSet | SavedResult
)

_MAX_NUMBER: Final = {
    NumberField.X_GM_MSGID: 2**64 - 1,
    NumberField.X_GM_THRID: 2**64 - 1,
    NumberField.MODSEQ: 2**63 - 1,
}
_SET_START = frozenset(b"0123456789*")


def _text(r: Reader, charset: str) -> str:
    raw = r.astring()
    try:
        return raw.decode("utf-8" if charset in ("UTF-8", "US-ASCII") else charset)
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"search text is not {charset}") from error


def read_search_key(r: Reader, charset: str = "UTF-8", depth: int = 0) -> SearchKey:
    """Read one key. Raises RemoteProtocolError for keys we do not know and for nesting beyond the limit."""
    if depth > r.limits.max_nesting_depth:
        raise RemoteProtocolError(f"nesting deeper than {r.limits.max_nesting_depth}")
    first = r.peek()
    if first == b"(":
        keys = r.items(lambda reader: read_search_key(reader, charset, depth + 1))
        if not keys:
            raise r.error("a search key")
        return And(keys)
    if first and first[0] in _SET_START:
        return SeqSet.parse(r.atom_of_set(), r.limits.max_list_items)
    if r.skip(b"$"):
        return SavedResult(uid=False)
    start = r.pos
    name = r.word()
    if name in Simple.__members__:
        return Simple(name)
    read = _READERS.get(name)
    if read is None:
        r.pos = start
        raise r.error("a search key")
    r.space()
    return read(r, charset, depth, name)


def _read_keyword(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    return Keyword(r.atom().decode("latin-1"), name == "KEYWORD")


def _read_text(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    return Text(TextField(name), _text(r, charset))


def _read_header(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    field = r.astring().decode("latin-1")
    r.space()
    return Header(field, _text(r, charset))


def _read_date(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    raw = r.string() if r.starts_string() else r.atom()
    return Date(DateField(name), parse_date(raw))


def _read_number(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    field = NumberField(name)
    if field is NumberField.MODSEQ and r.peek() == b'"':
        # An entry name and type, which only matter to servers with per-flag mod-sequences (RFC 7162 §3.1.5).
        r.string()
        r.space()
        r.word()
        r.space()
    return Number(field, r.number(_MAX_NUMBER.get(field, 2**63 - 1)))


def _read_object_id(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    return ObjectIdKey(IdField(name), r.astring().decode("latin-1"))


def _read_not(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    return Not(read_search_key(r, charset, depth + 1))


def _read_or(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    first = read_search_key(r, charset, depth + 1)
    r.space()
    return Or(first, read_search_key(r, charset, depth + 1))


def _read_uid(r: Reader, charset: str, depth: int, name: str) -> SearchKey:
    if r.skip(b"$"):
        return SavedResult(uid=True)
    return UidSet.parse(r.atom_of_set(), r.limits.max_list_items)


_READERS: Final[dict[str, Callable[[Reader, str, int, str], SearchKey]]] = {
    "KEYWORD": _read_keyword,
    "UNKEYWORD": _read_keyword,
    "HEADER": _read_header,
    "NOT": _read_not,
    "OR": _read_or,
    "UID": _read_uid,
    **{field.value: _read_text for field in TextField},
    **{field.value: _read_date for field in DateField},
    **{field.value: _read_number for field in NumberField},
    **{field.value: _read_object_id for field in IdField},
}


def names_sequence_numbers(key: SearchKey) -> bool:
    """Whether a set of sequence numbers is anywhere in the key."""
    match key:
        case SeqSet():
            return True
        case Not(inner):
            return names_sequence_numbers(inner)
        case Or(first, second):
            return names_sequence_numbers(first) or names_sequence_numbers(second)
        case And(keys):
            return any(names_sequence_numbers(inner) for inner in keys)
    return False


def is_ascii(key: SearchKey) -> bool:
    """Whether the key can be sent without CHARSET, which some servers refuse altogether."""
    match key:
        case Text(_, value) | Header(_, value):
            return value.isascii()
        case Not(inner):
            return is_ascii(inner)
        case Or(first, second):
            return is_ascii(first) and is_ascii(second)
        case And(keys):
            return all(is_ascii(inner) for inner in keys)
        case _:
            return True


def write_search_key(w: Writer, key: SearchKey) -> None:
    """Write one key. Raises LocalProtocolError for flags, header names and ids that are not well-formed."""
    match key:
        case Simple():
            w.raw(key.value.encode("ascii"))
        case Keyword(flag, present):
            w.raw(b"KEYWORD " if present else b"UNKEYWORD ")
            w.atom(flag)
        case Text(text_field, value):
            w.raw(text_field.value.encode("ascii") + b" ")
            w.text(value)
        case Header(name, value):
            w.raw(b"HEADER ")
            w.atom(name)
            w.raw(b" ")
            w.text(value)
        case Date(date_field, day):
            w.raw(date_field.value.encode("ascii") + b" " + format_date(day))
        case Number(number_field, number):
            w.raw(number_field.value.encode("ascii") + b" ")
            w.number(number, _MAX_NUMBER.get(number_field, 2**63 - 1))
        case ObjectIdKey(id_field, object_id):
            w.raw(id_field.value.encode("ascii") + b" ")
            w.atom(object_id)
        case UidSet():
            w.raw(b"UID " + key.encode())
        case SavedResult(uid):
            w.raw(b"UID $" if uid else b"$")
        case SeqSet():
            w.raw(key.encode())
        case _:
            _write_combination(w, key)


def _write_combination(w: Writer, key: Not | Or | And) -> None:
    match key:
        case Not(inner):
            w.raw(b"NOT ")
            write_search_key(w, inner)
        case Or(first, second):
            w.raw(b"OR ")
            write_search_key(w, first)
            w.raw(b" ")
            write_search_key(w, second)
        case And(keys):
            if not keys:
                raise LocalProtocolError("a search needs at least one key")
            w.items(keys, write_search_key)
