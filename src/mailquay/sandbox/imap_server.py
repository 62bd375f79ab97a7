"""The sandbox's IMAP server: connections on loopback, each a wire core and a session (RFC 9051, RFC 2177)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from mailquay.errors import RemoteProtocolError
from mailquay.sandbox.faults import ImapAction, ImapFault, ImapFaults
from mailquay.sandbox.imap_capabilities import USUAL
from mailquay.sandbox.imap_commands import carry_out, log_in
from mailquay.sandbox.imap_commands_notify import tell_news, tells_expunges_at_once
from mailquay.sandbox.imap_quirks import rewrite
from mailquay.sandbox.imap_session import WIRE_LIMITS, Answer, Cut, SandboxSession
from mailquay.sandbox.users import UserDirectory
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Authenticate, Command
from mailquay.wire.imap.compress import Deflater, Inflater
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.response import Continuation, Greeting, Status, TaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import CapabilityCode, Code
from mailquay.wire.imap.server import BadCommand, CommandReceived, IdleDone, ImapServer, SaslResponse
from mailquay.wire.sasl import decode_base64
from mailquay.wire.sasl.plain import parse_plain

LOOPBACK: Final = "127.0.0.1"
_READ_BYTES = 64 * 1024
_STEPS_PER_FLUSH = 20
_UNREAD_BYTES = 4 * 1024 * 1024
"""News that a client in IDLE does not take; more, and it is cut off."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImapLimits:
    """What one server bears from its clients. `idle_seconds` is the time without a command, IDLE included."""

    sessions: int = 200
    login_seconds: float = 60.0
    idle_seconds: float = 30 * 60.0
    write_seconds: float = 30.0
    bad_commands: int = 20
    failed_logins: int = 5


class _Closing(Exception):
    """The connection ends; what there was to say has been queued."""


