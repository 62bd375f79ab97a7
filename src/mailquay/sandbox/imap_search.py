"""SEARCH: whether a message matches a key (RFC 9051 §6.4.4, RFC 5032, RFC 7162 §3.1.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from mailquay.errors import RemoteProtocolError
from mailquay.mime.content import find_texts, read_text
from mailquay.mime.date import parse_date
from mailquay.sandbox.imap_gmail import gmail_number, labels_by_message
from mailquay.sandbox.imap_session import SandboxSession
from mailquay.sandbox.imap_view import Numbered
from mailquay.wire.imap.flag import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from mailquay.wire.imap.search import (
    And,
    Date,
    DateField,
    Header,
    IdField,
    Keyword,
    Not,
    Number,
    NumberField,
    ObjectIdKey,
    Or,
    SearchKey,
    Simple,
    Text,
    TextField,
)
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.sequence_set import SeqSet, UidSet

_FLAGS: Final = {
    Simple.ANSWERED: ANSWERED,
    Simple.DELETED: DELETED,
    Simple.DRAFT: DRAFT,
    Simple.FLAGGED: FLAGGED,
    Simple.SEEN: SEEN,
    Simple.UNANSWERED: ANSWERED,
    Simple.UNDELETED: DELETED,
    Simple.UNDRAFT: DRAFT,
    Simple.UNFLAGGED: FLAGGED,
    Simple.UNSEEN: SEEN,
}
_SAVED = (DateField.SAVEDBEFORE, DateField.SAVEDON, DateField.SAVEDSINCE)
_SENT = (DateField.SENTBEFORE, DateField.SENTON, DateField.SENTSINCE)


class SearchMatcher:
    """One key for the messages of the selected mailbox.

    Raises RemoteProtocolError for keys of other makes of server.
    """

    def __init__(self, session: SandboxSession, key: SearchKey, now: datetime | None = None) -> None:
        view = session.selected
        self.uses_modseq = False
        self.uses_texts = False
        self._gmail = session.has("X-GM-EXT-1")
        self._store, self._mailbox = session.owner.store, view.mailbox
        self._highest_seq = len(view)
        self._highest_uid = view.highest_uid
        self._saved_uids = view.saved_uids
        self._now = now or datetime.now(UTC)
        self.matches: Callable[[Numbered], bool] = self._compile(key)
        # What a limit counts is what the sets at the top leave to be looked at (RFC 9738 §3).
        parts = key.keys if isinstance(key, And) else (key,)
        self.names: Callable[[Numbered], bool] = self._compile(
            And(tuple(part for part in parts if isinstance(part, SeqSet | UidSet)))
        )

    def _compile(self, key: SearchKey) -> Callable[[Numbered], bool]:
        match key:
            case And(keys):
                tests = [self._compile(inner) for inner in keys]
                return lambda one: all(test(one) for test in tests)
            case Or(first, second):
                either, other = self._compile(first), self._compile(second)
                return lambda one: either(one) or other(one)
            case Not(inner):
                test = self._compile(inner)
                return lambda one: not test(one)
            case SeqSet():
                seqs = key.resolve(self._highest_seq)
                return lambda one: seqs is not None and one.seq in seqs
            case UidSet():
                uids = key.resolve(self._highest_uid)
                return lambda one: uids is not None and one.message.uid in uids
            case SavedResult():
                saved = self._saved_uids
                return lambda one: one.message.uid in saved
            case Simple():
                return _simple(key)
            case Keyword(flag, present):
                name = flag.lower()
                return lambda one: (name in {known.lower() for known in one.message.flags}) is present
            case Text(TextField.X_GM_RAW) if not self._gmail:
                raise RemoteProtocolError("X-GM-RAW is not known here")
            case Text(TextField.X_GM_LABELS, label):
                return self._label(label)
            case Text() | Header():
                self.uses_texts = True
                return _text(key)
            case Date():
                return _date(key)
            case Number():
                return self._number(key)
            case ObjectIdKey(field, object_id):
                if field is IdField.EMAILID:
                    return lambda one: one.message.email_id == object_id
                return lambda one: one.message.thread_id == object_id

    def _number(self, key: Number) -> Callable[[Numbered], bool]:
        value = key.value
        match key.field:
            case NumberField.LARGER:
                return lambda one: len(one.message.raw) > value
            case NumberField.SMALLER:
                return lambda one: len(one.message.raw) < value
            case NumberField.OLDER | NumberField.YOUNGER:
                # Nothing is older than a hundred years; larger numbers have no datetime.
                edge = self._now - timedelta(seconds=min(value, 100 * 366 * 86400))
                if key.field is NumberField.OLDER:
                    return lambda one: one.message.received <= edge
                return lambda one: one.message.received >= edge
            case NumberField.MODSEQ:
                self.uses_modseq = True
                return lambda one: one.message.modseq >= value
            case NumberField.X_GM_MSGID | NumberField.X_GM_THRID if not self._gmail:
                raise RemoteProtocolError(f"{key.field.value} is not known here")
            case NumberField.X_GM_MSGID:
                return lambda one: gmail_number(one.message.email_id) == value
            case NumberField.X_GM_THRID:
                return lambda one: gmail_number(one.message.thread_id) == value

    def _label(self, label: str) -> Callable[[Numbered], bool]:
        if not self._gmail:
            raise RemoteProtocolError("X-GM-LABELS is not known here")
        labels = labels_by_message(self._store, self._mailbox)
        return lambda one: label.lower() in {known.lower() for known in labels.get(one.message.email_id, ())}


def _simple(key: Simple) -> Callable[[Numbered], bool]:
    match key:
        case Simple.ALL | Simple.OLD | Simple.SAVEDATESUPPORTED:
            return lambda one: True
        case Simple.NEW | Simple.RECENT:
            # No message is ever \Recent here, as RFC 9051 has it.
            return lambda one: False
    flag, negated = _FLAGS[key], key.startswith("UN")
    return lambda one: (flag in one.message.flags) is not negated


def _text(key: Text | Header) -> Callable[[Numbered], bool]:
    needle = key.value.casefold()
    if isinstance(key, Header):
        name = key.name
        return lambda one: any(needle in value for value in _values(one, name))
    match key.field:
        case TextField.BODY:
            return lambda one: needle in _body(one)
        case TextField.TEXT:
            return lambda one: needle in _header(one) or needle in _body(one)
        case TextField.X_GM_RAW:
            # Of Gmail's language only bare words, all of which must occur.
            words = needle.split()
            return lambda one: all(word in _header(one) or word in _body(one) for word in words)
        case field:
            name = field.value
            return lambda one: any(needle in value for value in _values(one, name))


def _values(one: Numbered, name: str) -> list[str]:
    return [field.text.casefold() for field in one.message.part.headers.all(name)]


def _header(one: Numbered) -> str:
    return "\n".join(f"{field.name}: {field.text}" for field in one.message.part.headers).casefold()


def _body(one: Numbered) -> str:
    texts = find_texts(one.message.part)
    return "\n".join(read_text(part) for part in (*texts.plain, *texts.html, *texts.other)).casefold()


def _date(key: Date) -> Callable[[Numbered], bool]:
    """Compares days, without time and zone (RFC 9051 §6.4.4)."""

    def moment(one: Numbered) -> datetime | None:
        if key.field in _SENT:
            return parse_date(one.message.part.headers.text("Date"))
        return one.message.saved if key.field in _SAVED else one.message.received

    def matches(one: Numbered) -> bool:
        found = moment(one)
        if found is None:
            return False
        if key.field.endswith("BEFORE"):
            return found.date() < key.day
        if key.field.endswith("ON"):
            return found.date() == key.day
        return found.date() >= key.day

    return matches
