"""Commands on messages of the selected mailbox (RFC 9051 §6.4; RFC 4315; RFC 7162; RFC 9394)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import canonical_flag, format_flags
from mailquay.wire.imap.gmail import read_labels, write_labels
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.partial import PartialRange, read_partial_range
from mailquay.wire.imap.response import Expunge, Response, UntaggedStatus
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.section import FetchItem, read_fetch_items, write_fetch_item
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.uidplus import CopyUid
from mailquay.wire.imap.writer import Writer

MessageSet = SeqSet | UidSet | SavedResult
"""The messages a command is about; UIDs make it the UID form of the command."""


def names_uids(messages: MessageSet) -> bool:
    """Whether a set makes a command the UID form of itself."""
    return messages.uid if isinstance(messages, SavedResult) else isinstance(messages, UidSet)


def sets_overlap(first: MessageSet, second: MessageSet) -> bool:
    """Whether two sets of the same kind may share a message; nobody but the server knows what `$` holds."""
    if isinstance(first, SavedResult) or isinstance(second, SavedResult):
        return True
    return first.overlaps(second)


def read_message_set(r: Reader, *, uid: bool) -> MessageSet:
    """Read a set of the kind that the command's form asks for."""
    if r.skip(b"$"):
        return SavedResult(uid)
    raw = r.atom_of_set()
    limit = r.limits.max_list_items
    return UidSet.parse(raw, limit) if uid else SeqSet.parse(raw, limit)


def _claims_row(messages: MessageSet, response: Response) -> bool:
    """Whether a FETCH response is about one of `messages`; without its UID it may be, when we asked by UID."""
    if not isinstance(response, FetchResponse):
        return False
    if names_uids(messages):
        return response.uid is None or response.uid in messages
    return response.seq in messages


class MessageCommand(Command):
    """A command whose first argument is a set of messages."""

    __slots__ = ()

    messages: MessageSet

    @property
    def wire_name(self) -> str:
        return f"UID {self.name}" if names_uids(self.messages) else self.name

    def _write_start(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" " + self.messages.encode())


@dataclass(frozen=True, slots=True)
class Fetch(MessageCommand):
    """FETCH and UID FETCH (RFC 9051 §6.4.5).

    `changed_since` limits the answer to later mod-sequences; `vanished` also reports expunged UIDs (RFC 7162 §3.1.4.1,
    §3.2.6) and needs `changed_since` and UIDs. `partial` is a page of the messages named by UID (RFC 9394 §3.4).
    """

    name: ClassVar[str] = "FETCH"

    messages: MessageSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None

    def write(self, w: Writer) -> None:
        self._write_start(w)
        if not self.items:
            raise LocalProtocolError("FETCH needs at least one item")
        if self.vanished and (self.changed_since is None or not names_uids(self.messages)):
            raise LocalProtocolError("VANISHED needs CHANGEDSINCE and UID FETCH")
        if self.partial is not None and not names_uids(self.messages):
            raise LocalProtocolError("PARTIAL needs UID FETCH")
        w.raw(b" ")
        w.items(self.items, write_fetch_item)
        modifiers = []
        if self.changed_since is not None:
            modifiers.append(b"CHANGEDSINCE %d" % self.changed_since)
        if self.vanished:
            modifiers.append(b"VANISHED")
        if self.partial is not None:
            modifiers.append(b"PARTIAL " + self.partial.encode())
        if modifiers:
            w.raw(b" (" + b" ".join(modifiers) + b")")

    def claims(self, response: Response) -> bool:
        return _claims_row(self.messages, response) or (self.vanished and isinstance(response, Vanished))


def read_fetch_command(r: Reader, *, uid: bool) -> Fetch:
    """Read the arguments of FETCH."""
    messages = read_message_set(r, uid=uid)
    r.space()
    items = read_fetch_items(r)
    changed_since: int | None = None
    vanished = False
    partial: PartialRange | None = None

    def read_modifier(reader: Reader) -> None:
        nonlocal changed_since, vanished, partial
        name = reader.word()
        if name == "CHANGEDSINCE":
            reader.space()
            changed_since = reader.number64()
        elif name == "VANISHED" and uid:
            vanished = True
        elif name == "PARTIAL" and uid and partial is None:
            reader.space()
            partial = read_partial_range(reader)
        else:
            raise reader.error("a FETCH modifier")

    if r.skip(b" "):
        r.items(read_modifier)
    if vanished and changed_since is None:
        raise r.error("CHANGEDSINCE with VANISHED")
    return Fetch(messages, items, changed_since, vanished, partial)


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

    uids: UidSet | SavedResult | None = None

    @property
    def wire_name(self) -> str:
        return "EXPUNGE" if self.uids is None else "UID EXPUNGE"

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii"))
        if self.uids is not None:
            w.raw(b" " + self.uids.encode())

    def claims(self, response: Response) -> bool:
        return isinstance(response, Expunge | Vanished)
