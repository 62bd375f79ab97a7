"""For whom a mailbox is synced, and when that is put off because the server seems to be in trouble."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.errors import MailquayError
from mailquay.model.account import Account
from mailquay.model.message import IndexEntry
from mailquay.model.node import Fence

MANY_GONE = 20


class LossInDoubt(MailquayError):
    """Most of a mailbox is gone, and the server has not said so: it shows less than before, perhaps by mistake."""

    def __init__(self, path: str, gone: int, known: int) -> None:
        super().__init__(f"{gone} of {known} messages of {path} are not shown any more", code="LossInDoubt")


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

    def is_news(self, entry: IndexEntry) -> bool:
        """Whether a message of a mailbox not known before is news: in the account's very first sync, since notifyFrom.

        Both times count to the second.
        """
        notify_from_ms = self.account.profile.notify_from_ms
        if not self.first_sync or entry.internal_date_ms is None or notify_from_ms is None:
            return False
        return entry.internal_date_ms // 1000 >= notify_from_ms // 1000
