"""Gateways: submission servers that every account may send through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailquay.model.account import SmtpSettings


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway as stored. `deliveries` counts the messages that it took, the last of them at `last_use_ms`.

    `last_error` is a public JSON value: why the last message could not be handed over, None once one could again. Times
    are milliseconds since the epoch.
    """

    id: str
    name: str = ""
    server: SmtpSettings = field(default_factory=SmtpSettings)
    deliveries: int = 0
    last_use_ms: int | None = None
    last_error: Mapping[str, object] | None = None
