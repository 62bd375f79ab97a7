"""The SEARCH command (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 9394)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.partial import PartialRange, read_partial_range
from mailquay.wire.imap.response import Response
from mailquay.wire.imap.search import And, SearchKey, is_ascii, read_search_key, write_search_key
from mailquay.wire.imap.writer import Writer


class SearchReturn(StrEnum):
    """What an extended SEARCH shall answer (RFC 4731 §3.1); SAVE keeps the result for `$` (RFC 5182 §2.1)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"


@dataclass(frozen=True, slots=True)
class Search(Command):
    """SEARCH and UID SEARCH (RFC 9051 §6.4.4); `returns` or `partial`, a page, ask for an ESEARCH response.

    CHARSET is sent only when the key is not ASCII, since many servers refuse it, and not even then without
    `declare_charset`.
    """

    name: ClassVar[str] = "SEARCH"

    key: SearchKey
    uid: bool = True
    returns: frozenset[SearchReturn] | None = None
    partial: PartialRange | None = None
    declare_charset: bool = field(default=True, compare=False)
    """Read from a client: whether it has named one."""

    @property
    def wire_name(self) -> str:
        return "UID SEARCH" if self.uid else "SEARCH"

    def write(self, w: Writer) -> None:
        w.raw(self.wire_name.encode("ascii") + b" ")
        if self.returns is not None or self.partial is not None:
            options = [option.value.encode("ascii") for option in sorted(self.returns or ())]
            if self.partial is not None:
                if SearchReturn.ALL in (self.returns or ()):
                    raise LocalProtocolError("a search returns ALL or PARTIAL, not both")
                options.append(b"PARTIAL " + self.partial.encode())
            w.raw(b"RETURN (" + b" ".join(options) + b") ")
        if self.declare_charset and not w.utf8 and not is_ascii(self.key):
            w.raw(b"CHARSET UTF-8 ")
        keys = self.key.keys if isinstance(self.key, And) else (self.key,)
        if not keys:
            raise LocalProtocolError("a search needs at least one key")
        for index, key in enumerate(keys):
            if index:
                w.raw(b" ")
            write_search_key(w, key)

    def claims(self, response: Response) -> bool:
        return isinstance(response, SearchResponse | EsearchResponse)


CHARSETS = ("US-ASCII", "UTF-8")


class BadCharset(ValueError):
    """A SEARCH names a charset other than US-ASCII and UTF-8; the answer is NO with BADCHARSET (RFC 9051 §6.4.4)."""


def read_search_command(r: Reader, *, uid: bool) -> Search:
    """Read the arguments of SEARCH. Raises BadCharset, or RemoteProtocolError for keys we do not know."""
    returns: frozenset[SearchReturn] | None = None
    partial: PartialRange | None = None
    start = r.pos
    if r.peek().isalpha() and r.word() == "RETURN":
        r.space()
        returns, partial = _read_returns(r)
        r.space()
    else:
        r.pos = start
    charset, declared = "UTF-8", False
    start = r.pos
    if r.peek().isalpha() and r.word() == "CHARSET":
        r.space()
        charset = r.astring().decode("latin-1").upper()
        if charset not in CHARSETS:
            raise BadCharset(charset)
        declared = True
        r.space()
    else:
        r.pos = start
    keys = [read_search_key(r, charset)]
    while r.skip_blanks() and not r.at_end():
        if len(keys) >= r.limits.max_list_items:
            raise r.error("fewer search keys")
        keys.append(read_search_key(r, charset))
    return Search(keys[0] if len(keys) == 1 else And(tuple(keys)), uid, returns, partial, declared)


def _read_returns(r: Reader) -> tuple[frozenset[SearchReturn], PartialRange | None]:
    """The list behind RETURN; an empty one means ALL (RFC 4731 §3.1)."""
    pages: list[PartialRange] = []

    def read_option(reader: Reader) -> SearchReturn | None:
        name = reader.word()
        if name == "PARTIAL" and not pages:
            reader.space()
            pages.append(read_partial_range(reader))
            return None
        if name not in SearchReturn.__members__:
            raise reader.error("a SEARCH return option")
        return SearchReturn(name)

    options = frozenset(option for option in r.items(read_option) if option is not None)
    if pages and SearchReturn.ALL in options:
        raise r.error("ALL or PARTIAL, not both")
    return (options, pages[0]) if pages else (options or frozenset({SearchReturn.ALL}), None)
