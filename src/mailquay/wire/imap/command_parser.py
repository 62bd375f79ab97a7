"""Reading commands: the server's table from a command's name to the reader of its arguments (RFC 9051 §6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.append import read_append
from mailquay.wire.imap.command import (
    Capability,
    Command,
    Logout,
    Noop,
    StartTls,
    read_authenticate,
    read_enable,
    read_id_command,
    read_login,
)
from mailquay.wire.imap.command_mailbox import (
    Check,
    Close,
    Delete,
    NamespaceCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
    read_create,
    read_list_command,
    read_mailbox,
    read_rename,
    read_select,
    read_status_command,
)
from mailquay.wire.imap.command_message import (
    ExpungeCommand,
    read_copy,
    read_fetch_command,
    read_message_set,
    read_store,
)
from mailquay.wire.imap.command_search import read_search_command
from mailquay.wire.imap.compress import read_compress
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.listing import ListKind
from mailquay.wire.imap.move import read_move
from mailquay.wire.imap.notify import read_notify
from mailquay.wire.imap.quota import read_get_quota, read_get_quota_root, read_set_quota
from mailquay.wire.imap.replace import read_replace
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.sequence_set import UidSet


class UnknownCommand(RemoteProtocolError):
    """The client sent a command that we do not know."""


_BARE: Final[dict[str, Callable[[], Command]]] = {
    "CAPABILITY": Capability,
    "NOOP": Noop,
    "LOGOUT": Logout,
    "STARTTLS": StartTls,
    "NAMESPACE": NamespaceCommand,
    "CHECK": Check,
    "CLOSE": Close,
    "UNSELECT": Unselect,
    "IDLE": Idle,
    "EXPUNGE": ExpungeCommand,
}
_WITH_ARGUMENTS: Final[dict[str, Callable[[Reader], Command]]] = {
    "LOGIN": read_login,
    "AUTHENTICATE": read_authenticate,
    "ID": read_id_command,
    "ENABLE": read_enable,
    "SELECT": lambda r: read_select(r, read_only=False),
    "EXAMINE": lambda r: read_select(r, read_only=True),
    "CREATE": read_create,
    "DELETE": lambda r: Delete(read_mailbox(r)),
    "RENAME": read_rename,
    "SUBSCRIBE": lambda r: Subscribe(read_mailbox(r)),
    "UNSUBSCRIBE": lambda r: Unsubscribe(read_mailbox(r)),
    "LIST": lambda r: read_list_command(r, ListKind.LIST),
    "LSUB": lambda r: read_list_command(r, ListKind.LSUB),
    "XLIST": lambda r: read_list_command(r, ListKind.XLIST),
    "STATUS": read_status_command,
    "APPEND": read_append,
    "FETCH": lambda r: read_fetch_command(r, uid=False),
    "STORE": lambda r: read_store(r, uid=False),
    "SEARCH": lambda r: read_search_command(r, uid=False),
    "COPY": lambda r: read_copy(r, uid=False),
    "MOVE": lambda r: read_move(r, uid=False),
    "REPLACE": lambda r: read_replace(r, uid=False),
    "NOTIFY": read_notify,
    "COMPRESS": read_compress,
    "GETQUOTA": read_get_quota,
    "GETQUOTAROOT": read_get_quota_root,
    "SETQUOTA": read_set_quota,
}


def _read_uid_expunge(r: Reader) -> ExpungeCommand:
    uids = read_message_set(r, uid=True)
    if not isinstance(uids, UidSet | SavedResult):
        raise r.error("UIDs")
    return ExpungeCommand(uids)


_UID: Final[dict[str, Callable[[Reader], Command]]] = {
    "FETCH": lambda r: read_fetch_command(r, uid=True),
    "STORE": lambda r: read_store(r, uid=True),
    "SEARCH": lambda r: read_search_command(r, uid=True),
    "COPY": lambda r: read_copy(r, uid=True),
    "MOVE": lambda r: read_move(r, uid=True),
    "REPLACE": lambda r: read_replace(r, uid=True),
    "EXPUNGE": _read_uid_expunge,
}


def read_command(r: Reader) -> Command:
    """Read a command behind its tag, to the end of the line.

    Raises UnknownCommand, BadCharset, or RemoteProtocolError for arguments that cannot be read.
    """
    name = r.word()
    if name in _BARE:
        r.expect_end()
        return _BARE[name]()
    readers = _WITH_ARGUMENTS
    if name == "UID":
        r.space()
        readers, name = _UID, r.word()
    read = readers.get(name)
    if read is None:
        raise UnknownCommand(f"unknown command {name[:40]}")
    r.space()
    command = read(r)
    r.expect_end()
    return command
