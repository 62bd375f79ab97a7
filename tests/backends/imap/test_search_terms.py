"""Search terms that are none."""

from __future__ import annotations

import pytest

from mailquay.backends.imap.search_terms import search_key
from mailquay.backends.interface import SearchTerms
from mailquay.errors import InvalidRequest
from mailquay.wire.imap.search import Number, NumberField

_GMAIL = frozenset(["X-GM-EXT-1"])


@pytest.mark.parametrize("value", ["", "x", "²", "٣", str(2**63), "9" * 5000])
def test_what_is_no_number_is_no_id_at_gmail(value: str) -> None:
    for terms in (SearchTerms(email_id=value), SearchTerms(thread_id=value)):
        with pytest.raises(InvalidRequest):
            search_key(terms, _GMAIL)


def test_an_id_of_gmail() -> None:
    key = search_key(SearchTerms(email_id="1849512345678901234"), _GMAIL)
    assert key == Number(NumberField.X_GM_MSGID, 1849512345678901234)
