"""What the listener bears from its clients, and whom it may trust with what: numbers, times, kinds of connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailquay.config import Config

MAX_RECIPIENTS: Final = 1000
"""As many as a submission may have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes.

    `login_timeout` is for everything before the log-in, `command_timeout` for each command after it, `data_timeout` for
    each pause in a message. `commands` counts those since the last message that was queued, `errors` and `logins` those
    of a connection; `failures` are refused log-ins from one address within a minute, of all users and of one.
    """

    message_bytes: int = 25 * 1024 * 1024
    connections: int = 1000
    connections_per_address: int = 100
    login_timeout: float = 60.0
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    write_timeout: float = 30.0
    handshake_timeout: float = 30.0
    submit_timeout: float = 10.0
    commands: int = 5000
    errors: int = 20
    logins: int = 3
    login_delay: float = 1.0
    failures: int = 30
    failures_of_user: int = 10
    require_tls: bool = False

    @classmethod
    def of(cls, config: Config) -> Limits:
        """What the configuration says of them."""
        return cls(
            message_bytes=config.smtp_server_max_message_bytes,
            connections=config.smtp_server_max_connections,
            connections_per_address=config.smtp_server_max_connections_per_address,
            command_timeout=config.smtp_server_command_timeout_seconds,
            data_timeout=config.smtp_server_data_timeout_seconds,
            submit_timeout=config.command_timeout_seconds,
            require_tls=config.smtp_server_require_tls,
        )
