"""NOTIFY: what a session has asked to be told of, and what is to be told now (RFC 5465)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mailquay.backends.memory import DELIMITER, MemoryMailStore, StoreEvent, StoreEventKind
from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.notify import MESSAGE_EVENTS, EventGroup, MailboxFilter, NotifyEvent

SUPPORTED: Final = MESSAGE_EVENTS | {NotifyEvent.MAILBOX_NAME, NotifyEvent.SUBSCRIPTION_CHANGE}
MAX_PENDING: Final = 1000
"""Mailboxes that may have news at a time; beyond it the client is told to look for itself (RFC 5465 §5.8)."""

_EVENTS: Final = {
    StoreEventKind.ARRIVED: NotifyEvent.MESSAGE_NEW,
    StoreEventKind.EXPUNGED: NotifyEvent.MESSAGE_EXPUNGE,
    StoreEventKind.FLAGS: NotifyEvent.FLAG_CHANGE,
    StoreEventKind.MAILBOX_NAME: NotifyEvent.MAILBOX_NAME,
    StoreEventKind.SUBSCRIPTION: NotifyEvent.SUBSCRIPTION_CHANGE,
}
_SELECTED: Final = (MailboxFilter.SELECTED, MailboxFilter.SELECTED_DELAYED)


def check_groups(groups: Iterable[EventGroup]) -> None:
    """Raises RemoteProtocolError for events that may not stand alone (RFC 5465 §5)."""
    for group in groups:
        together = {NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}
        if len(group.events & together) == 1 or (
            NotifyEvent.FLAG_CHANGE in group.events and not together <= group.events
        ):
            raise RemoteProtocolError("MessageNew and MessageExpunge go together, FlagChange needs both")
        if group.mailbox_filter in _SELECTED and not group.events <= MESSAGE_EVENTS:
            raise RemoteProtocolError("of the selected mailbox only messages have events")


class Notifier:
    """The groups of one NOTIFY SET, and the mailboxes with news that was not told yet."""

    def __init__(self, groups: tuple[EventGroup, ...], store: MemoryMailStore) -> None:
        self._groups = groups
        self._store = store
        self.changed: set[str] = set()
        """Paths whose messages have changed."""
        self.named: dict[str, str | None] = {}
        """Paths that came, went or were subscribed, each with its former path after a rename."""
        self.overflown = False

    @property
    def of_selected(self) -> EventGroup | None:
        """The group about the selected mailbox."""
        return next((group for group in self._groups if group.mailbox_filter in _SELECTED), None)

    def group_of(self, path: str) -> EventGroup | None:
        """The first group that is about a mailbox; others do not count (RFC 5465 §3.1)."""
        return next((group for group in self._groups if self._fits(group, path)), None)

    def _fits(self, group: EventGroup, path: str) -> bool:
        match group.mailbox_filter:
            case MailboxFilter.PERSONAL:
                return True
            case MailboxFilter.INBOXES:
                return path == "INBOX"
            case MailboxFilter.SUBSCRIBED:
                return path in self._store.subscribed
            case MailboxFilter.MAILBOXES:
                return _names(group.mailboxes, path)
            case MailboxFilter.SUBTREE:
                return _names(group.mailboxes, path, below=True)
            case _:
                return False

    def hear(self, event: StoreEvent, selected: str | None) -> bool:
        """Note an event; whether there is something to tell. Messages of the selected mailbox are its view's matter."""
        kind = _EVENTS[event.kind]
        if kind in MESSAGE_EVENTS and event.path == selected:
            return self.of_selected is not None
        group = self.group_of(event.path)
        if group is None or kind not in group.events or self.overflown:
            return False
        if len(self.changed) + len(self.named) >= MAX_PENDING:
            self.overflown = True
        elif kind in MESSAGE_EVENTS:
            self.changed.add(event.path)
        else:
            self.named[event.path] = event.old_path or self.named.get(event.path)
        return True

    def take(self) -> tuple[list[str], list[tuple[str, str | None]]]:
        """What is to be told: paths with changed messages, and paths with their former ones. Forgets it."""
        changed, named = sorted(self.changed), list(self.named.items())
        self.changed.clear()
        self.named.clear()
        return changed, named


def _names(mailboxes: Iterable[MailboxArgument], path: str, *, below: bool = False) -> bool:
    return any(
        path == name or (below and isinstance(name, str) and path.startswith(name + DELIMITER)) for name in mailboxes
    )
