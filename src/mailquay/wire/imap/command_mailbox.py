"""Commands on mailboxes as a whole (RFC 9051 §6.3, RFC 3501 §6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mailquay.wire.imap.command import Command
from mailquay.wire.imap.condstore import QresyncParameter, Vanished, read_qresync, write_qresync
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.listing import (
    PLAIN_LIST,
    ListKind,
    ListOptions,
    ListResponse,
    canonical_attribute,
    read_list_return,
    read_list_selection,
)
from mailquay.wire.imap.mailbox_name import MailboxArgument, decode_mailbox, encode_mailbox
from mailquay.wire.imap.namespace import NamespaceResponse
from mailquay.wire.imap.response import Exists, FlagsResponse, Recent, Response, Status, UntaggedStatus
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.writer import Writer


def read_mailbox(r: Reader) -> MailboxArgument:
    """A mailbox argument; bytes when its encoding is broken."""
    name, wire = decode_mailbox(r.astring(), utf8=r.utf8)
    return name if wire is None else wire


class MailboxCommand(Command):
    """A command whose only argument is a mailbox."""

    __slots__ = ()

    mailbox: MailboxArgument

    def write(self, w: Writer) -> None:
        w.raw(self.name.encode("ascii") + b" ")
        w.mailbox(self.mailbox)


@dataclass(frozen=True, slots=True)
class Delete(MailboxCommand):
    """DELETE (RFC 9051 §6.3.5)."""

    name = "DELETE"
    mailbox: MailboxArgument


@dataclass(frozen=True, slots=True)
class Subscribe(MailboxCommand):
    """SUBSCRIBE (RFC 9051 §6.3.7)."""

    name = "SUBSCRIBE"
    mailbox: MailboxArgument


@dataclass(frozen=True, slots=True)
class Unsubscribe(MailboxCommand):
    """UNSUBSCRIBE (RFC 9051 §6.3.8)."""

    name = "UNSUBSCRIBE"
    mailbox: MailboxArgument


@dataclass(frozen=True, slots=True)
class Create(MailboxCommand):
    """CREATE, perhaps with special uses (RFC 9051 §6.3.4, RFC 6154 §5.1)."""

    name = "CREATE"
    mailbox: MailboxArgument
    special_use: frozenset[str] = frozenset()

    def write(self, w: Writer) -> None:
        MailboxCommand.write(self, w)
        if self.special_use:
            w.raw(b" (USE ")
            w.items(sorted(self.special_use), _write_special_use)
            w.raw(b")")


def _write_special_use(w: Writer, attribute: str) -> None:
    w.raw(b"\\")
    w.atom(attribute.removeprefix("\\"))


def read_create(r: Reader) -> Create:
    """Read the arguments of CREATE."""
    mailbox = read_mailbox(r)
    special_use: frozenset[str] = frozenset()
    if r.skip(b" "):
        r.expect(b"(")
        if r.word() != "USE":
            raise r.error("USE")
        r.space()
        special_use = frozenset(r.items(_read_special_use))
        r.expect(b")")
    return Create(mailbox, special_use)


def _read_special_use(r: Reader) -> str:
    r.expect(b"\\")
    return canonical_attribute("\\" + r.atom().decode("latin-1"))


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME (RFC 9051 §6.3.6)."""

    name = "RENAME"
    mailbox: MailboxArgument
    new_name: MailboxArgument

    def write(self, w: Writer) -> None:
        w.raw(b"RENAME ")
        w.mailbox(self.mailbox)
        w.raw(b" ")
        w.mailbox(self.new_name)


