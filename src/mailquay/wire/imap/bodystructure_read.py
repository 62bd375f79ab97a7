"""Reading BODYSTRUCTURE fast: leaves and multipart tails in good order cost one regular expression each.

A part of another shape goes through `bodystructure_lenient`, without giving up its siblings.
"""

from __future__ import annotations

import re
from typing import cast

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Disposition, Parameters
from mailquay.wire.imap.bodystructure_lenient import body_from_node, lower_name
from mailquay.wire.imap.envelope import read_envelope
from mailquay.wire.imap.lexer import ANY_STRING, PLAIN_STRING, Reader, unescape


class _Patterns:
    """The expressions for one kind of string; both kinds have the same groups."""

    def __init__(self, name: bytes, inside: bytes) -> None:
        self.quoted = rb'"(' + inside + rb')"'
        self.name = rb'"(' + name + rb')"'
        self.nstring = rb"(?:NIL|" + self.quoted + rb")"
        pair = rb'"' + name + rb'" "' + inside + rb'"'
        # A list of parameters in three groups: name and value if there is one, else all of it; most often there is one.
        self.parameters = rb"(?:NIL|\(" + self.name + rb" " + self.quoted + rb"\)|\(((?:" + pair + rb" ?)*+)\))"
        disposition = rb"(?:NIL|\(" + self.name + rb" " + self.parameters + rb"\))"
        self.tail = rb"(?: " + disposition + rb"(?: " + self.nstring + rb"(?: " + self.nstring + rb")?)?)?"
        self.leaf = re.compile(
            rb"\((" + self.name + rb" " + self.name + rb" " + self.parameters + rb") "
            + self.nstring + rb" " + self.nstring + rb" " + self.name
            + rb" (\d{1,15})(?: (\d{1,15}))?((?: " + self.nstring + self.tail + rb")?)\)"
        )  # fmt: skip
        self.multipart_tail = re.compile(
            rb" ?" + self.name + rb"(?: " + self.parameters + rb"((?:" + self.tail + rb")?))?\)"
        )


_ANY = _Patterns(rb'[^"\\\r\n]*+', ANY_STRING)
_PLAIN = _Patterns(PLAIN_STRING, PLAIN_STRING)
_LEAF_COMMON, _LEAF_TYPE, _LEAF_TAIL = (1, 7, 8, 9, 10, 11, 12), (2, 3, 4, 5, 6), (13, 14, 15, 16, 17, 18, 19)
_MULTIPART_COMMON, _MULTIPART_REST = (1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11)
_PARAMETER = re.compile(_ANY.name + rb" " + _ANY.quoted)
_MAX_CACHED_TYPES = 512

_Type = tuple[str, str, Parameters]
_Tail = tuple[bytes | None, Disposition | None, tuple[bytes, ...], bytes | None]
_USUAL_TAILS = (b" NIL NIL NIL NIL", b"", b" NIL NIL NIL")
_NO_TAIL: _Tail = (None, None, (), None)
_types: dict[bytes, _Type] = {}
"""Text types with their charset, as they stand in the structure: a few dozen make up most of a mailbox."""


def _parameters(name: bytes | None, value: bytes | None, several: bytes | None) -> Parameters:
    if name is not None and value is not None:
        return ((lower_name(name), unescape(value)),)
    if not several:
        return ()
    pairs = cast(list[tuple[bytes, bytes]], _PARAMETER.findall(several))
    return tuple([(lower_name(name), unescape(value)) for name, value in pairs])


def _optional(raw: bytes | None) -> bytes | None:
    return None if raw is None else unescape(raw)


def _new_type(raw: bytes, match: re.Match[bytes]) -> _Type:
    media_type, subtype, *parameters = match.group(*_LEAF_TYPE)
    found = lower_name(media_type), lower_name(subtype), _parameters(*parameters)
    if found[0] == "text" and len(raw) < 80 and len(_types) < _MAX_CACHED_TYPES:
        _types[raw] = found
    return found


def _disposition(kind: bytes | None, *parameters: bytes | None) -> Disposition | None:
    return None if kind is None else Disposition(lower_name(kind), _parameters(*parameters))


def _tail(md5: bytes | None, kind: bytes | None, *rest: bytes | None) -> _Tail:
    *parameters, language, location = rest
    languages = () if language is None else (unescape(language),)
    return _optional(md5), _disposition(kind, *parameters), languages, _optional(location)


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
    patterns = _PLAIN if r.plain else _ANY
    match_leaf, match_tail = patterns.leaf.match, patterns.multipart_tail.match
    stack: list[_Open] = []
    part: BodyStructure | None
    while True:
        if data.startswith(b"((", pos):
            if len(stack) + depth >= r.limits.max_nesting_depth:
                raise RemoteProtocolError(f"nesting deeper than {r.limits.max_nesting_depth}")
            stack.append((pos, []))
            pos += 1
            continue
        match = match_leaf(data, pos)
        part = None if match is None else _leaf(match)
        if match is None or part is None:
            r.pos = pos
            part = _read_unusual(r, depth + len(stack))
            pos = r.pos
        else:
            pos = match.end()
        while stack:
            start, parts = stack[-1]
            if part is not None:
                parts.append(part)
            if data.startswith(_NEXT_PART, pos):
                if len(parts) >= r.limits.max_list_items:
                    raise RemoteProtocolError(f"multipart of more than {r.limits.max_list_items} parts")
                pos += data[pos] == _BLANK
                break
            del stack[-1]
            match = match_tail(data, pos)
            if match is None:
                r.pos = start
                part = body_from_node(r.node(), r)
                pos = r.pos
            else:
                part = _multipart(parts, match)
                pos = match.end()
        else:
            r.pos = pos
            return part


_NEXT_PART = (b"(", b" (")
_BLANK = 0x20


def _leaf(match: re.Match[bytes]) -> BodyPart | None:
    """The part that has matched, or None when its fields do not fit its type."""
    raw_type, content_id, description, encoding, size, lines, raw_tail = match.group(*_LEAF_COMMON)
    kind, subtype, parameters = _types.get(raw_type) or _new_type(raw_type, match)
    if (kind == "text") is (lines is None) or kind == "multipart":
        return None
    md5, disposition, languages, location = _NO_TAIL if raw_tail in _USUAL_TAILS else _tail(*match.group(*_LEAF_TAIL))
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
    subtype, name, value, several, raw_tail = match.group(*_MULTIPART_COMMON)
    tail = _NO_TAIL if raw_tail is None or raw_tail in _USUAL_TAILS else _tail(None, *match.group(*_MULTIPART_REST))
    _, disposition, languages, location = tail
    return BodyMultipart(
        tuple(parts), lower_name(subtype), _parameters(name, value, several), disposition, languages, location
    )


_MESSAGE_HEAD = re.compile(
    rb'\("(message)" "(rfc822|global)" ' + _ANY.parameters + rb" " + _ANY.nstring + rb" " + _ANY.nstring
    + rb" " + _ANY.name + rb" (\d{1,15}) (?=\()",
    re.IGNORECASE,
)  # fmt: skip
_MESSAGE_TAIL = re.compile(rb" (\d{1,15})(?: " + _ANY.nstring + _ANY.tail + rb")?\)")


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
    media_type, subtype, name, value, several, content_id, description, encoding, size = head.groups()
    lines, *rest = tail.groups()
    md5, disposition, languages, location = _tail(*rest)
    return BodyPart(
        lower_name(media_type),
        lower_name(subtype),
        _parameters(name, value, several),
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
