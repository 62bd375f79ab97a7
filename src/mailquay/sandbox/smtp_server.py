"""The sandbox's submission server: takes mail from users who are logged in and delivers it into mailboxes at once.

Mail for other domains goes nowhere but to the catch-all mailbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import AnyStr, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.mime.date import format_date
from mailquay.sandbox.faults import SmtpAction, SmtpFault, SmtpFaults, SmtpPhase
from mailquay.sandbox.users import MailUser, UserDirectory
from mailquay.wire.sasl import decode_base64
from mailquay.wire.sasl.plain import parse_plain

LOOPBACK: Final = "127.0.0.1"
HOSTNAME: Final = "smtp.sandbox.test"


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """What the server bears from its clients. `calls` counts each command, `logins` AUTH, per connection."""

    sessions: int = 100
    message_bytes: int = 32 * 1024 * 1024
    recipients: int = 1000
    idle_seconds: float = 300.0
    calls: int = 5000
    logins: int = 10


class SandboxSmtpServer:
    """Listens on a free loopback port; `port` is known once it has started. `clock` dates what is delivered."""

    def __init__(
        self,
        users: UserDirectory,
        faults: SmtpFaults,
        clock: Callable[[], datetime],
        limits: SmtpLimits | None = None,
    ) -> None:
        self.port = 0
        self.users = users
        self.faults = faults
        self.limits = limits or SmtpLimits()
        self.protocols: set[_Protocol] = set()
        self._clock = clock
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Protocol(self), LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut every connection and close."""
        if self._server is None:
            return
        self._server.close()
        for protocol in list(self.protocols):
            protocol.cut()
        await self._server.wait_closed()
        self._server = None

    def deliver(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Put a message into the INBOX of each recipient, once where several mean one mailbox.

        Raises CommandRejected (OVERQUOTA) when a mailbox is full; those before it have got theirs.
        """
        now = self._clock()
        targets: dict[str, tuple[MailUser, str]] = {}
        for address in recipients:
            user = self.users.recipient(address)
            if user is not None:
                targets.setdefault(user.email, (user, address))
        for user, address in targets.values():
            trace = (
                f"Return-Path: <{sender.strip('<>')}>\r\nDelivered-To: {address}\r\n"
                f"Received: from submission by {HOSTNAME} with ESMTPA;\r\n {format_date(now)}\r\n"
            )
            user.store.append("INBOX", trace.encode("utf-8", "replace") + content, received=now)


class _Handler:
    """The hooks of aiosmtpd."""

    def __init__(self, server: SandboxSmtpServer, protocol: _Protocol) -> None:
        self._server = server
        self._protocol = protocol

    async def handle_AUTH(self, smtp: SMTP, session: Session, _envelope: Envelope, arguments: list[str]) -> str | None:
        login = await _read_login(smtp, arguments)
        if login is None:
            return None
        refused = self._server.faults.refuse_login or self._server.users.authenticate(*login) is None
        session.authenticated = not refused
        return "535 5.7.8 User name or password is wrong" if refused else "235 2.7.0 Welcome"

    async def handle_MAIL(
        self, _smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender accepted"

    async def handle_RCPT(
        self, _smtp: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self._server.limits.recipients:
            return "452 4.5.3 Too many recipients"
        if self._server.users.recipient(address) is None:
            return "550 5.1.1 There is no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient accepted"

    async def handle_DATA(self, _smtp: SMTP, _session: Session, envelope: Envelope) -> str:
        fault = self._server.faults.take(SmtpPhase.BODY, ",".join(envelope.rcpt_tos))
        if fault is not None:
            settled = await self._protocol.misbehave(fault)
            if settled is not None:
                return settled
        try:
            self._server.deliver(envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b"")
        except CommandRejected:
            return "452 4.2.2 The mailbox is full"
        if fault is not None and fault.action is SmtpAction.DROP_REPLY:
            self._protocol.cut()
        if fault is not None and fault.action is SmtpAction.DROP_AFTER:
            self._protocol.cut_after_reply()
        return "250 2.0.0 Delivered"


async def _read_login(smtp: SMTP, arguments: list[str]) -> tuple[str, str] | None:
    """User name and password as PLAIN or LOGIN send them (RFC 4954 §4); None when the refusal has been said already."""
    mechanism, *initial = arguments
    is_plain = mechanism == "PLAIN"
    try:
        # Whatever is not bytes means that aiosmtpd has answered: cancelled, or not base64.
        first = (
            decode_base64(initial[0].encode("utf-8", "replace"))
            if initial
            else await smtp.challenge_auth("" if is_plain else "Username:")
        )
        if is_plain and isinstance(first, bytes):
            credentials = parse_plain(first)
            return credentials.username, credentials.password
    except RemoteProtocolError:
        await smtp.push("501 5.5.2 That cannot be read")
        return None
    password = await smtp.challenge_auth("Password:") if isinstance(first, bytes) else first
    if not isinstance(first, bytes) or not isinstance(password, bytes):
        return None
    return first.decode("utf-8", "replace"), password.decode("utf-8", "replace")


class _Protocol(SMTP):
    """aiosmtpd's server, asking for faults before it carries out a command."""

    def __init__(self, server: SandboxSmtpServer) -> None:
        self._owner = server
        self._is_cut = False
        self._greeted = False
        self._cut_after_reply = False
        super().__init__(
            _Handler(server, self),
            hostname=HOSTNAME,
            ident="Mailquay sandbox",
            data_size_limit=server.limits.message_bytes,
            enable_SMTPUTF8=True,
            timeout=server.limits.idle_seconds,
            auth_require_tls=False,
            command_call_limit={"*": server.limits.calls, "AUTH": server.limits.logins},
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._owner.protocols) >= self._owner.limits.sessions and isinstance(transport, asyncio.Transport):
            transport.write(b"421 4.7.0 Too many connections\r\n")
            transport.close()
            return
        self._owner.protocols.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._owner.protocols:
            self._owner.protocols.discard(self)
            super().connection_lost(error)

    # -- faults ------------------------------------------------------------------------------------

    def cut(self) -> None:
        """End the connection without a word."""
        self._is_cut = True
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def cut_after_reply(self) -> None:
        """End the connection behind the next reply."""
        self._cut_after_reply = True

    async def push(self, status: AnyStr) -> None:
        """Send a reply, unless the connection was cut meanwhile."""
        settled = None if self._greeted else await self._faulty_greeting()
        if self._is_cut:
            return
        if settled is None:
            await super().push(status)
        else:
            await super().push(settled)
        if self._cut_after_reply:
            self._is_cut = True
            if isinstance(self.transport, asyncio.Transport):
                self.transport.close()

    async def misbehave(self, fault: SmtpFault) -> str | None:
        """Carry out a fault; what is to be said instead of going on, None when the command goes on."""
        if fault.action is SmtpAction.REPLY:
            return fault.reply
        if fault.action is SmtpAction.STALL:
            await self._owner.faults.gate.wait()
        elif fault.action is SmtpAction.DROP:
            self.cut()
            return ""
        return None

    async def _faulty_greeting(self) -> str | None:
        """What a fault makes of the first reply, which then is the last one too."""
        self._greeted = True
        fault = self._owner.faults.take(SmtpPhase.CONNECT, "")
        settled = None if fault is None else await self.misbehave(fault)
        if settled is not None:
            self.cut_after_reply()
        return settled

    async def _faulty(self, phase: SmtpPhase, argument: str | None) -> bool:
        """Whether a fault has taken the command's place."""
        fault = self._owner.faults.take(phase, argument or "")
        if fault is None or (settled := await self.misbehave(fault)) is None:
            return False
        await self.push(settled)
        return True

    async def smtp_EHLO(self, argument: str) -> None:
        if not await self._faulty(SmtpPhase.EHLO, argument):
            await super().smtp_EHLO(argument)

    async def smtp_AUTH(self, argument: str) -> None:
        if not await self._faulty(SmtpPhase.AUTH, argument.split()[0] if argument else ""):
            await super().smtp_AUTH(argument)

    async def smtp_MAIL(self, argument: str) -> None:
        if not await self._faulty(SmtpPhase.MAIL, argument):
            await super().smtp_MAIL(argument)

    async def smtp_RCPT(self, argument: str) -> None:
        if not await self._faulty(SmtpPhase.RCPT, argument):
            await super().smtp_RCPT(argument)

    async def smtp_DATA(self, argument: str) -> None:
        if not await self._faulty(SmtpPhase.DATA, argument):
            await super().smtp_DATA(argument)
