"""What all parts of a session share: the connection, what is open on it, names as the server writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TypeVar

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.mapping import shown_flags
from mailquay.backends.imap.searching import Searching
from mailquay.backends.interface import FlagState, OpenedMailbox
from mailquay.errors import MailboxNotFound
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.sequence_set import UidSet

T = TypeVar("T")


class SessionBase(ABC):
    """State of one logged-in connection."""

    def __init__(self, connection: ImapConnection) -> None:
        self._connection = connection
        self._wire_names: dict[str, MailboxArgument] = {}
        self._absent: set[str] = set()
        """Mailboxes that the server has listed and then not found."""
        self._selected: str | None = None
        self._selected_uidvalidity: int | None = None
        self._writable = False
        self._messages = 0
        self._searching = Searching(connection)

    @property
    def capabilities(self) -> frozenset[str]:
        """See MailSession.capabilities."""
        return self._connection.capabilities or frozenset()

    @property
    def selected(self) -> str | None:
        """See MailSession.selected."""
        return self._selected

    @property
    def selected_uidvalidity(self) -> int | None:
        """See MailSession.selected_uidvalidity."""
        return None if self._selected is None else self._selected_uidvalidity

    def forget_selected(self) -> None:
        """See MailSession.forget_selected."""
        self._selected = None

    @property
    def selected_writable(self) -> bool:
        """See MailSession.selected_writable."""
        return self._selected is not None and self._writable

    @property
    def usable(self) -> bool:
        """See MailSession.usable."""
        return self._connection.usable

    async def prove(self) -> None:
        """See MailSession.prove."""
        await self._connection.noop()

    @abstractmethod
    async def open_mailbox(self, path: str, *, writable: bool = False) -> OpenedMailbox:
        """See MailSession.open_mailbox."""

    async def _on_existing(self, path: str, asking: Awaitable[T]) -> T:
        """The answer to a command on a mailbox; raises MailboxNotFound, and remembers that of one that was listed."""
        try:
            answer = await asking
        except MailboxNotFound:
            if path in self._wire_names:
                self._absent.add(path)
            raise
        self._absent.discard(path)
        return answer

    def _has(self, capability: str) -> bool:
        return self._connection.has_capability(capability)

    def _argument(self, path: str) -> MailboxArgument:
        return self._wire_names.get(path, path)


def uid_set(text: str) -> UidSet:
    """UIDs as the services write them. Raises RemoteProtocolError for what is no set."""
    return UidSet.parse(text.encode("ascii"))


def flag_state(row: FetchResponse) -> FlagState | None:
    """The flags in a FETCH response; None when it holds none, or no UID."""
    if row.uid is None or row.flags is None:
        return None
    return FlagState(row.uid, shown_flags(row.flags), row.modseq, row.gmail_labels)
