"""A real SMTP server in the test's own event loop: records envelopes and bytes, and replies as scripted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.process import LOOPBACK


class Phase(Enum):
    """Where in the dialogue a scripted reply comes; BODY is the reply after the end of the data."""

    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "BODY"


@dataclass(frozen=True)
class Reply:
    """What to do instead of accepting: say `text` ("550 5.1.1 no such user"), cut the connection, or keep silent.

    With `keep` a reply that comes after the data does not make the message disappear: it was accepted all the same,
    only the client never hears of it.
    """

    text: str = ""
    drop: bool = False
    stall: bool = False
    keep: bool = False


@dataclass
class _Script:
    phase: Phase
    reply: Reply
    argument: str
    times: int | None

    def applies(self, phase: Phase, argument: str) -> bool:
        return phase is self.phase and self.times != 0 and self.argument.lower() in argument.lower()


@dataclass(frozen=True)
class Received:
    """One message that was accepted: the bytes are as they came over the wire, with dots unstuffed."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    mail_options: tuple[str, ...]
    tls: bool
    login: str | None
    connection: int


@dataclass
class SmtpSink:
    """A server on a free loopback port; `credentials` (login -> password) makes AUTH required."""

    credentials: dict[str, str] | None = None
    ssl_context: ssl.SSLContext | None = None
    implicit_tls: bool = False
    size_limit_bytes: int = 32 * 1024 * 1024
    host: str = LOOPBACK
    port: int = 0
    received: list[Received] = field(default_factory=list)
    commands: list[tuple[Phase, str]] = field(default_factory=list)
    connection_count: int = 0
    _scripts: list[_Script] = field(default_factory=list)
    _protocols: list[_Protocol] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def open(self) -> Self:
        """Begin to listen; `port` is known then."""
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()
        tls = self.ssl_context if self.implicit_tls else None
        self._server = await asyncio.get_running_loop().create_server(self._connect, self.host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self._closing.set()
        if self._server is not None:
            self._server.close()
            for protocol in self._protocols:
                protocol.cut()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def script(self, phase: Phase, reply: Reply | str, *, argument: str = "", times: int | None = 1) -> None:
        """Reply so at the next `times` commands of this phase (None: always) whose argument contains `argument`."""
        self._scripts.append(_Script(phase, Reply(reply) if isinstance(reply, str) else reply, argument, times))

    async def wait_for(
        self,
        count: int = 1,
        *,
        predicate: Callable[[Received], bool] = lambda _: True,
        timeout_seconds: float = 15,
    ) -> list[Received]:
        """Return the first `count` accepted messages that match; fail if they do not come in time."""

        def matches() -> list[Received]:
            return [one for one in self.received if predicate(one)]

        await self._wait(lambda: len(matches()) >= count, f"{count} messages", timeout_seconds)
        return matches()[:count]

    async def wait_for_command(self, phase: Phase, count: int = 1, *, timeout_seconds: float = 15) -> list[str]:
        """Return the arguments of the first `count` commands of this phase, scripted or not."""

        def arguments() -> list[str]:
            return [argument for seen, argument in self.commands if seen is phase]

        await self._wait(lambda: len(arguments()) >= count, f"{count} {phase.value}", timeout_seconds)
        return arguments()[:count]

    async def _wait(self, satisfied: Callable[[], bool], what: str, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(satisfied)
        except TimeoutError:
            message = f"no {what} within {timeout_seconds} s; received {len(self.received)}, commands {self.commands}"
            raise AssertionError(message) from None

    # -- called by the protocol --

    def _connect(self) -> _Protocol:
        self.connection_count += 1
        protocol = _Protocol(self, self.connection_count)
        self._protocols.append(protocol)
        return protocol

    async def scripted(self, phase: Phase, argument: str) -> Reply | None:
        """Record a command and return the reply that was scripted for it, if any."""
        async with self._changed:
            self.commands.append((phase, argument))
            self._changed.notify_all()
        for script in self._scripts:
            if script.applies(phase, argument):
                if script.times is not None:
                    script.times -= 1
                return script.reply
        return None

    async def keep(self, received: Received) -> None:
        """Record a message as accepted."""
        async with self._changed:
            self.received.append(received)
            self._changed.notify_all()

    async def wait_closing(self) -> None:
        """Return when the sink closes: what a stalled reply waits for."""
        await self._closing.wait()


class _Handler:
    """The two hooks of aiosmtpd that see a whole message and a login."""

    def __init__(self, sink: SmtpSink, protocol: _Protocol) -> None:
        self._sink, self._protocol = sink, protocol

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str | None:
        content = envelope.original_content or b""
        login = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
        received = Received(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            content=content,
            mail_options=tuple(envelope.mail_options),
            tls=session.ssl is not None or self._protocol.implicit_tls,
            login=login,
            connection=self._protocol.number,
        )
        reply = await self._sink.scripted(Phase.BODY, ",".join(received.recipients))
        if reply is None or reply.keep:
            await self._sink.keep(received)
        if reply is None:
            return "250 2.0.0 accepted"
        return await self._protocol.perform(reply)


class _Protocol(SMTP):
    """aiosmtpd's server, asking the sink before it answers a command."""

    def __init__(self, sink: SmtpSink, number: int) -> None:
        self.number, self.implicit_tls, self._sink = number, sink.implicit_tls, sink
        super().__init__(
            _Handler(sink, self),
            hostname="sink.example.test",
            data_size_limit=sink.size_limit_bytes,
            enable_SMTPUTF8=True,
            decode_data=False,
            tls_context=None if sink.implicit_tls else sink.ssl_context,
            auth_require_tls=False,
            auth_required=sink.credentials is not None,
            authenticator=self._check_login if sink.credentials is not None else None,
            loop=asyncio.get_running_loop(),
        )

    def _check_login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        known = self._sink.credentials or {}
        good = isinstance(data, LoginPassword) and known.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=good, handled=good, auth_data=data)

    def cut(self) -> None:
        """End the connection without a word."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    async def perform(self, reply: Reply) -> str | None:
        """Carry out a scripted reply; the text that is left to say is returned."""
        if reply.stall:
            await self._sink.wait_closing()
        if reply.drop or reply.stall:
            self.cut()
            return None
        return reply.text

    async def _scripted(self, phase: Phase, argument: str | None) -> bool:
        """Tell whether a scripted reply took the place of the usual one."""
        reply = await self._sink.scripted(phase, argument or "")
        if reply is None:
            return False
        if (text := await self.perform(reply)) is not None:
            await self.push(text)
        return True

    async def smtp_EHLO(self, argument: str) -> None:
        if not await self._scripted(Phase.EHLO, argument):
            await super().smtp_EHLO(argument)

    async def smtp_AUTH(self, argument: str) -> None:
        if not await self._scripted(Phase.AUTH, argument.split()[0] if argument else ""):
            await super().smtp_AUTH(argument)

    async def smtp_MAIL(self, argument: str) -> None:
        if not await self._scripted(Phase.MAIL, argument):
            await super().smtp_MAIL(argument)

    async def smtp_RCPT(self, argument: str) -> None:
        if not await self._scripted(Phase.RCPT, argument):
            await super().smtp_RCPT(argument)

    async def smtp_DATA(self, argument: str) -> None:
        if not await self._scripted(Phase.DATA, argument):
            await super().smtp_DATA(argument)
