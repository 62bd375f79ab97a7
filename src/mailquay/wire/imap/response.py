"""Everything a server can say, read for the client and written for the server (RFC 9051 §7)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.condstore import Vanished, read_vanished, write_vanished
from mailquay.wire.imap.esearch import (
    EsearchResponse,
    SearchResponse,
    read_esearch,
    read_search,
    write_esearch,
    write_search,
)
from mailquay.wire.imap.fetch import FETCH_HEAD, FetchResponse, SectionData, fetch_head_numbers, read_fetch
from mailquay.wire.imap.fetch_write import write_fetch
from mailquay.wire.imap.flag import format_flags, parse_flags
from mailquay.wire.imap.identification import IdResponse, read_id, write_id_parameters
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import FramingLost, Reader
from mailquay.wire.imap.listing import ListKind, ListResponse, read_list, write_list
from mailquay.wire.imap.namespace import NamespaceResponse, read_namespace, write_namespace
from mailquay.wire.imap.quota_data import (
    QuotaResponse,
    QuotaRootResponse,
    read_quota,
    read_quota_root,
    write_quota,
    write_quota_root,
)
from mailquay.wire.imap.response_code import (
    ResponseCode,
    format_capabilities,
    format_code,
    parse_capabilities,
    read_response_text,
)
from mailquay.wire.imap.status import StatusResponse, read_status, write_status
from mailquay.wire.imap.writer import Writer


class Status(StrEnum):
    """The words of a status response (RFC 9051 §7.1)."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"
    PREAUTH = "PREAUTH"
    BYE = "BYE"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line of a connection: OK, PREAUTH or BYE (RFC 9051 §7.1)."""

    status: Status
    code: ResponseCode | None
    text: str


@dataclass(frozen=True, slots=True)
class UntaggedStatus:
    """An untagged OK, NO, BAD or BYE."""

    status: Status
    code: ResponseCode | None
    text: str


@dataclass(frozen=True, slots=True)
class TaggedResponse:
    """The end of a command (RFC 9051 §2.2.2)."""

    tag: str
    status: Status
    code: ResponseCode | None
    text: str


@dataclass(frozen=True, slots=True)
class Continuation:
    """A continuation request; `text` is the SASL challenge in base64 during AUTHENTICATE (RFC 9051 §7.6)."""

    text: str
    code: ResponseCode | None = None


@dataclass(frozen=True, slots=True)
class CapabilityResponse:
    """CAPABILITY: names in upper case (RFC 9051 §7.2.2)."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class EnabledResponse:
    """ENABLED: what has been switched on (RFC 9051 §7.2.1)."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class FlagsResponse:
    """FLAGS: the flags defined in the mailbox (RFC 9051 §7.3.5)."""

    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exists:
    """EXISTS: the number of messages (RFC 9051 §7.4.1)."""

    count: int


@dataclass(frozen=True, slots=True)
class Recent:
    """RECENT: the number of recent messages (RFC 3501 §7.3.2)."""

    count: int


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE: a message is gone and those behind it move up (RFC 9051 §7.5.1)."""

    seq: int


class LiteralStart(NamedTuple):
    """A body section begins that comes in pieces, ahead of its FetchResponse.

    LiteralChunks and one LiteralEnd follow. `uid` is None when the server sends it behind the section.
    `section.data` is None, `section.size_bytes` the bytes to come.
    """

    seq: int
    uid: int | None
    section: SectionData


class LiteralChunk(NamedTuple):
    """The next bytes of the section."""

    data: bytes


