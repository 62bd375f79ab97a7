"""The mailboxes of an account for the API, and finding one by path or special use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailquay.errors import MailboxNotFound
from mailquay.model.account import Account
from mailquay.model.mailbox import SPECIAL_USES, Mailbox, listing_order
from mailquay.services.account_status import not_operational
from mailquay.services.ports import MailAccess
from mailquay.services.presentation import mailbox_entry
from mailquay.storage.store import Store


class MailboxService:
    """Answers from the stored listing; live counters come from the server."""

    def __init__(self, store: Store, access: MailAccess) -> None:
        self._store = store
        self._access = access

    async def list(self, account: Account, *, counters: bool, timeout_seconds: float) -> list[dict[str, Any]]:
        """The mailboxes that can hold messages; with `counters` each has a `status` asked for now.

        Raises NotOperational when nothing is known yet, or the server must be asked and cannot be.
        """
        known = {box.listing.path: box for box in await self._present(account)}
        if not known:
            raise not_operational(account.status.state)
        shown = []
        statuses: dict[str, dict[str, Any]] = {}
        if counters:
            statuses = await self._count(account, list(known), timeout_seconds)
        for listing in listing_order([box.listing for box in known.values()]):
            cursor = known[listing.path].cursor
            entry = mailbox_entry(
                listing,
                cursor.messages if cursor is not None else None,
                cursor.uidnext if cursor is not None else None,
            )
            if counters:
                entry["status"] = statuses.get(listing.path, {"error": "the server did not count this mailbox"})
            shown.append(entry)
        return shown

    async def _count(self, account: Account, paths: Sequence[str], timeout_seconds: float) -> dict[str, dict[str, Any]]:
        async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
            found = await session.status(paths)
        return {
            path: {"messages": evidence.messages or 0, "unseen": evidence.unseen or 0}
            for path, evidence in found.items()
        }

    async def find(self, account: Account, path: str) -> Mailbox:
        """The mailbox at a path, or the one with a special use such as "\\Sent".

        Raises MailboxNotFound, and NotOperational when no mailbox of the account is known yet.
        """
        if path.upper() == "INBOX":
            path = "INBOX"
        if path in SPECIAL_USES:
            known = await self._present(account)
            mailbox = next((box for box in known if box.listing.special_use == path), None)
        else:
            mailbox = await self._store.mailboxes.by_path(account.number, path)
        if mailbox is not None and mailbox.missing_since_ms is None and mailbox.listing.selectable:
            return mailbox
        if not await self._store.mailboxes.of_account(account.number):
            raise not_operational(account.status.state)
        raise MailboxNotFound(f"the account has no mailbox {path}")

    async def with_special_use(self, account: Account, use: str) -> Mailbox | None:
        """The mailbox with a special use, if the account has one."""
        return next((box for box in await self._present(account) if box.listing.special_use == use), None)

    async def _present(self, account: Account) -> Sequence[Mailbox]:
        return [
            box
            for box in await self._store.mailboxes.of_account(account.number)
            if box.missing_since_ms is None and box.listing.selectable
        ]
