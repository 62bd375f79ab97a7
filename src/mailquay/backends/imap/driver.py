"""One IMAP connection over a stream: opening, logging in, commands with deadlines, streaming, IDLE.

A reader task hands each response to the command that claims it, else to an IDLE that is listening, else to
`on_unsolicited`. Whatever goes wrong (socket, TLS, protocol, deadline) closes the connection and reaches every
command in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mailquay.backends.imap.channel import Channel
from mailquay.backends.imap.idle import IdleSession
from mailquay.backends.imap.pump import DriverOptions, Pump
from mailquay.backends.imap.refusal import closed_by_server, refusal
from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.slot import CommandSlot, Run, SlotEvent
from mailquay.backends.imap.traffic import Traffic
from mailquay.errors import CommandRejected, MailquayError, RemoteProtocolError, Unavailable, Unsupported
from mailquay.net.stream import Stream
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Authenticate, Capability, Command, Enable, Id, Login, Logout, Noop, StartTls
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.identification import IdParameters, IdResponse
from mailquay.wire.imap.idle import MAX_IDLE_SECONDS
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import Greeting, Status, TaggedResponse, UntaggedResponse
from mailquay.wire.sasl import Credentials, OAuthBearerClient, SaslClient, XOAuth2Client, choose_mechanism

DEFAULT_OPTIONS: Final = DriverOptions()
_CHANNEL_ITEMS: Final = 16


@dataclass(frozen=True, slots=True)
class TlsUpgrade:
    """STARTTLS before anything else: with which context, and under which name the server must prove itself."""

    context: ssl.SSLContext
    server_hostname: str | None


class ImapConnection:
    """One IMAP connection. Made by `open`; any number of tasks may use it.

    Every method that talks raises Unavailable when the connection is lost or a deadline passes, RemoteProtocolError
    when the server breaks the protocol (after both the connection is closed), LocalProtocolError for what must
    not be sent, and CommandRejected, AuthenticationFailed, MailboxNotFound or RateLimited for NO and BAD.
    """

    def __init__(self, pump: Pump, greeting: Greeting) -> None:
        self._pump = pump
        self.greeting = greeting
        self.identity: IdParameters = ()
        """What the server has said about itself when it was asked (RFC 2971)."""

    # Opening and closing

    @classmethod
    async def open(
        cls,
        stream: Stream,
        *,
        options: DriverOptions = DEFAULT_OPTIONS,
        tls: TlsUpgrade | None = None,
        on_unsolicited: Callable[[UntaggedResponse], None] | None = None,
        traffic: Traffic | None = None,
    ) -> ImapConnection:
        """Read the greeting, start TLS if `tls` is given, and learn the capabilities; `traffic` counts what is said.

        Raises Unsupported when TLS is wanted and the server does not offer it. The stream is closed on any error.
        """
        pump = Pump(stream, options, on_unsolicited, traffic or Traffic())
        try:
            async with asyncio.timeout(options.greeting_seconds):
                greeting = await _greet(pump)
                if tls is not None:
                    await _start_tls(pump, tls)
            pump.start_reading()
            connection = cls(pump, greeting)
            if connection.capabilities is None:
                await connection.execute(Capability())
        except TimeoutError as error:
            await pump.aclose()
            raise Unavailable(
                f"the server was not ready in {options.greeting_seconds:g} s", code="ETIMEDOUT"
            ) from error
        except BaseException:
            await pump.aclose()
            raise
        return connection

    @contextlib.contextmanager
    def hearing(self, hear: Callable[[UntaggedResponse], None]) -> Iterator[None]:
        """Have `hear` told of responses that no command claims, while no IDLE listens; it must not raise."""
        before, self._pump.on_unsolicited = self._pump.on_unsolicited, hear
        try:
            yield
        finally:
            self._pump.on_unsolicited = before

    async def aclose(self) -> None:
        """Close at once, without LOGOUT; may be called twice. Commands in flight fail with Unavailable."""
        await self._pump.aclose()

    async def logout(self) -> None:
        """Say LOGOUT, wait shortly for the answer, and close."""
        if self.usable and self._pump.news is None:
            try:
                await self.execute(Logout(), timeout_seconds=self._pump.options.logout_seconds)
            except MailquayError as error:
                # A connection that cannot say good-bye is closed all the same; `error` keeps the reason.
                self._pump.fail(error)
        await self._pump.aclose()

    # What is known

    @property
    def capabilities(self) -> frozenset[str] | None:
        """What the server offers (upper case), None while unknown."""
        return self._pump.client.capabilities

    def has_capability(self, name: str) -> bool:
        """Whether the server offers `name` (upper case)."""
        return self._pump.client.has_capability(name)

    @property
    def enabled(self) -> frozenset[str]:
        """The extensions that ENABLE has switched on."""
        return self._pump.client.enabled

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._pump.client.state

    @property
    def selected(self) -> MailboxArgument | None:
        """The mailbox that is selected."""
        return self._pump.client.selected

    @property
    def leniencies(self) -> frozenset[Leniency]:
        """The leniencies that the server has made necessary so far."""
        return frozenset(self._pump.client.leniencies)

    @property
    def usable(self) -> bool:
        """Whether nothing has gone wrong so far."""
        return self._pump.error is None and self.state is not State.LOGOUT

    @property
    def error(self) -> MailquayError | None:
        """What ended the connection."""
        return self._pump.error

    @property
    def command_seconds(self) -> float:
        """How long a command may take unless its caller says otherwise."""
        return self._pump.options.command_seconds

    def info(self, name: str) -> object:
        """Facts about the stream: `peername`, `tls_version` and so on."""
        return self._pump.stream.info(name)

    # Logging in

    async def login(self, credentials: Credentials, *, host: str = "", port: int = 0, secure: bool = True) -> None:
        """Log in by the best way that both sides know, and learn the capabilities that hold afterwards.

        Raises Unsupported when the server offers no way to use these credentials. A PREAUTH session is left as it is.
        """
        if self.state is not State.NOT_AUTHENTICATED:
            return
        mechanism = self._choose(credentials, host, port, secure)
        if mechanism is None:
            await self.execute(Login(credentials.username, credentials.password or ""))
        else:
            await self._authenticate(mechanism)
        if self.capabilities is None:
            await self.execute(Capability())

    def _choose(self, credentials: Credentials, host: str, port: int, secure: bool) -> SaslClient | None:
        """The mechanism to use, or None for the LOGIN command."""
        may_login = (
            credentials.password is not None
            and credentials.mechanism is None
            and not credentials.authzid
            and not self.has_capability("LOGINDISABLED")
        )
        if may_login and ("/" in credentials.username or "\\" in credentials.username):
            # Exchange takes domain\user and user/mailbox by LOGIN only.
            return None
        offered = self._pump.client.auth_mechanisms
        mechanism = choose_mechanism(credentials, offered, host=host, port=port, secure=secure)
        if mechanism is None and not may_login:
            raise Unsupported("the server offers no way to log in with these credentials")
        return mechanism

    async def _authenticate(self, mechanism: SaslClient) -> None:
        command = Authenticate(mechanism.name)
        try:
            await self._run(command, lambda: self._pump.client.authenticate(mechanism))
        except MailquayError as error:
            if isinstance(mechanism, XOAuth2Client | OAuthBearerClient) and mechanism.error:
                error.message = f"{error.message} ({mechanism.error.decode('utf-8', 'replace')[:500]})"
                error.args = (error.message,)
            raise

    async def identify(self, parameters: IdParameters) -> IdParameters:
        """Send ID and return what the server says about itself (RFC 2971)."""
        answer = (await self.execute(Id(parameters))).last(IdResponse)
        self.identity = answer.parameters if answer is not None else ()
        return self.identity

    async def enable(self, *capabilities: str) -> frozenset[str]:
        """Switch on those of `capabilities` that the server offers; returns all that are on (RFC 5161)."""
        offered = tuple(name for name in capabilities if self.has_capability(name))
        if offered and self.has_capability("ENABLE"):
            await self.execute(Enable(offered))
        return self.enabled

    async def compress(self) -> bool:
        """Compress both directions from now on, where the server offers it; whether it does (RFC 4978).

        Worth its 60 KB of memory only on a connection that reads much.
        """
        if not self.has_capability("COMPRESS=DEFLATE") or self.info("compression") is not None:
            return self.info("compression") is not None
        try:
            await self.execute(Compress())
        except CommandRejected as error:
            if error.response_code == "COMPRESSIONACTIVE":
                # TLS does it, or a proxy on the way: that is as good.
                return False
            raise
        return True

    async def noop(self) -> None:
        """Prove that the connection is alive, within the driver's `proof_seconds`."""
        options = self._pump.options
        await self.execute(Noop(), timeout_seconds=min(options.proof_seconds, options.command_seconds))

    # Commands

    async def execute(
        self,
        command: Command,
        *,
        timeout_seconds: float | None = None,
        body: AsyncIterable[bytes] | None = None,
    ) -> CommandResult:
        """Run one command to its tagged OK; returns it with the responses it claims, large bodies collected.

        `body` supplies the bytes of an Append whose message is a StreamedMessage. A cancelled call leaves the
        connection usable unless it was writing: the answer is read and dropped.
        """
        return await self._run(command, lambda: self._pump.client.send(command), timeout_seconds, body)

    async def _run(
        self,
        command: Command,
        send: Callable[[], str],
        timeout_seconds: float | None = None,
        body: AsyncIterable[bytes] | None = None,
    ) -> CommandResult:
        seconds = self._pump.options.command_seconds if timeout_seconds is None else timeout_seconds
        slot: CommandSlot | None = None
        try:
            async with asyncio.timeout(seconds) as deadline:
                slot = await self._pump.start(command, send, body=body)
                tagged = await asyncio.shield(slot.done)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise self._timed_out(command, seconds, started=slot is not None) from error
        except asyncio.CancelledError:
            if slot is not None:
                slot.abandon()
            raise
        if tagged.status is not Status.OK:
            raise refusal(command, tagged)
        return CommandResult(tagged, slot.untagged)

    def _timed_out(self, command: Command, seconds: float, *, started: bool) -> Unavailable:
        if not started:
            return Unavailable(f"{command.wire_name} had no turn on the connection in {seconds:g} s", code="ETIMEDOUT")
        error = Unavailable(f"the server did not answer {command.wire_name} in {seconds:g} s", code="ETIMEDOUT")
        self._pump.fail(error)
        return error

    async def execute_streaming(
        self,
        command: Command,
        *,
        timeout_seconds: float | None = None,
        on_end: Callable[[TaggedResponse], None] | None = None,
    ) -> AsyncGenerator[Run, None]:
        """Run one command and yield what it claims in the runs in which it arrives, large bodies in pieces.

        A body comes as LiteralStart, LiteralChunk…, LiteralEnd ahead of its FetchResponse. A slow consumer holds the
        server back. `timeout_seconds` bounds each wait. Leaving the loop early drops the rest of the
        answer; close the generator (`contextlib.aclosing`) so that this happens at once. `on_end` gets the tagged OK.
        """
        seconds = self._pump.options.command_seconds if timeout_seconds is None else timeout_seconds
        channel: Channel[SlotEvent] = Channel(_CHANNEL_ITEMS)
        slot: CommandSlot | None = None
        try:
            async with asyncio.timeout(seconds):
                slot = await self._pump.start(command, lambda: self._pump.client.send(command), channel=channel)
            tagged: TaggedResponse | None = None
            while tagged is None:
                events = await channel.take(seconds)
                run = Run(channel.taken_bytes)
                for event in events:
                    if isinstance(event, TaggedResponse):
                        tagged = event
                    else:
                        run.append(event)
                if run:
                    yield run
        except TimeoutError as error:
            raise self._timed_out(command, seconds, started=slot is not None) from error
        finally:
            if slot is not None:
                slot.abandon()
        if tagged.status is not Status.OK:
            raise refusal(command, tagged)
        if on_end is not None:
            on_end(tagged)

    async def idle(self, *, restart_seconds: float = MAX_IDLE_SECONDS) -> IdleSession:
        """Begin to idle on the selected mailbox; other commands have to wait until the session is stopped.

        `restart_seconds` is how long one IDLE lasts before it is renewed; some servers want less than 29 minutes.
        """
        session = IdleSession(self._pump, min(restart_seconds, MAX_IDLE_SECONDS))
        await session.start()
        return session


