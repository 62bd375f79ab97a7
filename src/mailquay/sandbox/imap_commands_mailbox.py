"""Commands on mailboxes: SELECT to STATUS (RFC 9051 §6.3, §6.4.1, §6.4.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mailquay.backends.memory import DELIMITER
from mailquay.backends.memory_mailbox import DELETED, MAX_KEYWORDS, SYSTEM_FLAGS, MemoryMailbox
from mailquay.errors import CommandRejected, MailboxNotFound, RemoteProtocolError
from mailquay.sandbox.imap_list import listed
from mailquay.sandbox.imap_session import Answer, SandboxSession
from mailquay.sandbox.imap_view import MailboxView, flags_of
from mailquay.wire.imap.command_mailbox import (
    Close,
    Create,
    Delete,
    List,
    NamespaceCommand,
    Rename,
    Select,
    StatusCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailquay.wire.imap.condstore import HighestModSeq, QresyncParameter, Vanished
from mailquay.wire.imap.flag import ANY_KEYWORD, SEEN
from mailquay.wire.imap.listing import ListKind, ListReturn, ListSelection
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.namespace import Namespace, NamespaceResponse
from mailquay.wire.imap.response import Exists, FlagsResponse, Recent, Status, UnknownResponse, UntaggedStatus
from mailquay.wire.imap.response_code import (
    Code,
    MailboxId,
    PermanentFlags,
    ResponseCode,
    UidNext,
    UidValidity,
    Unseen,
)
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse

_DONE = Answer(Status.OK, "done")
_USES = frozenset(["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"])


def path_of(name: MailboxArgument) -> str:
    """The path of a mailbox argument; one that is not modified UTF-7 is taken as it is.

    Raises MailboxNotFound for a name in no encoding at all: we have none such.
    """
    if isinstance(name, str):
        return name
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise MailboxNotFound("the name is neither modified UTF-7 nor UTF-8") from None


def select(session: SandboxSession, command: Select) -> Answer:
    """SELECT and EXAMINE."""
    if command.condstore:
        session.require("CONDSTORE")
    if command.qresync is not None and not session.qresync:
        raise RemoteProtocolError("QRESYNC has to be enabled first")
    if session.view is not None:
        session.view = None
        session.send(UntaggedStatus(Status.OK, Code("CLOSED"), "the mailbox before is closed"))
    _check_selectable(session, command.mailbox)
    mailbox = session.owner.store.mailbox(path_of(command.mailbox))
    session.condstore = session.condstore or command.condstore
    view = session.view = MailboxView(mailbox, read_only=command.read_only)
    flags = SYSTEM_FLAGS | mailbox.keywords
    session.send(FlagsResponse(flags))
    session.send(Exists(len(view)))
    session.send(Recent(0))
    for code in _select_codes(session, view, flags):
        session.send(UntaggedStatus(Status.OK, code, "so it is"))
    if command.qresync is not None and command.qresync.uidvalidity == mailbox.uidvalidity:
        _tell_changes(session, view, command.qresync)
    access = "READ-ONLY" if command.read_only else "READ-WRITE"
    return Answer(Status.OK, "selected", Code(access))


def _check_selectable(session: SandboxSession, name: MailboxArgument) -> None:
    attribute = session.faults.unselectable.get(path_of(name))
    if attribute is not None:
        raise CommandRejected("there is nothing to open") if attribute else MailboxNotFound("there is no such mailbox")


def _tell_changes(session: SandboxSession, view: MailboxView, known: QresyncParameter) -> None:
    """What has vanished and changed since the client looked last (RFC 7162 §3.2.5)."""
    vanished = [
        uid for uid in view.mailbox.vanished_since(known.modseq) if known.known_uids is None or uid in known.known_uids
    ]
    if vanished:
        session.send(Vanished(UidSet.of(vanished), earlier=True))
    changed = [
        one
        for one in view.numbered()
        if one.message.modseq > known.modseq and (known.known_uids is None or one.message.uid in known.known_uids)
    ]
    limit = session.faults.message_limit
    if limit is not None and len(changed) > limit:
        changed = changed[-limit:]
        session.send(UntaggedStatus(Status.OK, MessageLimit(limit, changed[0].message.uid), "ask for the rest"))
    for one in changed:
        session.send(flags_of(one, modseqs=True))


def _select_codes(session: SandboxSession, view: MailboxView, flags: frozenset[str]) -> list[ResponseCode]:
    mailbox = view.mailbox
    changeable: frozenset[str] = frozenset()
    if not view.read_only:
        changeable = flags | {ANY_KEYWORD} if len(mailbox.keywords) < MAX_KEYWORDS else flags
    codes: list[ResponseCode] = [
        PermanentFlags(changeable),
        UidValidity(mailbox.uidvalidity),
        UidNext(mailbox.uidnext),
        HighestModSeq(mailbox.highestmodseq) if session.has("CONDSTORE") else Code("NOMODSEQ"),
    ]
    unseen = next((one.seq for one in view.numbered() if SEEN not in one.message.flags), None)
    if unseen is not None and not session.uidonly:
        codes.append(Unseen(unseen))
    if session.has("OBJECTID"):
        codes.append(MailboxId(mailbox.mailbox_id))
    return codes


def close(session: SandboxSession, _command: Close) -> Answer:
    """CLOSE: expunge without a word, unless the mailbox is open for reading only."""
    view, session.view = session.selected, None
    if not view.read_only:
        session.owner.store.expunge(view.mailbox, [one for one in view.mailbox if DELETED in one.flags])
    return _DONE


def unselect(session: SandboxSession, _command: Unselect) -> Answer:
    """UNSELECT."""
    session.require("UNSELECT")
    session.view = None
    return _DONE


def create(session: SandboxSession, command: Create) -> Answer:
    """CREATE, with USE where special uses are offered (RFC 6154 §3)."""
    if command.special_use:
        session.require("SPECIAL-USE")
    if not command.special_use <= _USES:
        raise CommandRejected("there is no such use", response_code="USEATTR")
    if isinstance(command.mailbox, bytes):
        raise CommandRejected("the name is not modified UTF-7", response_code="CANNOT")
    mailbox = session.owner.store.create(command.mailbox, command.special_use)
    return Answer(Status.OK, "created", MailboxId(mailbox.mailbox_id) if session.has("OBJECTID") else None)


def delete(session: SandboxSession, command: Delete) -> Answer:
    """DELETE. Sessions that have the mailbox selected see it run empty."""
    session.owner.store.delete(path_of(command.mailbox))
    return _DONE


def rename(session: SandboxSession, command: Rename) -> Answer:
    """RENAME."""
    session.owner.store.rename(path_of(command.mailbox), path_of(command.new_name))
    return _DONE


def subscribe(session: SandboxSession, command: Subscribe) -> Answer:
    """SUBSCRIBE."""
    session.owner.store.subscribe(path_of(command.mailbox))
    return _DONE


def unsubscribe(session: SandboxSession, command: Unsubscribe) -> Answer:
    """UNSUBSCRIBE."""
    session.owner.store.unsubscribe(path_of(command.mailbox))
    return _DONE


def namespace(session: SandboxSession, _command: NamespaceCommand) -> Answer:
    """NAMESPACE: everything is personal."""
    session.require("NAMESPACE")
    session.send(NamespaceResponse((Namespace("", DELIMITER),)))
    return _DONE


def list_mailboxes(session: SandboxSession, command: List) -> Answer:
    """LIST and LSUB, with the options of LIST-EXTENDED."""
    options = command.options
    if command.kind is ListKind.XLIST:
        raise RemoteProtocolError("use LIST")
    if options.select or options.returns or options.status:
        session.require("LIST-EXTENDED")
    if ListSelection.SPECIAL_USE in options.select or ListReturn.SPECIAL_USE in options.returns:
        session.require("SPECIAL-USE")
    if options.status:
        session.require("LIST-STATUS")
        _check_items(session, options.status)
    if command.patterns == ("",):
        # Asks for the delimiter alone (RFC 9051 §6.3.9); the writer has no form for a name that is empty.
        session.send(UnknownResponse(f'* {command.kind.value} (\\Noselect) "{DELIMITER}" ""'.encode("ascii")))
        return _DONE
    store = session.owner.store
    for response, mailbox in listed(store, command, special_use=session.has("SPECIAL-USE")):
        attribute = session.faults.unselectable.get(response.mailbox)
        if attribute is not None:
            session.send(dataclasses.replace(response, attributes=response.attributes | {*filter(None, [attribute])}))
            continue
        session.send(response)
        if options.status and mailbox is not None:
            session.send(status_of(session, mailbox, options.status))
    return _DONE


def status(session: SandboxSession, command: StatusCommand) -> Answer:
    """STATUS."""
    _check_selectable(session, command.mailbox)
    _check_items(session, command.items)
    session.send(status_of(session, session.owner.store.mailbox(path_of(command.mailbox)), command.items))
    return _DONE


def _check_items(session: SandboxSession, items: Sequence[StatusItem]) -> None:
    if StatusItem.HIGHESTMODSEQ in items:
        session.require("CONDSTORE")
        session.condstore = True
    if StatusItem.MAILBOXID in items:
        session.require("OBJECTID")
    if StatusItem.SIZE in items:
        session.require("STATUS=SIZE")
    if StatusItem.DELETED_STORAGE in items:
        session.require("QUOTA=RES-STORAGE")


def status_of(session: SandboxSession, mailbox: MemoryMailbox, items: Sequence[StatusItem]) -> StatusResponse:
    """The counters of a mailbox."""
    counters = {
        StatusItem.MESSAGES: len(mailbox),
        StatusItem.RECENT: 0,
        StatusItem.UIDNEXT: mailbox.uidnext,
        StatusItem.UIDVALIDITY: mailbox.uidvalidity,
        StatusItem.HIGHESTMODSEQ: mailbox.highestmodseq,
        StatusItem.APPENDLIMIT: session.append_limit,
    }
    if StatusItem.UNSEEN in items:
        counters[StatusItem.UNSEEN] = sum(SEEN not in message.flags for message in mailbox)
    if StatusItem.DELETED in items:
        counters[StatusItem.DELETED] = sum(DELETED in message.flags for message in mailbox)
    if StatusItem.SIZE in items:
        counters[StatusItem.SIZE] = sum(len(message.raw) for message in mailbox)
    if StatusItem.DELETED_STORAGE in items:
        counters[StatusItem.DELETED_STORAGE] = sum(len(message.raw) for message in mailbox if DELETED in message.flags)
    chosen = {item.field: value for item, value in counters.items() if item in items}
    object_id = mailbox.mailbox_id if StatusItem.MAILBOXID in items else None
    return StatusResponse(mailbox.path, mailboxid=object_id, **chosen)
