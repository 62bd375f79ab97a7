"""Adding a message to a mailbox: composed or taken as it is, streamed to the server, known to the index at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import structlog

from mailquay.errors import CommandRejected, NotOperational, RateLimited, StorageError, Unavailable
from mailquay.mime.raw import RawMessage
from mailquay.model.account import Account
from mailquay.model.mailbox import Mailbox
from mailquay.services import identifiers
from mailquay.services.composition import Composed, compose
from mailquay.services.mailboxes import MailboxService
from mailquay.services.ports import Clock, MailAccess
from mailquay.services.references import ReferenceService
from mailquay.services.submit_request import SubmitRequest
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_CHUNK_BYTES: Final = 64 * 1024
_MAY_BE_THERE: Final = (
    "the connection ended before the server said whether it has the message; look for its Message-ID first of all"
)


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A message and where it goes.

    `flags` None: those that fit the mailbox. `internal_date_ms` is when it counts as received, now unless given.
    """

    path: str
    message: SubmitRequest
    flags: tuple[str, ...] | None = None
    internal_date_ms: int | None = None


class UploadService:
    """Adds messages to mailboxes. What it has answered stands in the mailbox."""

    def __init__(
        self,
        store: Store,
        access: MailAccess,
        mailboxes: MailboxService,
        references: ReferenceService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._mailboxes = mailboxes
        self._references = references
        self._clock = clock

    async def upload(self, account: Account, request: UploadRequest, *, timeout_seconds: float) -> dict[str, Any]:
        """Add a message; the answer has its id where the server tells.

        Raises MailboxNotFound, NotFound (ReferenceNotFound), InvalidRequest, MessageTooLarge, CommandRejected and
        Unavailable with the code UploadFail, NotOperational.
        """
        mailbox = await self._mailboxes.find(account, request.path)
        message = request.message
        referenced, shown = await self._references.outcome(account, message.reference, timeout_seconds)
        message = await self._references.with_attachments(account, message, timeout_seconds)
        now_ms = self._clock.now_ms()
        composed = _untouched(message)
        if composed is None:
            by_account = message.reference is not None
            composed = await compose(account, message, referenced, now_ms, default_from=by_account)
        answer = await self._append(account, mailbox, request, composed, timeout_seconds)
        return answer if shown is None else answer | {"reference": shown}

    async def _append(
        self, account: Account, mailbox: Mailbox, request: UploadRequest, composed: Composed, timeout_seconds: float
    ) -> dict[str, Any]:
        path = mailbox.listing.path
        flags = request.flags
        if flags is None:
            flags = ("\\Draft",) if mailbox.listing.special_use == "\\Drafts" else ()
        async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
            try:
                appended = await session.append(
                    path,
                    _chunks(composed.body),
                    len(composed.body),
                    flags=flags,
                    internal_date_ms=request.internal_date_ms,
                )
            except CommandRejected as error:
                raise CommandRejected(
                    f"the server does not take the message: {error.message}",
                    code="UploadFail",
                    response_code=error.response_code,
                ) from error
            except RateLimited:
                raise
            except Unavailable as error:
                raise Unavailable(f"{_MAY_BE_THERE} ({error.message})", code="UploadFail") from error
        await self._have_it_noticed(account, mailbox)
        answer: dict[str, Any] = {"path": path}
        if composed.message_id:
            answer["messageId"] = composed.message_id
        if appended.uidvalidity is not None:
            answer["uidValidity"] = str(appended.uidvalidity)
        if appended.uid is not None:
            answer["uid"] = appended.uid
            if mailbox.uidvalidity in (None, appended.uidvalidity):
                answer["id"] = identifiers.message_id(mailbox.number, appended.uid)
        return answer

    async def _have_it_noticed(self, account: Account, mailbox: Mailbox) -> None:
        """Have the index follow. The message stands in the mailbox now: a failure would have it added once more."""
        try:
            fence = self._access.fence(account.number)
            await self._store.commit(fenced(fence, self._store.mailboxes.doubt(mailbox.number)))
        except (StorageError, NotOperational) as error:
            # Another owner of the account begins by looking at all its mailboxes.
            _log.warning("upload_not_noticed", account=account.id, path=mailbox.listing.path, error=error.message)
        with contextlib.suppress(NotOperational):
            self._access.nudge(account.number, [mailbox.listing.path])


def _untouched(message: SubmitRequest) -> Composed | None:
    """A whole message as it was given, with CRLF at its line ends; None when fields are to win over it."""
    fields = (message.from_, message.reply_to, message.to, message.cc, message.bcc, message.subject)
    if message.raw is None or any(one is not None for one in (*fields, message.message_id)) or message.headers:
        return None
    read = RawMessage.read(message.raw)
    message_id = (read.headers.text("Message-ID") or "").strip()
    return Composed(read.to_bytes(), message_id, read.headers.text("Subject"), None, ())


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK_BYTES):
        yield bytes(view[start : start + _CHUNK_BYTES])
