"""Data in links that we have signed, so that whoever follows one can change nothing of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

_MAX_CHARACTERS = 16 * 1024


def sign(secret: bytes, data: Mapping[str, Any]) -> tuple[str, str]:
    """The data as it stands in a link, and its signature (HMAC-SHA256), both in base64url."""
    raw = msgspec.json.encode(data)
    return _b64u(raw), _b64u(hmac.digest(secret, raw, hashlib.sha256))


def read_signed(secret: bytes, data: str, signature: str) -> dict[str, Any] | None:
    """What was signed; None when it was not by us."""
    if len(data) > _MAX_CHARACTERS or not (data.isascii() and signature.isascii()):
        return None
    try:
        raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    except ValueError:
        return None
    expected = _b64u(hmac.digest(secret, raw, hashlib.sha256))
    if not hmac.compare_digest(expected.encode(), signature.rstrip("=").encode()):
        return None
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
