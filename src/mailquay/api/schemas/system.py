"""Settings, queues, statistics, licence: what they take and how they are shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, create_model

from mailquay.api.schemas.common import QueueName, Shown
from mailquay.api.schemas.fields import Flag, Given
from mailquay.api.validation import Model
from mailquay.model.setting import SettingDefinition, SettingKind, Visibility
from mailquay.model.setting_catalogue import SETTINGS

_SHOWN = (Visibility.READ_WRITE, Visibility.HIDDEN, Visibility.READ)
READABLE = tuple(key for key, definition in SETTINGS.items() if definition.visibility in _SHOWN)
_TYPES: dict[SettingKind, dict[str, Any]] = {
    SettingKind.BOOLEAN: {"type": "boolean"},
    SettingKind.TEXT: {"type": "string"},
    SettingKind.INTEGER: {"type": "integer"},
    SettingKind.NUMBER: {"type": "number"},
    SettingKind.TEXTS: {"type": "array", "items": {"type": "string", "maxLength": 256}},
    SettingKind.OBJECT: {"type": "object"},
    SettingKind.HEADERS: {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "key": {"type": "string", "maxLength": 1024},
                "value": {"type": "string", "maxLength": 10240, "default": ""},
            },
            "required": ["key"],
        },
    },
}

SettingsQuery = cast(
    "type[Model]",
    create_model("SettingsQuery", __base__=Model, **cast("dict[str, Any]", dict.fromkeys(READABLE, (Flag, False)))),
)
"""Which settings to show: each by its own name."""


class LogsSetting(Model):
    """The value of the setting `logs`."""

    all: Flag = False
    max_log_lines: Annotated[int, Field(ge=0, le=1_000_000, alias="maxLogLines")] = 10_000


def setting_schema(definition: SettingDefinition, *, shown: bool) -> dict[str, Any]:
    """The JSON schema of a setting, as it is written or as it is shown."""
    schema = dict(_TYPES[SettingKind.BOOLEAN] if shown and definition.encrypted else _TYPES[definition.kind])
    if definition.key == "logs":
        schema = LogsSetting.model_json_schema()
    schema["description"] = definition.meaning
    if not (shown and definition.encrypted):
        bounds = {"minimum": definition.minimum, "maximum": definition.maximum, "maxLength": definition.max_length}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
        if definition.choices:
            schema["enum"] = list(definition.choices)
        if definition.schemes:
            schema["format"] = "uri"
    if shown or definition.nullable:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def settings_schema(*, shown: bool) -> dict[str, Any]:
    """The JSON schema of settings written or shown."""
    keys = [key for key in READABLE if shown or SETTINGS[key].visibility is Visibility.READ_WRITE]
    properties = {key: setting_schema(SETTINGS[key], shown=shown) for key in keys}
    return {"type": "object", "properties": properties, "additionalProperties": False}


class SettingsUpdated(Shown):
    """The keys of the settings that were stored."""

    updated: list[str]


class PauseQueue(Model):
    """Whether a queue rests."""

    paused: Annotated[Flag | None, Given] = None


class QueuePaused(Shown):
    """Whether a queue rests."""

    queue: QueueName
    paused: bool


class QueueJobs(Shown):
    """How many jobs a queue has."""

    active: int
    delayed: int
    paused: int
    waiting: int


class QueueShown(Shown):
    """A queue."""

    queue: QueueName
    jobs: QueueJobs
    paused: bool


class StatsQuery(Model):
    """How far to look back."""

    seconds: Annotated[int, Field(ge=0, le=604_800)] = 3600


class QueueStats(Shown):
    """A queue in figures."""

    active: int
    delayed: int
    waiting: int
    paused: int
    is_paused: Annotated[bool, Field(alias="isPaused")]
    total: int


class Connections(Shown):
    """How many accounts are in each state."""

    init: int
    connected: int
    connecting: int
    syncing: int
    authentication_error: Annotated[int, Field(alias="authenticationError")]
    connect_error: Annotated[int, Field(alias="connectError")]
    unset: int
    disconnected: int
    paused: int
    unassigned: int


class Stats(Shown):
    """The installation in figures."""

    version: str
    license: str
    accounts: int
    node: Annotated[str, Field(description="Version of the Python that runs it.")]
    arch: str
    connections: Connections
    queues: dict[QueueName, QueueStats]
    counters: Annotated[dict[str, int], Field(description="What happened within the time asked for.")]


class RegisterLicense(Model):
    """A licence key. None is needed; any is accepted and left alone."""

    license: Annotated[str, StringConstraints(max_length=10240)]


class License(Shown):
    """The licence, which never ends."""

    active: Literal[True]
    type: str
    details: Literal[False]


class Success(Shown):
    """All is well."""

    success: Literal[True]
