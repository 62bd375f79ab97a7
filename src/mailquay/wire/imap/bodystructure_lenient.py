"""Interpreting a BODYSTRUCTURE of any shape: every guess is a named leniency."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Disposition, Parameters
from mailquay.wire.imap.envelope import envelope_from_node
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Atom, Node, Reader

_MIN_LEAF_FIELDS = 7
_MAX_DIGITS = 19


def lower_name(raw: bytes) -> str:
    """The name of a type, encoding or attribute in lower case."""
    return _names.get(raw) or _new_name(raw)


def _new_name(raw: bytes) -> str:
    name = raw.decode("utf-8", "replace").lower()
    if len(raw) < _CACHED_BYTES and len(_names) < _MAX_CACHED_NAMES:
        _names[raw] = name
    return name


_CACHED_BYTES = 64
_MAX_CACHED_NAMES = 1024
_names: dict[bytes, str] = {}


def body_from_node(node: Node, r: Reader) -> BodyStructure | None:
    """Interpret a tree as a body structure; what was wrong with it is noted in `r`.

    Raises RemoteProtocolError when it is not even a list.
    """
    if not node:
        r.note(Leniency.BODY_EMPTY)
        return None
    if not isinstance(node, list):
        raise RemoteProtocolError("BODYSTRUCTURE is not a list")
    if isinstance(node[0], list):
        count = next((index for index, child in enumerate(node) if not isinstance(child, list)), len(node))
        parts = [part for part in (body_from_node(child, r) for child in node[:count]) if part is not None]
        if len(node) == 1 and len(parts) == 1:
            r.note(Leniency.BODY_FIELDS_MISSING)
            return parts[0]
        return _multipart(tuple(parts), node[count:], r)
    if len(node) == 1 or not isinstance(node[1], bytes) or isinstance(node[1], Atom):
        r.note(Leniency.MULTIPART_WITHOUT_PARTS)
        return _multipart((), node, r)
    return _leaf_from_node(node, r)


def _multipart(parts: tuple[BodyStructure, ...], fields: list[Node], r: Reader) -> BodyMultipart:
    if not fields or fields[0] is None:
        r.note(Leniency.BODY_FIELDS_MISSING)
    padded = [*fields, *[None] * (5 - len(fields))]
    return BodyMultipart(
        parts,
        _name(padded[0], "mixed"),
        _parameters_from_node(padded[1], r),
        _disposition_from_node(padded[2], r),
        _languages_from_node(padded[3], r),
        _optional_string(padded[4], r),
    )


def _leaf_from_node(node: list[Node], r: Reader) -> BodyPart:
    if len(node) < _MIN_LEAF_FIELDS:
        r.note(Leniency.BODY_FIELDS_MISSING)
        node = [*node, *[None] * (_MIN_LEAF_FIELDS - len(node))]
        size = 0
    else:
        size = _number(node[6], r)
    media_type, subtype = _name(node[0], "application"), _name(node[1], "octet-stream")
    if media_type == "multipart":
        r.note(Leniency.MULTIPART_AS_LEAF)
    rest = node[_MIN_LEAF_FIELDS:]
    envelope, body, lines = None, None, None
    if media_type == "message" and subtype in ("rfc822", "global") and len(rest) >= 2 and _is_message(rest):
        envelope = envelope_from_node(rest[0], r)
        body = body_from_node(rest[1], r)
        rest = rest[2:]
        lines, rest = _take_lines(rest, r)
    elif media_type == "text" or (rest and isinstance(rest[0], Atom)):
        lines, rest = _take_lines(rest, r)
    padded = [*rest, *[None] * (4 - len(rest))]
    return BodyPart(
        media_type,
        subtype,
        _parameters_from_node(node[2], r),
        _optional_string(node[3], r),
        _optional_string(node[4], r),
        _name(node[5], "7bit"),
        size,
        lines,
        envelope,
        body,
        _optional_string(padded[0], r),
        _disposition_from_node(padded[1], r),
        _languages_from_node(padded[2], r),
        _optional_string(padded[3], r),
    )


def _is_message(rest: list[Node]) -> bool:
    return (rest[0] is None or isinstance(rest[0], list)) and isinstance(rest[1], list)


def _take_lines(rest: list[Node], r: Reader) -> tuple[int | None, list[Node]]:
    if rest and isinstance(rest[0], Atom):
        return _number(rest[0], r), rest[1:]
    if len(rest) == 5 and rest[0] is None:
        r.note(Leniency.BODY_NUMBER_NIL)
        return None, rest[1:]
    r.note(Leniency.BODY_FIELDS_MISSING)
    return None, rest


def _number(node: Node, r: Reader) -> int:
    if isinstance(node, bytes):
        return parse_lenient_number(node, r)
    r.note(Leniency.BODY_NUMBER_NIL)
    return 0


def parse_lenient_number(raw: bytes, r: Reader) -> int:
    """Read a number that may be written as a float. Raises RemoteProtocolError when it is none at all."""
    try:
        value = int(raw) if raw.isdigit() and len(raw) <= _MAX_DIGITS else float(raw)
    except ValueError as error:
        raise RemoteProtocolError(f"not a number: {raw[:40]!r}") from error
    if not 0 <= value < 2**63:
        raise RemoteProtocolError(f"number out of range: {raw[:40]!r}")
    if isinstance(value, float):
        r.note(Leniency.NUMBER_FLOATING)
    return int(value)


def _name(node: Node, default: str) -> str:
    return lower_name(bytes(node)) if isinstance(node, bytes) and node else default


def _optional_string(node: Node, r: Reader) -> bytes | None:
    if isinstance(node, list):
        r.note(Leniency.BODY_FIELD_MALFORMED)
        return None
    return None if node is None else bytes(node)


def _parameters_from_node(node: Node, r: Reader) -> Parameters:
    if node is None:
        return ()
    if not isinstance(node, list):
        r.note(Leniency.BODY_FIELD_MALFORMED)
        return ()
    parameters = []
    for name, value in zip(node[::2], node[1::2], strict=False):
        if not isinstance(name, bytes) or isinstance(value, list):
            r.note(Leniency.BODY_FIELD_MALFORMED)
            continue
        if value is None:
            r.note(Leniency.PARAMETER_NIL)
        parameters.append((lower_name(bytes(name)), bytes(value or b"")))
    if len(node) % 2:
        r.note(Leniency.BODY_FIELD_MALFORMED)
    return tuple(parameters)


def _disposition_from_node(node: Node, r: Reader) -> Disposition | None:
    if node is None:
        return None
    if isinstance(node, bytes):
        r.note(Leniency.DISPOSITION_BARE)
        return Disposition(lower_name(bytes(node)), ())
    if not node or not isinstance(node[0], bytes):
        r.note(Leniency.BODY_FIELD_MALFORMED)
        return None
    return Disposition(lower_name(bytes(node[0])), _parameters_from_node(node[1] if len(node) > 1 else None, r))


def _languages_from_node(node: Node, r: Reader) -> tuple[bytes, ...]:
    if isinstance(node, list):
        return tuple(bytes(language) for language in node if isinstance(language, bytes))
    return () if node is None else (bytes(node),)
