"""The record of a token as text: base64url of MessagePack, so that it fits into a variable of the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from mailquay.errors import InvalidRequest
from mailquay.model.token import ACTIONS, GRANTABLE_GROUPS, SCOPES, Permissions, RateLimit, Restrictions, Token
from mailquay.services.identifiers import b64u, from_b64u
from mailquay.services.presentation import iso

_ID = re.compile(r"[0-9a-f]{64}")


def export_record(token: Token) -> str:
    """The record, id included; whoever has it still needs the value."""
    return b64u(msgspec.msgpack.encode(public_record(token)))


def public_record(token: Token) -> dict[str, Any]:
    """A token under its public names, without what is not set."""
    record: dict[str, Any] = {"id": token.id, "account": token.account, "created": iso(token.created_ms)}
    if token.remote_address is not None:
        record["remoteAddress"] = token.remote_address
    if token.scopes is not None:
        record["scopes"] = list(token.scopes)
    record["description"] = token.description
    if token.restrictions is not None:
        record["restrictions"] = _restrictions(token.restrictions)
    if token.permissions is not None:
        axes = {"actions": token.permissions.actions, "groups": token.permissions.groups}
        record["permissions"] = {name: list(axis) for name, axis in axes.items() if axis is not None}
    if token.metadata is not None:
        record["metadata"] = token.metadata
    if token.ip is not None:
        record["ip"] = token.ip
    if token.expires_ms is not None:
        record["expires"] = iso(token.expires_ms)
    return record


def _restrictions(restrictions: Restrictions) -> dict[str, Any]:
    limit = restrictions.rate_limit
    return {
        "referrers": None if restrictions.referrers is None else list(restrictions.referrers),
        "addresses": None if restrictions.addresses is None else list(restrictions.addresses),
        "rateLimit": None
        if limit is None
        else {"maxRequests": limit.max_requests, "timeWindow": limit.time_window_seconds},
    }


def import_record(text: str) -> Token:
    """The token of an exported record.

    Raises InvalidRequest when the text is none; a record that says something unknown is refused, not widened.
    """
    try:
        record = msgspec.msgpack.decode(from_b64u(text.strip()))
        if not isinstance(record, Mapping) or not _ID.fullmatch(str(record["id"])):
            raise ValueError("no id")
        return Token(
            id=str(record["id"]),
            description=str(record.get("description") or ""),
            created_ms=0,
            account=_text(record, "account"),
            scopes=_texts(record, "scopes", SCOPES),
            restrictions=_read_restrictions(record.get("restrictions")),
            permissions=_read_permissions(record.get("permissions")),
            metadata=_text(record, "metadata"),
            ip=_text(record, "ip"),
            remote_address=_text(record, "remoteAddress"),
            expires_ms=_time(record.get("expires")),
        )
    except (ValueError, KeyError, TypeError, OverflowError, msgspec.DecodeError) as error:
        raise InvalidRequest(f"this is not an exported token ({error})") from error


def _text(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value or None


def _texts(record: Mapping[str, Any], key: str, known: tuple[str, ...] | None = None) -> tuple[str, ...] | None:
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is no list of texts")
    if known is not None and not set(value) <= set(known):
        raise ValueError(f"{key} holds something unknown")
    return tuple(value)


def _read_restrictions(value: object) -> Restrictions | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("restrictions is no object")
    limit = value.get("rateLimit")
    rate = None if limit is None else RateLimit(int(limit["maxRequests"]), int(limit["timeWindow"]))
    if rate is not None and min(rate.max_requests, rate.time_window_seconds) < 1:
        raise ValueError("rateLimit is not positive")
    addresses = _texts(value, "addresses")
    for address in addresses or ():
        ipaddress.ip_network(address, strict=False)
    return Restrictions(addresses, _texts(value, "referrers"), rate)


def _read_permissions(value: object) -> Permissions | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not set(value) <= {"actions", "groups"}:
        raise ValueError("permissions is no object of actions and groups")
    actions, groups = _texts(value, "actions", ACTIONS), _texts(value, "groups", GRANTABLE_GROUPS)
    # An empty object is kept as "nothing at all", as it is wherever it is stored.
    return Permissions(() if not value else actions, groups)


def _time(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, int | float):
        return int(value)
    else:
        raise ValueError("expires is no date")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
