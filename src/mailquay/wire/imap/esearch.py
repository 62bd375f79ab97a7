"""SEARCH and ESEARCH responses (RFC 9051 §7.3.4, RFC 3501 §7.2.5, RFC 4731 §3, RFC 9394)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.partial import PartialResult, format_partial_result, read_partial_result
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.writer import Writer

_NUMBERS = re.compile(rb"(?: *\d{1,10})*+")
_MODSEQ = re.compile(rb" *\(MODSEQ (\d{1,19})\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The old SEARCH response: numbers, and the highest MODSEQ among them if the search used one (RFC 7162 §3.1.5)."""

    numbers: tuple[int, ...]
    modseq: int | None = None


def read_search(r: Reader) -> SearchResponse:
    """Read what follows `* SEARCH`."""
    match = r.match(_NUMBERS)
    numbers = () if match is None else tuple(map(int, match.group().split()))
    modseq = r.match(_MODSEQ)
    r.expect_end()
    return SearchResponse(numbers, None if modseq is None else int(modseq.group(1)))


def write_search(w: Writer, response: SearchResponse) -> None:
    """Write `SEARCH ...`."""
    w.raw(b" ".join([b"SEARCH", *(b"%d" % number for number in response.numbers)]))
    if response.modseq is not None:
        w.raw(b" (MODSEQ %d)" % response.modseq)


@dataclass(frozen=True, slots=True)
class EsearchResponse:
    """The extended SEARCH response; `tag` names the command it answers.

    `all` holds the matches: a UidSet when the search was a UID SEARCH, else a SeqSet, and None both when nothing
    matched and when it was not asked for.
    """

    tag: str | None
    uid: bool
    minimum: int | None = None
    maximum: int | None = None
    count: int | None = None
    all: UidSet | SeqSet | None = None
    modseq: int | None = None
    partial: PartialResult | None = None


def read_esearch(r: Reader) -> EsearchResponse:
    """Read what follows `* ESEARCH`. Return data that we do not know is skipped."""
    tag: str | None = None
    r.skip_blanks()
    if r.skip(b"("):
        if r.word() != "TAG":
            raise r.error("TAG")
        r.space()
        tag = r.astring().decode("latin-1")
        r.expect(b")")
    uid = False
    values: dict[str, int] = {}
    numbers: UidSet | SeqSet | None = None
    partial: PartialResult | None = None
    r.skip_blanks()
    while not r.at_end():
        name = r.word()
        if name == "UID" and not values and numbers is None and not uid:
            uid = True
        elif name == "PARTIAL":
            r.space()
            partial = read_partial_result(r, uid=uid)
        else:
            r.space()
            numbers = _read_return(r, name, uid, values) or numbers
        if not r.skip_blanks() and not r.at_end():
            raise r.error("a blank")
    return EsearchResponse(
        tag, uid, values.get("MIN"), values.get("MAX"), values.get("COUNT"), numbers, values.get("MODSEQ"), partial
    )


def _read_return(r: Reader, name: str, uid: bool, values: dict[str, int]) -> UidSet | SeqSet | None:
    if name == "ALL":
        raw = r.atom_of_set()
        limit = r.limits.max_list_items
        return UidSet.parse_finite(raw, limit) if uid else SeqSet.parse_finite(raw, limit)
    if name in ("MIN", "MAX", "COUNT", "MODSEQ"):
        values[name] = r.number64()
    else:
        r.node()
    return None


def write_esearch(w: Writer, response: EsearchResponse) -> None:
    """Write `ESEARCH ...`."""
    w.raw(b"ESEARCH")
    if response.tag is not None:
        w.raw(b" (TAG ")
        w.string(response.tag.encode("latin-1"))
        w.raw(b")")
    if response.uid:
        w.raw(b" UID")
    for name, value in (
        (b"MIN", response.minimum),
        (b"MAX", response.maximum),
        (b"COUNT", response.count),
        (b"MODSEQ", response.modseq),
    ):
        if value is not None:
            w.raw(b" %s %d" % (name, value))
    if response.all is not None:
        w.raw(b" ALL " + response.all.encode())
    if response.partial is not None:
        w.raw(b" PARTIAL " + format_partial_result(response.partial))
