"""Reading BODYSTRUCTURE fast: leaves and multipart tails in good order cost one regular expression each.

A part of another shape goes through `bodystructure_lenient`, without giving up its siblings.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import cast

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Disposition, Parameters
from mailquay.wire.imap.bodystructure_lenient import body_from_node, lower_name
from mailquay.wire.imap.envelope import read_envelope
from mailquay.wire.imap.lexer import Reader, unescape

_Q = rb'"([^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+)"'
_QU = rb'"[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+"'
_NQ = rb"(?:NIL|" + _Q + rb")"
_NQU = rb"(?:NIL|" + _QU + rb")"
_NAME = rb'"([^"\\\r\n]*+)"'
_NAME_U = rb'"[^"\\\r\n]*+"'
_PARAMETERS_U = rb'(?:NIL|\((?:"[^"\\\r\n]*+" ' + _QU + rb" ?)*+\))"
_PARAMETERS = rb'(?:NIL|\(((?:"[^"\\\r\n]*+" ' + _QU + rb" ?)*+)\))"
_DISPOSITION_U = rb"(?:NIL|\(" + _NAME_U + rb" " + _PARAMETERS_U + rb"\))"
_DISPOSITION = rb"(?:NIL|\(" + _NAME + rb" " + _PARAMETERS + rb"\))"
_TAIL_U = rb"(?: " + _DISPOSITION_U + rb"(?: " + _NQU + rb"(?: " + _NQU + rb")?)?)?"
_TYPE_U = rb"(" + _NAME_U + rb" " + _NAME_U + rb" " + _PARAMETERS_U + rb")"
_LEAF = re.compile(
    rb"\(" + _TYPE_U + rb" " + _NQ + rb" " + _NQ + rb" " + _NAME
    + rb" (\d{1,15})(?: (\d{1,15}))?((?: " + _NQU + _TAIL_U + rb")?)\)",
)  # fmt: skip
_TYPE = re.compile(_NAME + rb" " + _NAME + rb" " + _PARAMETERS)
_TAIL = re.compile(rb"(?: " + _NQ + rb"(?: " + _DISPOSITION + rb"(?: " + _NQ + rb"(?: " + _NQ + rb")?)?)?)?")
_MULTIPART_TAIL = re.compile(
    rb" ?"
    + _NAME
    + rb'(?: (?:\("(?:boundary|BOUNDARY)" "([^"\\\r\n]*+)"\)|'
    + _PARAMETERS
    + rb")("
    + _TAIL_U
    + rb"))?\)",
)
_PARAMETER = re.compile(_NAME + rb" " + _Q)
_CACHED_BYTES = 200
"""Types with their parameters, and tails, up to this size are cached: a few dozen make up most of a mailbox."""

_Tail = tuple[bytes | None, Disposition | None, tuple[bytes, ...], bytes | None]


def _parameters(raw: bytes | None) -> Parameters:
    if not raw:
        return ()
    pairs = cast(list[tuple[bytes, bytes]], _PARAMETER.findall(raw))
    if b"\\" in raw:
        return tuple([(lower_name(name), unescape(value)) for name, value in pairs])
    return tuple([(lower_name(name), value) for name, value in pairs])


def _optional(raw: bytes | None) -> bytes | None:
    return None if raw is None else unescape(raw)


def _read_type(raw: bytes) -> tuple[str, str, Parameters]:
    match = _TYPE.match(raw)
    if match is None:
        raise RemoteProtocolError(f"not a body type: {raw[:40]!r}")
    media_type, subtype, parameters = match.groups()
    return lower_name(media_type), lower_name(subtype), _parameters(parameters)


def _read_tail(raw: bytes) -> _Tail:
    match = _TAIL.match(raw)
    if match is None:
        raise RemoteProtocolError(f"not the tail of a body: {raw[:40]!r}")
    md5, disposition, parameters, language, location = match.groups()
    return (
        _optional(md5),
        None if disposition is None else Disposition(lower_name(disposition), _parameters(parameters)),
        () if language is None else (unescape(language),),
        _optional(location),
    )


_cached_type = lru_cache(maxsize=4096)(_read_type)
_cached_tail = lru_cache(maxsize=4096)(_read_tail)


_USUAL_TAIL = b" NIL NIL NIL NIL"
_NO_TAIL: _Tail = (None, None, (), None)


def _tail(raw: bytes) -> _Tail:
    if raw == _USUAL_TAIL:
        return _NO_TAIL
    return _cached_tail(raw) if len(raw) <= _CACHED_BYTES else _read_tail(raw)


def read_body_structure(r: Reader) -> BodyStructure | None:
    """Read BODYSTRUCTURE or BODY; None when the server gives an empty one.

    Raises RemoteProtocolError when parentheses or quotes do not balance or nesting is too deep.
    """
    return _read(r, 0)


_Open = tuple[int, list["BodyStructure"]]
"""A multipart being read: the offset of its parenthesis and the parts so far."""


def _read(r: Reader, depth: int) -> BodyStructure | None:
    """Walk over the structure with a stack of open multiparts; `depth` counts the messages around it."""
    data, pos = r.data, r.pos
    stack: list[_Open] = []
    while True:
        part: BodyStructure | None
        if data.startswith(b"((", pos):
            if len(stack) + depth >= r.limits.max_nesting_depth:
                raise RemoteProtocolError(f"nesting deeper than {r.limits.max_nesting_depth}")
            stack.append((pos, []))
            pos += 1
            continue
        match = _LEAF.match(data, pos)
        part = None if match is None else _leaf(match)
        if match is None or part is None:
            r.pos = pos
            part = _read_unusual(r, depth + len(stack))
            pos = r.pos
        else:
            pos = match.end()
        while True:
            if not stack:
                r.pos = pos
                return part
            start, parts = stack[-1]
            if part is not None:
                parts.append(part)
            following = data[pos : pos + 2]
            if following[:1] == b"(" or following == b" (":
                if len(parts) >= r.limits.max_list_items:
                    raise RemoteProtocolError(f"multipart of more than {r.limits.max_list_items} parts")
                pos += following[0] == _BLANK
                break
            stack.pop()
            match = _MULTIPART_TAIL.match(data, pos)
            if match is None:
                r.pos = start
                part = body_from_node(r.node(), r)
                pos = r.pos
            else:
                part = _multipart(parts, match)
                pos = match.end()


_BLANK = 0x20


def _leaf(match: re.Match[bytes]) -> BodyPart | None:
    """The part that has matched, or None when its fields do not fit its type."""
    raw_type, content_id, description, encoding, size, lines, raw_tail = match.groups()
    kind, subtype, parameters = _cached_type(raw_type) if len(raw_type) <= _CACHED_BYTES else _read_type(raw_type)
    if (kind == "text") is (lines is None) or kind == "multipart":
        return None
    md5, disposition, languages, location = _tail(raw_tail)
    fields = (
        kind,
        subtype,
        parameters,
        content_id and unescape(content_id),
        description and unescape(description),
        lower_name(encoding),
        int(size),
        None if lines is None else int(lines),
        None,
        None,
        md5,
        disposition,
        languages,
        location,
    )
    # Twice as fast as calling the class, and this is where a sync spends its time.
    return tuple.__new__(BodyPart, fields)


def _multipart(parts: list[BodyStructure], match: re.Match[bytes]) -> BodyMultipart:
    subtype, boundary, raw_parameters, raw_tail = match.groups()
    parameters = _parameters(raw_parameters) if boundary is None else (("boundary", boundary),)
    _, disposition, languages, location = _tail(b" NIL" + raw_tail) if raw_tail else _NO_TAIL
    return BodyMultipart(tuple(parts), lower_name(subtype), parameters, disposition, languages, location)


_MESSAGE_HEAD = re.compile(
    rb'\(("message" "(?:rfc822|global)" ' + _PARAMETERS_U + rb") " + _NQ + rb" " + _NQ + rb" " + _NAME
    + rb" (\d{1,15}) (?=\()",
    re.IGNORECASE,
)  # fmt: skip
_MESSAGE_TAIL = re.compile(rb" (\d{1,15})((?: " + _NQU + _TAIL_U + rb")?)\)")


def _read_unusual(r: Reader, depth: int) -> BodyStructure | None:
    """Read a message/rfc822, or whatever else the tree can make sense of."""
    start = r.pos
    message = _read_message(r, depth)
    if message is not None:
        return message
    r.pos = start
    return body_from_node(r.node(), r)


def _read_message(r: Reader, depth: int) -> BodyPart | None:
    """Read a well-formed message/rfc822; None when it has another shape and the tree must decide."""
    head = r.match(_MESSAGE_HEAD)
    if head is None:
        return None
    if depth >= r.limits.max_nesting_depth:
        raise RemoteProtocolError(f"nesting deeper than {r.limits.max_nesting_depth}")
    envelope = read_envelope(r)
    if not r.skip(b" "):
        return None
    body = _read(r, depth + 1)
    tail = r.match(_MESSAGE_TAIL)
    if tail is None or body is None:
        return None
    raw_type, content_id, description, encoding, size = head.groups()
    media_type, subtype, parameters = _read_type(raw_type)
    lines, raw_tail = tail.groups()
    md5, disposition, languages, location = _tail(raw_tail)
    return BodyPart(
        media_type,
        subtype,
        parameters,
        _optional(content_id),
        _optional(description),
        lower_name(encoding),
        int(size),
        int(lines),
        envelope,
        body,
        md5,
        disposition,
        languages,
        location,
    )