class LiteralEnd(NamedTuple):
    """The section is complete."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class UnknownResponse:
    """A response that we do not know, or cannot read; `error` says why. `raw` is without CRLF."""

    raw: bytes
    error: str | None = None


UntaggedResponse = (
    UntaggedStatus
    | CapabilityResponse
    | EnabledResponse
    | FlagsResponse
    | Exists
    | Recent
    | Expunge
    | FetchResponse
    | ListResponse
    | StatusResponse
    | SearchResponse
    | EsearchResponse
    | Vanished
    | NamespaceResponse
    | IdResponse
    | QuotaResponse
    | QuotaRootResponse
    | UnknownResponse
)
Response = Greeting | UntaggedResponse | TaggedResponse | Continuation

_STATUSES: Final = {status.value.encode(): status for status in Status}
_UNTAGGED = re.compile(rb"\* +(?:(\d{1,10}) +)?([A-Za-z][A-Za-z0-9.\-]*)(?: |\Z)")
_TAGGED = re.compile(rb"([^\x00-\x20\x7f(){%*\"\\+]+) +(OK|NO|BAD)(?= |\Z)", re.IGNORECASE)
_FLAG_LIST = re.compile(rb"\(([^()]*)\) *\Z")


def _read_flags(r: Reader) -> FlagsResponse:
    match = r.match(_FLAG_LIST)
    if match is None:
        raise r.error("a flag list")
    return FlagsResponse(parse_flags(match.group(1)))


_DATA_READERS: Final[dict[bytes, Callable[[Reader], UntaggedResponse]]] = {
    b"CAPABILITY": lambda r: CapabilityResponse(parse_capabilities(r.rest())),
    b"ENABLED": lambda r: EnabledResponse(parse_capabilities(r.rest())),
    b"FLAGS": _read_flags,
    b"LIST": lambda r: read_list(r, ListKind.LIST),
    b"LSUB": lambda r: read_list(r, ListKind.LSUB),
    b"XLIST": lambda r: read_list(r, ListKind.XLIST),
    b"STATUS": read_status,
    b"SEARCH": read_search,
    b"ESEARCH": read_esearch,
    b"VANISHED": read_vanished,
    b"NAMESPACE": read_namespace,
    b"ID": read_id,
    b"QUOTA": read_quota,
    b"QUOTAROOT": read_quota_root,
}
_COUNTED: Final[dict[bytes, Callable[[int], UntaggedResponse]]] = {
    b"EXISTS": Exists,
    b"RECENT": Recent,
    b"EXPUNGE": Expunge,
}


def read_response(r: Reader) -> UntaggedResponse | TaggedResponse | Continuation:
    """Read one whole response.

    What is not understood becomes an UnknownResponse. Raises FramingLost when bytes after it cannot be trusted
    either, and RemoteProtocolError for a line that is no response at all.
    """
    data = r.data
    match = FETCH_HEAD.match(data)
    if match is not None:
        r.pos = match.end()
        return read_fetch(r, *fetch_head_numbers(match))
    match = _UNTAGGED.match(data)
    if match is not None:
        r.pos = match.end()
        number, name = match.groups()
        try:
            return _read_untagged(r, number, name.upper())
        except FramingLost:
            raise
        except RemoteProtocolError as error:
            return UnknownResponse(data, error.message)
    if data.startswith(b"+"):
        return _read_continuation(r)
    match = _TAGGED.match(data)
    if match is not None:
        r.pos = match.end()
        code, text = read_response_text(r)
        return TaggedResponse(
            match.group(1).decode("ascii", "replace"), Status(match.group(2).decode().upper()), code, text
        )
    if data.startswith(b"* "):
        return UnknownResponse(data)
    raise RemoteProtocolError(f"not a response: {data[:60]!r}")


def _read_untagged(r: Reader, number: bytes | None, name: bytes) -> UntaggedResponse:
    if number is not None:
        if name == b"FETCH":
            return read_fetch(r, int(number))
        if name == b"UIDFETCH":
            return read_fetch(r, 0, int(number))
        counted = _COUNTED.get(name)
        if counted is None:
            return UnknownResponse(r.data)
        r.expect_end()
        return counted(int(number))
    status = _STATUSES.get(name)
    if status is not None:
        code, text = read_response_text(r)
        return UntaggedStatus(status, code, text)
    read = _DATA_READERS.get(name)
    return UnknownResponse(r.data) if read is None else read(r)


def _read_continuation(r: Reader) -> Continuation:
    r.pos = 1
    if not r.skip(b" ") or r.at_end():
        r.note(Leniency.CONTINUATION_BARE)
        return Continuation(r.rest().decode("utf-8", "replace"))
    if r.peek() == b"[":
        code, text = read_response_text(r)
        return Continuation(text, code)
    return Continuation(r.rest().decode("utf-8", "replace"))


def _write_status(w: Writer, status: Status, code: ResponseCode | None, text: str) -> None:
    w.raw(status.value.encode("ascii") + b" ")
    _write_text(w, code, text)


def _write_text(w: Writer, code: ResponseCode | None, text: str) -> None:
    line = (b"" if code is None else b"[" + format_code(code) + b"] ") + text.encode("utf-8", "replace")
    if any(byte in line for byte in b"\r\n\0"):
        raise LocalProtocolError("response text contains CR, LF or NUL")
    w.raw(line)


def write_response(w: Writer, response: Response) -> None:
    """Write one response without its CRLF. Raises LocalProtocolError for values that cannot be written."""
    match response:
        case TaggedResponse(tag, status, code, text):
            w.tag(tag)
            w.raw(b" ")
            _write_status(w, status, code, text)
        case Continuation(text, code):
            w.raw(b"+ ")
            _write_text(w, code, text)
        case Greeting(status, code, text) | UntaggedStatus(status, code, text):
            w.raw(b"* ")
            _write_status(w, status, code, text)
        case UnknownResponse(raw):
            w.raw(raw)
        case _:
            w.raw(b"* ")
            _write_data(w, response)


def _write_data(w: Writer, response: UntaggedResponse) -> None:
    match response:
        case FetchResponse():
            write_fetch(w, response)
        case Exists(number) | Recent(number) | Expunge(number):
            w.raw(f"{number} {type(response).__name__.upper()}".encode("ascii"))
        case CapabilityResponse(names):
            w.raw(b"CAPABILITY " + format_capabilities(names))
        case EnabledResponse(names):
            w.raw((b"ENABLED " + format_capabilities(names)).rstrip())
        case FlagsResponse(flags):
            w.raw(b"FLAGS " + format_flags(flags))
        case ListResponse():
            write_list(w, response)
        case StatusResponse():
            write_status(w, response)
        case SearchResponse():
            write_search(w, response)
        case EsearchResponse():
            write_esearch(w, response)
        case Vanished():
            write_vanished(w, response)
        case NamespaceResponse():
            write_namespace(w, response)
        case IdResponse(parameters):
            w.raw(b"ID ")
            write_id_parameters(w, parameters)
        case QuotaResponse():
            write_quota(w, response)
        case QuotaRootResponse():
            write_quota_root(w, response)
        case _:
            raise LocalProtocolError(f"cannot write a {type(response).__name__}")
