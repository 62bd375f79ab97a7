"""Secrets as answers show them, and how a shown mask is told from a new value when it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from mailquay.errors import InvalidRequest
from mailquay.model.account import CustomHeader

MASK = "******"


def mask_url(url: str) -> str:
    """The URL with its user and password masked; "" when it cannot be read, as then nobody knows what it holds."""
    try:
        parts = urlsplit(url)
        if parts.username is None and parts.password is None:
            return url
        host = parts.netloc.rpartition("@")[2]
        user = MASK if parts.username else ""
        password = "" if parts.password is None else f":{MASK}"
        return urlunsplit(parts._replace(netloc=f"{user}{password}@{host}"))
    except ValueError:
        return ""


def mask_headers(headers: Sequence[CustomHeader]) -> list[dict[str, str]]:
    """Headers with their values masked."""
    return [{"key": header.key, "value": MASK} for header in headers]


def unmask(value: str | None, stored: str | None, shown: str | None, name: str) -> str | None:
    """The value to store: what came, or what is stored when its mask came back.

    Raises InvalidRequest when a mask comes that is not the one we showed.
    """
    if value is None or MASK not in value:
        return value
    if stored is None or value != shown:
        raise InvalidRequest(f'"{name}" holds a mask instead of a value')
    return stored


def unmask_headers(headers: Sequence[CustomHeader], stored: Sequence[CustomHeader]) -> tuple[CustomHeader, ...]:
    """The headers to store; one with a masked value keeps the stored value of its name.

    Raises InvalidRequest when there is none.
    """
    known = {header.key.lower(): header.value for header in stored}
    result = []
    for header in headers:
        value = unmask(header.value, known.get(header.key.lower()), MASK, f"webhooksCustomHeaders.{header.key}")
        result.append(CustomHeader(header.key, value or ""))
    return tuple(result)
