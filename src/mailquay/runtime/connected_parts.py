"""What works together while one account is connected."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mailquay.backends.interface import MailSession
from mailquay.config import Config
from mailquay.errors import AuthenticationFailed, RateLimited, StorageError
from mailquay.model.node import Fence
from mailquay.runtime.refusals import Refusals
from mailquay.runtime.session_pool import SessionPool
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.services.ports import Clock
from mailquay.services.sync import MailboxSync
from mailquay.storage.store import Store

NOT_ITS_FAULT = (StorageError, AuthenticationFailed, RateLimited)
"""What says nothing about the mailbox that was at work."""


@dataclass(frozen=True, slots=True)
class ConnectedParts:
    """What brings the mailboxes of one account up to date; `watched` is the path whose news are listened to."""

    store: Store
    sync: MailboxSync
    listing: MailboxListing
    clock: Clock
    config: Config
    pool: SessionPool
    fence: Fence
    refusals: Refusals
    """Mailboxes that cannot be caught up with."""
    unfillable: Refusals
    """Mailboxes whose envelopes and texts cannot be read."""
    watched: str

    def session(self, path: str | None = None) -> AbstractAsyncContextManager[MailSession]:
        """Use a session for background work alone, one that has `path` open if possible, as soon as one is free.

        Raises what SessionPool.borrow raises.
        """
        return self.pool.borrow(path=path, timeout_seconds=self.config.imap_connect_timeout_seconds, patient=True)
