"""Messages of the index that their server, or our reading of it, cannot render: kept apart, and tried again later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import IndexEntry
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Pending, Row, Run, RunMany, Script, Unit
from mailquay.storage.repositories.messages import held

_NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message in quarantine: how often it was tried, and whether its messageNew is still to come.

    `identified`: flags, size and date are known of it.
    """

    uid: int
    tries: int
    owed: bool
    identified: bool


class QuarantineRepository:
    """Reads and units of work about messages with an `error`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, mailbox: MailboxNumber, broken: Sequence[tuple[IndexEntry, int]], *, owed: bool, only_known: bool
    ) -> Unit[list[IndexEntry]]:
        """Set messages aside, each until a time in ms, with what is known of it; returns those that were not before.

        One that was keeps its turn. `owed`: its messageNew is still to come. With `only_known` an entry that was
        dropped meanwhile stays away.
        """

        def script(_pending: Pending) -> Script[list[IndexEntry]]:
            keeper = yield from held(mailbox)
            if keeper is None or not broken:
                return []
            marks = {row[0]: row for row in (yield Run("quarantine_marks", (mailbox, _numbers(broken))))}
            fresh = [(entry, at_ms) for entry, at_ms in broken if entry.uid not in marks or marks[entry.uid][1] is None]
            chosen = [(entry, at_ms) for entry, at_ms in fresh if entry.uid in marks or not only_known]
            rows = [keeper.row(mailbox, entry, None)[:12] for entry, _ in chosen]
            states = [(entry.error, 1, at_ms, int(owed)) for entry, at_ms in chosen]
            yield RunMany("quarantine_put", [(*row, *state) for row, state in zip(rows, states, strict=True)])
            return [entry for entry, _ in chosen]

        return script

    def tried(self, mailbox: MailboxNumber, turns: Sequence[tuple[int, int, int | None]]) -> Unit[None]:
        """Messages are tried now: (uid, tries, next turn in ms) each; without one it comes when all is verified."""

        def script(_pending: Pending) -> Script[None]:
            rows = [(mailbox, uid, tries, _NEVER if at_ms is None else at_ms) for uid, tries, at_ms in turns]
            yield RunMany("quarantine_tried", rows)

        return script

    async def due(self, mailbox: MailboxNumber, now_ms: int, limit: int) -> list[SetAside]:
        """Those whose turn has come, the one that has waited longest first."""
        return [_set_aside(row) for row in await self._database.fetch("quarantine_due", mailbox, now_ms, limit)]

    async def all(self, mailbox: MailboxNumber, limit: int) -> list[SetAside]:
        """Those of a mailbox, whoever was tried least first."""
        return [_set_aside(row) for row in await self._database.fetch("quarantine_all", mailbox, limit)]

    async def unidentified(self, mailbox: MailboxNumber) -> list[int]:
        """The UIDs of those of which not even size and date are known, ascending: any FETCH of them fails."""
        return sorted(uid for (uid,) in await self._database.fetch("quarantine_unknown", mailbox))

    async def turns(self, account: AccountNumber) -> dict[str, int]:
        """When it is the next one's turn, in ms, by the paths of an account's mailboxes that have one."""
        rows = await self._database.fetch("quarantine_turns", account, _NEVER)
        return {row[0]: row[1] for row in rows}


def _numbers(entries: Sequence[tuple[IndexEntry, int]]) -> str:
    return to_json([entry.uid for entry, _ in entries])


def _set_aside(row: Row) -> SetAside:
    uid, tries, owed, size_bytes = row
    return SetAside(uid, tries or 0, bool(owed), size_bytes is not None)
