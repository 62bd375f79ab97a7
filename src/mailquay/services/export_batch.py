"""One step of an export: the next messages in the order of their dates, read mailbox by mailbox."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from mailquay.errors import (
    MailboxNotFound,
    MessageNotFound,
    NotOperational,
    RateLimited,
    RemoteProtocolError,
    Unavailable,
)
from mailquay.model.account import Account
from mailquay.model.export import Export, PlannedFolder, PlannedMessage
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import MessageRef, Uid
from mailquay.services.export_formats import ReadMessage
from mailquay.services.export_reader import ExportReader, MailboxInMotion, known_again
from mailquay.services.places import place_of
from mailquay.services.ports import MailAccess
from mailquay.storage.export_files import Spool, SpoolFull
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_MOST_MESSAGES: Final = 500
_MOST_BYTES: Final = 8 * 1024 * 1024
_SESSION_SECONDS: Final = 30.0
_LAST_TRIES: Final = 3
"""So often a single message may break the connection, while the server is there, before it is given up."""


@dataclasses.dataclass(slots=True)
class Pace:
    """How many messages are read at a time: fewer and fewer while they fail together, until the one is found."""

    messages: int = dataclasses.field(default_factory=lambda: _MOST_MESSAGES)
    failures: int = 0

    def failed(self) -> None:
        """The messages could not be read."""
        self.failures = self.failures + 1 if self.messages == 1 else 0
        self.messages = max(1, self.messages // 4)

    def succeeded(self) -> None:
        """They could."""
        self.messages, self.failures = min(_MOST_MESSAGES, self.messages * 2), 0

    def too_much(self) -> None:
        """They were more than there is room for; of one alone that needs no second look."""
        if self.messages == 1:
            self.failures = _LAST_TRIES
        else:
            self.failed()

    @property
    def hopeless(self) -> bool:
        """Whether one message alone has failed often enough."""
        return self.messages == 1 and self.failures >= _LAST_TRIES


class BatchReader:
    """Reads batches; a message that breaks every connection is found, and left out."""

    def __init__(self, store: Store, access: MailAccess, reader: ExportReader) -> None:
        self._store = store
        self._access = access
        self._reader = reader

    async def following(self, export: Export, pace: Pace) -> list[PlannedMessage]:
        """The next messages, as many as are read together."""
        planned = await self._store.exports.following(export.number, export.progress, pace.messages)
        size = 0
        for n, message in enumerate(planned):
            size += message.size_bytes
            if n and size > _MOST_BYTES:
                return planned[:n]
        return planned

    async def read(
        self,
        account: Account,
        export: Export,
        folders: Mapping[int, PlannedFolder],
        batch: Sequence[PlannedMessage],
        spool: Spool,
        pace: Pace,
    ) -> list[ReadMessage] | None:
        """The messages of a batch that are there, in its order; None when it is to be tried again in smaller parts.

        Raises Unavailable and NotOperational while the server is away, RateLimited when it asks for a pause.
        """
        if pace.hopeless:
            told = await self._given_up(export, batch)
            pace.succeeded()
            return told
        try:
            read = await self._read(account, export, folders, batch, spool)
        except (MailboxInMotion, RateLimited):
            raise
        except SpoolFull:
            pace.messages = len(batch)
            pace.too_much()
            _log.warning("export_batch_too_large", account=account.id, messages=len(batch))
            return None
        except (Unavailable, RemoteProtocolError) as error:
            pace.failed()
            # Raises when the server is away, which is nobody's fault.
            await self._prove(account)
            _log.info("export_batch_failed", account=account.id, messages=len(batch), error=error.message)
            return None
        pace.succeeded()
        return [found for message in batch if (found := read.get(message)) is not None]

    async def _prove(self, account: Account) -> None:
        async with self._access.session(account, timeout_seconds=_SESSION_SECONDS) as session:
            await session.noop()

    async def _given_up(self, export: Export, batch: Sequence[PlannedMessage]) -> list[ReadMessage]:
        told: list[ReadMessage] = []
        for message in batch:
            _log.warning("message_not_exported", export=export.id, mailbox=message.mailbox, uid=message.uid)
            mailbox = await self._store.mailboxes.get(message.mailbox)
            if mailbox is not None:
                reason = "it cannot be read: the connection to the mail server breaks, or there is no end of it"
                line = await self._reader.unreadable(mailbox, message, export.request, reason)
                told += [line] if line is not None else []
        return told

    async def _read(
        self,
        account: Account,
        export: Export,
        folders: Mapping[int, PlannedFolder],
        batch: Sequence[PlannedMessage],
        spool: Spool,
    ) -> dict[PlannedMessage, ReadMessage | None]:
        groups: dict[int, list[PlannedMessage]] = defaultdict(list)
        for message in batch:
            groups[message.mailbox].append(message)
        read: dict[PlannedMessage, ReadMessage | None] = {}
        for number, messages in groups.items():
            mailbox = await self._store.mailboxes.get(number)
            if mailbox is None:
                read.update(await self._moved(account, export, folders[number], messages, spool))
            elif mailbox.missing_since_ms is None:
                uidvalidity = folders[number].uidvalidity or 0
                read.update(await self._read_mailbox(account, export, mailbox, uidvalidity, messages, spool))
        return read

    async def _read_mailbox(
        self,
        account: Account,
        export: Export,
        mailbox: Mailbox,
        uidvalidity: int,
        messages: Sequence[PlannedMessage],
        spool: Spool,
    ) -> dict[PlannedMessage, ReadMessage | None]:
        try:
            read = await self._reader.read(account, mailbox, uidvalidity, messages, export.request, spool)
            if len(read) < len(messages):
                # A session that had the mailbox open may have seen the end of it, and not of its messages.
                await self._reader.check(account, mailbox, uidvalidity)
            return read
        except MailboxInMotion:
            if mailbox.uidvalidity is None:
                # Nobody follows it: what was in it is gone, and nothing will tell where.
                return {}
            raise
        except MailboxNotFound as error:
            # Renamed or removed: the listing of the mailboxes will say.
            raise MailboxInMotion(error.message, code=error.code) from error

    async def _moved(
        self,
        account: Account,
        export: Export,
        folder: PlannedFolder,
        messages: Sequence[PlannedMessage],
        spool: Spool,
    ) -> dict[PlannedMessage, ReadMessage | None]:
        """Messages of a mailbox whose number is gone, where they are now.

        The account was flushed, and the same mailbox has another number; or its UIDVALIDITY has changed.
        """
        same = await self._store.mailboxes.by_path(account.number, folder.path)
        if same is None:
            await known_again(self._store, account)
        elif same.uidvalidity == folder.uidvalidity or (
            # One that was not read since the flush; the server says whether it is the same.
            same.uidvalidity is None and await self._store.replacements.successor(folder.mailbox) is None
        ):
            numbered = {dataclasses.replace(one, mailbox=same.number): one for one in messages}
            found = await self._read_mailbox(account, export, same, folder.uidvalidity or 0, list(numbered), spool)
            return {numbered[now]: _planned(one, numbered[now]) for now, one in found.items()}
        origins: dict[int, dict[PlannedMessage, PlannedMessage]] = defaultdict(dict)
        mailboxes: dict[int, Mailbox] = {}
        for message in messages:
            try:
                mailbox, ref = await place_of(
                    self._store, account.number, MessageRef(message.mailbox, Uid(message.uid))
                )
            except MessageNotFound:
                continue
            except Unavailable as error:
                raise MailboxInMotion(error.message) from error
            now = dataclasses.replace(message, mailbox=mailbox.number, uid=ref.uid)
            mailboxes[mailbox.number] = mailbox
            origins[mailbox.number][now] = message
        read: dict[PlannedMessage, ReadMessage | None] = {}
        for number, known in origins.items():
            mailbox = mailboxes[number]
            found = await self._read_mailbox(account, export, mailbox, mailbox.uidvalidity or 0, list(known), spool)
            for now, one in found.items():
                read[known[now]] = _planned(one, known[now])
        return read


def _planned(message: ReadMessage | None, origin: PlannedMessage) -> ReadMessage | None:
    return None if message is None else dataclasses.replace(message, planned=origin)


def is_away(error: Exception) -> bool:
    """Whether an error says that the mail server, or the account, cannot be used now, and may be later."""
    return isinstance(error, Unavailable | NotOperational)
