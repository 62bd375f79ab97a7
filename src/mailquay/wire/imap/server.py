"""The server's half of an IMAP connection, without any input or output (RFC 9051).

    server = ImapServer()
    server.send(Greeting(Status.OK, None, "ready"))
    server.receive_data(await read())
    while (event := server.next_event()) is not NEED_DATA:
        match event:
            case CommandReceived(tag, command): ...; server.send(TaggedResponse(tag, Status.OK, None, "done"))
            case BadCommand(response=response): server.send(response)
        for piece in server.data_to_send(): ...

Answer each command before asking for the next event: what a command means depends on the state the last one led to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA, NeedData
from mailquay.wire.imap.client_state import State, uses_sequence_numbers
from mailquay.wire.imap.command import Authenticate, Command
from mailquay.wire.imap.command_parser import UnknownCommand, read_command
from mailquay.wire.imap.command_search import CHARSETS, BadCharset
from mailquay.wire.imap.fragment import Fragmenter, LiteralAnnounced, LiteralPiece, Message
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.limits import SERVER_LIMITS, Limits
from mailquay.wire.imap.response import (
    Continuation,
    EnabledResponse,
    Greeting,
    Response,
    Status,
    TaggedResponse,
    UntaggedStatus,
    write_response,
)
from mailquay.wire.imap.response_code import BadCharsetCode, Code, ResponseCode
from mailquay.wire.imap.server_state import AFTER_COMMAND, AFTER_CONTINUATION, Reading, after_tagged, is_allowed
from mailquay.wire.imap.writer import LiteralMode, Piece, Writer
from mailquay.wire.sasl import decode_base64

_TAG = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}) ")
_APPEND = re.compile(rb"[^ ]{1,255} (?:APPEND|(?:UID )?REPLACE) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A well-formed command in a state that allows it."""

    tag: str
    command: Command


@dataclass(frozen=True, slots=True)
class BadCommand:
    """A command that cannot be carried out: send `response`. `reason` is for the log."""

    response: TaggedResponse | UntaggedStatus
    reason: str


@dataclass(frozen=True, slots=True)
class SaslResponse:
    """The client's answer during AUTHENTICATE, decoded; None when it cancels with `*` (RFC 9051 §6.2.2)."""

    tag: str
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdleDone:
    """The client ends its IDLE."""

    tag: str


ServerEvent = CommandReceived | BadCommand | SaslResponse | IdleDone


