"""One IMAP session beyond what the wire core keeps of it: who it is, what it has selected, what it is offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mailquay.backends.memory import StoreEvent
from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.sandbox.faults import ImapFaults
from mailquay.sandbox.imap_capabilities import BEFORE_LOGIN, MAX_LITERAL_BYTES, USUAL
from mailquay.sandbox.imap_notify import Notifier
from mailquay.sandbox.imap_view import MailboxView
from mailquay.sandbox.users import MailUser, UserDirectory
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.limits import SERVER_LIMITS, Limits
from mailquay.wire.imap.response import Response, Status
from mailquay.wire.imap.response_code import ResponseCode
from mailquay.wire.imap.server import ImapServer

WIRE_LIMITS: Final[Limits] = replace(
    SERVER_LIMITS, max_buffered_literal_bytes=MAX_LITERAL_BYTES, max_buffered_bytes=MAX_LITERAL_BYTES + 64 * 1024
)


class Cut(Exception):
    """A fault that is planned cuts the connection in the middle of a command."""


class Answer(NamedTuple):
    """How a command ends."""

    status: Status
    text: str
    code: ResponseCode | None = None


@dataclass(slots=True, eq=False)
class SandboxSession:
    """One connection's session; commands change it and speak through `send`.

    `offers` is what the server can do for users who are logged in, `on_notice` is called when there is something to
    tell that no command has asked for.
    """

    wire: ImapServer
    users: UserDirectory
    faults: ImapFaults
    user: MailUser | None = None
    view: MailboxView | None = None
    condstore: bool = False
    failed_logins: int = 0
    compressed: bool = False
    offers: frozenset[str] = USUAL
    on_notice: Callable[[], None] = lambda: None
    notifier: Notifier | None = None
    _stop_notices: Callable[[], None] = lambda: None

    def send(self, response: Response) -> None:
        """Queue a response; after ENABLE UIDONLY without sequence numbers (RFC 9586 §3.3)."""
        if self.uidonly and isinstance(response, FetchResponse):
            response = response._replace(seq=0, uid=response.uid or self.selected.uid_of(response.seq))
        self.wire.send(response)

    @property
    def qresync(self) -> bool:
        """Whether the client has enabled QRESYNC."""
        return "QRESYNC" in self.wire.enabled

    @property
    def uidonly(self) -> bool:
        """Whether the client has enabled UIDONLY."""
        return "UIDONLY" in self.wire.enabled

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server offers now (RFC 9051 §6.1.1)."""
        limit = self.faults.message_limit
        limits = frozenset() if limit is None else frozenset([f"MESSAGELIMIT={limit}"])
        offers = self.offers
        if self.faults.append_limit is not None:
            told = f"APPENDLIMIT={self.faults.append_limit}"
            offers = frozenset(told if name.startswith("APPENDLIMIT=") else name for name in offers)
        return (BEFORE_LOGIN if self.user is None else offers | limits | self.faults.extra) - self.faults.missing

    @property
    def append_limit(self) -> int:
        """How many bytes a message that is added may have."""
        return MAX_LITERAL_BYTES if self.faults.append_limit is None else self.faults.append_limit

    def has(self, capability: str) -> bool:
        """Whether a capability is offered to users who are logged in."""
        return capability in self.offers and capability not in self.faults.missing

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
        if self.view is None:
            return
        for response in self.view.news(
            expunges=expunges, modseqs=self.condstore, vanished=self.qresync or self.uidonly
        ):
            self.send(response)

    def set_notifier(self, notifier: Notifier | None) -> None:
        """Begin, change or end being told of other mailboxes."""
        self._stop_notices()
        self.notifier = notifier
        if notifier is None:
            return

        def hear(event: StoreEvent) -> None:
            if notifier.hear(event, self.view.mailbox.path if self.view is not None else None):
                self.on_notice()

        self._stop_notices = self.owner.store.listen(hear)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called when the selected mailbox changes, until the function that is returned is called."""
        if self.view is None:
            return lambda: None
        return self.view.mailbox.listen(listener)
