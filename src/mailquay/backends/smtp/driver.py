"""One SMTP connection: the client core over a stream, with a deadline on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from mailquay.backends.smtp.mapping import failed, refused, translated
from mailquay.backends.smtp.server import SmtpServer
from mailquay.errors import MailquayError, RemoteProtocolError, SubmissionRejected, SubmissionUncertain, Unavailable
from mailquay.model.submission import RecipientDsn
from mailquay.net.connect import connect
from mailquay.net.stream import Stream
from mailquay.net.tap import Tap, TappedStream
from mailquay.net.tls import client_context
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.sasl import SaslClient, choose_mechanism
from mailquay.wire.smtp.client import ChallengeReceived, Command, Event, Phase, ReplyReceived, SmtpClient
from mailquay.wire.smtp.extension import Extensions
from mailquay.wire.smtp.reply import Reply

_READ_BYTES = 16 * 1024
_WRITE_BYTES = 64 * 1024
_PIPELINED_RECIPIENTS = 100
_LAST_WORDS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """What the server said to one RCPT TO."""

    address: str
    reply: Reply


class SmtpConnection:
    """A connection from the greeting to QUIT. Errors come out as SubmissionRejected, with the phase and the reply.

    After any error that is not a plain refusal the connection is `doubtful` and must not be used again.
    """

    def __init__(self, server: SmtpServer, stream: Stream) -> None:
        self.server = server
        self.doubtful = False
        self._stream = stream
        self._client = SmtpClient()
        self._secure = server.secure

    @classmethod
    async def open(cls, server: SmtpServer, tap: Tap | None = None) -> SmtpConnection:
        """Connect, with TLS at once where the server is `secure`; nothing is said yet. `tap` reads along."""
        if not server.host:
            raise failed("No submission server is configured", "ENOSERVER")
        try:
            stream = await connect(
                server.host,
                server.port,
                tls=server.tls if server.secure else None,
                timeout_seconds=server.timeouts.connect_seconds,
                local=server.local,
                proxy=server.proxy,
            )
        except MailquayError as error:
            raise translated(error, Command.GREETING) from error
        return cls(server, stream if tap is None else TappedStream(stream, tap))

    @property
    def extensions(self) -> Extensions:
        """What the server offers now."""
        return self._client.extensions

    @property
    def local_address(self) -> str | None:
        """The address of ours that it comes from."""
        name = self._stream.info("sockname")
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def usable(self) -> bool:
        """Whether another message may go over it, as far as one can know without asking."""
        return not self.doubtful and self._client.phase is Phase.READY

    def info(self, name: str) -> object:
        """As `Stream.info`."""
        return self._stream.info(name)

    # The phases before any message.

    async def greet(self) -> None:
        """Wait for the greeting and introduce ourselves."""
        greeting = await self._reply(self.server.timeouts.greeting_seconds)
        if greeting.reply.code != 220:
            raise refused(greeting.command, greeting.reply)
        await self._ehlo()

    async def start_tls(self) -> None:
        """STARTTLS where it is offered; where it is required and not offered, fail (RFC 3207 §4)."""
        if self._secure or self.server.ignore_tls:
            return
        if "STARTTLS" not in self.extensions:
            if self.server.require_tls:
                raise failed("The server does not offer STARTTLS, which the settings require", "ETLS", Command.STARTTLS)
            return
        answer = await self._ask(self._client.starttls())
        if self._client.phase is not Phase.TLS:
            raise refused(answer.command, answer.reply)
        tls = self.server.tls
        try:
            await self._stream.start_tls(
                client_context(tls), tls.servername or self.server.host, self.server.timeouts.command_seconds
            )
        except MailquayError as error:
            self.doubtful = True
            raise translated(error, Command.STARTTLS) from error
        self._client.tls_established()
        self._secure = True
        await self._ehlo()

    async def authenticate(self) -> None:
        """Log in with the credentials of the settings, if there are any (RFC 4954)."""
        credentials = self.server.credentials
        if credentials is None:
            if self.server.user is not None:
                raise failed("There is a user name but neither a password nor a token", "ENOAUTH", Command.AUTH)
            return
        try:
            mechanism = choose_mechanism(
                credentials,
                self.extensions.auth_mechanisms,
                host=self.server.host,
                port=self.server.port,
                secure=self._secure,
            )
            if mechanism is None:
                offered = ", ".join(sorted(self.extensions.auth_mechanisms)) or "none"
                raise failed(f"The server offers no way to log in that fits ({offered})", "EAUTH", Command.AUTH)
            answer = await self._exchange(mechanism)
        except MailquayError as error:
            raise translated(error, Command.AUTH) from error
        _require_positive(answer)
        if not mechanism.complete:
            self.doubtful = True
            raise failed("The server did not prove that it knows the password", "EAUTH", Command.AUTH)

    async def _ehlo(self) -> None:
        name = self.server.ehlo_name_from(self.local_address)
        answer = await self._ask(self._client.ehlo(name))
        if not answer.reply.positive and answer.reply.permanent and self._client.phase is Phase.EHLO:
            answer = await self._ask(self._client.helo(name))
        _require_positive(answer)

    async def _exchange(self, mechanism: SaslClient) -> ReplyReceived:
        await self._send(self._client.auth(mechanism.name, mechanism.initial_response()))
        while isinstance(event := await self._event(self.server.timeouts.command_seconds), ChallengeReceived):
            try:
                response = mechanism.step(event.challenge)
            except RemoteProtocolError:
                await self._send(self._client.cancel_auth())
                await self._event(self.server.timeouts.command_seconds)
                raise
            await self._send(self._client.respond(response))
        return event

    # One message.

    async def mail(
        self,
        reverse_path: str,
        recipients: Sequence[str],
        *,
        size_bytes: int | None = None,
        eight_bit: bool = False,
        smtputf8: bool = False,
        ret: str | None = None,
        envid: str | None = None,
        notify: Sequence[str] = (),
        orcpt: str | None = None,
        wishes: Sequence[RecipientDsn] = (),
    ) -> list[RecipientReply]:
        """MAIL FROM and every RCPT TO, pipelined where offered (RFC 2920); the replies to the recipients, in order.

        `notify` and `orcpt` are for the recipients that `wishes` does not name.

        Raises SubmissionRejected when the sender is refused, or all recipients are.
        """
        client = self._client
        own = {wish.address.lower(): wish for wish in wishes}
        reported = [_with_wish(item, own.get(item.lower()), notify, orcpt) for item in recipients]
        try:
            opening = client.mail(
                reverse_path, size_bytes=size_bytes, eight_bit=eight_bit, smtputf8=smtputf8, ret=ret, envid=envid
            )
            if "PIPELINING" not in self.extensions:
                _require_positive(await self._ask(opening))
                replies = [await self._ask(client.rcpt(*item)) for item in reported]
            else:
                replies = await self._pipelined(opening, reported)
        except MailquayError as error:
            self.doubtful |= not isinstance(error, SubmissionRejected)
            raise translated(error, Command.MAIL) from error
        answers = [RecipientReply(address, item.reply) for address, item in zip(recipients, replies, strict=True)]
        if not client.accepted_recipients:
            worst = next((item for item in replies if not item.reply.permanent), replies[0])
            raise refused(worst.command, worst.reply)
        return answers

    async def _pipelined(
        self, opening: bytes, recipients: Sequence[tuple[str, Sequence[str], str | None]]
    ) -> list[ReplyReceived]:
        """At most a hundred recipients per write, so that neither side's buffers can fill up (RFC 2920 §3.1)."""
        timeout_seconds = self.server.timeouts.command_seconds
        replies: list[ReplyReceived] = []
        mail_reply: ReplyReceived | None = None
        for start in range(0, len(recipients), _PIPELINED_RECIPIENTS):
            group = recipients[start : start + _PIPELINED_RECIPIENTS]
            lines = [self._client.rcpt(*item) for item in group]
            await self._send(b"".join([opening, *lines] if start == 0 else lines))
            if mail_reply is None:
                mail_reply = await self._reply(timeout_seconds)
            replies += [await self._reply(timeout_seconds) for _ in group]
            _require_positive(mail_reply)
        return replies

    async def data(
        self,
        body: AsyncIterator[bytes],
        before_data: Callable[[], Awaitable[None]],
    ) -> Reply:
        """Run `before_data`, then DATA, the message, and the final dot; the reply that accepts the message.

        Raises SubmissionRejected as long as the message cannot have been accepted, and SubmissionUncertain from the
        moment the final dot is on its way until its reply is here. What `before_data` or `body` raise comes through.
        """
        await before_data()
        answer = await self._ask(self._client.data())
        if self._client.phase is not Phase.BODY:
            raise refused(answer.command, answer.reply)
        await self._send_body(body)
        try:
            await self._send(self._client.end_of_data())
            answer = await self._reply(self.server.timeouts.end_of_data_seconds)
        except SubmissionRejected as error:
            if error.reply_code is not None:
                raise
            raise SubmissionUncertain(
                f"The message went out, but whether it was accepted is unknown: {error.message}"
            ) from error
        _require_positive(answer)
        return answer.reply

    async def _send_body(self, body: AsyncIterator[bytes]) -> None:
        """Stream the message; a failure on either side leaves a connection that nobody may use again."""
        try:
            async for piece in body:
                for start in range(0, len(piece), _WRITE_BYTES):
                    wire = self._client.body(piece[start : start + _WRITE_BYTES])
                    await self._stream.write(wire, self.server.timeouts.data_block_seconds)
        except Unavailable as error:
            self.doubtful = True
            reply = await self._early_reply()
            if reply is not None:
                raise refused(Command.BODY, reply) from error
            raise translated(error, Command.DATA) from error
        except BaseException:
            self.doubtful = True
            raise

    async def _early_reply(self) -> Reply | None:
        """The reply with which a server broke off in the middle of a message, such as 552 for its size."""
        try:
            while (reply := self._client.early_reply()) is None:
                data = await self._stream.read(_READ_BYTES, _LAST_WORDS_SECONDS)
                if not data:
                    return None
                self._client.receive_data(data)
        except MailquayError:
            return None
        return reply

    # Between messages, and the end.

    async def reset(self) -> bool:
        """RSET; whether the connection is still good for a message."""
        if self.doubtful or self._client.phase not in (Phase.READY, Phase.MAIL):
            return False
        try:
            answer = await self._ask(self._client.rset())
        except MailquayError:
            self.doubtful = True
            return False
        return answer.reply.positive and self.usable

    async def close(self) -> None:
        """QUIT where the session is in a state for it, and close in any case."""
        try:
            if not self.doubtful and self._client.phase in (Phase.EHLO, Phase.READY, Phase.MAIL):
                await self._stream.write(self._client.quit(), self.server.timeouts.quit_seconds)
                await self._reply(self.server.timeouts.quit_seconds)
        except MailquayError:
            self.doubtful = True
        finally:
            await self._stream.aclose()

    # Bytes.

    async def _ask(self, line: bytes) -> ReplyReceived:
        await self._send(line)
        return await self._reply(self.server.timeouts.command_seconds)

    async def _send(self, line: bytes) -> None:
        try:
            await self._stream.write(line, self.server.timeouts.command_seconds)
        except MailquayError as error:
            self.doubtful = True
            raise translated(error, self._client.awaited) from error
        except BaseException:
            self.doubtful = True
            raise

    async def _reply(self, timeout_seconds: float) -> ReplyReceived:
        """The next reply; 421, with which a server ends the session whatever was asked, is raised as an error."""
        event = await self._event(timeout_seconds)
        if isinstance(event, ChallengeReceived):
            self.doubtful = True
            raise failed("The server asked for a login in the wrong place", "EPROTOCOL")
        return event

    async def _event(self, timeout_seconds: float) -> Event:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        try:
            while (event := self._client.next_event()) is NEED_DATA:
                data = await self._stream.read(_READ_BYTES, max(deadline - loop.time(), 0))
                self._client.receive_data(data)
        except MailquayError as error:
            self.doubtful = True
            raise translated(error, self._client.awaited) from error
        except BaseException:
            self.doubtful = True
            raise
        if isinstance(event, ReplyReceived) and event.reply.code == 421:
            self.doubtful = True
            raise refused(event.command, event.reply)
        return event


def _require_positive(answer: ReplyReceived) -> None:
    if not answer.reply.positive:
        raise refused(answer.command, answer.reply)


def _with_wish(
    address: str, own: RecipientDsn | None, notify: Sequence[str], orcpt: str | None
) -> tuple[str, Sequence[str], str | None]:
    return (address, notify, orcpt) if own is None else (address, own.notify, own.orcpt)
