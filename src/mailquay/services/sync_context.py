"""For whom a mailbox is synced."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.model.account import Account
from mailquay.model.node import Fence


@dataclass(frozen=True, slots=True)
class SyncContext:
    """For whom a mailbox is synced. `first_sync` tells that the account has never been connected before.

    `silent` indexes without events: for mailboxes that the account does not follow.
    """

    account: Account
    fence: Fence
    first_sync: bool
    silent: bool = False

    @property
    def unindexed(self) -> bool:
        """Whether the account keeps no index (`imapIndexer: fast`): new mail is announced, nothing else is followed."""
        return not self.account.profile.indexed
