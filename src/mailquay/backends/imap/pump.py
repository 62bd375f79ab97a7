"""Moves bytes between the IMAP core and a stream, hands events to whom they belong, and is where failures end up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import Final

from mailquay.backends.imap.channel import Channel
from mailquay.backends.imap.deflate_stream import DeflateStream
from mailquay.backends.imap.refusal import farewell
from mailquay.backends.imap.slot import CommandSlot, SlotEvent
from mailquay.backends.imap.traffic import Traffic
from mailquay.errors import LocalProtocolError, MailquayError, Unavailable
from mailquay.net.stream import Stream
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ClientEvent, ImapClient
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.limits import CLIENT_LIMITS, Limits
from mailquay.wire.imap.response import (
    Continuation,
    Greeting,
    LiteralChunk,
    LiteralEnd,
    LiteralStart,
    Status,
    TaggedResponse,
    UntaggedResponse,
    UntaggedStatus,
)
from mailquay.wire.imap.writer import Piece, StreamedMessage

_READ_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """Deadlines and bounds of one connection.

    `command_seconds` is the default for one command from its start to its tagged response, or, when streaming, between
    two events. `proof_seconds` is for answers that cost a living server nothing (NOOP, the end of an IDLE): one that
    takes longer counts as gone. `silence_seconds` is how long a connection may lie idle; servers hang up after 30
    minutes. `max_collected_bytes` bounds what one `execute` collects in memory.
    """

    greeting_seconds: float = 30.0
    command_seconds: float = 90.0
    proof_seconds: float = 25.0
    write_seconds: float = 60.0
    silence_seconds: float = 31 * 60.0
    logout_seconds: float = 2.0
    max_collected_bytes: int = 64 * 1024 * 1024
    limits: Limits = CLIENT_LIMITS


class Pump:
    """The reader task of one connection, its output, and the commands in flight."""

    def __init__(
        self,
        stream: Stream,
        options: DriverOptions,
        on_unsolicited: Callable[[UntaggedResponse], None] | None,
        traffic: Traffic,
    ) -> None:
        self.client = ImapClient(options.limits)
        self.stream = stream
        self.options = options
        self.error: MailquayError | None = None
        self.news: Channel[UntaggedResponse] | None = None
        """Where unclaimed responses go while an IDLE listens."""
        self.on_unsolicited = on_unsolicited
        """Who hears of unclaimed responses while no IDLE does."""
        self._traffic = traffic
        self._slots: dict[str, CommandSlot] = {}
        self._literal_slot: CommandSlot | None = None
        self._bodies: dict[StreamedMessage, AsyncIterable[bytes]] = {}
        self._send_lock = asyncio.Lock()
        self._write_lock = asyncio.Lock()
        self._settled = asyncio.Event()
        self._bye: UntaggedStatus | None = None
        self._reader: asyncio.Task[None] | None = None
        self._flushers: set[asyncio.Task[None]] = set()

    def start_reading(self) -> None:
        """From now on a task reads; `pull` must not be used any more."""
        self._reader = asyncio.create_task(self._read_loop())

    async def pull(self) -> ClientEvent:
        """The next event, read by the caller itself: before and during STARTTLS nobody may read ahead."""
        while (event := self.client.next_event()) is NEED_DATA:
            data = await self.stream.read(_READ_BYTES, self.options.greeting_seconds)
            if not data:
                raise farewell(self._bye)
            self._traffic.received_bytes += len(data)
            self.client.receive_data(data)
        if isinstance(event, UntaggedStatus) and event.status is Status.BYE:
            self._bye = event
        elif isinstance(event, TaggedResponse):
            self._traffic.ended(event)
        return event

    # Sending

    async def start(
        self,
        command: Command,
        send: Callable[[], str],
        *,
        channel: Channel[SlotEvent] | None = None,
        body: AsyncIterable[bytes] | None = None,
    ) -> CommandSlot:
        """Wait until the command may join those in flight, and send it; first come, first served."""
        message = getattr(command, "message", None)
        if isinstance(message, StreamedMessage) is (body is None):
            raise LocalProtocolError("a StreamedMessage needs a body, and only that")
        async with self._send_lock:
            while self._slots and not self.client.can_send(command) and self.error is None:
                self._settled.clear()
                await self._settled.wait()
            self.raise_error()
            tag = send()
            slot = CommandSlot(command, channel, self.options.max_collected_bytes)
            self._slots[tag] = slot
        if isinstance(message, StreamedMessage) and body is not None:
            self._bodies[message] = body
            slot.done.add_done_callback(lambda _: self._bodies.pop(message, None) and None)
        try:
            await self.flush()
        except asyncio.CancelledError:
            # Part of the command may be out, or go out later: nobody would know what became of it.
            self.fail(Unavailable(f"sending {command.wire_name} was interrupted", code="ECONNRESET"))
            raise
        return slot

    async def flush(self) -> None:
        """Write what the core has ready; a failure closes the connection."""
        async with self._write_lock:
            try:
                await self._write(self.client.data_to_send())
            except MailquayError as error:
                self.fail(error)
                raise

    async def _write(self, pieces: list[Piece]) -> None:
        pending: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, StreamedMessage):
                await self._write_bytes(b"".join(pending))
                pending = []
                await self._write_body(piece)
            else:
                pending.append(piece)
        await self._write_bytes(b"".join(pending))

    async def _write_bytes(self, data: bytes) -> None:
        for start in range(0, len(data), _WRITE_BYTES):
            await self.stream.write(data[start : start + _WRITE_BYTES], self.options.write_seconds)
        self._traffic.sent_bytes += len(data)

    async def _write_body(self, message: StreamedMessage) -> None:
        left = message.size_bytes
        try:
            async for chunk in self._bodies[message]:
                left -= len(chunk)
                if left < 0:
                    raise LocalProtocolError(f"the body is longer than the {message.size_bytes} bytes announced")
                await self._write_bytes(chunk)
        except MailquayError:
            raise
        except Exception as error:
            raise MailquayError(f"the body to send could not be read: {error!r}") from error
        if left:
            raise LocalProtocolError(f"the body ends {left} bytes before its announced size")

    def _flush_soon(self) -> None:
        """Write without holding up the reader: a server may wait for us to read before it reads more itself."""
        task = asyncio.create_task(self._flush_quietly())
        self._flushers.add(task)
        task.add_done_callback(self._flushers.discard)

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except MailquayError as error:
            # `flush` has told every waiter; this only keeps it from being told twice.
            self.fail(error)

    # Receiving

    async def _read_loop(self) -> None:
        try:
            while True:
                data = await self.stream.read(_READ_BYTES, self.options.silence_seconds)
                if not data:
                    raise farewell(self._bye)
                self._traffic.received_bytes += len(data)
                for slot in self._slots.values():
                    slot.received(len(data))
                self.client.receive_data(data)
                while (event := self.client.next_event()) is not NEED_DATA:
                    if isinstance(event, FetchResponse) and self._collect(event):
                        continue
                    await self._dispatch(event)
        except MailquayError as error:
            self.fail(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            bug = MailquayError(f"reading from the server failed: {error!r}")
            bug.__cause__ = error
            self.fail(bug)
        finally:
            await self.stream.aclose()

    def _collect(self, row: FetchResponse) -> bool:
        """Take the short way with a row for the oldest command, if that collects: syncs bring them by the million."""
        for slot in self._slots.values():
            return slot.command.claims(row) and slot.collect(row)
        return False

    async def _dispatch(self, event: ClientEvent) -> None:
        match event:
            case TaggedResponse():
                self._traffic.ended(event)
                slot = self._slots.pop(event.tag)
                if isinstance(slot.command, Compress) and event.status is Status.OK:
                    # Before anything else is read: the next byte may be compressed already.
                    self.stream = DeflateStream(self.stream, self.client.compression_started())
                self._settled.set()
                await slot.finish(event)
                self._flush_soon()
            case Continuation():
                self._settled.set()
                self._flush_soon()
            case LiteralStart(seq, uid):
                self._literal_slot = self._claimant(FetchResponse(seq, uid))
                await self._deliver_literal(event)
            case LiteralChunk() | LiteralEnd():
                await self._deliver_literal(event)
            case Greeting():
                raise LocalProtocolError("greeted twice")
            case _:
                await self._dispatch_untagged(event)

    async def _deliver_literal(self, event: LiteralStart | LiteralChunk | LiteralEnd) -> None:
        if self._literal_slot is not None:
            await self._literal_slot.deliver(event)

    def _claimant(self, response: UntaggedResponse) -> CommandSlot | None:
        return next((slot for slot in self._slots.values() if slot.command.claims(response)), None)

    async def _dispatch_untagged(self, event: UntaggedResponse) -> None:
        if isinstance(event, UntaggedStatus) and event.status is Status.BYE:
            self._bye = event
        slot = self._claimant(event)
        if slot is not None:
            await slot.deliver(event)
        elif self.news is not None:
            await self.news.put(event)
        elif self.on_unsolicited is not None:
            self.on_unsolicited(event)

    async def wait_for_idle(self, timeout_seconds: float, slot: CommandSlot) -> None:
        """Wait until the server has confirmed the IDLE in `slot`, or ended it. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while not self.client.idle_confirmed and not slot.done.done():
                self._settled.clear()
                await self._settled.wait()

    # Failing

    def raise_error(self) -> None:
        """Raise what ended the connection, if something has."""
        if self.error is not None:
            raise self.error

    def fail(self, error: MailquayError) -> None:
        """End the connection: the first error wins and reaches everyone who waits."""
        if self.error is not None:
            return
        self.error = error
        for slot in self._slots.values():
            slot.fail(error)
        self._slots.clear()
        if self.news is not None:
            self.news.fail(error)
        self._settled.set()
        current = asyncio.current_task()
        for task in (*self._flushers, self._reader):
            if task is not None and task is not current:
                task.cancel()

    async def aclose(self) -> None:
        """Fail what is in flight and close the stream; may be called twice."""
        self.fail(Unavailable("the connection was closed", code="ECONNRESET"))
        current = asyncio.current_task()
        tasks = [task for task in (*self._flushers, self._reader) if task is not None and task is not current]
        if tasks:
            await asyncio.wait(tasks)
        await self.stream.aclose()
