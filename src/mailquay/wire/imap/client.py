"""The client's half of an IMAP connection, without any input or output (RFC 9051).

    client = ImapClient()
    client.receive_data(await read())           # bytes in
    while (event := client.next_event()) is not NEED_DATA: ...
    tag = client.send(Noop())                   # a command
    for piece in client.data_to_send(): ...     # bytes out; call again after every event

Large body sections come as LiteralStart, LiteralChunk…, LiteralEnd, followed by their FetchResponse, in which that
section has a size and no data. Small ones are inside the FetchResponse.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA, NeedData
from mailquay.wire.imap.capability import speaks_only_rev2
from mailquay.wire.imap.client_state import ALLOWED_STATES, State, may_join, state_after, uses_sequence_numbers
from mailquay.wire.imap.command import Authenticate, Command, Login, StartTls
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.command_message import Copy
from mailquay.wire.imap.fetch import FetchResponse, may_stream, read_streamed_head
from mailquay.wire.imap.fetch_line import SYNC_LINE, sync_line_response
from mailquay.wire.imap.fragment import Fragmenter, LiteralAnnounced, LiteralPiece, Message
from mailquay.wire.imap.idle import DONE, Idle
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.limits import CLIENT_LIMITS, Limits
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import (
    CapabilityResponse,
    Continuation,
    EnabledResponse,
    Greeting,
    LiteralChunk,
    LiteralEnd,
    LiteralStart,
    Status,
    TaggedResponse,
    UntaggedResponse,
    UntaggedStatus,
    read_response,
)
from mailquay.wire.imap.response_code import CapabilityCode
from mailquay.wire.imap.uidplus import CopyUid
from mailquay.wire.imap.writer import LiteralMode, Piece, Segment, Writer
from mailquay.wire.sasl import SaslClient, decode_base64, encode_base64

ClientEvent = Greeting | UntaggedResponse | TaggedResponse | Continuation | LiteralStart | LiteralChunk | LiteralEnd


@dataclass(slots=True)
class _InFlight:
    """A command without its tagged response. `segments` are the parts that wait for leave to be sent."""

    tag: str
    command: Command
    segments: deque[Segment]
    sasl: SaslClient | None = None
    started: bool = False


@dataclass(slots=True)
class _Idling:
    """How far an IDLE is: `confirmed` by the server, `ending` wanted by us, `ended` when DONE is out."""

    confirmed: bool = False
    ending: bool = False
    ended: bool = field(default=False)


class ImapClient:
    """One connection's state. Methods that take from the peer raise RemoteProtocolError, the others LocalProtocolError.

    After an error of either kind from `next_event` the connection is of no more use.
    """

    def __init__(self, limits: Limits = CLIENT_LIMITS, *, tag_prefix: str = "A") -> None:
        self.state = State.GREETING
        self.capabilities: frozenset[str] | None = None
        """What the server offers; None when that is unknown, as after STARTTLS."""
        self.enabled: frozenset[str] = frozenset()
        self.utf8 = False
        """Whether mailbox names and quoted strings are UTF-8 (RFC 9755 §3, RFC 9051 §5.1)."""
        self.selected: MailboxArgument | None = None
        self.leniencies: set[Leniency] = set()
        """Every leniency that this server has made necessary so far."""
        self._limits = limits
        self._fragmenter = Fragmenter(limits, may_stream=may_stream)
        self._tag_prefix = tag_prefix
        self._tag_number = 0
        self._in_flight: dict[str, _InFlight] = {}
        self._queue: deque[_InFlight] = deque()
        self._out: list[Piece] = []
        self._idling: _Idling | None = None
        self._untagged = 0
        self._literal_bytes = 0
        self._literal_over = False
        self._expects_lines = False
        self._told_capabilities = False

    # What the peer sends

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server; `next_event` then tells what they mean."""
        self._fragmenter.receive(data)

    def next_event(self) -> ClientEvent | NeedData:
        """The next event, or NEED_DATA.

        Raises RemoteProtocolError when the server breaks the framing, crosses a limit or answers what was not asked.
        """
        if self._expects_lines:
            groups = self._fragmenter.take_match(SYNC_LINE)
            if groups is not None:
                self._count_untagged()
                return sync_line_response(groups, self.leniencies)
        if self._literal_over:
            self._literal_over = False
            return LiteralEnd(self._literal_bytes)
        fragment = self._fragmenter.next()
        if isinstance(fragment, Message):
            return self._response(fragment)
        if fragment is NEED_DATA:
            return NEED_DATA
        if isinstance(fragment, LiteralPiece):
            return self._literal_piece(fragment)
        return self._literal_start(fragment)

    def _reader(self, message: Message) -> Reader:
        return Reader(message.data, 0, self._limits, self.leniencies, message.streamed, self.utf8)

    def _response(self, message: Message) -> ClientEvent | NeedData:
        response = read_response(self._reader(message))
        if self.state is State.GREETING:
            return self._greet(response)
        if isinstance(response, FetchResponse):
            self._count_untagged()
            self._expects_lines = response.envelope is None
        elif isinstance(response, TaggedResponse):
            self._finish(response)
        elif isinstance(response, Continuation):
            self._continue(response)
        else:
            self._untagged_response(response)
        return response

    def _greet(self, response: UntaggedResponse | TaggedResponse | Continuation) -> Greeting:
        if not isinstance(response, UntaggedStatus) or response.status in (Status.NO, Status.BAD):
            raise RemoteProtocolError("the server does not greet like an IMAP server")
        self.state = {
            Status.OK: State.NOT_AUTHENTICATED,
            Status.PREAUTH: State.AUTHENTICATED,
            Status.BYE: State.LOGOUT,
        }[response.status]
        if isinstance(response.code, CapabilityCode):
            self._learn_capabilities(response.code.names)
        return Greeting(response.status, response.code, response.text)

    def _count_untagged(self) -> None:
        self._untagged += 1
        if self._untagged > self._limits.max_untagged_responses_per_command and self._idling is None:
            raise RemoteProtocolError(f"more than {self._limits.max_untagged_responses_per_command} untagged responses")

    def _untagged_response(self, response: UntaggedResponse) -> None:
        self._count_untagged()
        if self._awaits_continuation():
            self.leniencies.add(Leniency.UNTAGGED_BEFORE_CONTINUATION)
        if isinstance(response, CapabilityResponse):
            self._learn_capabilities(response.names)
        elif isinstance(response, EnabledResponse):
            self.enabled |= response.names
            self.utf8 = self.utf8 or not self.enabled.isdisjoint({"UTF8=ACCEPT", "IMAP4REV2"})
        elif isinstance(response, UntaggedStatus):
            if isinstance(response.code, CapabilityCode):
                self._learn_capabilities(response.code.names)
            elif isinstance(response.code, CopyUid) and self._is_in_flight(Copy):
                self.leniencies.add(Leniency.COPYUID_UNTAGGED)

    def _learn_capabilities(self, names: frozenset[str]) -> None:
        self.capabilities = names
        self.utf8 = self.utf8 or speaks_only_rev2(names)
        self._told_capabilities = True

    def _is_in_flight(self, kind: type[Command]) -> bool:
        return any(isinstance(entry.command, kind) for entry in self._in_flight.values())

    def _awaits_continuation(self) -> bool:
        if self._idling is not None:
            return not self._idling.confirmed
        return bool(self._queue) and self._queue[0].started

    def _finish(self, response: TaggedResponse) -> None:
        entry = self._in_flight.pop(response.tag, None)
        if entry is None:
            raise RemoteProtocolError(f"tagged response {response.tag[:20]!r} answers no command")
        self._untagged = 0
        command = entry.command
        if isinstance(response.code, CapabilityCode):
            self._learn_capabilities(response.code.names)
        if response.status is Status.OK:
            if entry.sasl is not None and not entry.sasl.complete:
                raise RemoteProtocolError(f"{entry.sasl.name} ended before the server proved its identity")
            if isinstance(command, Login | Authenticate | StartTls) and not self._told_capabilities:
                self.capabilities = None
        self.state = state_after(self.state, command, response.status)
        if isinstance(command, Select):
            self.selected = command.mailbox if self.state is State.SELECTED else None
        elif self.state is not State.SELECTED:
            self.selected = None
        if isinstance(command, Idle):
            self._idling = None
        if entry in self._queue:
            self._queue.remove(entry)
        self._pump()

    def _continue(self, response: Continuation) -> None:
        if self._idling is not None and not self._idling.confirmed:
            self._idling.confirmed = True
            if self._idling.ending:
                self._write_done(self._idling)
            return
        if self._queue and self._queue[0].started:
            self._out.extend(self._queue[0].segments.popleft())
            if not self._queue[0].segments:
                self._queue.popleft()
            self._pump()
            return
        for entry in self._in_flight.values():
            if entry.sasl is not None:
                answer = entry.sasl.step(decode_base64(response.text.encode()))
                self._out.append(encode_base64(answer) + b"\r\n")
                return
        if self._idling is None:
            raise RemoteProtocolError("continuation request that nothing waits for")

    def _literal_start(self, announced: LiteralAnnounced) -> LiteralStart:
        if self.state is State.GREETING:
            raise RemoteProtocolError("the server does not greet like an IMAP server")
        head = announced.head
        reader = self._reader(Message(head, {len(head): announced.size_bytes}))
        seq, uid, section = read_streamed_head(reader)
        self._literal_bytes = announced.size_bytes
        return LiteralStart(seq, uid, section)

    def _literal_piece(self, piece: LiteralPiece) -> LiteralChunk:
        self._literal_over = piece.last
        return LiteralChunk(piece.data)

    # What we send

    @property
    def idle_confirmed(self) -> bool:
        """Whether an IDLE is in flight and the server has agreed to it."""
        return self._idling is not None and self._idling.confirmed

    @property
    def auth_mechanisms(self) -> frozenset[str]:
        """The SASL mechanisms on offer."""
        return frozenset(name[5:] for name in self.capabilities or () if name.startswith("AUTH="))

    @property
    def in_flight(self) -> tuple[tuple[str, Command], ...]:
        """Tags and commands that wait for their tagged response, oldest first."""
        return tuple((entry.tag, entry.command) for entry in self._in_flight.values())

    def has_capability(self, name: str) -> bool:
        """Whether the server is known to offer `name` (upper case)."""
        return self.capabilities is not None and name in self.capabilities

    def can_send(self, command: Command) -> bool:
        """Whether the command may go out now, next to those in flight."""
        return self.state in ALLOWED_STATES[type(command)] and may_join(
            command, [entry.command for entry in self._in_flight.values()]
        )

    def send(self, command: Command) -> str:
        """Queue a command and return its tag.

        Raises LocalProtocolError in the wrong state, next to commands it would be confused with, for arguments
        that must not reach the wire, and for LOGIN where the server forbids it.
        """
        if isinstance(command, Authenticate):
            raise LocalProtocolError("AUTHENTICATE goes through authenticate()")
        if isinstance(command, Login) and self.has_capability("LOGINDISABLED"):
            raise LocalProtocolError("the server forbids LOGIN here (LOGINDISABLED)")
        return self._send(command, None)

    def authenticate(self, mechanism: SaslClient) -> str:
        """Queue AUTHENTICATE and return its tag; challenges are answered as they come.

        The initial response goes with the command where the server knows SASL-IR (RFC 4959 §3).
        """
        initial: bytes | None = None
        if self.has_capability("SASL-IR"):
            first = mechanism.initial_response()
            initial = None if first is None else encode_base64(first)
        return self._send(Authenticate(mechanism.name, initial), mechanism)

    def _send(self, command: Command, sasl: SaslClient | None) -> str:
        if self.state not in ALLOWED_STATES[type(command)]:
            raise LocalProtocolError(f"{command.wire_name} is not allowed in state {self.state.value}")
        if not may_join(command, [entry.command for entry in self._in_flight.values()]):
            raise LocalProtocolError(f"{command.wire_name} cannot join the commands in flight")
        if "UIDONLY" in self.enabled and uses_sequence_numbers(command):
            raise LocalProtocolError(f"{command.wire_name} by sequence numbers after ENABLE UIDONLY")
        tag = f"{self._tag_prefix}{self._tag_number + 1}"
        writer = Writer(self._literal_mode(), utf8=self.utf8)
        writer.raw(tag.encode("ascii") + b" ")
        command.write(writer)
        entry = _InFlight(tag, command, deque(writer.finish()), sasl)
        self._tag_number += 1
        self._in_flight[tag] = entry
        self._queue.append(entry)
        self._told_capabilities = False
        if isinstance(command, Idle):
            self._idling = _Idling()
        self._pump()
        return tag

    def _literal_mode(self) -> LiteralMode:
        if self.has_capability("LITERAL+"):
            return LiteralMode.WITHOUT_PAUSE
        if self.has_capability("LITERAL-"):
            return LiteralMode.SMALL_WITHOUT_PAUSE
        return LiteralMode.SYNCHRONISING

    def _pump(self) -> None:
        """Move segments to the output until one has to wait for the server."""
        while self._queue and not self._queue[0].started:
            entry = self._queue[0]
            self._out.extend(entry.segments.popleft())
            if entry.segments:
                entry.started = True
                return
            self._queue.popleft()

    def end_idle(self) -> None:
        """Send DONE, at once or as soon as the server has confirmed the IDLE.

        Raises LocalProtocolError when no IDLE is in flight.
        """
        if self._idling is None:
            raise LocalProtocolError("no IDLE to end")
        self._idling.ending = True
        if self._idling.confirmed and not self._idling.ended:
            self._write_done(self._idling)

    def _write_done(self, idling: _Idling) -> None:
        idling.ended = True
        self._out.append(DONE)

    def data_to_send(self) -> list[Piece]:
        """Take what is ready for the wire. A StreamedMessage among it stands for bytes that the driver supplies."""
        pieces, self._out = self._out, []
        return pieces

    def compression_started(self) -> bytes:
        """Hand over what has come behind the tagged OK of COMPRESS: it is compressed already (RFC 4978 §3)."""
        return self._fragmenter.release()

    def tls_started(self) -> int:
        """Forget all plaintext received and everything learnt from it, now that STARTTLS has succeeded.

        Returns the number of bytes dropped: more than 0 means that somebody tried to inject responses
        (RFC 9051 §6.2.1).
        """
        self.capabilities = None
        return self._fragmenter.clear()
