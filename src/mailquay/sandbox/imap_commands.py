"""Carrying out commands: the table of them, and those about the session itself (RFC 9051 §6.1, §6.2, §6.3.1)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from mailquay.errors import CommandRejected, MailboxNotFound, ProtocolError
from mailquay.sandbox import imap_commands_mailbox as mailbox
from mailquay.sandbox import imap_commands_message as message
from mailquay.sandbox import imap_commands_quota as quota
from mailquay.sandbox.imap_commands_notify import notify, tell_news
from mailquay.sandbox.imap_session import Answer, SandboxSession
from mailquay.version import __version__
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.command import Capability, Command, Enable, Id, Login, Logout, Noop, StartTls
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
from mailquay.wire.imap.command_message import Copy, ExpungeCommand, Fetch, MessageCommand, Store, names_uids
from mailquay.wire.imap.command_search import Search
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.identification import IdResponse
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.notify import Notify
from mailquay.wire.imap.quota import GetQuota, GetQuotaRoot, SetQuota
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.response import CapabilityResponse, EnabledResponse, Status, UntaggedStatus
from mailquay.wire.imap.response_code import CapabilityCode, Code

Steps = Generator[None, None, Answer]
"""A command under way: it pauses where what it has said so far may be sent off."""


def _capability(session: SandboxSession, _command: Capability) -> Answer:
    session.send(CapabilityResponse(session.capabilities))
    return Answer(Status.OK, "done")


def _noop(_session: SandboxSession, _command: Noop) -> Answer:
    return Answer(Status.OK, "done")


def _logout(session: SandboxSession, _command: Logout) -> Answer:
    session.send(UntaggedStatus(Status.BYE, None, "good bye"))
    return Answer(Status.OK, "done")


def _id(session: SandboxSession, _command: Id) -> Answer:
    name = session.faults.identity or "Mailquay sandbox"
    session.send(IdResponse((("name", name), ("version", __version__))))
    return Answer(Status.OK, "done")


def _enable(session: SandboxSession, command: Enable) -> Answer:
    names = frozenset(command.capabilities) & _ENABLED & session.capabilities
    session.condstore = session.condstore or not names.isdisjoint({"CONDSTORE", "QRESYNC"})
    session.send(EnabledResponse(names))
    return Answer(Status.OK, "done")


def _compress(session: SandboxSession, command: Compress) -> Answer:
    session.require(f"COMPRESS={command.mechanism}")
    if session.compressed:
        return Answer(Status.NO, "everything is compressed already", Code("COMPRESSIONACTIVE"))
    session.compressed = True
    return Answer(Status.OK, "go ahead")


def _check(_session: SandboxSession, _command: Check) -> Answer:
    return Answer(Status.OK, "done")


def _starttls(_session: SandboxSession, _command: StartTls) -> Answer:
    return Answer(Status.BAD, "there is no TLS on the loopback interface")


def _login(session: SandboxSession, command: Login) -> Answer:
    return log_in(session, command.username, command.password)


def log_in(session: SandboxSession, login: str, password: str) -> Answer:
    """Check credentials, given by LOGIN or AUTHENTICATE."""
    user = None if session.faults.refuse_login else session.users.authenticate(login, password)
    if user is None:
        session.failed_logins += 1
        return Answer(Status.NO, "user name or password is wrong", Code("AUTHENTICATIONFAILED"))
    session.user = user
    if session.faults.uidonly:
        session.wire.enabled |= {"UIDONLY"}
    return Answer(Status.OK, "logged in", CapabilityCode(session.capabilities))


_HANDLERS: Final[dict[type[Command], Callable[[SandboxSession, Any], Answer]]] = {
    Capability: _capability,
    Noop: _noop,
    Logout: _logout,
    Id: _id,
    Enable: _enable,
    StartTls: _starttls,
    Login: _login,
    Select: mailbox.select,
    Compress: _compress,
    Check: _check,
    Close: mailbox.close,
    Unselect: mailbox.unselect,
    Create: mailbox.create,
    Delete: mailbox.delete,
    Rename: mailbox.rename,
    Subscribe: mailbox.subscribe,
    Unsubscribe: mailbox.unsubscribe,
    List: mailbox.list_mailboxes,
    NamespaceCommand: mailbox.namespace,
    StatusCommand: mailbox.status,
    Notify: notify,
    GetQuota: quota.get_quota,
    GetQuotaRoot: quota.get_quota_root,
    SetQuota: quota.set_quota,
    Append: message.append,
    Replace: message.replace,
    Store: message.store,
    Copy: message.copy,
    Move: message.move,
    ExpungeCommand: message.expunge,
}
_NUMBERS_MUST_STAND = (Fetch, Store)
_ENABLED = frozenset(["CONDSTORE", "QRESYNC", "UIDONLY"])


def carry_out(session: SandboxSession, tag: str, command: Command) -> Steps:
    """Carry out a command and tell the news that came meanwhile; the answer is the generator's value."""
    answer = yield from _attempt(session, tag, command)
    if not isinstance(command, Logout):
        tell_news(session, expunges=_may_expunge(command))
    return answer


def _attempt(session: SandboxSession, tag: str, command: Command) -> Steps:
    try:
        if isinstance(command, Fetch):
            return (yield from message.fetch(session, command))
        if isinstance(command, Search):
            return message.search(session, tag, command)
        return _HANDLERS[type(command)](session, command)
    except MailboxNotFound as error:
        # Where APPEND, COPY and MOVE would go, the client may make a mailbox and try again (RFC 9051 §6.3.12).
        is_target = isinstance(command, Append | Copy | Move | Replace)
        return Answer(Status.NO, error.message, Code("TRYCREATE" if is_target else "NONEXISTENT"))
    except CommandRejected as error:
        code = None if error.response_code is None else Code(error.response_code)
        return Answer(Status.NO, error.message, code)
    except ProtocolError as error:
        return Answer(Status.BAD, error.message)


def _may_expunge(command: Command) -> bool:
    """EXPUNGE is not sent while FETCH, STORE or SEARCH run by sequence numbers (RFC 9051 §7.5.1)."""
    if isinstance(command, Search):
        return command.uid
    if isinstance(command, MessageCommand) and isinstance(command, _NUMBERS_MUST_STAND):
        return names_uids(command.messages)
    return True
