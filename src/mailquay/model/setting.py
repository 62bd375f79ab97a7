"""Every runtime setting of the API: its kind, bounds, default, and whether this release acts on it.

`read_setting` checks one value as POST /v1/settings and prepared settings do. Names and bounds are those of the
EmailEngine API.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from mailquay.errors import InvalidRequest


class SettingKind(Enum):
    """The JSON type of a value."""

    BOOLEAN = "boolean"
    TEXT = "string"
    INTEGER = "integer"
    NUMBER = "number"
    TEXTS = "array of strings"
    HEADERS = "array of {key, value}"
    OBJECT = "object"


class SettingStatus(Enum):
    """Whether setting it changes anything."""

    WORKS = "works"
    WITHOUT_EFFECT = "accepted without effect"
    LATER = "later"


class Visibility(Enum):
    """Who may read and write it over the API; hidden ones are not in its documentation."""

    READ_WRITE = "rw"
    HIDDEN = "rw-hidden"
    READ = "r"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class SettingDefinition:
    """One setting. `default` is what counts while it is unset; `meaning` also says why it has no effect.

    `schemes` makes a text a URL with one of these schemes; `encrypted` ones are sealed at rest and read back as "is it
    set"; `masked` says which part reads back as ******: of a URL its user and password, of headers their values.
    """

    key: str
    kind: SettingKind
    meaning: str
    status: SettingStatus = SettingStatus.LATER
    default: object = None
    visibility: Visibility = Visibility.READ_WRITE
    encrypted: bool = False
    masked: bool = False
    schemes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    allow_empty: bool = False
    nullable: bool = False
    form: str | None = None  # "hostname", "address" or "json"

    @property
    def writable(self) -> bool:
        """Tell whether POST /v1/settings and prepared settings may write it."""
        return self.visibility in (Visibility.READ_WRITE, Visibility.HIDDEN)


_TRUE, _FALSE = {"y", "yes", "true", "1", "on"}, {"n", "no", "false", "0", "off", ""}
_HOSTNAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_ITEM_LENGTH, _MAX_HEADER_NAME, _MAX_HEADER_VALUE, _MAX_ITEMS = 256, 1024, 10240, 1000


def read_setting(definition: SettingDefinition, value: object) -> object:
    """Check a value and return it in the form that is stored; None unsets the setting.

    Raises InvalidRequest whose message completes the sentence `"key" ...`.
    """
    if value is None:
        if definition.nullable or definition.kind is SettingKind.BOOLEAN:
            return None
        raise InvalidRequest("must not be null")
    if value == "" and definition.allow_empty:
        return None
    return _READERS[definition.kind](definition, value)


def _boolean(_definition: SettingDefinition, value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, (str, int)) else "?"
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InvalidRequest("must be a boolean")


def _text(definition: SettingDefinition, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest("must be a string")
    text = value if definition.max_length and definition.max_length > _MAX_HEADER_VALUE else value.strip()
    if definition.max_length is not None and len(text) > definition.max_length:
        raise InvalidRequest(f"must be at most {definition.max_length} characters long")
    if definition.choices and text not in definition.choices:
        raise InvalidRequest(f"must be one of {', '.join(definition.choices)}")
    if definition.schemes:
        _check_url(definition, text)
    elif definition.form is not None:
        text = _FORMS[definition.form](text)
    elif not definition.encrypted and (definition.max_length or 0) <= _MAX_HEADER_VALUE and _CONTROL.search(text):
        raise InvalidRequest("must not hold control characters")
    return text


def _check_url(definition: SettingDefinition, text: str) -> None:
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) or parts.scheme == "mailto"
        valid_port = parts.port is None or parts.port > 0
    except ValueError:
        raise InvalidRequest("must be a valid URI") from None
    if _CONTROL.search(text) or "\t" in text or " " in text or not has_host or not valid_port:
        raise InvalidRequest("must be a valid URI")
    if parts.scheme.lower() not in definition.schemes:
        raise InvalidRequest(f"must be a URI with the scheme {', '.join(definition.schemes)}")


def _hostname(text: str) -> str:
    try:
        plain = text.encode("idna").decode() if not text.isascii() else text
    except UnicodeError:
        raise InvalidRequest("must be a valid hostname") from None
    if len(plain) > 253 or not _HOSTNAME.fullmatch(plain):
        raise InvalidRequest("must be a valid hostname")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidRequest("must be a valid IP address") from None


def _json_object(text: str) -> str:
    try:
        decoded = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise InvalidRequest("must be the text of a JSON object") from None
    if not isinstance(decoded, dict):
        raise InvalidRequest("must be the text of a JSON object")
    return json.dumps(decoded, indent=2, ensure_ascii=False)


_FORMS = {"hostname": _hostname, "address": _address, "json": _json_object}


def _number(definition: SettingDefinition, value: object) -> float:
    number = _as_float(value)
    if definition.minimum is not None and number < definition.minimum:
        raise InvalidRequest(f"must be greater than or equal to {definition.minimum:g}")
    if definition.maximum is not None and number > definition.maximum:
        raise InvalidRequest(f"must be less than or equal to {definition.maximum:g}")
    return number


def _as_float(value: object) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise InvalidRequest("must be a number") from None
        if abs(number) <= 2**53:
            return number
    raise InvalidRequest("must be a number")


def _integer(definition: SettingDefinition, value: object) -> int:
    number = _number(definition, value)
    if not number.is_integer():
        raise InvalidRequest("must be an integer")
    return int(number)


def _texts(definition: SettingDefinition, value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise InvalidRequest("must be an array of strings")
    if len(items) > _MAX_ITEMS:
        raise InvalidRequest(f"must hold at most {_MAX_ITEMS} items")
    stripped = [item.strip() for item in items]
    if any(len(item) > _MAX_ITEM_LENGTH for item in stripped):
        raise InvalidRequest(f"must hold texts of at most {_MAX_ITEM_LENGTH} characters")
    return [_address(item) for item in stripped] if definition.form == "address" else stripped


def _headers(_definition: SettingDefinition, value: object) -> list[dict[str, str]]:
    if not isinstance(value, (list, tuple)):
        raise InvalidRequest("must be an array of objects with key and value")
    if len(value) > _MAX_ITEMS:
        raise InvalidRequest(f"must hold at most {_MAX_ITEMS} items")
    return [_header(item) for item in value]


def _header(item: object) -> dict[str, str]:
    if not isinstance(item, Mapping) or not set(item) <= {"key", "value"}:
        raise InvalidRequest("must be an array of objects with key and value")
    name, text = item.get("key"), item.get("value", "")
    if not isinstance(name, str) or not isinstance(text, str):
        raise InvalidRequest("must be an array of objects with key and value")
    name, text = name.strip(), text.strip()
    if not 0 < len(name) <= _MAX_HEADER_NAME or not _TOKEN.fullmatch(name):
        raise InvalidRequest("must hold valid header names")
    if len(text) > _MAX_HEADER_VALUE or _CONTROL.search(text):
        raise InvalidRequest("must hold header values without line breaks")
    return {"key": name, "value": text}


def _object(_definition: SettingDefinition, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidRequest("must be an object")
    return dict(value)


_READERS = {
    SettingKind.BOOLEAN: _boolean,
    SettingKind.TEXT: _text,
    SettingKind.INTEGER: _integer,
    SettingKind.NUMBER: _number,
    SettingKind.TEXTS: _texts,
    SettingKind.HEADERS: _headers,
    SettingKind.OBJECT: _object,
}