class SandboxImapServer:
    """Listens on a free loopback port; `port` is known once it has started. `offers` are its capabilities."""

    def __init__(
        self,
        users: UserDirectory,
        faults: ImapFaults,
        limits: ImapLimits | None = None,
        offers: frozenset[str] = USUAL,
    ) -> None:
        self.port = 0
        self._offers = offers
        self._users = users
        self._faults = faults
        self._limits = limits or ImapLimits()
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=_READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Say good bye to every client and close."""
        if self._server is None:
            return
        self._server.close()
        while self._connections:
            for connection, task in self._connections.items():
                connection.say_bye()
                task.cancel()
            await asyncio.wait(list(self._connections.values()))
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        faults = self._faults
        wire = ImapServer(WIRE_LIMITS, rewrite=lambda response, data: rewrite(faults.quirks, response, data))
        session = SandboxSession(wire, self._users, faults, offers=self._offers)
        connection = _Connection(reader, writer, session, self._limits)
        full = len(self._connections) >= self._limits.sessions
        task = asyncio.create_task(connection.run(full=full), name="sandbox-imap")
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._connections.pop(connection, None))


class _Connection:
    """One client."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: SandboxSession, limits: ImapLimits
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._wire = session.wire
        self._limits = limits
        self._sent_bytes = 0
        self._stop_listening: Callable[[], None] | None = None
        self._news_due = False
        self._withheld: ImapFault | None = None
        self._busy = False
        self._deflater: Deflater | None = None
        self._inflater: Inflater | None = None
        session.on_notice = self._on_change

    async def run(self, *, full: bool) -> None:
        """Serve the client until one side has enough."""
        try:
            await self._greet(full)
            while True:
                await self._serve_received()
                data = await self._read()
                for piece in (data,) if self._inflater is None else self._inflater.expand(data):
                    self._wire.receive_data(piece)
        except (_Closing, ConnectionError):
            pass
        except RemoteProtocolError as error:
            self._wire.send(UntaggedStatus(Status.BYE, None, error.message[:200]))
        except TimeoutError:
            self._wire.send(UntaggedStatus(Status.BYE, Code("UNAVAILABLE"), "too long without a command"))
        except Exception:
            # A fault of ours in one session must not look like a silent end of it.
            _log.exception("sandbox_imap_session_failed")
            self._wire.send(UntaggedStatus(Status.BYE, Code("SERVERBUG"), "an error of ours"))
        finally:
            await self._close()

    async def _greet(self, full: bool) -> None:
        if full:
            self._wire.send(Greeting(Status.BYE, Code("LIMIT"), "too many connections"))
            raise _Closing
        self._wire.send(Greeting(Status.OK, CapabilityCode(self._session.capabilities), "Mailquay sandbox ready"))
        await self._flush()

    def say_bye(self) -> None:
        """Queue the good bye of a server that stops."""
        if self._wire.state not in (State.GREETING, State.LOGOUT):
            self._wire.send(UntaggedStatus(Status.BYE, Code("UNAVAILABLE"), "the sandbox is closing"))

    async def _close(self) -> None:
        self._end_idle()
        self._session.set_notifier(None)
        if self._withheld is None and not self._writer.transport.is_closing():
            self._write_queued()
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    # -- in ----------------------------------------------------------------------------------------

    async def _read(self) -> bytes:
        logged_in = self._session.user is not None
        async with asyncio.timeout(self._limits.idle_seconds if logged_in else self._limits.login_seconds):
            data = await self._reader.read(_READ_BYTES)
        if not data:
            raise _Closing
        return data

    async def _serve_received(self) -> None:
        while (event := self._wire.next_event()) is not NEED_DATA:
            match event:
                case CommandReceived(tag, command):
                    await self._command(tag, command)
                case SaslResponse(tag, data):
                    self._finish_sasl(tag, data)
                case IdleDone(tag):
                    self._end_idle()
                    tell_news(self._session, expunges=True)
                    self._wire.send(TaggedResponse(tag, Status.OK, None, "done"))
                case BadCommand(response, reason):
                    self._end_idle()
                    _log.debug("sandbox_imap_bad_command", reason=reason)
                    self._wire.send(response)
            await self._flush()
            self._give_up_on_strangers()
        await self._flush()

    def _give_up_on_strangers(self) -> None:
        if self._wire.state is State.LOGOUT:
            raise _Closing
        if (
            self._wire.bad_commands > self._limits.bad_commands
            or self._session.failed_logins >= self._limits.failed_logins
        ):
            self._wire.send(UntaggedStatus(Status.BYE, None, "that was enough"))
            raise _Closing

    # -- commands ----------------------------------------------------------------------------------

    async def _command(self, tag: str, command: Command) -> None:
        fault = self._session.faults.take(command.wire_name)
        if fault is not None and self._misbehave(tag, fault):
            return
        self._withheld = fault
        if isinstance(command, Idle):
            self._begin_idle(tag)
        elif isinstance(command, Authenticate):
            self._begin_sasl(tag, command)
        else:
            await self._carry_out(tag, command)
        if fault is not None:
            await self._withhold(fault)

    def _misbehave(self, tag: str, fault: ImapFault) -> bool:
        """Do what comes instead of the command; whether that settles it."""
        code = None if fault.code is None else Code(fault.code)
        match fault.action:
            case ImapAction.NO | ImapAction.BAD:
                self._end(tag, Answer(Status(fault.action.value), fault.text, code))
                return True
            case ImapAction.BYE:
                self._wire.send(UntaggedStatus(Status.BYE, code, fault.text))
                raise _Closing
            case ImapAction.DROP:
                self._abort()
        return False

    async def _withhold(self, fault: ImapFault) -> None:
        """What comes after the command is carried out and before its answer leaves."""
        if fault.action is ImapAction.DROP_ANSWER:
            self._abort()
        await self._session.faults.gate.wait()
        self._withheld = None

    async def _carry_out(self, tag: str, command: Command) -> None:
        steps = carry_out(self._session, tag, command)
        self._busy = True
        try:
            for number in itertools.count(1):
                try:
                    next(steps)
                except StopIteration as done:
                    self._end(tag, done.value)
                    break
                except Cut:
                    self._abort()
                if number % _STEPS_PER_FLUSH == 0:
                    await self._flush()
        finally:
            self._busy = False
        if self._session.compressed and self._deflater is None:
            await self._flush()
            self._deflater, self._inflater = Deflater(), Inflater()

    def _end(self, tag: str, answer: Answer) -> None:
        self._wire.send(TaggedResponse(tag, answer.status, answer.code, answer.text))

    def _begin_sasl(self, tag: str, command: Authenticate) -> None:
        if command.mechanism != "PLAIN" or "AUTH=PLAIN" in self._session.faults.missing:
            self._end(tag, Answer(Status.NO, "that mechanism is not offered", Code("CANNOT")))
        elif command.initial_response is None:
            self._wire.send(Continuation(""))
        else:
            try:
                self._finish_sasl(tag, decode_base64(command.initial_response))
            except RemoteProtocolError as error:
                self._end(tag, Answer(Status.BAD, error.message))

    def _finish_sasl(self, tag: str, data: bytes | None) -> None:
        if data is None:
            self._end(tag, Answer(Status.BAD, "cancelled"))
            return
        try:
            credentials = parse_plain(data)
        except RemoteProtocolError as error:
            self._end(tag, Answer(Status.BAD, error.message))
            return
        if credentials.authzid not in ("", credentials.username):
            self._end(tag, Answer(Status.NO, "nobody may act for another", Code("AUTHORIZATIONFAILED")))
            return
        self._end(tag, log_in(self._session, credentials.username, credentials.password))

    # -- IDLE --------------------------------------------------------------------------------------

    def _begin_idle(self, tag: str) -> None:
        if not self._session.has("IDLE"):
            self._end(tag, Answer(Status.BAD, "IDLE is not offered"))
            return
        self._wire.send(Continuation("idling"))
        tell_news(self._session, expunges=True)
        self._stop_listening = self._session.listen(self._on_change)

    def _end_idle(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def _on_change(self) -> None:
        """The mailbox has changed: tell soon, so that changes of the same moment go out together."""
        if not self._news_due:
            self._news_due = True
            asyncio.get_running_loop().call_soon(self._tell_unasked)

    def _tell_unasked(self) -> None:
        """What IDLE or NOTIFY want to hear at once. A command under way tells its own news at its end."""
        self._news_due = False
        if self._withheld is not None or self._busy or self._writer.transport.is_closing():
            return
        tell_news(self._session, expunges=self._stop_listening is not None or tells_expunges_at_once(self._session))
        self._write_queued()
        if self._writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            self._writer.transport.abort()

    # -- out ---------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        if self._withheld is not None:
            return
        self._write_queued()
        if self._writer.transport.is_closing():
            raise _Closing
        async with asyncio.timeout(self._limits.write_seconds):
            await self._writer.drain()

    def _write_queued(self) -> None:
        """Hand everything queued to the transport, as far as a fault lets it."""
        data = b"".join(piece for piece in self._wire.data_to_send() if isinstance(piece, bytes))
        if self._deflater is not None:
            data = self._deflater.compress(data)
        allowed = self._session.faults.drop_after_bytes
        if allowed is not None and self._sent_bytes + len(data) >= allowed:
            self._writer.write(data[: max(0, allowed - self._sent_bytes)])
            self._writer.close()
            return
        self._sent_bytes += len(data)
        if data:
            self._writer.write(data)

    def _abort(self) -> None:
        self._writer.transport.abort()
        raise _Closing
