"""Dataclasses to and from the JSON and sealed columns of our tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


_encoder = msgspec.json.Encoder()


def to_json(value: object) -> str:
    """JSON text of a dataclass, mapping or sequence."""
    return _encoder.encode(value).decode()


def to_json_bytes(value: object) -> bytes:
    """The same as bytes, for columns that are sealed."""
    return _encoder.encode(value)


def from_json(text: str | bytes, kind: type[T]) -> T:
    """A dataclass (or other type) from its JSON text; msgspec.ValidationError when it does not fit."""
    return msgspec.json.decode(text, type=kind)


def mapping(text: str | bytes | None) -> Mapping[str, Any]:
    """A JSON object, empty for None."""
    if text is None:
        return {}
    decoded: Mapping[str, Any] = msgspec.json.decode(text)
    return decoded
