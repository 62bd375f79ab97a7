"""One IMAP session beyond what the wire core keeps of it: who it is, what it has selected, what it is offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.sandbox.faults import ImapFaults
from mailquay.sandbox.imap_view import MailboxView
from mailquay.sandbox.users import MailUser, UserDirectory
from mailquay.wire.imap.limits import SERVER_LIMITS, Limits
from mailquay.wire.imap.response import Response, Status
from mailquay.wire.imap.response_code import ResponseCode
from mailquay.wire.imap.server import ImapServer

MAX_LITERAL_BYTES: Final = 32 * 1024 * 1024
"""The largest message that APPEND takes."""

WIRE_LIMITS: Final[Limits] = replace(
    SERVER_LIMITS, max_buffered_literal_bytes=MAX_LITERAL_BYTES, max_buffered_bytes=MAX_LITERAL_BYTES + 64 * 1024
)

_BEFORE_LOGIN = frozenset(["IMAP4rev1", "LITERAL+", "SASL-IR", "AUTH=PLAIN", "ID"])
_AFTER_LOGIN = frozenset(
    [
        *("IMAP4rev1", "LITERAL+", "ID", "ENABLE", "NAMESPACE", "IDLE", "UIDPLUS", "MOVE", "UNSELECT", "CONDSTORE"),
        *("ESEARCH", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "CHILDREN", "OBJECTID"),
        *("BINARY", "WITHIN", "SAVEDATE", "PREVIEW", "STATUS=SIZE", f"APPENDLIMIT={MAX_LITERAL_BYTES}"),
    ]
)


class Answer(NamedTuple):
    """How a command ends."""

    status: Status
    text: str
    code: ResponseCode | None = None


@dataclass(slots=True, eq=False)
class SandboxSession:
    """One connection's session; commands change it and speak through `send`."""

    wire: ImapServer
    users: UserDirectory
    faults: ImapFaults
    user: MailUser | None = None
    view: MailboxView | None = None
    condstore: bool = False
    failed_logins: int = 0

    def send(self, response: Response) -> None:
        """Queue a response."""
        self.wire.send(response)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server offers now (RFC 9051 §6.1.1)."""
        return (_BEFORE_LOGIN if self.user is None else _AFTER_LOGIN) - self.faults.missing

    def has(self, capability: str) -> bool:
        """Whether a capability is offered to users who are logged in."""
        return capability in _AFTER_LOGIN and capability not in self.faults.missing

    def require(self, capability: str) -> None:
        """Raises RemoteProtocolError, answered by BAD, when a command needs what is not offered."""
        if not self.has(capability):
            raise RemoteProtocolError(f"{capability} is not offered")

    @property
    def owner(self) -> MailUser:
        """The user who is logged in. Raises CommandRejected when nobody is, which the wire core rules out."""
        if self.user is None:
            raise CommandRejected("log in first")
        return self.user

    @property
    def selected(self) -> MailboxView:
        """The selected mailbox. Raises CommandRejected when there is none, which the wire core rules out."""
        if self.view is None:
            raise CommandRejected("select a mailbox first")
        return self.view

    @property
    def writable(self) -> MailboxView:
        """The selected mailbox, if it may be changed. Raises CommandRejected after EXAMINE."""
        view = self.selected
        if view.read_only:
            raise CommandRejected("the mailbox was opened for reading only", response_code="READ-ONLY")
        return view

    def tell_news(self, *, expunges: bool) -> None:
        """Send what the session has not heard about its mailbox."""
        if self.view is not None:
            for response in self.view.news(expunges=expunges, modseqs=self.condstore):
                self.send(response)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called when the selected mailbox changes, until the function that is returned is called."""
        if self.view is None:
            return lambda: None
        return self.view.mailbox.listen(listener)