def read_rename(r: Reader) -> Rename:
    """Read the arguments of RENAME."""
    mailbox = read_mailbox(r)
    r.space()
    return Rename(mailbox, read_mailbox(r))


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT, or EXAMINE when `read_only` (RFC 9051 §6.3.2), with CONDSTORE or QRESYNC (RFC 7162 §3.1.8, §3.2.5)."""

    name: ClassVar[str] = "SELECT"

    mailbox: MailboxArgument
    read_only: bool = False
    condstore: bool = False
    qresync: QresyncParameter | None = None

    @property
    def wire_name(self) -> str:
        return "EXAMINE" if self.read_only else "SELECT"

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" ")
        w.mailbox(self.mailbox)
        if self.condstore and self.qresync is None:
            w.raw(b" (CONDSTORE)")
        elif self.qresync is not None:
            w.raw(b" (CONDSTORE QRESYNC " if self.condstore else b" (QRESYNC ")
            write_qresync(w, self.qresync)
            w.raw(b")")

    def claims(self, response: Response) -> bool:
        if isinstance(response, UntaggedStatus):
            return response.status is Status.OK
        return isinstance(response, Exists | Recent | FlagsResponse | FetchResponse | Vanished | ListResponse)


def read_select(r: Reader, *, read_only: bool) -> Select:
    """Read the arguments of SELECT or EXAMINE."""
    mailbox = read_mailbox(r)
    condstore = False
    qresync: list[QresyncParameter] = []

    def read_parameter(reader: Reader) -> None:
        nonlocal condstore
        name = reader.word()
        if name == "CONDSTORE":
            condstore = True
        elif name == "QRESYNC":
            reader.space()
            qresync.append(read_qresync(reader))
        else:
            raise reader.error("CONDSTORE or QRESYNC")

    if r.skip(b" "):
        r.items(read_parameter)
    return Select(mailbox, read_only, condstore, qresync[-1] if qresync else None)


@dataclass(frozen=True, slots=True)
class Check(Command):
    """CHECK: ask for a checkpoint, which means nothing to most servers (RFC 3501 §6.4.1)."""

    name = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    """CLOSE: expunge silently and leave the mailbox (RFC 9051 §6.4.1)."""

    name = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    """UNSELECT: leave the mailbox, expunge nothing (RFC 9051 §6.4.2, RFC 3691)."""

    name = "UNSELECT"


@dataclass(frozen=True, slots=True)
class NamespaceCommand(Command):
    """NAMESPACE (RFC 9051 §6.3.10, RFC 2342)."""

    name = "NAMESPACE"

    def claims(self, response: Response) -> bool:
        return isinstance(response, NamespaceResponse)


@dataclass(frozen=True, slots=True)
class List(Command):
    """LIST, LSUB or XLIST; `options` only with LIST-EXTENDED (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154)."""

    name: ClassVar[str] = "LIST"

    reference: str = ""
    patterns: tuple[str, ...] = ("*",)
    options: ListOptions = PLAIN_LIST
    kind: ListKind = ListKind.LIST

    @property
    def wire_name(self) -> str:
        return self.kind.value

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" ")
        if self.options.select:
            w.items(sorted(self.options.select), lambda writer, option: writer.raw(option.value.encode("ascii")))
            w.raw(b" ")
        w.astring(encode_mailbox(self.reference, utf8=w.utf8) if self.reference else b"")
        w.raw(b" ")
        if len(self.patterns) == 1:
            w.mailbox_pattern(self.patterns[0])
        else:
            w.items(self.patterns, Writer.mailbox_pattern)
        if self.options.returns or self.options.status:
            w.raw(b" RETURN (")
            words = sorted(option.value for option in self.options.returns)
            if self.options.status:
                words.append(f"STATUS ({' '.join(item.value for item in self.options.status)})")
            w.raw(" ".join(words).encode("ascii") + b")")

    def claims(self, response: Response) -> bool:
        if isinstance(response, StatusResponse):
            return bool(self.options.status)
        return isinstance(response, ListResponse)


def read_list_command(r: Reader, kind: ListKind) -> List:
    """Read the arguments of LIST, LSUB or XLIST."""
    select = read_list_selection(r) if r.peek() == b"(" else frozenset()
    if r.data[r.pos - 1 : r.pos] == b")":
        r.space()
    reference = decode_mailbox(r.astring(), utf8=r.utf8)[0]
    r.space()
    patterns = r.items(_read_pattern) if r.peek() == b"(" else (_read_pattern(r),)
    options = ListOptions(select)
    if r.skip(b" "):
        if r.word() != "RETURN":
            raise r.error("RETURN")
        r.space()
        returns, status = read_list_return(r)
        options = ListOptions(select, returns, status)
    return List(reference, patterns, options, kind)


def _read_pattern(r: Reader) -> str:
    return decode_mailbox(r.list_mailbox(), utf8=r.utf8)[0]


@dataclass(frozen=True, slots=True)
class StatusCommand(Command):
    """STATUS (RFC 9051 §6.3.11). The server may spell the mailbox otherwise, so any STATUS response is claimed."""

    name = "STATUS"

    mailbox: MailboxArgument
    items: tuple[StatusItem, ...]

    def write(self, w: Writer) -> None:
        w.raw(b"STATUS ")
        w.mailbox(self.mailbox)
        w.raw(b" ")
        w.items(self.items, lambda writer, item: writer.raw(item.value.encode("ascii")))

    def claims(self, response: Response) -> bool:
        return isinstance(response, StatusResponse)


def read_status_command(r: Reader) -> StatusCommand:
    """Read the arguments of STATUS. Raises RemoteProtocolError for items we do not know."""
    mailbox = read_mailbox(r)
    r.space()

    def read_item(reader: Reader) -> StatusItem:
        name = reader.word()
        if name not in list(StatusItem):
            raise reader.error("a STATUS item")
        return StatusItem(name)

    return StatusCommand(mailbox, r.items(read_item))
