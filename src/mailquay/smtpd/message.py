"""A message from the moment of 354 on: received within limits, read for what it says of itself, handed on, answered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from mailquay.errors import InvalidRequest, MailquayError, NotFound, StorageError
from mailquay.mime.date import format_date
from mailquay.mime.header import MAX_HEADER_BYTES, Headers, parse_header
from mailquay.mime.message import split_header
from mailquay.model.account import Account
from mailquay.model.submission import DsnRequest, RecipientDsn
from mailquay.services.control_fields import ControlFields, read_control_fields
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.submit_request import SubmitEnvelope, SubmitRequest
from mailquay.smtpd.incoming import Conversation
from mailquay.smtpd.limits import Limits
from mailquay.wire.smtp.data_reader import DataReader
from mailquay.wire.smtp.server import MailFrom, RcptTo, Refusal

_log = structlog.get_logger(__name__)
_OFF_LOOP_BYTES = 32 * 1024
_MAX_HOPS = 100
# Slower than this nobody sends a message: below it one would hold its memory for no good reason.
_SLOWEST_BYTES_PER_SECOND = 16 * 1024
# What is too long is read to its end all the same, within reason: a client that is cut off does not read the reply.
_DISCARDED_BYTES = 64 * 1024 * 1024


class Submissions(Protocol):
    """Where messages go."""

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """Store a message for delivery; see services.submission."""
        ...


@dataclass(slots=True)
class Transaction:
    """A mail transaction (RFC 5321 §3.3): who sends to whom, before the message itself."""

    sender: MailFrom
    recipients: list[RcptTo] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that is stored for delivery; `send_at` is an ISO date."""

    queue_id: str
    send_at: str

    @property
    def reply(self) -> str:
        """Word for word that of the API we are compatible with, hence without an enhanced code: programs read it."""
        return f"250 Message queued for delivery as {self.queue_id} ({self.send_at})"


class TooLong(Exception):
    """So much came behind DATA that not even the end of it is waited for."""


class Delivery:
    """One message: `receive` takes it off the wire, `submit` hands it on. Use it as a context: it holds memory."""

    def __init__(self, limits: Limits, budget: MemoryBudget) -> None:
        self._limits = limits
        self._budget = budget
        self._taken_bytes = 0
        self._trace_bytes = 0
        # Grown in place and given out without a copy: the message is in memory once.
        self._content = io.BytesIO()

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _drop(self) -> None:
        self._content = io.BytesIO()
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0

    async def receive(self, conversation: Conversation, trace: bytes) -> None:
        """Read the message to its end, behind the `trace` field that we add.

        Raises Refusal once it is read, when it cannot be kept; TooLong when it does not end within reason.
        """
        self._trace_bytes = self._content.write(trace)
        reader = DataReader()
        refusal: Refusal | None = None
        received = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not reader.complete:
            earned = min(loop.time(), began + received / _SLOWEST_BYTES_PER_SECOND)
            data = await conversation.piece(max(earned + self._limits.data_timeout - loop.time(), 0))
            piece = reader.feed(data)
            received += len(piece)
            if received > self._limits.message_bytes + _DISCARDED_BYTES:
                raise TooLong
            if refusal is None:
                refusal = self._keep(piece, received, reader)
                if refusal is not None:
                    self._drop()
        conversation.put_back(reader.rest)
        if refusal is not None:
            raise refusal

    def _keep(self, piece: bytes, received: int, reader: DataReader) -> Refusal | None:
        """Keep a piece; why the message cannot be kept any more, else None."""
        if reader.crooked:
            return Refusal(550, "5.5.2", "Lines must end with CRLF, and only with CRLF (RFC 5321 2.3.8)")
        if received > self._limits.message_bytes:
            return too_large(self._limits)
        if not self._budget.take(len(piece)):
            return Refusal(452, "4.3.1", "Too many large messages at once; try again in a moment")
        self._taken_bytes += len(piece)
        self._content.write(piece)
        return None

    async def control(self) -> ControlFields:
        """What the message says about its own submission.

        Raises Refusal for a message without a header, one that goes in circles, and control fields that are wrong.
        """
        content = self._content.getvalue()
        start = self._trace_bytes
        header_end, _ = split_header(content, start, len(content))
        if header_end - start > MAX_HEADER_BYTES:
            raise Refusal(552, "5.3.4", "The header of the message is too long")
        if header_end == start and content[start:].strip():
            raise Refusal(554, "5.6.0", "The message has no header")
        section = content[start:header_end]
        if len(section) > _OFF_LOOP_BYTES:
            return await asyncio.to_thread(_read, section)
        return _read(section)

    async def submit(
        self, submissions: Submissions, account: Account, transaction: Transaction, control: ControlFields
    ) -> Queued:
        """Have the message stored: what this returns is safe.

        Raises Refusal.
        """
        request = SubmitRequest(
            raw=self._content.getvalue(),
            envelope=SubmitEnvelope(transaction.sender.address, tuple(one.address for one in transaction.recipients)),
            send_at_ms=control.send_at_ms,
            delivery_attempts=control.delivery_attempts,
            gateway=control.gateway,
            dsn=dsn_of(transaction),
            source="smtp",
        )
        try:
            answer = await submissions.submit(
                account,
                request,
                idempotency_key=control.idempotency_key,
                timeout_seconds=self._limits.submit_timeout,
            )
        except MailquayError as error:
            raise refusal_for(error) from error
        except Exception as error:
            _log.error("smtp_message_failed", account=account.id, exc_info=error)
            raise Refusal(451, "4.3.0", "The message could not be queued; try again later") from error
        return Queued(answer["queueId"], answer["sendAt"])


