"""Commands on messages (RFC 9051 §6.3.12, §6.4; RFC 4315; RFC 6851; RFC 7162)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.date import format_date_time, parse_date_time
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import canonical_flag, format_flags
from mailquay.wire.imap.gmail import read_labels, write_labels
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import Expunge, Response, UntaggedStatus
from mailquay.wire.imap.search import And, SearchKey, is_ascii, read_search_key, write_search_key
from mailquay.wire.imap.section import FetchItem, read_fetch_items, write_fetch_item
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.uidplus import CopyUid
from mailquay.wire.imap.writer import StreamedMessage, Writer

MessageSet = SeqSet | UidSet
"""The messages a command is about; a UidSet makes it the UID form of the command."""


def read_message_set(r: Reader, *, uid: bool) -> MessageSet:
    """Read a set of the kind that the command's form asks for."""
    raw = r.atom_of_set()
    limit = r.limits.max_list_items
    return UidSet.parse(raw, limit) if uid else SeqSet.parse(raw, limit)


def _claims_row(messages: MessageSet, response: Response) -> bool:
    """Whether a FETCH response is about one of `messages`; without its UID it may be, when we asked by UID."""
    if not isinstance(response, FetchResponse):
        return False
    if isinstance(messages, UidSet):
        return response.uid is None or response.uid in messages
    return response.seq in messages


class MessageCommand(Command):
    """A command whose first argument is a set of messages."""

    __slots__ = ()

    messages: MessageSet

    @property
    def wire_name(self) -> str:
        return f"UID {self.name}" if isinstance(self.messages, UidSet) else self.name

    def _write_start(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" " + self.messages.encode())


@dataclass(frozen=True, slots=True)
class Fetch(MessageCommand):
    """FETCH and UID FETCH (RFC 9051 §6.4.5).

    `changed_since` limits the answer to later mod-sequences; `vanished` also reports expunged UIDs (RFC 7162 §3.1.4.1,
    §3.2.6) and needs `changed_since` and UIDs.
    """

    name: ClassVar[str] = "FETCH"

    messages: MessageSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False

    def write(self, w: Writer) -> None:
        self._write_start(w)
        if not self.items:
            raise LocalProtocolError("FETCH needs at least one item")
        if self.vanished and (self.changed_since is None or not isinstance(self.messages, UidSet)):
            raise LocalProtocolError("VANISHED needs CHANGEDSINCE and UID FETCH")
        w.raw(b" ")
        w.items(self.items, write_fetch_item)
        if self.changed_since is not None:
            w.raw(b" (CHANGEDSINCE %d%s)" % (self.changed_since, b" VANISHED" if self.vanished else b""))

    def claims(self, response: Response) -> bool:
        return _claims_row(self.messages, response) or (self.vanished and isinstance(response, Vanished))


def read_fetch_command(r: Reader, *, uid: bool) -> Fetch:
    """Read the arguments of FETCH."""
    messages = read_message_set(r, uid=uid)
    r.space()
    items = read_fetch_items(r)
    changed_since: list[int] = []
    vanished = False

    def read_modifier(reader: Reader) -> None:
        nonlocal vanished
        name = reader.word()
        if name == "CHANGEDSINCE":
            reader.space()
            changed_since.append(reader.number64())
        elif name == "VANISHED" and uid:
            vanished = True
        else:
            raise reader.error("a FETCH modifier")

    if r.skip(b" "):
        r.items(read_modifier)
    if vanished and not changed_since:
        raise r.error("CHANGEDSINCE with VANISHED")
    return Fetch(messages, items, changed_since[-1] if changed_since else None, vanished)


