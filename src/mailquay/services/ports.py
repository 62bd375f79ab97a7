"""What services need from further out: time, the live sessions of accounts, the owner of an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mailquay.backends.interface import MailSession
from mailquay.model.account import Account, AccountNumber
from mailquay.model.node import Fence


class Clock(Protocol):
    """Wall-clock time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...


class MailAccess(Protocol):
    """The mail servers of the accounts that this node owns."""

    def session(
        self, account: Account, *, path: str | None = None, timeout_seconds: float
    ) -> AbstractAsyncContextManager[MailSession]:
        """Borrow a command session, one that has `path` open if there is one.

        Raises NotOperational when the account's state forbids it, Unavailable when no session could be had in time.
        """
        ...

    def fence(self, account: AccountNumber) -> Fence:
        """What a write of the owner must carry.

        Raises NotOperational when this node does not own the account.
        """
        ...

    async def catch_up(self, account: AccountNumber, paths: Iterable[str], *, timeout_seconds: float) -> None:
        """Bring the index of these mailboxes up to date now, with their events; returns when it is done."""
        ...

    async def relist(self, account: AccountNumber, *, timeout_seconds: float) -> None:
        """Compare the stored list of mailboxes with the server's now, with its events; returns when it is done."""
        ...

    def nudge(self, account: AccountNumber, paths: Iterable[str]) -> None:
        """Have the index of these mailboxes brought up to date soon; returns at once."""
        ...

    def connections(self, account: AccountNumber) -> int:
        """How many connections to the IMAP server are open."""
        ...


class Counter(Protocol):
    """Counts what happened, for statistics and metrics."""

    def count(self, key: str, amount: int = 1) -> None:
        """Add to the counter of a key such as "submit:success"."""
        ...

    def webhook(self, event: str, *, success: bool, milliseconds: float) -> None:
        """Count one attempt to post an event, and how long it took, whatever came of it."""
        ...


class Journal(Protocol):
    """The log that an account has of its own, when it is switched on."""

    def write(self, account: Account, entry: Mapping[str, Any]) -> None:
        """Add a line; secrets are taken out."""
        ...


class Ownership(Protocol):
    """What this node owns."""

    def fence_or_none(self, account: int) -> Fence | None:
        """What a write for the account must carry; None for an account that nobody owns because it is deleted.

        Raises NotOperational when another node owns the account.
        """
        ...


class OwnerDirectory(Protocol):
    """Where the owner of an account is reached."""

    async def owner(self, account: AccountNumber) -> str | None:
        """None when this node owns the account, else the owner's internal address: unix:PATH or http://HOST:PORT.

        Raises NotOperational (WorkerNotAvailable) when nobody owns it.
        """
        ...


class AccountControl(Protocol):
    """What can be asked of the service of an account on the node that owns it.

    All raise NotOperational when this node does not own the account.
    """

    def reconnect(self, account: AccountNumber) -> None:
        """Have every connection made anew, now."""
        ...

    def sync(self, account: AccountNumber) -> None:
        """Have every mailbox brought up to date, now; raises NotOperational also when the state forbids it."""
        ...

    async def pause(self, account: AccountNumber) -> None:
        """Stop serving the account; returns when nothing is written for it any more."""
        ...

    def resume(self, account: AccountNumber, *, after_seconds: float) -> None:
        """Serve a paused account again, after that time."""
        ...
