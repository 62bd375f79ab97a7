"""Search terms of the product as IMAP search keys (RFC 9051 §6.4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from mailquay.backends.interface import SearchTerms
from mailquay.errors import InvalidRequest, Unsupported
from mailquay.wire.imap.search import (
    And,
    Date,
    DateField,
    Header,
    IdField,
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
from mailquay.wire.imap.sequence_set import SeqSet, UidSet

_FLAGS = {
    ("seen", True): Simple.SEEN,
    ("seen", False): Simple.UNSEEN,
    ("unseen", True): Simple.UNSEEN,
    ("unseen", False): Simple.SEEN,
    ("flagged", True): Simple.FLAGGED,
    ("flagged", False): Simple.UNFLAGGED,
    ("answered", True): Simple.ANSWERED,
    ("answered", False): Simple.UNANSWERED,
    ("deleted", True): Simple.DELETED,
    ("deleted", False): Simple.UNDELETED,
    ("draft", True): Simple.DRAFT,
    ("draft", False): Simple.UNDRAFT,
}
_TEXTS = {
    "from": TextField.FROM,
    "to": TextField.TO,
    "cc": TextField.CC,
    "bcc": TextField.BCC,
    "body": TextField.BODY,
    "subject": TextField.SUBJECT,
}
_DATES = {
    "before": DateField.BEFORE,
    "since": DateField.SINCE,
    "sentBefore": DateField.SENTBEFORE,
    "sentSince": DateField.SENTSINCE,
}
_MOST = 2**63 - 1
"""What can be sent; Gmail's ids are far below."""


def search_key(terms: SearchTerms, capabilities: frozenset[str]) -> SearchKey:
    """All terms, joined by AND; everything when there are none.

    Raises Unsupported for a term whose extension the server lacks, InvalidRequest for a term that is none.
    """
    keys: list[SearchKey] = []
    if terms.seq is not None:
        keys.append(SeqSet.parse(terms.seq.encode("ascii")))
    if terms.uid is not None:
        keys.append(UidSet.parse(terms.uid.encode("ascii")))
    keys.extend(_FLAGS[name, wanted] for name, wanted in terms.flags.items())
    keys.extend(Text(_TEXTS[name], value) for name, value in terms.text.items())
    keys.extend(Date(_DATES[name], _day(value)) for name, value in terms.dates.items())
    keys.extend(Header(name, value) for name, value in terms.headers)
    if terms.larger is not None:
        keys.append(Number(NumberField.LARGER, terms.larger))
    if terms.smaller is not None:
        keys.append(Number(NumberField.SMALLER, terms.smaller))
    if terms.modseq is not None:
        _need("CONDSTORE", capabilities)
        keys.append(Number(NumberField.MODSEQ, terms.modseq))
    keys.extend(_object_keys(terms, capabilities))
    if terms.gmail_raw is not None:
        _need("X-GM-EXT-1", capabilities)
        keys.append(Text(TextField.X_GM_RAW, terms.gmail_raw))
    if terms.labels or terms.without_labels:
        _need("X-GM-EXT-1", capabilities)
        keys.extend(Text(TextField.X_GM_LABELS, label) for label in terms.labels)
        keys.extend(Not(Text(TextField.X_GM_LABELS, label)) for label in terms.without_labels)
    if not keys:
        return Simple.ALL
    return keys[0] if len(keys) == 1 else And(tuple(keys))


def _object_keys(terms: SearchTerms, capabilities: frozenset[str]) -> list[SearchKey]:
    keys: list[SearchKey] = []
    if terms.email_id is not None:
        keys.append(_email_key(terms.email_id, capabilities))
    if terms.thread_id is not None:
        keys.append(_object_key(terms.thread_id, IdField.THREADID, NumberField.X_GM_THRID, capabilities))
    if terms.email_ids is not None:
        keys.append(_any([_email_key(value, capabilities) for value in terms.email_ids]))
    return keys


def _email_key(value: str, capabilities: frozenset[str]) -> SearchKey:
    return _object_key(value, IdField.EMAILID, NumberField.X_GM_MSGID, capabilities)


def _object_key(value: str, object_field: IdField, gmail_field: NumberField, capabilities: frozenset[str]) -> SearchKey:
    if "X-GM-EXT-1" not in capabilities:
        _need("OBJECTID", capabilities)
        return ObjectIdKey(object_field, value)
    # The digits of other scripts are none to Gmail, and some of them none to int().
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= _MOST):
        raise InvalidRequest("ids of this account are numbers")
    return Number(gmail_field, int(value))


def _any(keys: Sequence[SearchKey]) -> SearchKey:
    """One of several, nested as little as can be: servers have limits for that."""
    if not keys:
        return Not(Simple.ALL)
    if len(keys) == 1:
        return keys[0]
    middle = len(keys) // 2
    return Or(_any(keys[:middle]), _any(keys[middle:]))


def _need(capability: str, capabilities: frozenset[str]) -> None:
    if capability not in capabilities:
        raise Unsupported(f"the server lacks {capability}, which this search needs")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise InvalidRequest(f"not a day: {text[:40]}") from None