class StoreMode(StrEnum):
    """How STORE combines the flags given with those there are."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


@dataclass(frozen=True, slots=True)
class Store(MessageCommand):
    """STORE and UID STORE (RFC 9051 §6.4.6).

    Give `flags`, or `labels` for Gmail's X-GM-LABELS. `unchanged_since` makes it conditional (RFC 7162 §3.1.3).
    """

    name: ClassVar[str] = "STORE"

    messages: MessageSet
    mode: StoreMode
    flags: frozenset[str] | None = None
    labels: tuple[str, ...] | None = None
    silent: bool = False
    unchanged_since: int | None = None

    def write(self, w: Writer) -> None:
        if (self.flags is None) == (self.labels is None):
            raise LocalProtocolError("STORE needs either flags or labels")
        self._write_start(w)
        if self.unchanged_since is not None:
            w.raw(b" (UNCHANGEDSINCE %d)" % self.unchanged_since)
        item = "FLAGS" if self.labels is None else "X-GM-LABELS"
        w.raw(f" {self.mode.value}{item}{'.SILENT' if self.silent else ''} ".encode("ascii"))
        if self.labels is not None:
            write_labels(w, self.labels)
        else:
            w.raw(format_flags(self.flags or frozenset()))

    def claims(self, response: Response) -> bool:
        return _claims_row(self.messages, response)


def read_flag(r: Reader) -> str:
    """One flag."""
    slash = "\\" if r.skip(b"\\") else ""
    return canonical_flag(slash + r.atom().decode("latin-1"))


def _read_flag_list(r: Reader) -> frozenset[str]:
    if r.peek() == b"(":
        return frozenset(r.items(read_flag))
    flags = {read_flag(r)}
    while r.skip(b" "):
        flags.add(read_flag(r))
    return frozenset(flags)


def read_store(r: Reader, *, uid: bool) -> Store:
    """Read the arguments of STORE."""
    messages = read_message_set(r, uid=uid)
    r.space()
    unchanged_since: int | None = None
    if r.skip(b"("):
        if r.word() != "UNCHANGEDSINCE":
            raise r.error("UNCHANGEDSINCE")
        r.space()
        unchanged_since = r.number64()
        r.expect(b")")
        r.space()
    mode = StoreMode.ADD if r.skip(b"+") else StoreMode.REMOVE if r.skip(b"-") else StoreMode.REPLACE
    item = r.word()
    silent = item.endswith(".SILENT")
    r.space()
    match item.removesuffix(".SILENT"):
        case "FLAGS":
            return Store(messages, mode, _read_flag_list(r), None, silent, unchanged_since)
        case "X-GM-LABELS":
            return Store(messages, mode, None, read_labels(r), silent, unchanged_since)
        case _:
            raise r.error("FLAGS")


@dataclass(frozen=True, slots=True)
class Copy(MessageCommand):
    """COPY and UID COPY (RFC 9051 §6.4.7)."""

    name: ClassVar[str] = "COPY"

    messages: MessageSet
    mailbox: MailboxArgument

    def write(self, w: Writer) -> None:
        self._write_start(w)
        w.raw(b" ")
        w.mailbox(self.mailbox)

    def claims(self, response: Response) -> bool:
        return isinstance(response, UntaggedStatus) and isinstance(response.code, CopyUid)


def read_copy(r: Reader, *, uid: bool) -> Copy:
    """Read the arguments of COPY."""
    messages = read_message_set(r, uid=uid)
    r.space()
    return Copy(messages, read_mailbox(r))


@dataclass(frozen=True, slots=True)
class ExpungeCommand(Command):
    """EXPUNGE, or UID EXPUNGE when `uids` are given (RFC 9051 §6.4.3, §6.4.9)."""

    name: ClassVar[str] = "EXPUNGE"

    uids: UidSet | None = None

    @property
    def wire_name(self) -> str:
        return "EXPUNGE" if self.uids is None else "UID EXPUNGE"

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii"))
        if self.uids is not None:
            w.raw(b" " + self.uids.encode())

    def claims(self, response: Response) -> bool:
        return isinstance(response, Expunge | Vanished)


class SearchReturn(StrEnum):
    """What an extended SEARCH shall answer (RFC 4731 §3.1)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"


