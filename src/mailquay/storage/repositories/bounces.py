"""Bounces of messages: kept by the Message-ID of the original, whether or not that is in a mailbox or was sent by us.

They belong to what an account knows of its messages, and go with it when the account is flushed or removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Pending, Run, Script, Unit

MAX_EACH = 100
"""So many bounces of one message are kept; whoever wrote to thousands learns of the others by their events."""

_IN_PLACE = 100
_MAX_MESSAGE_CHARACTERS = 1000
_MAX_ACTION_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class KeptBounce:
    """A bounce: the message that told of it, and what it told. `date_ms` is that message's."""

    mailbox: MailboxNumber
    uid: int
    recipient: str
    action: str
    message: str | None
    status: str | None
    date_ms: int


class BounceRepository:
    """Reads and units of work about bounces; originals and reports are told apart by digests (64 bits, signed)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, originals: Iterable[tuple[AccountNumber, int]]) -> dict[tuple[int, int], list[KeptBounce]]:
        """The bounces of messages, each told by its account and its digest; the oldest first. One query for all."""
        wanted = sorted(set(originals))
        if not wanted:
            return {}
        read = self._database.point if len(wanted) <= _IN_PLACE else self._database.fetch
        found: dict[tuple[int, int], list[KeptBounce]] = {}
        for account, original, mailbox, *told in await read("bounces_of", to_json(wanted)):
            found.setdefault((account, original), []).append(KeptBounce(MailboxNumber(mailbox), *told))
        return found

    def put(self, account: AccountNumber, original: int, report: int, bounce: KeptBounce) -> Unit[None]:
        """Keep a bounce; one that was kept before gets the place where it is now."""
        texts = (bounce.recipient, bounce.action[:_MAX_ACTION_CHARACTERS])
        reply = None if bounce.message is None else _storable(bounce.message[:_MAX_MESSAGE_CHARACTERS])
        place = (account, original, report, bounce.mailbox, bounce.uid)

        def script(_pending: Pending) -> Script[None]:
            [(count,)] = yield Run("bounce_count", (account, original, report))
            if count < MAX_EACH:
                yield Run("bounce_put", (*place, *map(_storable, texts), reply, bounce.status, bounce.date_ms))

        return script


def _storable(text: str) -> str:
    """No database keeps NUL in a text."""
    return text.replace("\0", "\ufffd")
