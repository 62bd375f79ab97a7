"""Commands on messages: FETCH, STORE, SEARCH, APPEND, COPY, MOVE, EXPUNGE (RFC 9051 §6.3.12, §6.4)."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mailquay.backends.memory import DELETED, StoredMessage
from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.sandbox.imap_commands_mailbox import path_of
from mailquay.sandbox.imap_fetch import FetchPlan
from mailquay.sandbox.imap_search import SearchMatcher
from mailquay.sandbox.imap_session import Answer, SandboxSession
from mailquay.sandbox.imap_view import MailboxView, Numbered, flags_of
from mailquay.wire.imap.append import Append
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
from mailquay.wire.imap.condstore import Modified
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import SEEN
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.partial import PartialRange, PartialResult, cut_page
from mailquay.wire.imap.response import Status, UntaggedStatus
from mailquay.wire.imap.section import FetchAttribute
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage

_DONE = Answer(Status.OK, "done")


def fetch(session: SandboxSession, command: Fetch) -> Generator[None, None, Answer]:
    """FETCH; pauses behind each message."""
    view = session.selected
    if command.vanished:
        session.require("QRESYNC")
    if command.changed_since is not None or FetchAttribute.MODSEQ in command.items:
        session.require("CONDSTORE")
        session.condstore = True
    plan = FetchPlan(command, session)
    for one in view.resolve(command.messages):
        if command.changed_since is not None and one.message.modseq <= command.changed_since:
            continue
        see = plan.sets_seen and not view.read_only and SEEN not in one.message.flags
        if see:
            session.owner.store.set_flags(view.mailbox, [(one.message, one.message.flags | {SEEN})])
        session.send(plan.response(one, with_flags=see))
        yield
    return _DONE


def store(session: SandboxSession, command: Store) -> Answer:
    """STORE; with UNCHANGEDSINCE only what has not changed meanwhile (RFC 7162 §3.1.3)."""
    view = session.writable
    if command.flags is None:
        raise RemoteProtocolError("there are no labels here")
    if command.unchanged_since is not None:
        session.require("CONDSTORE")
        session.condstore = True
    chosen = _still_there(view, command.messages)
    since = command.unchanged_since
    changed_meanwhile = [one for one in chosen if since is not None and one.message.modseq > since]
    chosen = [one for one in chosen if since is None or one.message.modseq <= since]
    before = {one.message.uid: one.message.modseq for one in chosen}
    session.owner.store.set_flags(
        view.mailbox, [(one.message, _combined(one.message.flags, command.mode, command.flags)) for one in chosen]
    )
    for one in chosen:
        if not command.silent:
            session.send(flags_of(one, modseqs=session.condstore))
        elif one.message.modseq != before[one.message.uid]:
            one.entry.told_modseq = one.message.modseq
            if session.condstore:
                # Without it the client could not tell its own change from one of others (RFC 7162 §3.1.3).
                session.send(FetchResponse(one.seq, uid=one.message.uid, modseq=one.message.modseq))
    if not changed_meanwhile:
        return _DONE
    by_uid = names_uids(command.messages)
    numbers = SeqSet.of(one.message.uid if by_uid else one.seq for one in changed_meanwhile)
    return Answer(Status.OK, "some were changed by others", Modified(numbers.ranges))


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
    matcher = SearchMatcher(view, command.key)
    if matcher.uses_modseq:
        session.require("CONDSTORE")
        session.condstore = True
    found = [one for one in view.numbered() if not one.message.expunged and matcher.matches(one)]
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
    return _DONE


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
    """APPEND."""
    if isinstance(command.message, StreamedMessage) or not command.message:
        raise CommandRejected("there is no message")
    mail = session.owner.store
    path = path_of(command.mailbox)
    added = mail.append(path, command.message, command.flags, command.internal_date)
    if not session.has("UIDPLUS"):
        return Answer(Status.OK, "appended")
    return Answer(Status.OK, "appended", AppendUid(mail.mailbox(path).uidvalidity, ((added.uid, added.uid),)))


def copy(session: SandboxSession, command: Copy) -> Answer:
    """COPY."""
    chosen = [one.message for one in _still_there(session.selected, command.messages)]
    path = path_of(command.mailbox)
    copies = session.owner.store.copy(chosen, path)
    return Answer(Status.OK, "copied", _copyuid(session, chosen, copies, path))


def move(session: SandboxSession, command: Move) -> Answer:
    """MOVE; COPYUID comes before the expunges (RFC 6851 §4.3)."""
    session.require("MOVE")
    view = session.writable
    chosen = [one.message for one in _still_there(view, command.messages)]
    path = path_of(command.mailbox)
    copies = session.owner.store.move(view.mailbox, chosen, path)
    code = _copyuid(session, chosen, copies, path)
    if code is not None:
        session.send(UntaggedStatus(Status.OK, code, "copied"))
    return Answer(Status.OK, "moved")


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
    session.owner.store.expunge(view.mailbox, marked)
    return _DONE
