"""Blocklists as the API shows and changes them."""

from __future__ import annotations

from typing import Any

from mailquay.errors import NotFound
from mailquay.model.account import Account
from mailquay.model.blocklist import BlockedRecipient
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.storage.store import Store


class BlocklistService:
    """Lists exist while they have entries."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def lists(self, *, page: int, page_size: int) -> tuple[int, list[dict[str, Any]]]:
        """How many lists there are, and a page of them."""
        total, found = await self._store.blocklists.lists(limit=page_size, offset=page * page_size)
        return total, [{"listId": name, "count": count} for name, count in found]

    async def entries(self, list_id: str, *, page: int, page_size: int) -> tuple[int, list[dict[str, Any]]]:
        """How many addresses a list is not sent to, and a page of them.

        Raises NotFound when there is none.
        """
        total, found = await self._store.blocklists.entries(list_id, limit=page_size, offset=page * page_size)
        if not total:
            raise NotFound("there is no such list")
        return total, [_shown(entry) for entry in found]

    async def add(self, list_id: str, account: Account, recipient: str, reason: str) -> bool:
        """Add an address; False when it is there already."""
        entry = BlockedRecipient(recipient, account.id, "api", reason, self._clock.now_ms())
        return await self._store.commit(self._store.blocklists.add(list_id, entry))

    async def remove(self, list_id: str, recipient: str) -> bool:
        """Remove an address; False when it is not there.

        Raises NotFound when there is no such list.
        """
        if await self._store.commit(self._store.blocklists.remove(list_id, recipient)):
            return True
        total, _ = await self._store.blocklists.entries(list_id, limit=1, offset=0)
        if not total:
            raise NotFound("there is no such list")
        return False


def _shown(entry: BlockedRecipient) -> dict[str, Any]:
    shown = {
        "recipient": entry.recipient,
        "account": entry.account,
        "messageId": entry.message_id,
        "source": entry.source,
        "reason": entry.reason,
        "remoteAddress": entry.remote_address,
        "userAgent": entry.user_agent,
        "created": iso(entry.created_ms),
    }
    return {name: value for name, value in shown.items() if value is not None}