def _read(section: bytes) -> ControlFields:
    headers: Headers = parse_header(section)
    if sum(1 for _ in headers.all("Received")) >= _MAX_HOPS:
        raise Refusal(554, "5.4.6", "The message goes in circles")
    try:
        return read_control_fields(headers)
    except InvalidRequest as error:
        raise Refusal(554, "5.6.0", error.message) from error


def dsn_of(transaction: Transaction) -> DsnRequest | None:
    """The reports that a client wants (RFC 3461); None when it said nothing of them."""
    sender = transaction.sender
    wishes: Sequence[RecipientDsn] = [
        RecipientDsn(one.address, one.notify, one.orcpt)
        for one in transaction.recipients
        if one.notify or one.orcpt is not None
    ]
    if sender.ret is None and sender.envid is None and not wishes:
        return None
    return DsnRequest(sender.ret, envid=sender.envid, recipients=tuple(wishes))


def refusal_for(error: MailquayError) -> Refusal:
    """The reply that tells of an error: 4xx where the same message may be taken later."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotFound):
        return Refusal(550, "5.3.0", _sentence(error))
    if isinstance(error, InvalidRequest):
        return Refusal(554, "5.6.0", _sentence(error))
    _log.warning("smtp_message_not_stored", code=error.code, error=error.message)
    if isinstance(error, StorageError):
        return Refusal(451, "4.3.0", "The message could not be stored; try again later")
    return Refusal(451, "4.3.0", _sentence(error))


def _sentence(error: MailquayError) -> str:
    return error.message[:1].upper() + error.message[1:]


def too_large(limits: Limits) -> Refusal:
    """The reply to a message, or an announcement of one, above the limit (RFC 1870 §6)."""
    return Refusal(552, "5.3.4", f"A message must not be larger than {limits.message_bytes} bytes")


def trace_field(hostname: str, *, extended: bool, encrypted: bool, logged_in: bool, now_ms: int) -> bytes:
    """The trace of our having had the message (RFC 5321 §4.4), by which circles are noticed.

    It does not say where the client is: recipients need not know it.
    """
    protocol = "SMTP" if not extended else f"ESMTP{'S' if encrypted else ''}{'A' if logged_in else ''}"
    date = format_date(datetime.fromtimestamp(now_ms / 1000, UTC))
    return f"Received: by {hostname} with {protocol};\r\n {date}\r\n".encode("ascii", "replace")
