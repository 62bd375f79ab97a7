"""Blocklists: who is not to get the messages of a list. A list is there as long as it has an entry."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.model.blocklist import BlockedRecipient, blocked_form
from mailquay.model.event import NewEvent
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Pending, Run, Script, Unit


class BlocklistRepository:
    """Reads and units of work about blocklists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lists(self, *, limit: int, offset: int) -> tuple[int, list[tuple[str, int]]]:
        """How many lists there are, and a page of them by name, each with the number of its entries."""
        [(total,)] = await self._database.fetch("blocklist_count")
        rows = await self._database.fetch("blocklist_page", limit, offset)
        return int(total), [(name, int(count)) for name, count in rows]

    async def entries(self, list_id: str, *, limit: int, offset: int) -> tuple[int, list[BlockedRecipient]]:
        """How many entries a list has, and a page of them by address."""
        [(total,)] = await self._database.fetch("blocklist_entry_count", blocked_form(list_id))
        rows = await self._database.fetch("blocklist_entry_page", blocked_form(list_id), limit, offset)
        return int(total), [BlockedRecipient(*row) for row in rows]

    async def blocked(self, list_id: str, addresses: Sequence[str]) -> dict[str, str]:
        """Those of the addresses that a list is not sent to, in the form in which they are compared: their reasons."""
        forms = to_json(sorted({blocked_form(address) for address in addresses}))
        rows = await self._database.fetch("blocklist_blocked", blocked_form(list_id), forms)
        return {row[0]: row[1] for row in rows}

    def add(self, list_id: str, entry: BlockedRecipient, events: Sequence[NewEvent] = ()) -> Unit[bool]:
        """Add an entry, and log the events; False, and nothing happens, when the address is there already."""

        def script(pending: Pending) -> Script[bool]:
            values = (
                entry.account,
                entry.source,
                entry.reason,
                entry.created_ms,
                entry.message_id,
                entry.remote_address,
                entry.user_agent,
            )
            added = yield Run("blocklist_add", (blocked_form(list_id), blocked_form(entry.recipient), *values))
            return _told(bool(added), events, pending)

        return script

    def remove(self, list_id: str, recipient: str, events: Sequence[NewEvent] = ()) -> Unit[bool]:
        """Remove an entry, and log the events; False, and nothing happens, when there is none."""

        def script(pending: Pending) -> Script[bool]:
            removed = yield Run("blocklist_remove", (blocked_form(list_id), blocked_form(recipient)))
            return _told(bool(removed), events, pending)

        return script


def _told(changed: bool, events: Sequence[NewEvent], pending: Pending) -> bool:
    for event in events if changed else ():
        pending.append(event)
    return changed
