"""X-EE fields of a raw message: what it says about its own submission. They are taken out before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mailquay.errors import InvalidRequest
from mailquay.mime.header import Headers, parse_header
from mailquay.mime.message import split_header
from mailquay.services.presentation import read_time
from mailquay.services.submit_request import SubmitRequest

T = TypeVar("T")
_MAX_KEY_CHARACTERS, _MAX_ATTEMPTS, _MAX_GATEWAY_CHARACTERS = 1024, 1000, 256
_TRUE, _FALSE = frozenset({"y", "true", "1"}), frozenset({"n", "false", "0"})


@dataclass(frozen=True, slots=True)
class ControlFields:
    """What was read; None where a field is missing or empty."""

    account: str | None = None
    idempotency_key: str | None = None
    send_at_ms: int | None = None
    delivery_attempts: int | None = None
    gateway: str | None = None


def steered(request: SubmitRequest) -> SubmitRequest:
    """A request as the control fields of its raw message want it; what the request itself says counts more.

    Raises InvalidRequest as `read_control_fields` does.
    """
    if request.raw is None:
        return request
    header_end, _ = split_header(request.raw, 0, len(request.raw))
    control = read_control_fields(parse_header(request.raw[:header_end]))
    return replace(
        request,
        send_at_ms=control.send_at_ms if request.send_at_ms is None else request.send_at_ms,
        delivery_attempts=control.delivery_attempts if request.delivery_attempts is None else request.delivery_attempts,
        gateway=request.gateway or control.gateway,
    )


def read_control_fields(headers: Headers) -> ControlFields:
    """The control fields of a message; of several with one name the first counts.

    Raises InvalidRequest that names every fault: a wrong value, or what is not in this release.
    """
    faults: list[str] = []

    def read(name: str, reader: Callable[[str], T | None]) -> T | None:
        text = (headers.text(name) or "").strip()
        if not text:
            return None
        try:
            return reader(text)
        except ValueError as error:
            faults.append(f"{name} {error}")
            return None

    fields = ControlFields(
        account=read("X-EE-Account", str),
        idempotency_key=read("X-EE-Idempotency-Key", _key),
        send_at_ms=read("X-EE-Send-At", read_time),
        delivery_attempts=read("X-EE-Delivery-Attempts", _attempts),
        gateway=read("X-EE-Gateway", _gateway),
    )
    read("X-EE-Tracking-Enabled", _tracking)
    if faults:
        raise InvalidRequest("; ".join(faults))
    return fields


def _key(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if len(text) > _MAX_KEY_CHARACTERS:
        raise ValueError(f"must be at most {_MAX_KEY_CHARACTERS} characters long")
    return text


def _attempts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_ATTEMPTS):
        raise ValueError(f"must be a whole number from 0 to {_MAX_ATTEMPTS}")
    return int(text)


def _gateway(text: str) -> str | None:
    """One that cannot exist is like one that does not: the account's own server is used."""
    return text if len(text) <= _MAX_GATEWAY_CHARACTERS and text.isprintable() else None


def _tracking(text: str) -> None:
    if text.lower() in _TRUE:
        raise ValueError("is not available in this release: tracking")
    if text.lower() not in _FALSE:
        raise ValueError("must be a boolean")
