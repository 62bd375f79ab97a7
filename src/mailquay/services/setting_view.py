"""Runtime settings as answers show them: secrets as "is it set", masked parts as a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.model.account import CustomHeader
from mailquay.model.event import EventName
from mailquay.model.setting import SettingDefinition, SettingKind
from mailquay.services.masks import MASK, mask_headers, mask_url


def shown_setting(definition: SettingDefinition, value: Any) -> Any:
    """A value (stored, or the default) in its public form."""
    if definition.key == "eventTypes":
        return [name.value for name in EventName]
    if definition.encrypted:
        return bool(value)
    if definition.masked and definition.kind is SettingKind.HEADERS:
        return mask_headers([CustomHeader(header["key"], header["value"]) for header in value or ()])
    if definition.masked:
        return None if value is None else mask_url(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def holds_mask(definition: SettingDefinition, value: object) -> bool:
    """Whether a value that came in has a mask where a secret belongs."""
    if not definition.masked and not definition.encrypted:
        return False
    if isinstance(value, str):
        return MASK in value
    if isinstance(value, list | tuple):
        return any(isinstance(one, Mapping) and MASK in str(one.get("value", "")) for one in value)
    return False
