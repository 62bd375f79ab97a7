"""BODYSTRUCTURE and BODY: the MIME tree of a message (RFC 9051 §7.5.2).

`bodystructure_read` reads what is in good order, `bodystructure_lenient` the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mailquay.wire.imap.envelope import Envelope, write_envelope
from mailquay.wire.imap.writer import Writer

Parameters = tuple[tuple[str, bytes], ...]
"""Attribute (lower case) and raw value, in the order given; RFC 2231 continuations are not joined."""


class Disposition(NamedTuple):
    """Content-Disposition: kind in lower case, and parameters."""

    kind: str
    parameters: Parameters


class BodyPart(NamedTuple):
    """A part that is no multipart. Names are lower case; `size_bytes` counts the encoded form.

    `lines` is given for text and message/rfc822; `envelope` and `body` for message/rfc822 only.
    """

    media_type: str
    subtype: str
    parameters: Parameters = ()
    content_id: bytes | None = None
    description: bytes | None = None
    encoding: str = "7bit"
    size_bytes: int = 0
    lines: int | None = None
    envelope: Envelope | None = None
    body: BodyStructure | None = None
    md5: bytes | None = None
    disposition: Disposition | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None


class BodyMultipart(NamedTuple):
    """A multipart; `parts` is empty only when the server left them out."""

    parts: tuple[BodyStructure, ...]
    subtype: str
    parameters: Parameters = ()
    disposition: Disposition | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None


BodyStructure = BodyPart | BodyMultipart


def walk_parts(root: BodyStructure) -> Iterator[tuple[tuple[int, ...], BodyStructure]]:
    """All parts with their part numbers, outermost first (RFC 9051 §6.4.5.1).

    The root multipart has the empty number; a root that is a leaf has number 1. The multipart inside a message/rfc822
    shares that part's number space: its children follow the message's own number.
    """
    if isinstance(root, BodyMultipart):
        yield (), root
        yield from _walk_children(root, ())
    else:
        yield from _walk_leaf(root, (1,))


def _walk_children(
    multipart: BodyMultipart, number: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], BodyStructure]]:
    for index, part in enumerate(multipart.parts, 1):
        child = (*number, index)
        if isinstance(part, BodyMultipart):
            yield child, part
            yield from _walk_children(part, child)
        else:
            yield from _walk_leaf(part, child)


def _walk_leaf(part: BodyPart, number: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], BodyStructure]]:
    yield number, part
    if isinstance(part.body, BodyMultipart):
        yield from _walk_children(part.body, number)
    elif part.body is not None:
        yield from _walk_leaf(part.body, (*number, 1))


def write_body_structure(w: Writer, body: BodyStructure, *, extended: bool = True) -> None:
    """Write BODYSTRUCTURE, or BODY when not `extended`."""
    w.raw(b"(")
    if isinstance(body, BodyMultipart):
        for part in body.parts:
            write_body_structure(w, part, extended=extended)
        if body.parts:
            w.raw(b" ")
        w.text(body.subtype)
        if extended:
            w.raw(b" ")
            _write_parameters(w, body.parameters)
            _write_tail(w, body)
    else:
        _write_part(w, body, extended)
    w.raw(b")")


def _write_part(w: Writer, part: BodyPart, extended: bool) -> None:
    w.text(part.media_type)
    w.raw(b" ")
    w.text(part.subtype)
    w.raw(b" ")
    _write_parameters(w, part.parameters)
    for value in (part.content_id, part.description):
        w.raw(b" ")
        w.nstring(value)
    w.raw(b" ")
    w.text(part.encoding)
    w.raw(b" %d" % part.size_bytes)
    if part.body is not None:
        w.raw(b" ")
        if part.envelope is None:
            w.raw(b"NIL")
        else:
            write_envelope(w, part.envelope)
        w.raw(b" ")
        write_body_structure(w, part.body, extended=extended)
    if part.lines is not None:
        w.raw(b" %d" % part.lines)
    if extended:
        w.raw(b" ")
        w.nstring(part.md5)
        _write_tail(w, part)


def _write_parameters(w: Writer, parameters: Parameters) -> None:
    if not parameters:
        w.raw(b"NIL")
        return
    w.raw(b"(")
    for index, (name, value) in enumerate(parameters):
        if index:
            w.raw(b" ")
        w.text(name)
        w.raw(b" ")
        w.string(value)
    w.raw(b")")


def _write_tail(w: Writer, body: BodyStructure) -> None:
    w.raw(b" ")
    if body.disposition is None:
        w.raw(b"NIL")
    else:
        w.raw(b"(")
        w.text(body.disposition.kind)
        w.raw(b" ")
        _write_parameters(w, body.disposition.parameters)
        w.raw(b")")
    w.raw(b" ")
    if body.languages:
        w.items(body.languages, Writer.string)
    else:
        w.raw(b"NIL")
    w.raw(b" ")
    w.nstring(body.location)
