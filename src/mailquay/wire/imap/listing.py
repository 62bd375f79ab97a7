"""LIST, LSUB and XLIST: mailboxes and their attributes (RFC 9051 §7.3.1, RFC 5258, RFC 6154)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Node, Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument, decode_mailbox
from mailquay.wire.imap.status import StatusItem
from mailquay.wire.imap.writer import Writer

_ATTRIBUTES: Final = (
    "\\Noselect", "\\NonExistent", "\\HasChildren", "\\HasNoChildren", "\\Noinferiors", "\\Marked", "\\Unmarked",
    "\\Subscribed", "\\Remote", "\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent",
    "\\Trash", "\\Inbox", "\\AllMail", "\\Starred", "\\Spam",
)  # fmt: skip
_CANONICAL: Final = {attribute.lower(): attribute for attribute in _ATTRIBUTES}


class ListKind(StrEnum):
    """Which command's response it is. XLIST is Gmail's forerunner of SPECIAL-USE."""

    LIST = "LIST"
    LSUB = "LSUB"
    XLIST = "XLIST"


@dataclass(frozen=True, slots=True)
class ListResponse:
    """One mailbox. `delimiter` is None in a flat hierarchy.

    `wire_name` is set when the name cannot be written again from `mailbox`, because its encoding is broken:
    commands then take it instead. `child_info` and `old_name` are the extended items of the same names.
    """

    mailbox: str
    delimiter: str | None
    attributes: frozenset[str] = frozenset()
    wire_name: bytes | None = None
    child_info: tuple[str, ...] = ()
    old_name: str | None = None
    kind: ListKind = ListKind.LIST

    @property
    def argument(self) -> MailboxArgument:
        """The name to use in commands."""
        return self.mailbox if self.wire_name is None else self.wire_name


def canonical_attribute(attribute: str) -> str:
    """Spell a known attribute as its RFC does."""
    return _CANONICAL.get(attribute.lower(), attribute)


def _read_attribute(r: Reader) -> str:
    slash = "\\" if r.skip(b"\\") else ""
    return canonical_attribute(slash + r.atom().decode("latin-1"))


def read_list(r: Reader, kind: ListKind) -> ListResponse:
    """Read what follows `* LIST `."""
    attributes = frozenset(r.items(_read_attribute))
    r.space()
    delimiter = r.nstring()
    r.space()
    mailbox, wire_name = decode_mailbox(r.astring(), utf8=r.utf8)
    if wire_name is not None:
        r.note(Leniency.MAILBOX_NAME_INVALID)
    child_info: tuple[str, ...] = ()
    old_name: str | None = None
    if r.skip_blanks() and not r.at_end():
        extended = r.node()
        if not isinstance(extended, list):
            raise RemoteProtocolError("LIST has something behind the name that is no list")
        for name, value in zip(extended[::2], extended[1::2], strict=False):
            if isinstance(name, bytes) and isinstance(value, list):
                if name.upper() == b"CHILDINFO":
                    child_info = _strings(value)
                elif name.upper() == b"OLDNAME" and value and isinstance(value[0], bytes):
                    old_name = decode_mailbox(bytes(value[0]), utf8=r.utf8)[0]
    r.expect_end()
    separator = delimiter.decode("latin-1") if delimiter else None
    return ListResponse(mailbox, separator, attributes, wire_name, child_info, old_name, kind)


def _strings(nodes: list[Node]) -> tuple[str, ...]:
    return tuple(node.decode("latin-1") for node in nodes if isinstance(node, bytes))


def write_list(w: Writer, response: ListResponse) -> None:
    """Write `LIST (attributes) delimiter name`."""
    w.raw(response.kind.value.encode("ascii") + b" ")
    w.items(sorted(response.attributes), _write_attribute)
    w.raw(b" ")
    w.nstring(None if response.delimiter is None else response.delimiter.encode("latin-1", "replace"))
    w.raw(b" ")
    w.mailbox(response.argument)
    extended: list[bytes] = []
    if response.child_info or response.old_name is not None:
        w.raw(b" (")
        if response.child_info:
            w.raw(b'"CHILDINFO" ')
            w.items(response.child_info, Writer.text)
            extended.append(b" ")
        if response.old_name is not None:
            w.raw(b"".join(extended) + b'"OLDNAME" (')
            w.mailbox(response.old_name)
            w.raw(b")")
        w.raw(b")")


def _write_attribute(w: Writer, attribute: str) -> None:
    if attribute.startswith("\\"):
        w.raw(b"\\")
    w.atom(attribute.removeprefix("\\"))


class ListSelection(StrEnum):
    """Which mailboxes LIST shall choose (RFC 5258 §3.1, RFC 6154 §5.2)."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class ListReturn(StrEnum):
    """What LIST shall say about each (RFC 5258 §3.2, RFC 6154 §5.3)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of an extended LIST; `status` asks for a STATUS response per mailbox (RFC 5819 §2)."""

    select: frozenset[ListSelection] = frozenset()
    returns: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()


PLAIN_LIST: Final = ListOptions()
"""No options: the LIST that every server knows."""


def read_list_selection(r: Reader) -> frozenset[ListSelection]:
    """Read the selection options of an extended LIST. Raises RemoteProtocolError for one we do not know."""
    return frozenset(r.items(lambda reader: _member(ListSelection, reader)))


def read_list_return(r: Reader) -> tuple[frozenset[ListReturn], tuple[StatusItem, ...]]:
    """Read the return options of an extended LIST. Raises RemoteProtocolError for one we do not know."""
    status: list[StatusItem] = []

    def read_option(reader: Reader) -> ListReturn | None:
        start = reader.pos
        if reader.word() == "STATUS":
            reader.space()
            status.extend(reader.items(lambda inner: _member(StatusItem, inner)))
            return None
        reader.pos = start
        return _member(ListReturn, reader)

    options = r.items(read_option)
    return frozenset(option for option in options if option is not None), tuple(status)


E = TypeVar("E", bound=StrEnum)


def _member(kind: type[E], r: Reader) -> E:
    start = r.pos
    name = r.word()
    try:
        return kind(name)
    except ValueError:
        r.pos = start
        raise r.error(f"one of {', '.join(kind)}") from None
