"""INPROGRESS: how far a long command is, a sign of life at least (RFC 9585)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.lexer import Reader


@dataclass(frozen=True, slots=True)
class InProgress:
    """The response code: `progress` of `goal` is done, in units of the server's choice; None for what is not told."""

    tag: str | None = None
    progress: int | None = None
    goal: int | None = None


def read_in_progress(r: Reader) -> InProgress:
    """Read the arguments of INPROGRESS, of which there may be none."""
    if r.at_end():
        return InProgress()
    r.expect(b"(")
    tag = r.nstring()
    r.space()
    progress = _nnumber(r)
    r.space()
    goal = _nnumber(r)
    r.expect(b")")
    return InProgress(None if tag is None else tag.decode("latin-1"), progress, goal)


def _nnumber(r: Reader) -> int | None:
    return None if r.nil() else r.number()


def format_in_progress(code: InProgress) -> bytes:
    """The response code without brackets. Raises LocalProtocolError for a tag that cannot stand in quotes."""
    if code == InProgress():
        return b"INPROGRESS"
    if code.tag is not None and (not code.tag.isascii() or any(char in code.tag for char in '"\\\r\n]')):
        raise LocalProtocolError(f"not a tag: {code.tag[:60]!r}")
    tag = b"NIL" if code.tag is None else b'"' + code.tag.encode("ascii") + b'"'
    numbers = [b"NIL" if number is None else b"%d" % number for number in (code.progress, code.goal)]
    return b"INPROGRESS (" + b" ".join([tag, *numbers]) + b")"
