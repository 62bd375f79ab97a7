"""Search terms of the product as IMAP search keys (RFC 9051 §6.4.4)."""

from __future__ import annotations

from datetime import date

from mailquay.backends.interface import SearchTerms
from mailquay.errors import InvalidRequest, Unsupported
from mailquay.wire.imap.search import (
    And,
    Date,
    DateField,
    Header,
    IdField,
    Number,
    NumberField,
    ObjectIdKey,
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
    if not keys:
        return Simple.ALL
    return keys[0] if len(keys) == 1 else And(tuple(keys))


def _object_keys(terms: SearchTerms, capabilities: frozenset[str]) -> list[SearchKey]:
    keys: list[SearchKey] = []
    for value, object_field, gmail_field in (
        (terms.email_id, IdField.EMAILID, NumberField.X_GM_MSGID),
        (terms.thread_id, IdField.THREADID, NumberField.X_GM_THRID),
    ):
        if value is None:
            continue
        if "X-GM-EXT-1" in capabilities:
            # The digits of other scripts are none to Gmail, and some of them none to int().
            if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= _MOST):
                raise InvalidRequest("ids of this account are numbers")
            keys.append(Number(gmail_field, int(value)))
        else:
            _need("OBJECTID", capabilities)
            keys.append(ObjectIdKey(object_field, value))
    return keys


def _need(capability: str, capabilities: frozenset[str]) -> None:
    if capability not in capabilities:
        raise Unsupported(f"the server lacks {capability}, which this search needs")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise InvalidRequest(f"not a day: {text[:40]}") from None
