"""Field types of requests: the coercions that the API promises, each with its JSON schema."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema, core_schema

from mailquay.errors import InvalidRequest
from mailquay.net.names import ascii_host, parse_address
from mailquay.services.presentation import read_time

NoneHidden = SkipJsonSchema[None]
"""The None of a field of an answer that is left out rather than null."""

_TRUE, _FALSE = frozenset({"y", "true", "1"}), frozenset({"n", "false", "0"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOCAL_PART = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+|\"[^\"\\\x00-\x1f\x7f]+\"")
_MAX_LOCAL_PART, _MAX_ADDRESS = 64, 320
_WHITE_SPACE = b" \t\n\r\f\v"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


# -- what the caller left out -------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """A field that may be left out: `check` sees what is given, and may turn it into None, "not given".

    That None is nothing a caller may send, so that the JSON schema does not have it.
    """

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shown = handler(schema)
        kinds = [kind for kind in shown.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) != 1:
            return shown
        return {**{key: value for key, value in shown.items() if key != "anyOf"}, **kinds[0]}


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("must not be null")
    return value


def _absent_when_empty(value: object) -> object:
    if value is None:
        raise ValueError("must not be null")
    return None if isinstance(value, str) and not value.strip() else value


def _none_when_false(value: object) -> object:
    return None if value is False or value in ("false", "") else value


def _as_list(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


Absent = LeftOut(_absent_when_empty)
"""An optional field for which "" counts as not given; null is refused."""

Given = LeftOut(_refuse_null)
"""An optional field that may not be null."""

FalseIsNone = LeftOut(_none_when_false)
"""The literal false means "not set"."""

Single = BeforeValidator(_as_list)
"""One value may stand for an array of it."""


# -- scalars --------------------------------------------------------------------------------------


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("must be a boolean")


Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
"""A boolean: true, false, and Y, 1, N, 0 as texts."""


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


Lower = BeforeValidator(_lower)
"""Upper and lower case make no difference."""


TimeMs = Annotated[int, BeforeValidator(read_time), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time: ISO 8601, or milliseconds since the epoch."""


def _no_control(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


Line256 = Annotated[str, StringConstraints(max_length=256), AfterValidator(_no_control)]
Line1024 = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_no_control)]
Text100 = Annotated[str, StringConstraints(max_length=100), AfterValidator(_no_control)]
Secret16384 = Annotated[str, StringConstraints(max_length=16384), AfterValidator(_no_control)]
MessageIdText = Annotated[str, StringConstraints(max_length=996), AfterValidator(_no_control)]


def read_address(value: str) -> str:
    """An e-mail address as callers write it (RFC 5321 §4.1.2, with UTF-8 as RFC 6531 allows); ValueError otherwise."""
    local, at, domain = value.rpartition("@")
    if not at or len(value) > _MAX_ADDRESS or len(local.encode()) > _MAX_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        raise ValueError("must be a valid email")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("must be a valid email")
    try:
        if not (domain.startswith("[") and domain.endswith("]")) or parse_address(domain[1:-1]) is None:
            ascii_host(domain)
    except InvalidRequest:
        raise ValueError("must be a valid email") from None
    return value


Email = Annotated[str, AfterValidator(read_address), WithJsonSchema({"type": "string", "format": "email"})]


def _hostname(value: str) -> str:
    try:
        ascii_host(value)
    except InvalidRequest:
        raise ValueError("must be a valid hostname") from None
    return value


Hostname = Annotated[str, AfterValidator(_hostname), WithJsonSchema({"type": "string", "format": "hostname"})]


def _address(value: str) -> str:
    if parse_address(value) is None:
        raise ValueError("must be a valid ip address")
    return value


IpAddress = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "ip"})]


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be an ip address or a CIDR block") from None
    return value


Network = Annotated[str, AfterValidator(_network), WithJsonSchema({"type": "string", "format": "ip"})]


def _uri(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            valid = False
        if not valid or _CONTROL.search(value) or " " in value:
            raise ValueError("must be a valid uri")
        if parts.scheme.lower() not in schemes:
            raise ValueError(f"must be a valid uri with a scheme matching {', '.join(schemes)}")
        return value

    return check


_URI_SCHEMA = WithJsonSchema({"type": "string", "format": "uri"})
WebUri = Annotated[str, AfterValidator(_uri("http", "https")), _URI_SCHEMA]
ProxyUri = Annotated[str, AfterValidator(_uri("http", "https", "socks", "socks4", "socks4a", "socks5")), _URI_SCHEMA]

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=0, le=2_147_483)]


# -- contents -------------------------------------------------------------------------------------


def _limit(info: ValidationInfo) -> int:
    context: dict[str, Any] = info.context or {}
    return int(context.get("max_content", 5 * 1024 * 1024))


def bounded_text(value: object, info: ValidationInfo) -> object:
    """A text of at most as many characters as the operator allows for contents; it is kept exactly as given."""
    if isinstance(value, str) and len(value) > _limit(info):
        raise ValueError(f"must be at most {_limit(info)} characters long")
    return value


def read_base64(value: object, info: ValidationInfo) -> object:
    """Bytes from base64 (RFC 4648 §4 or §5), white space left out; ValueError when it is none or too long."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if len(value) > _limit(info):
        raise ValueError(f"must be at most {_limit(info)} characters long")
    try:
        # Step by step: a large content must not be there more often than it has to.
        text = value.encode("ascii").translate(_URL_SAFE, _WHITE_SPACE)
        text = text.rstrip(b"=")
        text += b"=" * (-len(text) % 4)
        return base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("must be a valid base64 string") from None


Content = Annotated[str, StringConstraints(strip_whitespace=False), BeforeValidator(bounded_text)]
"""Text of a message: never trimmed."""

Base64 = Annotated[bytes, BeforeValidator(read_base64), WithJsonSchema({"type": "string", "format": "base64"})]
"""Content in base64, decoded while it is checked."""
