"""The states of an IMAP connection, as tables: what may be sent where, and where it leads (RFC 9051 §3 and §6)."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Final

from mailquay.wire.imap.append import Append
from mailquay.wire.imap.command import Authenticate, Capability, Command, Enable, Id, Login, Logout, Noop, StartTls
from mailquay.wire.imap.command_mailbox import (
    Check,
    Close,
    Create,
    Delete,
    List,
    NamespaceCommand,
    Rename,
    Select,
    StatusCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailquay.wire.imap.command_message import (
    Copy,
    ExpungeCommand,
    Fetch,
    MessageCommand,
    Store,
    names_uids,
    sets_overlap,
)
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.notify import Notify
from mailquay.wire.imap.quota import GetQuota, GetQuotaRoot, SetQuota
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.response import Status
from mailquay.wire.imap.search import names_sequence_numbers
from mailquay.wire.imap.searchres import SavedResult


class State(Enum):
    """Where a connection stands. GREETING is before the server's first line."""

    GREETING = "greeting"
    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_NOT_AUTHENTICATED: Final = frozenset({State.NOT_AUTHENTICATED})
_AUTHENTICATED: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED: Final = frozenset({State.SELECTED})

ALLOWED_STATES: Final[dict[type[Command], frozenset[State]]] = {
    Capability: _ANY,
    Noop: _ANY,
    Logout: _ANY,
    Id: _ANY,
    StartTls: _NOT_AUTHENTICATED,
    Login: _NOT_AUTHENTICATED,
    Authenticate: _NOT_AUTHENTICATED,
    Enable: _AUTHENTICATED,
    Select: _AUTHENTICATED,
    Create: _AUTHENTICATED,
    Delete: _AUTHENTICATED,
    Rename: _AUTHENTICATED,
    Subscribe: _AUTHENTICATED,
    Unsubscribe: _AUTHENTICATED,
    List: _AUTHENTICATED,
    NamespaceCommand: _AUTHENTICATED,
    StatusCommand: _AUTHENTICATED,
    Append: _AUTHENTICATED,
    Idle: _AUTHENTICATED,
    Notify: _AUTHENTICATED,
    GetQuota: _AUTHENTICATED,
    GetQuotaRoot: _AUTHENTICATED,
    SetQuota: _AUTHENTICATED,
    Compress: _ANY,
    Check: _SELECTED,
    Close: _SELECTED,
    Unselect: _SELECTED,
    ExpungeCommand: _SELECTED,
    Search: _SELECTED,
    Fetch: _SELECTED,
    Store: _SELECTED,
    Copy: _SELECTED,
    Move: _SELECTED,
    Replace: _SELECTED,
}
"""In which states each command may be sent."""

_AFTER_OK: Final[dict[type[Command], State]] = {
    Login: State.AUTHENTICATED,
    Authenticate: State.AUTHENTICATED,
    Select: State.SELECTED,
    Close: State.AUTHENTICATED,
    Unselect: State.AUTHENTICATED,
    Logout: State.LOGOUT,
}

_ALONE: Final = frozenset({StartTls, Login, Authenticate, Enable, Select, Close, Unselect, Idle, Logout, Compress})
"""Commands that change what others mean, or that take over the connection: never in flight with another."""

_GROUPS: Final[dict[type[Command], str]] = {
    Fetch: "rows",
    Store: "rows",
    Copy: "moves",
    Move: "moves",
    Replace: "moves",
    ExpungeCommand: "moves",
    Search: "search",
    List: "listing",
    StatusCommand: "listing",
    Notify: "listing",
    GetQuota: "quota",
    GetQuotaRoot: "quota",
    SetQuota: "quota",
    Capability: "capability",
    Id: "id",
    NamespaceCommand: "namespace",
}
"""Commands whose untagged answers look alike: two of a group in flight could not be told apart (RFC 9051 §5.5)."""


def state_after(state: State, command: Command, status: Status) -> State:
    """The state once the server has answered `command`. A SELECT that fails leaves no mailbox (RFC 9051 §6.3.2)."""
    if status is Status.OK:
        return _AFTER_OK.get(type(command), state)
    if status is Status.NO and isinstance(command, Select) and state is State.SELECTED:
        return State.AUTHENTICATED
    return state


def may_join(command: Command, in_flight: Collection[Command]) -> bool:
    """Whether `command` may be sent while others are unanswered (RFC 9051 §5.5)."""
    if not in_flight:
        return True
    return not (_is_alone(command) or any(_is_alone(other) or _collide(command, other) for other in in_flight))


def uses_sequence_numbers(command: Command) -> bool:
    """Whether a command names messages by sequence numbers, or is answered in them (RFC 9586 §3)."""
    if isinstance(command, MessageCommand):
        return not names_uids(command.messages)
    return isinstance(command, Search) and (not command.uid or names_sequence_numbers(command.key))


def _is_alone(command: Command) -> bool:
    return uses_sequence_numbers(command) or _saves_or_recalls(command) or type(command) in _ALONE


def _saves_or_recalls(command: Command) -> bool:
    """Whether a command writes or reads `$`: in flight with others, nobody could say which result it meant."""
    if isinstance(command, MessageCommand):
        return isinstance(command.messages, SavedResult)
    if isinstance(command, ExpungeCommand):
        return isinstance(command.uids, SavedResult)
    return isinstance(command, Search) and SearchReturn.SAVE in (command.returns or ())


def _collide(first: Command, second: Command) -> bool:
    group = _GROUPS.get(type(first))
    if group is None or group != _GROUPS.get(type(second)):
        return False
    if group == "rows" and isinstance(first, MessageCommand) and isinstance(second, MessageCommand):
        return sets_overlap(first.messages, second.messages)
    return True
