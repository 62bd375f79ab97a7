"""IDLE: the server talks, the client listens, until it says DONE (RFC 2177, RFC 9051 §6.3.13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailquay.wire.imap.command import Command

DONE: Final = b"DONE\r\n"
MAX_IDLE_SECONDS: Final = 29 * 60
"""A server may log a client out after 30 minutes; IDLE must be restarted before that (RFC 2177 §3)."""


@dataclass(frozen=True, slots=True)
class Idle(Command):
    """IDLE. It claims nothing: all that arrives meanwhile is news."""

    name = "IDLE"
