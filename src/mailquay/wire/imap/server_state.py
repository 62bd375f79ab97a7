"""The server's half of the state tables: what a connection reads next, and what the answers we send change.

States and the commands they allow are those of `client_state`; a server only adds who speaks next.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from mailquay.wire.imap.client_state import ALLOWED_STATES, State, state_after
from mailquay.wire.imap.command import Authenticate, Command, StartTls
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.response import Status


class Reading(Enum):
    """What the next line from the client is. Under ANSWER nothing is read until the server has answered."""

    COMMAND = "command"
    ANSWER = "answer first"
    SASL = "SASL response"
    DONE = "DONE of IDLE"


AFTER_COMMAND: Final[dict[type[Command], Reading]] = {
    Authenticate: Reading.ANSWER,
    Idle: Reading.ANSWER,
    StartTls: Reading.ANSWER,
    Compress: Reading.ANSWER,
}
"""Commands after which the client must wait; after all others it may send the next one at once."""

AFTER_CONTINUATION: Final[dict[type[Command], Reading]] = {
    Authenticate: Reading.SASL,
    Idle: Reading.DONE,
}
"""What the client says once we have asked it to go on."""


def is_allowed(state: State, command: Command) -> bool:
    """Whether the client may send `command` in `state`."""
    return state in ALLOWED_STATES[type(command)]


def after_tagged(state: State, command: Command, status: Status) -> State:
    """The state after we have answered `command`."""
    return state_after(state, command, status)
