"""Read the value of one start-up option: from text (flags, environment) or as TOML gives it."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from pathlib import Path

from mailquay.settings_option import Kind, Option

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|mo|y)?", re.IGNORECASE)
_UNIT_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "mo": 30 * 86400.0,
    "y": 365 * 86400.0,
}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", re.IGNORECASE)
_UNIT_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_TRUE, _FALSE = {"y", "yes", "true", "1", "on"}, {"n", "no", "false", "0", "off", ""}


class WrongValue(ValueError):
    """The value does not fit the option; the message completes the sentence "KEY ..." and holds no secret."""


def read_value(option: Option, given: object, *, bare_number: bool) -> object:
    """Turn what was given into the value of the option's field.

    `bare_number` tells that the name it was given under allows a duration without a unit. Raises WrongValue.
    """
    value = _READERS[option.kind](option, given, bare_number)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(option, value)
    return value


def _check_bounds(option: Option, value: float) -> None:
    if option.minimum is not None and value < option.minimum:
        raise WrongValue(f"is {value:g}, but must be at least {option.minimum:g}")
    if option.maximum is not None and value > option.maximum:
        raise WrongValue(f"is {value:g}, but must be at most {option.maximum:g}")


def shown(option: Option, given: object) -> str:
    """Quote a value for a message, unless it is secret."""
    if option.secret:
        return "the given value (not shown)"
    text = repr(given) if isinstance(given, str) else str(given)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_true(text: str) -> bool:
    """Tell whether the text of a boolean asks for something; anything that is not a no does."""
    return text.strip().lower() not in _FALSE


def _text(option: Option, given: object, _bare: bool) -> str:
    if not isinstance(given, str):
        raise WrongValue("must be a text")
    if any(ord(character) < 0x20 for character in given):
        raise WrongValue("holds a control character")
    return given.strip()


def _integer(option: Option, given: object, _bare: bool) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and re.fullmatch(r"[+-]?\d{1,18}", given.strip()):
        return int(given)
    raise WrongValue(f"is {shown(option, given)}, which is not a whole number")


def _boolean(option: Option, given: object, _bare: bool) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise WrongValue(f"is {shown(option, given)}, which is neither true nor false")


def _duration(option: Option, given: object, bare: bool) -> float:
    match = _DURATION.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    if match is None:
        raise WrongValue(f"is {shown(option, given)}, which is not a duration such as 10s, 5m or 3d")
    number, unit = float(match[1]), match[2]
    if unit:
        seconds = number * _UNIT_SECONDS[unit.lower()]
    elif bare or number == 0:
        seconds = number * option.bare_number.value
    else:
        raise WrongValue(f"is {shown(option, given)}, which lacks a unit (ms, s, m, h, d)")
    if not math.isfinite(seconds) or seconds > 100 * _UNIT_SECONDS["y"]:
        raise WrongValue(f"is {shown(option, given)}, which is longer than a hundred years")
    return seconds


def _bytes(option: Option, given: object, _bare: bool) -> int:
    match = _BYTES.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    if match is None:
        raise WrongValue(f"is {shown(option, given)}, which is not a size such as 500k, 5M or 1G")
    return int(float(match[1]) * _UNIT_BYTES[match[2].lower()])


def _list(option: Option, given: object, _bare: bool) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(part for part in re.split(r"[,\s]+", given) if part)
    if isinstance(given, (list, tuple)) and all(isinstance(part, str) for part in given):
        return tuple(part.strip() for part in given)
    raise WrongValue("must be a list of texts")


def _choice(option: Option, given: object, _bare: bool) -> str:
    text = str(given).strip().lower()
    if text not in option.choices:
        raise WrongValue(f"is {shown(option, given)}, but must be one of {', '.join(option.choices)}")
    return text


def _choices(option: Option, given: object, bare: bool) -> tuple[str, ...]:
    chosen = [_choice(option, part, bare) for part in _list(option, given, bare)]
    if not chosen:
        raise WrongValue(f"must name at least one of {', '.join(option.choices)}")
    return tuple(choice for choice in option.choices if choice in chosen)


def _networks(option: Option, given: object, bare: bool) -> tuple[str, ...]:
    parts = _list(option, given, bare)
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise WrongValue(f"holds {part!r}, which is no address or network") from None
    return parts


def _path(option: Option, given: object, bare: bool) -> Path:
    return Path(_text(option, given, bare))


def _object(option: Option, given: object, _bare: bool) -> dict[str, object]:
    decoded = given
    if isinstance(given, str):
        try:
            decoded = json.loads(given)
        except ValueError as error:
            raise WrongValue(f"is not JSON: {error.args[0]}") from None
    if not isinstance(decoded, dict):
        raise WrongValue("must be a JSON object")
    return dict(decoded)


_READERS = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DURATION: _duration,
    Kind.BYTES: _bytes,
    Kind.LIST: _list,
    Kind.CHOICE: _choice,
    Kind.CHOICES: _choices,
    Kind.NETWORKS: _networks,
    Kind.PATH: _path,
    Kind.OBJECT: _object,
}
