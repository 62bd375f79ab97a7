"""ID: who is at the other end (RFC 2971)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.writer import Writer

IdParameters = tuple[tuple[str, str | None], ...]

_MAX_FIELDS = 30
_MAX_NAME_BYTES = 30
_MAX_VALUE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class IdResponse:
    """What the server says about itself; empty for NIL."""

    parameters: IdParameters


def read_id_parameters(r: Reader) -> IdParameters:
    """Read a parameter list or NIL; stray blanks are tolerated."""
    if r.nil():
        return ()

    def read_pair(reader: Reader) -> tuple[str, str | None]:
        name = reader.string().decode("utf-8", "replace")
        if not reader.skip_blanks():
            raise reader.error("a blank")
        value = reader.nstring()
        return name, None if value is None else value.decode("utf-8", "replace")

    return r.items(read_pair)


def read_id(r: Reader) -> IdResponse:
    """Read what follows `* ID `."""
    parameters = read_id_parameters(r)
    if r.skip_blanks():
        r.note(Leniency.EXTRA_BLANK)
    r.expect_end()
    return IdResponse(parameters)


def write_id_parameters(w: Writer, parameters: IdParameters) -> None:
    """Write a parameter list, or NIL when it is empty.

    Raises LocalProtocolError when there are more than 30 fields, or one is longer than RFC 2971 §3.3 allows.
    """
    if not parameters:
        w.raw(b"NIL")
        return
    if len(parameters) > _MAX_FIELDS:
        raise LocalProtocolError(f"ID with more than {_MAX_FIELDS} fields")
    w.items(parameters, _write_pair)


def _write_pair(w: Writer, pair: tuple[str, str | None]) -> None:
    name, value = pair
    if len(name.encode()) > _MAX_NAME_BYTES or len((value or "").encode()) > _MAX_VALUE_BYTES:
        raise LocalProtocolError("ID field is too long")
    w.text(name)
    w.raw(b" ")
    w.nstring(None if value is None else value.encode())
