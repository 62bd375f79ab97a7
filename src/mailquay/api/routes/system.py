"""Settings, queues, statistics, licence, logs of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mailquay.api.errors import Fault, HttpError, invalid_input
from mailquay.api.http import TEXT, Answer
from mailquay.api.operation import SEVERAL_TEXTS_BYTES, Call, Operation
from mailquay.api.routes.messages import disposition
from mailquay.api.schemas.common import NoQuery
from mailquay.api.schemas.system import (
    License,
    LogsSetting,
    PauseQueue,
    QueuePaused,
    QueueShown,
    RegisterLicense,
    SettingsQuery,
    SettingsUpdated,
    Stats,
    StatsQuery,
    settings_schema,
)
from mailquay.api.validation import faults_of
from mailquay.model.setting_catalogue import SETTINGS
from mailquay.services.setting_view import shown_setting
from mailquay.services.settings import InvalidSettings

_LICENSE = {"active": True, "type": "MIT", "details": False}


async def _show(call: Call) -> Mapping[str, Any]:
    query = call.parameters(SettingsQuery)
    await call.services.settings.refresh()
    wanted = [key for key in SETTINGS if key in query.model_fields_set and getattr(query, key)]
    return {key: shown_setting(SETTINGS[key], call.services.settings.current(key)) for key in wanted}


async def _write(call: Call) -> Mapping[str, Any]:
    values = call.json
    if not isinstance(values, dict):
        raise invalid_input([Fault("", '"value" must be an object')])
    await call.services.settings.refresh()
    faults: list[Fault] = []
    if "logs" in values:
        try:
            values = {**values, "logs": LogsSetting.model_validate(values["logs"]).model_dump(by_alias=True)}
        except ValidationError as error:
            faults += faults_of(error, prefix=("logs",))
    checked: dict[str, object] = {}
    try:
        checked = call.services.settings.check(values)
    except InvalidSettings as error:
        faults += [Fault(key, sentence) for key, sentence in error.faults]
    if faults:
        raise invalid_input(faults)
    if checked.get("webhooksEnabled") is False:
        await call.services.settings.write({**checked, "webhookErrorFlag": None})
    else:
        await call.services.settings.write(checked)
    return {"updated": list(checked)}


async def _queue(call: Call) -> Mapping[str, Any]:
    return await call.services.stats.queue(call.path["queue"])


async def _pause(call: Call) -> Mapping[str, Any]:
    queue, paused = call.path["queue"], call.payload(PauseQueue).paused
    if paused is not None:
        await call.services.settings.pause(queue, paused)
    else:
        paused = await call.services.settings.is_paused(queue)
    return {"queue": queue, "paused": paused}


async def _stats(call: Call) -> Mapping[str, Any]:
    return await call.services.stats.stats(call.parameters(StatsQuery).seconds)


async def _license(_call: Call) -> Mapping[str, Any]:
    return _LICENSE


async def _logs(call: Call) -> Answer:
    account_id = call.path["account"]
    try:
        lines = await call.services.account_log.read(await call.account())
    except HttpError as error:
        if error.status != 404:
            raise
        lines = []
    text = "".join(f"{line}\n" for line in lines) or f"No logs found for {account_id}"
    headers = {"content-disposition": disposition(f"logs.{account_id}.txt"), "x-content-type-options": "nosniff"}
    return Answer(text.encode(), TEXT, headers=headers)


OPERATIONS = (
    Operation(
        "getV1Settings",
        "GET",
        "/v1/settings",
        "Settings",
        "Show settings",
        _show,
        "read",
        "admin",
        query=SettingsQuery,
        description="Those that are named with true. Secret ones are shown as whether they are set.",
    ),
    Operation(
        "postV1Settings",
        "POST",
        "/v1/settings",
        "Settings",
        "Change settings",
        _write,
        "write",
        "admin",
        raw_json=True,
        body_bytes=SEVERAL_TEXTS_BYTES,
        body_schema=settings_schema(shown=False),
        answer=SettingsUpdated,
        description="A masked value that comes back as it was shown changes nothing.",
    ),
    Operation(
        "getV1SettingsQueueQueue",
        "GET",
        "/v1/settings/queue/{queue}",
        "Settings",
        "Show a queue",
        _queue,
        "read",
        "admin",
        answer=QueueShown,
    ),
    Operation(
        "putV1SettingsQueueQueue",
        "PUT",
        "/v1/settings/queue/{queue}",
        "Settings",
        "Pause or resume a queue",
        _pause,
        "write",
        "admin",
        body=PauseQueue,
        answer=QueuePaused,
    ),
    Operation(
        "getV1Stats",
        "GET",
        "/v1/stats",
        "Stats",
        "Show figures about the installation",
        _stats,
        "read",
        "diagnostics",
        query=StatsQuery,
        answer=Stats,
    ),
    Operation(
        "getV1License",
        "GET",
        "/v1/license",
        "License",
        "Show the licence",
        _license,
        "read",
        "admin",
        query=NoQuery,
        answer=License,
    ),
    Operation(
        "postV1License",
        "POST",
        "/v1/license",
        "License",
        "Accept a licence key, without effect",
        _license,
        "write",
        "admin",
        body=RegisterLicense,
        answer=License,
    ),
    Operation(
        "deleteV1License",
        "DELETE",
        "/v1/license",
        "License",
        "Forget a licence key, without effect",
        _license,
        "destructive",
        "admin",
        query=NoQuery,
        answer=License,
    ),
    Operation(
        "getV1LogsAccount",
        "GET",
        "/v1/logs/{account}",
        "Logs",
        "Download the log of an account",
        _logs,
        "read",
        "logs",
        answer_type="text/plain",
        description="One JSON object in a line, oldest first, while logs are on for the account.",
    ),
)
