"""NOTIFY, and telling what it has asked for (RFC 5465 §3 and §5)."""

from __future__ import annotations

from mailquay.errors import MailboxNotFound
from mailquay.sandbox.imap_commands_mailbox import status_of
from mailquay.sandbox.imap_fetch import FetchPlan
from mailquay.sandbox.imap_list import mailbox_attributes
from mailquay.sandbox.imap_notify import SUPPORTED, Notifier, check_groups
from mailquay.sandbox.imap_session import Answer, SandboxSession
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.listing import ListResponse
from mailquay.wire.imap.notify import MESSAGE_EVENTS, MailboxFilter, Notify, NotifyEvent
from mailquay.wire.imap.response import Status, UntaggedStatus
from mailquay.wire.imap.response_code import BadEvent, Code
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem

_COUNTERS = (StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY, StatusItem.UNSEEN)


def notify(session: SandboxSession, command: Notify) -> Answer:
    """NOTIFY SET and NOTIFY NONE."""
    session.require("NOTIFY")
    events = frozenset(event for group in command.groups for event in group.events)
    if not events <= SUPPORTED:
        known = BadEvent(tuple(event.value for event in NotifyEvent if event in SUPPORTED))
        return Answer(Status.NO, "of some of that nothing can be told", known)
    check_groups(command.groups)
    if not command.groups:
        session.set_notifier(None)
        return Answer(Status.OK, "done")
    notifier = Notifier(command.groups, session.owner.store)
    session.set_notifier(notifier)
    if command.status:
        for mailbox in session.owner.store.mailboxes():
            group = notifier.group_of(mailbox.path)
            if group is not None and group.events & MESSAGE_EVENTS and mailbox.path != _selected(session):
                _tell_counters(session, mailbox.path)
    return Answer(Status.OK, "done")


def tells_expunges_at_once(session: SandboxSession) -> bool:
    """Whether the client has given up sequence numbers, so that it may hear of expunges at any time."""
    group = session.notifier.of_selected if session.notifier is not None else None
    return group is not None and group.mailbox_filter is MailboxFilter.SELECTED


def tell_news(session: SandboxSession, *, expunges: bool) -> None:
    """Tell all that has happened since the last time, in the selected mailbox and in those that NOTIFY names."""
    known_uid = session.view.highest_uid if session.view is not None else 0
    session.tell_news(expunges=expunges)
    group = session.notifier.of_selected if session.notifier is not None else None
    if session.view is not None and group is not None and group.fetch:
        arrived = [one for one in session.view.numbered() if one.message.uid > known_uid]
        if arrived:
            plan = FetchPlan(Fetch(UidSet.of(one.message.uid for one in arrived), group.fetch), session)
            for one in arrived:
                session.send(plan.response(one, with_flags=False))
    _tell_notices(session)


def _tell_notices(session: SandboxSession) -> None:
    notifier = session.notifier
    if notifier is None:
        return
    changed, named = notifier.take()
    if notifier.overflown:
        session.set_notifier(None)
        session.send(UntaggedStatus(Status.OK, Code("NOTIFICATIONOVERFLOW"), "too much at once, look for yourself"))
        return
    for path, old_path in named:
        _tell_name(session, path, old_path)
    for path in changed:
        if path != _selected(session):
            _tell_counters(session, path)


def _selected(session: SandboxSession) -> str | None:
    return session.view.mailbox.path if session.view is not None else None


def _tell_name(session: SandboxSession, path: str, old_path: str | None) -> None:
    store = session.owner.store
    attributes = mailbox_attributes(store, path, special_use=session.has("SPECIAL-USE"))
    if path in store.subscribed:
        attributes |= {"\\Subscribed"}
    session.send(ListResponse(path, "/", frozenset(attributes), old_name=old_path))


def _tell_counters(session: SandboxSession, path: str) -> None:
    try:
        mailbox = session.owner.store.mailbox(path)
    except MailboxNotFound:
        # It has gone meanwhile: whoever wants to hear of that is told by its name.
        return
    items = (*_COUNTERS, StatusItem.HIGHESTMODSEQ) if session.condstore else _COUNTERS
    session.send(status_of(session, mailbox, items))