class ImapServer:
    """One connection's state.

    `next_event` raises RemoteProtocolError when the client crosses a limit so that framing is lost: send BYE and close.
    `send` raises LocalProtocolError for answers that cannot be written or answer nothing. With `rewrite`, which gets
    each response and its bytes, a server can be made to write otherwise than it should.
    """

    def __init__(
        self, limits: Limits = SERVER_LIMITS, *, rewrite: Callable[[Response, bytes], bytes] | None = None
    ) -> None:
        self.state = State.GREETING
        self.enabled: frozenset[str] = frozenset()
        self.leniencies: set[Leniency] = set()
        self.bad_commands = 0
        """How many commands so far made no sense; a listener gives up on clients that send only such."""
        self._limits = limits
        self._fragmenter = Fragmenter(limits, may_stream=lambda _: False, announce=True)
        self._reading = Reading.COMMAND
        self._pending: dict[str, Command] = {}
        self._current_tag = ""
        self._rewrite = rewrite
        self._out: list[Piece] = []

    @property
    def utf8(self) -> bool:
        """Whether mailbox names and quoted strings are UTF-8 (RFC 9755 §3, RFC 9051 §5.1)."""
        return not self.enabled.isdisjoint({"UTF8=ACCEPT", "IMAP4REV2"})

    @property
    def speaks_rev2(self) -> bool:
        """Whether the client has asked for the answers of IMAP4rev2 (RFC 9051 §6.3.1)."""
        return "IMAP4REV2" in self.enabled

    # What the client sends

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._fragmenter.receive(data)

    def next_event(self) -> ServerEvent | NeedData:
        """The next event; NEED_DATA also while the client must wait for our answer."""
        if self._reading is Reading.ANSWER or self.state in (State.GREETING, State.LOGOUT):
            return NEED_DATA
        if self._reading is not Reading.COMMAND:
            line = self._fragmenter.take_line()
            return NEED_DATA if line is None else self._answer_line(line)
        while (fragment := self._fragmenter.next()) is not NEED_DATA:
            if isinstance(fragment, Message):
                return self._command(fragment)
            if isinstance(fragment, LiteralAnnounced):
                refused = self._literal(fragment)
                if refused is not None:
                    return refused
            elif isinstance(fragment, LiteralPiece):
                raise LocalProtocolError("a server does not stream literals")
        return NEED_DATA

    def _literal(self, announced: LiteralAnnounced) -> BadCommand | None:
        """Invite a literal, or refuse one that is too large for its command."""
        is_append = _APPEND.match(announced.head) is not None and self.state is not State.NOT_AUTHENTICATED
        limit = self._limits.max_buffered_literal_bytes if is_append else self._limits.max_line_bytes
        if announced.size_bytes <= limit:
            if announced.synchronising:
                self._out.append(b"+ go ahead\r\n")
            return None
        if not announced.synchronising:
            raise RemoteProtocolError(f"literal of {announced.size_bytes} bytes, the limit is {limit}")
        self._fragmenter.abandon()
        text = f"literals may have up to {limit} bytes"
        return self._bad(announced.head, Status.NO, Code("TOOBIG"), text, text)

    def _command(self, message: Message) -> CommandReceived | BadCommand:
        data = message.data
        match = _TAG.match(data)
        if match is None:
            return self._bad(data, Status.BAD, None, "a command needs a tag and a name", f"no tag: {data[:40]!r}")
        reader = Reader(data, pos=match.end(), limits=self._limits, leniencies=self.leniencies, utf8=self.utf8)
        try:
            command = read_command(reader)
        except BadCharset as error:
            code = BadCharsetCode(CHARSETS)
            return self._bad(data, Status.NO, code, "that charset is not supported", f"charset {error}")
        except UnknownCommand as error:
            return self._bad(data, Status.BAD, None, "unknown command", error.message)
        except (RemoteProtocolError, LocalProtocolError) as error:
            return self._bad(data, Status.BAD, None, "the arguments cannot be read", error.message)
        if not is_allowed(self.state, command):
            text = f"{command.wire_name} is not allowed now"
            return self._bad(data, Status.BAD, None, text, f"{text}: {self.state.value}")
        if "UIDONLY" in self.enabled and uses_sequence_numbers(command):
            text = "name messages by their UIDs"
            return self._bad(data, Status.BAD, Code("UIDREQUIRED"), text, f"{text}: {command.wire_name}")
        tag = match.group(1).decode("ascii")
        self._pending[tag] = command
        self._current_tag = tag
        self._reading = AFTER_COMMAND.get(type(command), Reading.COMMAND)
        return CommandReceived(tag, command)

    def _bad(self, data: bytes, status: Status, code: ResponseCode | None, text: str, reason: str) -> BadCommand:
        self.bad_commands += 1
        match = _TAG.match(data)
        if match is None:
            return BadCommand(UntaggedStatus(Status.BAD, code, text), reason)
        return BadCommand(TaggedResponse(match.group(1).decode("ascii"), status, code, text), reason)

    def _answer_line(self, line: bytes) -> SaslResponse | IdleDone | BadCommand:
        tag = self._current_tag
        if self._reading is Reading.DONE:
            self._reading = Reading.ANSWER
            if line.strip().upper() == b"DONE":
                return IdleDone(tag)
            return self._end_badly(tag, "expected DONE")
        self._reading = Reading.ANSWER
        if line == b"*":
            return SaslResponse(tag, None)
        try:
            return SaslResponse(tag, decode_base64(line))
        except RemoteProtocolError:
            return self._end_badly(tag, "the SASL response is not base64")

    def _end_badly(self, tag: str, text: str) -> BadCommand:
        self.bad_commands += 1
        return BadCommand(TaggedResponse(tag, Status.BAD, None, text), text)

    def tls_started(self) -> int:
        """Forget plaintext received after STARTTLS; returns how many bytes that was (RFC 9051 §6.2.1)."""
        return self._fragmenter.clear()

    def release(self) -> bytes:
        """Give up parsing and return the bytes not yet parsed, for a proxy that passes everything on from here."""
        return self._fragmenter.release()

    # What we send

    def send(self, response: Response) -> None:
        """Queue a response and follow what it changes."""
        writer = Writer(LiteralMode.SERVER, utf8=self.utf8)
        write_response(writer, response)
        self._follow(response)
        pieces = [piece for segment in writer.finish() for piece in segment]
        if self._rewrite is not None and all(isinstance(piece, bytes) for piece in pieces):
            pieces = [self._rewrite(response, b"".join(piece for piece in pieces if isinstance(piece, bytes)))]
        self._out.extend(pieces)

    def _follow(self, response: Response) -> None:
        match response:
            case Greeting(status):
                if self.state is not State.GREETING:
                    raise LocalProtocolError("the client has been greeted already")
                self.state = {Status.OK: State.NOT_AUTHENTICATED, Status.PREAUTH: State.AUTHENTICATED}.get(
                    status, State.LOGOUT
                )
            case TaggedResponse(tag, status):
                command = self._pending.pop(tag, None)
                if command is not None:
                    self.state = after_tagged(self.state, command, status)
                if tag == self._current_tag:
                    self._reading = Reading.COMMAND
            case Continuation():
                command = self._pending.get(self._current_tag)
                if not isinstance(command, Authenticate | Idle):
                    raise LocalProtocolError("nothing to continue")
                self._reading = AFTER_CONTINUATION[type(command)]
            case EnabledResponse(names):
                self.enabled |= names

    def data_to_send(self) -> list[Piece]:
        """Take what is ready for the wire. A StreamedMessage among it stands for bytes that the caller supplies."""
        pieces, self._out = self._out, []
        return pieces
