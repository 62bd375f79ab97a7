"""NOTIFY: being told about mailboxes that are not selected (RFC 5465).

What the server then sends are STATUS, LIST and FETCH responses like any others; only the command is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import Response
from mailquay.wire.imap.section import FetchItem, read_fetch_item, write_fetch_item
from mailquay.wire.imap.status import StatusResponse
from mailquay.wire.imap.writer import Writer


class MailboxFilter(StrEnum):
    """Which mailboxes a group of events is about (RFC 5465 §6). SUBTREE and MAILBOXES name them."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"


class NotifyEvent(StrEnum):
    """What can happen (RFC 5465 §5). Some servers know only some of it and answer BADEVENT to the rest."""

    MESSAGE_NEW = "MessageNew"
    MESSAGE_EXPUNGE = "MessageExpunge"
    FLAG_CHANGE = "FlagChange"
    ANNOTATION_CHANGE = "AnnotationChange"
    MAILBOX_NAME = "MailboxName"
    SUBSCRIPTION_CHANGE = "SubscriptionChange"
    MAILBOX_METADATA_CHANGE = "MailboxMetadataChange"
    SERVER_METADATA_CHANGE = "ServerMetadataChange"


MESSAGE_EVENTS: Final = frozenset([NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE])
"""All that happens to messages. MESSAGE_NEW and MESSAGE_EXPUNGE go together, FLAG_CHANGE needs both (RFC 5465 §5)."""

_NAMED: Final = frozenset([MailboxFilter.SUBTREE, MailboxFilter.MAILBOXES])
_SELECTED: Final = frozenset([MailboxFilter.SELECTED, MailboxFilter.SELECTED_DELAYED])
_EVENTS: Final = {event.upper(): event for event in NotifyEvent}


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events of some mailboxes. No events at all mean: be silent about these.

    `mailboxes` are those that SUBTREE or MAILBOXES name; `fetch` is what to tell of each new message, and only for the
    selected mailbox.
    """

    mailbox_filter: MailboxFilter
    events: frozenset[NotifyEvent] = frozenset()
    mailboxes: tuple[MailboxArgument, ...] = ()
    fetch: tuple[FetchItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """NOTIFY SET, or NOTIFY NONE without groups (RFC 5465 §3).

    With `status` the server begins with a STATUS response for each of the mailboxes it will tell of.
    """

    name = "NOTIFY"

    groups: tuple[EventGroup, ...] = ()
    status: bool = False

    def write(self, w: Writer) -> None:
        if not self.groups:
            w.raw(b"NOTIFY NONE")
            return
        w.raw(b"NOTIFY SET STATUS" if self.status else b"NOTIFY SET")
        for group in self.groups:
            w.raw(b" ")
            _write_group(w, group)

    def claims(self, response: Response) -> bool:
        return self.status and isinstance(response, StatusResponse)


def _write_group(w: Writer, group: EventGroup) -> None:
    if (group.mailbox_filter in _NAMED) is not bool(group.mailboxes):
        raise LocalProtocolError("SUBTREE and MAILBOXES name mailboxes, other filters none")
    if group.fetch and (group.mailbox_filter not in _SELECTED or NotifyEvent.MESSAGE_NEW not in group.events):
        raise LocalProtocolError("only new messages of the selected mailbox can be fetched")
    w.raw(b"(" + group.mailbox_filter.value.encode("ascii") + b" ")
    if group.mailboxes:
        w.items(group.mailboxes, Writer.mailbox)
        w.raw(b" ")
    if not group.events:
        w.raw(b"NONE)")
        return

    def write_event(writer: Writer, event: NotifyEvent) -> None:
        writer.raw(event.value.encode("ascii"))
        if event is NotifyEvent.MESSAGE_NEW and group.fetch:
            writer.raw(b" ")
            writer.items(group.fetch, write_fetch_item)

    w.items(sorted(group.events), write_event)
    w.raw(b")")


def read_notify(r: Reader) -> Notify:
    """Read the arguments of NOTIFY. Raises RemoteProtocolError for filters and events that no RFC names."""
    mode = r.word()
    if mode == "NONE":
        return Notify()
    if mode != "SET":
        raise r.error("SET or NONE")
    r.space()
    status = r.peek() != b"("
    if status:
        if r.word() != "STATUS":
            raise r.error("STATUS")
        r.space()
    groups = [_read_group(r)]
    while r.skip_blanks() and not r.at_end():
        if len(groups) >= r.limits.max_list_items:
            raise r.error("fewer groups of events")
        groups.append(_read_group(r))
    return Notify(tuple(groups), status)


def _read_group(r: Reader) -> EventGroup:
    r.expect(b"(")
    name = r.word()
    if name not in list(MailboxFilter):
        raise r.error("a filter of mailboxes")
    mailbox_filter = MailboxFilter(name)
    r.space()
    mailboxes: tuple[MailboxArgument, ...] = ()
    if mailbox_filter in _NAMED:
        mailboxes = r.items(read_mailbox) if r.peek() == b"(" else (read_mailbox(r),)
        if not mailboxes:
            raise r.error("at least one mailbox")
        r.space()
    fetch: list[FetchItem] = []
    events: tuple[NotifyEvent, ...] = ()
    if r.peek() == b"(":
        events = r.items(lambda reader: _read_event(reader, fetch))
        if not events:
            raise r.error("at least one event")
    elif r.word() != "NONE":
        raise r.error("events or NONE")
    if fetch and mailbox_filter not in _SELECTED:
        raise r.error("no FETCH items for mailboxes that are not selected")
    r.expect(b")")
    return EventGroup(mailbox_filter, frozenset(events), mailboxes, tuple(fetch))


def _read_event(r: Reader, fetch: list[FetchItem]) -> NotifyEvent:
    event = _EVENTS.get(r.word())
    if event is None:
        raise r.error("an event")
    if event is NotifyEvent.MESSAGE_NEW and r.data.startswith(b" (", r.pos):
        r.space()
        items = r.items(read_fetch_item)
        if not items:
            raise r.error("at least one FETCH item")
        fetch[:] = items
    return event
