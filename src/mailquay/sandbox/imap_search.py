"""SEARCH: whether a message matches a key (RFC 9051 §6.4.4, RFC 5032, RFC 7162 §3.1.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from mailquay.errors import RemoteProtocolError
from mailquay.mime.content import find_texts, read_text
from mailquay.mime.date import parse_date
from mailquay.sandbox.imap_view import MailboxView, Numbered
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
    """One key for the messages of one view. Raises RemoteProtocolError for keys of other makes of server."""

    def __init__(self, view: MailboxView, key: SearchKey, now: datetime | None = None) -> None:
        self.uses_modseq = False
        self._highest_seq = len(view)
        self._highest_uid = view.highest_uid
        self._saved_uids = view.saved_uids
        self._now = now or datetime.now(UTC)
        self.matches: Callable[[Numbered], bool] = self._compile(key)

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
            case Text() | Header():
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
            case _:
                raise RemoteProtocolError(f"{key.field.value} is not known here")


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
        case TextField.X_GM_RAW | TextField.X_GM_LABELS:
            raise RemoteProtocolError(f"{key.field.value} is not known here")
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
