"""Hand one message to a submission server, exactly once as far as that can be known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass

from mailquay.backends.smtp.driver import RecipientReply, SmtpConnection
from mailquay.backends.smtp.mapping import failed, provider_message_id, translated
from mailquay.backends.smtp.pool import SmtpPool
from mailquay.backends.smtp.server import SmtpServer
from mailquay.backends.smtp.shared_pool import SharedSmtpPool
from mailquay.errors import LocalProtocolError
from mailquay.model.submission import DsnRequest, SubmissionEnvelope
from mailquay.net.tap import Tap
from mailquay.wire.smtp.client import Command
from mailquay.wire.smtp.path import forward_path, needs_smtputf8, reverse_path

_RET = {"full": "FULL", "headers": "HDRS"}
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of one recipient; `response` is the reply, `reply_code` its number."""

    address: str
    accepted: bool
    reply_code: int
    response: str


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """The server's word that it has the message. `message_id` is set when the provider gave it another one."""

    response: str
    reply_code: int
    enhanced_code: str | None
    recipients: tuple[RecipientResult, ...]
    network_routing: Mapping[str, str | None] | None
    message_id: str | None

    @property
    def accepted(self) -> tuple[str, ...]:
        """The recipients that were taken."""
        return tuple(item.address for item in self.recipients if item.accepted)

    @property
    def rejected(self) -> tuple[RecipientResult, ...]:
        """The recipients that were refused while others were taken."""
        return tuple(item for item in self.recipients if not item.accepted)


class SmtpSubmitter:
    """Submission to one server for one account or gateway, over connections of a pool; `tap`: see `SmtpPool`."""

    def __init__(
        self,
        pool: SmtpPool | SharedSmtpPool,
        owner: Hashable,
        server: SmtpServer,
        tap: Callable[[], Tap] | None = None,
    ) -> None:
        self._tap = tap
        self._pool = pool
        self._owner = owner
        self._server = server

    async def submit(
        self,
        envelope: SubmissionEnvelope,
        body: AsyncIterator[bytes] | bytes,
        *,
        before_data: Callable[[], Awaitable[None]],
        size_bytes: int | None = None,
        eight_bit: bool | None = None,
        utf8_header: bool = False,
        dsn: DsnRequest | None = None,
    ) -> DeliveryReceipt:
        """Send one message.

        `before_data` is awaited after every recipient was answered and before anything of the message goes out: what
        it commits tells that from here on the message may have been sent. `body` is the message with any line ends,
        without Bcc. `eight_bit` says whether it has bytes beyond ASCII (None: looked up where `body` is bytes).

        Raises SubmissionRejected as long as the message cannot have been accepted, SubmissionUncertain when the
        connection failed between the final dot and its reply; what `before_data` and `body` raise comes through.
        """
        _check_envelope(envelope)
        if isinstance(body, bytes):
            size_bytes = len(body)
            eight_bit = not body.isascii() if eight_bit is None else eight_bit
            body = _pieces(body)
        async with self._pool.connection(self._owner, self._server, self._tap) as connection:
            smtputf8 = _needs_smtputf8(connection, envelope, utf8_header)
            _check_size(connection, size_bytes)
            replies = await connection.mail(
                envelope.reverse_path,
                envelope.recipients,
                size_bytes=size_bytes,
                eight_bit=bool(eight_bit) or smtputf8,
                smtputf8=smtputf8,
                ret=_RET.get((dsn.ret or "").lower()) if dsn is not None else None,
                envid=dsn.envid if dsn is not None else None,
                notify=dsn.notify if dsn is not None else (),
                orcpt=dsn.orcpt if dsn is not None else None,
                wishes=dsn.recipients if dsn is not None else (),
            )
            reply = await connection.data(body, before_data)
            routing = self._server.network_routing(connection.local_address)
        return DeliveryReceipt(
            response=reply.text,
            reply_code=reply.code,
            enhanced_code=reply.enhanced_code,
            recipients=tuple(_result(item) for item in replies),
            network_routing=routing,
            message_id=provider_message_id(reply.text, self._server.host),
        )


def _check_envelope(envelope: SubmissionEnvelope) -> None:
    """Refuse what no server could take before one is troubled with it."""
    if not envelope.recipients:
        raise failed("The message has no recipients", "EENVELOPE", Command.RCPT)
    try:
        reverse_path(envelope.reverse_path)
        for recipient in envelope.recipients:
            forward_path(recipient)
    except LocalProtocolError as error:
        raise translated(error, Command.MAIL) from error


def _needs_smtputf8(connection: SmtpConnection, envelope: SubmissionEnvelope, utf8_header: bool) -> bool:
    """Whether SMTPUTF8 must be asked for (RFC 6531 §3.2); a header alone goes without where it is not offered."""
    offered = "SMTPUTF8" in connection.extensions
    if any(needs_smtputf8(address) for address in (envelope.reverse_path, *envelope.recipients)):
        if not offered:
            raise failed(
                "The server does not take addresses with characters beyond ASCII (SMTPUTF8)", "EENVELOPE", Command.MAIL
            )
        return True
    return utf8_header and offered


def _check_size(connection: SmtpConnection, size_bytes: int | None) -> None:
    """Refuse a message that the server has said to be too large (RFC 1870 §6.1)."""
    limit = connection.extensions.max_size_bytes
    if limit is not None and size_bytes is not None and size_bytes > limit:
        raise failed(f"The message has {size_bytes} bytes, the server takes {limit}", "EMESSAGE", Command.MAIL)


def _result(item: RecipientReply) -> RecipientResult:
    return RecipientResult(item.address, item.reply.positive, item.reply.code, item.reply.text)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]
