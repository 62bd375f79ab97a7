"""Gmail's labels over plain mailboxes: a label is a mailbox that holds a copy, All Mail holds everything.

Google's "IMAP extensions" (X-GM-EXT-1) describe what is seen of it; there is no RFC.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from mailquay.backends.memory import MemoryMailStore
from mailquay.backends.memory_mailbox import MemoryMailbox, StoredMessage
from mailquay.errors import MailboxNotFound
from mailquay.wire.imap.command_message import StoreMode

ALL_MAIL: Final = "[Gmail]/All Mail"
_SYSTEM_LABELS: Final = {"\\Sent": "\\Sent", "\\Drafts": "\\Draft", "\\Flagged": "\\Starred"}
_NO_LABELS: Final = frozenset(["\\All", "\\Junk", "\\Trash"])
_ID_DIGITS = 15


def arrange(store: MemoryMailStore) -> None:
    """Give a store its All Mail, with everything in it that is elsewhere already."""
    store.create(ALL_MAIL, frozenset(["\\All"]))
    store.all_mail = ALL_MAIL
    for mailbox in store.mailboxes():
        if not mailbox.special_use & _NO_LABELS:
            there = {message.email_id for message in store.mailbox(ALL_MAIL)}
            store.copy([message for message in mailbox if message.email_id not in there], ALL_MAIL)


def gmail_number(object_id: str) -> int:
    """The number that Gmail would call a message or a thread by."""
    return int(object_id[1 : 1 + _ID_DIGITS], 16)


def label_of(mailbox: MemoryMailbox) -> str | None:
    """The label that a mailbox stands for; None for those that are no labels."""
    if mailbox.path == "INBOX":
        return "\\Inbox"
    if mailbox.special_use & _NO_LABELS:
        return None
    return next((_SYSTEM_LABELS[use] for use in mailbox.special_use if use in _SYSTEM_LABELS), mailbox.path)


def labels_by_message(store: MemoryMailStore, opened: MemoryMailbox) -> dict[str, set[str]]:
    """The labels of every message by its id, without that of the mailbox one looks from: Gmail leaves it out."""
    found: dict[str, set[str]] = {}
    for mailbox in store.mailboxes():
        label = label_of(mailbox)
        if label is not None and mailbox is not opened:
            for message in mailbox:
                found.setdefault(message.email_id, set()).add(label)
    return found


def store_labels(
    store: MemoryMailStore,
    opened: MemoryMailbox,
    messages: Sequence[StoredMessage],
    mode: StoreMode,
    labels: Collection[str],
) -> None:
    """STORE X-GM-LABELS: add, remove or replace labels; unknown ones come into being.

    Raises CommandRejected for a label that cannot be the name of a mailbox.
    """
    wanted = {label.lower() for label in labels}
    if mode is not StoreMode.REMOVE:
        for label in labels:
            _add(store, messages, _mailbox_of(store, label))
    for mailbox in store.mailboxes():
        label_here = label_of(mailbox)
        if label_here is None:
            continue
        goes = label_here.lower() in wanted if mode is StoreMode.REMOVE else label_here.lower() not in wanted
        if goes and (mode is StoreMode.REMOVE or (mode is StoreMode.REPLACE and mailbox is not opened)):
            ids = {message.email_id for message in messages}
            store.expunge(mailbox, [message for message in mailbox if message.email_id in ids])


def _mailbox_of(store: MemoryMailStore, label: str) -> MemoryMailbox:
    for mailbox in store.mailboxes():
        known = label_of(mailbox)
        if known is not None and known.lower() == label.lower():
            return mailbox
    try:
        return store.mailbox(label)
    except MailboxNotFound:
        return store.create(label)


def _add(store: MemoryMailStore, messages: Sequence[StoredMessage], mailbox: MemoryMailbox) -> None:
    there = {message.email_id for message in mailbox}
    store.copy([message for message in messages if message.email_id not in there], mailbox.path)


def share_flags(store: MemoryMailStore, opened: MemoryMailbox, messages: Sequence[StoredMessage]) -> None:
    """Give the copies of these messages in other mailboxes the same flags: at Gmail they are one message."""
    flags = {message.email_id: message.flags for message in messages}
    for mailbox in store.mailboxes():
        if mailbox is not opened:
            same = [(message, flags[message.email_id]) for message in mailbox if message.email_id in flags]
            store.set_flags(mailbox, same)