async def _greet(pump: Pump) -> Greeting:
    event = await pump.pull()
    if not isinstance(event, Greeting):
        raise RemoteProtocolError("the server does not greet like an IMAP server")
    if event.status is Status.BYE:
        raise closed_by_server(event.code, event.text)
    return event


async def _start_tls(pump: Pump, tls: TlsUpgrade) -> None:
    if pump.client.state is not State.NOT_AUTHENTICATED:
        # A man in the middle can forge PREAUTH to keep the session in plaintext (RFC 9051 §7.1.4).
        raise RemoteProtocolError("the server logged us in before TLS was started")
    if pump.client.capabilities is None:
        await _pull_command(pump, Capability())
    if not pump.client.has_capability("STARTTLS"):
        raise Unsupported("the server does not offer STARTTLS")
    await _pull_command(pump, StartTls())
    if pump.client.tls_started():
        raise RemoteProtocolError("the server sent data in plaintext after it agreed to start TLS")
    await pump.stream.start_tls(tls.context, tls.server_hostname, pump.options.greeting_seconds)


async def _pull_command(pump: Pump, command: Command) -> None:
    pump.client.send(command)
    await pump.flush()
    while not isinstance(event := await pump.pull(), TaggedResponse):
        continue
    if event.status is not Status.OK:
        raise refusal(command, event)