@dataclass(frozen=True, slots=True)
class Search(Command):
    """SEARCH and UID SEARCH (RFC 9051 §6.4.4); `returns` asks for an ESEARCH response.

    CHARSET is sent only when the key is not ASCII, since many servers refuse it.
    """

    name: ClassVar[str] = "SEARCH"

    key: SearchKey
    uid: bool = True
    returns: frozenset[SearchReturn] | None = None

    @property
    def wire_name(self) -> str:
        return "UID SEARCH" if self.uid else "SEARCH"

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" ")
        if self.returns is not None:
            w.raw(b"RETURN ")
            w.items(sorted(self.returns), lambda writer, option: writer.raw(option.value.encode("ascii")))
            w.raw(b" ")
        if not w.utf8 and not is_ascii(self.key):
            w.raw(b"CHARSET UTF-8 ")
        keys = self.key.keys if isinstance(self.key, And) else (self.key,)
        if not keys:
            raise LocalProtocolError("a search needs at least one key")
        for index, key in enumerate(keys):
            if index:
                w.raw(b" ")
            write_search_key(w, key)

    def claims(self, response: Response) -> bool:
        return isinstance(response, SearchResponse | EsearchResponse)


_CHARSETS = ("US-ASCII", "UTF-8")


class BadCharset(ValueError):
    """A SEARCH names a charset other than US-ASCII and UTF-8; the answer is NO with BADCHARSET (RFC 9051 §6.4.4)."""


def read_search_command(r: Reader, *, uid: bool) -> Search:
    """Read the arguments of SEARCH. Raises BadCharset, or RemoteProtocolError for keys we do not know."""
    returns: frozenset[SearchReturn] | None = None
    start = r.pos
    if r.peek().isalpha() and r.word() == "RETURN":
        r.space()
        returns = frozenset(r.items(_read_return)) or frozenset({SearchReturn.ALL})
        r.space()
    else:
        r.pos = start
    charset = "UTF-8"
    start = r.pos
    if r.peek().isalpha() and r.word() == "CHARSET":
        r.space()
        charset = r.astring().decode("latin-1").upper()
        if charset not in _CHARSETS:
            raise BadCharset(charset)
        r.space()
    else:
        r.pos = start
    keys = [read_search_key(r, charset)]
    while r.skip_blanks() and not r.at_end():
        if len(keys) >= r.limits.max_list_items:
            raise r.error("fewer search keys")
        keys.append(read_search_key(r, charset))
    return Search(keys[0] if len(keys) == 1 else And(tuple(keys)), uid, returns)


def _read_return(r: Reader) -> SearchReturn:
    name = r.word()
    if name not in SearchReturn.__members__:
        raise r.error("a SEARCH return option")
    return SearchReturn(name)


@dataclass(frozen=True, slots=True)
class Append(Command):
    """APPEND (RFC 9051 §6.3.12).

    `message` is the whole message with CRLF line ends, or its size when the driver feeds it in pieces. `binary` sends a
    literal8, for messages with NUL bytes (RFC 3516 §4.4).
    """

    name: ClassVar[str] = "APPEND"

    mailbox: MailboxArgument
    message: bytes | StreamedMessage
    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None
    binary: bool = False

    def write(self, w: Writer) -> None:
        w.raw(b"APPEND ")
        w.mailbox(self.mailbox)
        if self.flags:
            w.raw(b" " + format_flags(self.flags))
        if self.internal_date is not None:
            w.raw(b' "' + format_date_time(self.internal_date) + b'"')
        w.raw(b" ")
        w.literal(self.message, binary=self.binary)


def read_append(r: Reader) -> Append:
    """Read the arguments of APPEND; the message must be a literal."""
    mailbox = read_mailbox(r)
    r.space()
    flags: frozenset[str] = frozenset()
    if r.peek() == b"(":
        flags = frozenset(r.items(read_flag))
        r.space()
    internal_date: datetime | None = None
    if r.peek() == b'"':
        internal_date = parse_date_time(r.string())
        r.space()
    binary = r.peek() == b"~"
    if r.peek() not in (b"{", b"~"):
        raise r.error("a literal")
    return Append(mailbox, r.string(), flags, internal_date, binary)
