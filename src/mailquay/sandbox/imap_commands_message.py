"""Commands on messages: FETCH, STORE, SEARCH, APPEND, COPY, MOVE, EXPUNGE (RFC 9051 §6.3.12, §6.4)."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mailquay.backends.memory_mailbox import DELETED, StoredMessage
from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.sandbox.imap_commands_mailbox import path_of
from mailquay.sandbox.imap_fetch import FetchPlan
from mailquay.sandbox.imap_gmail import labels_by_message, share_flags, store_labels
from mailquay.sandbox.imap_search import SearchMatcher
from mailquay.sandbox.imap_session import Answer, Cut, SandboxSession
from mailquay.sandbox.imap_view import MailboxView, Numbered, flags_of
from mailquay.wire.imap.append import Append, AppendMessage
from mailquay.wire.imap.command_message import (
    Copy,
    ExpungeCommand,
    Fetch,
    MessageSet,
    Store,
    StoreMode,
    names_uids,
)
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.condstore import HighestModSeq, Modified, Vanished
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import SEEN
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.partial import PartialRange, PartialResult, cut_page
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.response import Status, UntaggedStatus
from mailquay.wire.imap.response_code import Code
from mailquay.wire.imap.section import FetchAttribute
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage

_DONE = Answer(Status.OK, "done")


def fetch(session: SandboxSession, command: Fetch) -> Generator[None, None, Answer]:
    """FETCH; pauses behind each message."""
    view = session.selected
    if command.vanished and not session.qresync:
        raise RemoteProtocolError("QRESYNC has to be enabled first")
    if command.changed_since is not None or FetchAttribute.MODSEQ in command.items:
        session.require("CONDSTORE")
        session.condstore = True
    if command.partial is not None:
        session.require("PARTIAL")
    plan = FetchPlan(command, session)
    if command.vanished and command.changed_since is not None:
        _tell_vanished(session, view, command.messages, command.changed_since)
    chosen, limit = _limited(session, view.resolve(command.messages))
    for one in chosen if command.partial is None else cut_page(chosen, command.partial):
        if one.message.uid in session.faults.unavailable_uids:
            return Answer(Status.NO, "UID FETCH Server error", Code("UNAVAILABLE"))
        if one.message.uid in session.faults.late_uids:
            continue
        if command.changed_since is not None and one.message.modseq <= command.changed_since:
            continue
        see = plan.sets_seen and not view.read_only and SEEN not in one.message.flags
        if see:
            _set_flags(session, [(one.message, one.message.flags | {SEEN})])
        response = plan.response(one, with_flags=see)
        most = session.faults.section_limit
        if most is not None and any(len(section.data or b"") > most for section in response.sections):
            raise Cut
        session.send(response)
        yield
    return Answer(Status.OK, "done", limit)


def _limited(session: SandboxSession, chosen: Sequence[Numbered]) -> tuple[Sequence[Numbered], MessageLimit | None]:
    """The newest messages that a command may be about, and what to say of the rest (RFC 9738 §3)."""
    limit = session.faults.message_limit
    if limit is None or len(chosen) <= limit:
        return chosen, None
    kept = chosen[-limit:]
    return kept, MessageLimit(limit, kept[0].message.uid)


def _tell_vanished(session: SandboxSession, view: MailboxView, messages: MessageSet, since: int) -> None:
    """The UIDs among `messages` that have gone since a mod-sequence (RFC 7162 §3.2.6)."""
    named = messages.resolve(max(view.mailbox.uidnext - 1, 1)) if isinstance(messages, UidSet) else None
    gone = [uid for uid in view.mailbox.vanished_since(since) if named is not None and uid in named]
    if gone:
        session.send(Vanished(UidSet.of(gone), earlier=True))


def _set_flags(session: SandboxSession, flags: Sequence[tuple[StoredMessage, frozenset[str]]]) -> None:
    """Set flags here, and at Gmail on the same messages under their other labels."""
    mailbox, mail = session.selected.mailbox, session.owner.store
    mail.set_flags(mailbox, flags)
    if session.has("X-GM-EXT-1"):
        share_flags(mail, mailbox, [message for message, _ in flags])


def store(session: SandboxSession, command: Store) -> Answer:
    """STORE; with UNCHANGEDSINCE only what has not changed meanwhile (RFC 7162 §3.1.3)."""
    view = session.writable
    if command.labels is not None:
        return _store_labels(session, view, command)
    if command.unchanged_since is not None:
        session.require("CONDSTORE")
        session.condstore = True
    chosen, limit = _limited(session, _still_there(view, command.messages))
    since = command.unchanged_since
    changed_meanwhile = [one for one in chosen if since is not None and one.message.modseq > since]
    chosen = [one for one in chosen if since is None or one.message.modseq <= since]
    before = {one.message.uid: one.message.modseq for one in chosen}
    given = command.flags or frozenset()
    _set_flags(session, [(one.message, _combined(one.message.flags, command.mode, given)) for one in chosen])
    for one in chosen:
        if not command.silent:
            session.send(flags_of(one, modseqs=session.condstore))
        elif one.message.modseq != before[one.message.uid]:
            one.entry.told_modseq = one.message.modseq
            if session.condstore:
                # Without it the client could not tell its own change from one of others (RFC 7162 §3.1.3).
                session.send(FetchResponse(one.seq, uid=one.message.uid, modseq=one.message.modseq))
    if limit is not None or not changed_meanwhile:
        return Answer(Status.OK, "done", limit)
    by_uid = names_uids(command.messages)
    numbers = SeqSet.of(one.message.uid if by_uid else one.seq for one in changed_meanwhile)
    return Answer(Status.OK, "some were changed by others", Modified(numbers.ranges))


def _store_labels(session: SandboxSession, view: MailboxView, command: Store) -> Answer:
    """STORE X-GM-LABELS."""
    session.require("X-GM-EXT-1")
    chosen, limit = _limited(session, _still_there(view, command.messages))
    store_labels(session.owner.store, view.mailbox, [one.message for one in chosen], command.mode, command.labels or ())
    if not command.silent:
        labels = labels_by_message(session.owner.store, view.mailbox)
        for one in chosen:
            found = tuple(sorted(labels.get(one.message.email_id, ())))
            session.send(FetchResponse(one.seq, uid=one.message.uid, gmail_labels=found))
    return Answer(Status.OK, "done", limit)


def _combined(flags: frozenset[str], mode: StoreMode, given: frozenset[str]) -> frozenset[str]:
    match mode:
        case StoreMode.ADD:
            return flags | given
        case StoreMode.REMOVE:
            lower = {flag.lower() for flag in given}
            return frozenset(flag for flag in flags if flag.lower() not in lower)
        case StoreMode.REPLACE:
            return given


def _still_there(view: MailboxView, messages: MessageSet) -> list[Numbered]:
    """The messages of a set. Raises CommandRejected when sequence numbers mean some that are expunged already."""
    chosen = view.resolve(messages)
    if any(one.message.expunged for one in chosen):
        raise CommandRejected("some of the messages are gone", response_code="EXPUNGEISSUED")
    return chosen


def search(session: SandboxSession, tag: str, command: Search) -> Answer:
    """SEARCH, with RETURN the extended form (RFC 4731 §3.1)."""
    view = session.selected
    if command.returns is not None:
        session.require("ESEARCH")
    saves = SearchReturn.SAVE in (command.returns or ())
    if saves:
        session.require("SEARCHRES")
    if command.partial is not None:
        session.require("PARTIAL")
    matcher = SearchMatcher(session, command.key)
    if matcher.uses_modseq:
        session.require("CONDSTORE")
        session.condstore = True
    if command.declare_charset and session.faults.charset_refused:
        raise CommandRejected("SEARCH with a charset", response_code="CLIENTBUG")
    if matcher.uses_texts and session.faults.texts_refused:
        raise RemoteProtocolError("that search key is not known here")
    looked_at, limit = _limited(
        session, [one for one in view.numbered() if not one.message.expunged and matcher.names(one)]
    )
    found = [one for one in looked_at if matcher.matches(one) and not session.faults.search_empty]
    if saves:
        view.saved_uids = _saved(found, command)
        if command.returns == frozenset([SearchReturn.SAVE]) and command.partial is None:
            return _DONE
    numbers = [one.message.uid if command.uid else one.seq for one in found]
    modseq = max((one.message.modseq for one in found), default=None) if matcher.uses_modseq else None
    if command.returns is None and not session.wire.speaks_rev2:
        session.send(SearchResponse(tuple(numbers), modseq))
    else:
        session.send(_extended(tag, numbers, command, modseq))
    return Answer(Status.OK, "done", limit)


def _saved(found: Sequence[Numbered], command: Search) -> frozenset[int]:
    """The UIDs to save: those asked for alone, if it was a page or the lowest and the highest (RFC 5182 §2.4)."""
    uids, returns = [one.message.uid for one in found], command.returns or frozenset()
    if command.partial is not None:
        return frozenset(cut_page(uids, command.partial))
    if returns & {SearchReturn.ALL, SearchReturn.COUNT} or not returns & {SearchReturn.MIN, SearchReturn.MAX}:
        return frozenset(uids)
    ends = uids[:1] if SearchReturn.MIN in returns else []
    return frozenset(ends + (uids[-1:] if SearchReturn.MAX in returns else []))


def _extended(tag: str, numbers: Sequence[int], command: Search, modseq: int | None) -> EsearchResponse:
    returns = frozenset({SearchReturn.ALL}) if command.returns is None else command.returns
    return EsearchResponse(
        tag,
        command.uid,
        minimum=numbers[0] if numbers and SearchReturn.MIN in returns else None,
        maximum=numbers[-1] if numbers and SearchReturn.MAX in returns else None,
        count=len(numbers) if SearchReturn.COUNT in returns else None,
        all=_set_of(numbers, command.uid) if SearchReturn.ALL in returns else None,
        modseq=modseq,
        partial=None if command.partial is None else _page(numbers, command.partial, command.uid),
    )


def _set_of(numbers: Sequence[int], uid: bool) -> UidSet | SeqSet | None:
    if not numbers:
        return None
    return UidSet.of(numbers) if uid else SeqSet.of(numbers)


def _page(numbers: Sequence[int], page: PartialRange, uid: bool) -> PartialResult:
    """One page of what was found (RFC 9394 §3.1)."""
    return PartialResult(page, _set_of(cut_page(numbers, page), uid))


def append(session: SandboxSession, command: Append) -> Answer:
    """APPEND, of several messages all or none (RFC 3502 §3)."""
    if command.more:
        session.require("MULTIAPPEND")
    mail, path = session.owner.store, path_of(command.mailbox)
    bodies = [_body(session, message) for message in command.messages]
    added: list[StoredMessage] = []
    try:
        for body, message in zip(bodies, command.messages, strict=True):
            added.append(mail.append(path, body, message.flags, message.internal_date))
    except CommandRejected:
        if added:
            mail.expunge(mail.mailbox(path), added)
        raise
    return Answer(Status.OK, "appended", _appenduid(session, added, path))


def _body(session: SandboxSession, message: AppendMessage) -> bytes:
    if isinstance(message.message, StreamedMessage) or not message.message:
        raise CommandRejected("there is no message")
    if len(message.message) > session.append_limit:
        raise CommandRejected(f"messages may have up to {session.append_limit} bytes", response_code="TOOBIG")
    return message.message


def _appenduid(session: SandboxSession, added: Sequence[StoredMessage], path: str) -> AppendUid | None:
    if not session.has("UIDPLUS"):
        return None
    uids = UidSet.of(message.uid for message in added)
    return AppendUid(session.owner.store.mailbox(path).uidvalidity, uids.ranges)


def replace(session: SandboxSession, command: Replace) -> Answer:
    """REPLACE: append, then expunge; APPENDUID comes before the expunge (RFC 8508 §3.4)."""
    session.require("REPLACE")
    view, mail, path = session.writable, session.owner.store, path_of(command.mailbox)
    chosen = _still_there(view, command.messages)
    if not chosen:
        raise CommandRejected("there is no such message")
    message = AppendMessage(command.message, command.flags, command.internal_date)
    added = mail.append(path, _body(session, message), message.flags, message.internal_date)
    mail.expunge(view.mailbox, [one.message for one in chosen])
    code = _appenduid(session, [added], path)
    if code is not None:
        session.send(UntaggedStatus(Status.OK, code, "replaced"))
    return Answer(Status.OK, "done")


def copy(session: SandboxSession, command: Copy) -> Answer:
    """COPY: of too many messages none is copied, since it is all or nothing (RFC 9738 §3)."""
    chosen = [one.message for one in _still_there(session.selected, command.messages)]
    limit = session.faults.message_limit
    if limit is not None and len(chosen) > limit:
        return Answer(Status.NO, "too many messages for one command", MessageLimit(limit))
    path = path_of(command.mailbox)
    copies = session.owner.store.copy(chosen, path)
    return Answer(Status.OK, "copied", _copyuid(session, chosen, copies, path))


def move(session: SandboxSession, command: Move) -> Answer:
    """MOVE; COPYUID comes before the expunges (RFC 6851 §4.3)."""
    session.require("MOVE")
    view = session.writable
    numbered, limit = _limited(session, _still_there(view, command.messages))
    chosen = [one.message for one in numbered]
    path = path_of(command.mailbox)
    copies = session.owner.store.move(view.mailbox, chosen, path)
    code = _copyuid(session, chosen, copies, path)
    if code is not None:
        session.send(UntaggedStatus(Status.OK, code, "copied"))
    return Answer(Status.OK, "moved", limit)


def _copyuid(
    session: SandboxSession, source: Sequence[StoredMessage], copies: Sequence[StoredMessage], path: str
) -> CopyUid | None:
    if not copies or not session.has("UIDPLUS"):
        return None
    return CopyUid(
        session.owner.store.mailbox(path).uidvalidity,
        UidSet.of(message.uid for message in source).ranges,
        UidSet.of(message.uid for message in copies).ranges,
    )


def expunge(session: SandboxSession, command: ExpungeCommand) -> Answer:
    """EXPUNGE and UID EXPUNGE."""
    if command.uids is not None:
        session.require("UIDPLUS")
    view = session.writable
    chosen = view.numbered() if command.uids is None else view.resolve(command.uids)
    marked = [one.message for one in chosen if DELETED in one.message.flags]
    if command.uids is None:
        # Also what arrived marked and the session has not heard of yet.
        marked += [message for message in view.mailbox.after(view.highest_uid) if DELETED in message.flags]
    limit = session.faults.message_limit
    if limit is not None and len(marked) > limit:
        session.owner.store.expunge(view.mailbox, marked[-limit:])
        return Answer(Status.OK, "some are still to be removed", MessageLimit(limit, marked[-limit].uid))
    session.owner.store.expunge(view.mailbox, marked)
    if marked and session.qresync:
        # Else the client could not tell that it knows this state already (RFC 7162 §3.2.9).
        return Answer(Status.OK, "done", HighestModSeq(view.mailbox.highestmodseq))
    return _DONE
