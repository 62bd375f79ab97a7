"""One command in flight: where its responses go until the tagged one ends it."""

from __future__ import annotations

import asyncio
from typing import Final

from mailquay.backends.imap.channel import Channel
from mailquay.errors import MailquayError, RemoteProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import LiteralChunk, LiteralEnd, LiteralStart, TaggedResponse, UntaggedResponse

StreamingEvent = UntaggedResponse | LiteralStart | LiteralChunk | LiteralEnd
SlotEvent = StreamingEvent | TaggedResponse
_ROWS_WAITING: Final = 256
_SMALL_BYTES: Final = 4096


class Run(list[StreamingEvent]):
    """Events that came together. `size_bytes` is about what they took on the wire."""

    __slots__ = ("size_bytes",)

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes


class CommandSlot:
    """Collects the responses of one command, or passes them on through `channel`.

    A streamed body that nobody streams is put back into its FetchResponse. What is collected may come to
    `max_collected_bytes` on the wire, bodies and all.
    """

    def __init__(self, command: Command, channel: Channel[SlotEvent] | None, max_collected_bytes: int) -> None:
        self.command = command
        self.channel = channel
        self.done: asyncio.Future[TaggedResponse] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(_mark_retrieved)
        self.untagged: list[UntaggedResponse] = []
        self._abandoned = False
        self._max_collected_bytes = max_collected_bytes
        self._bodies: list[list[bytes]] = []
        self._received_bytes = 0

    def received(self, count: int) -> None:
        """So many bytes came while the command is in flight.

        Raises RemoteProtocolError when more is to be collected than allowed: no answer may fill the memory.
        """
        if self.channel is not None:
            self.channel.weigh(count)
        elif self.untagged or self._bodies:
            self._received_bytes += count
            if self._received_bytes > self._max_collected_bytes:
                raise RemoteProtocolError(f"more than {self._max_collected_bytes} bytes in one answer")

    def collect(self, row: FetchResponse) -> bool:
        """Take a row without waiting, if there is room for it and nothing has to be put into it."""
        if self._abandoned or self._bodies:
            return False
        if self.channel is not None:
            # Rows with large bodies wait for their turn.
            small = sum(section.size_bytes for section in row.sections) <= _SMALL_BYTES
            return small and self.channel.offer(row, _ROWS_WAITING)
        self.untagged.append(row)
        return True

    async def deliver(self, event: StreamingEvent) -> None:
        """Take one event. Waits while the consumer of a channel is slow."""
        if self._abandoned:
            return
        if self.channel is not None:
            await self.channel.put(event)
            return
        match event:
            case LiteralStart():
                self._bodies.append([])
            case LiteralChunk(data):
                self._bodies[-1].append(data)
            case LiteralEnd():
                pass
            case FetchResponse():
                self.untagged.append(self._with_bodies(event) if self._bodies else event)
            case _:
                self.untagged.append(event)

    def _with_bodies(self, response: FetchResponse) -> FetchResponse:
        bodies = iter(self._bodies)
        sections = tuple(
            section._replace(data=b"".join(next(bodies))) if section.data is None and section.size_bytes else section
            for section in response.sections
        )
        self._bodies = []
        return response._replace(sections=sections)

    async def finish(self, response: TaggedResponse) -> None:
        """Take the tagged response that ends the command."""
        if self.channel is not None and not self._abandoned:
            await self.channel.put(response)
        if not self.done.done():
            self.done.set_result(response)

    def fail(self, error: MailquayError) -> None:
        """The connection is gone."""
        if self.channel is not None:
            self.channel.fail(error)
        if not self.done.done():
            self.done.set_exception(error)

    def abandon(self) -> None:
        """Nobody waits for this command any more: drop what still comes."""
        self._abandoned = True
        self.untagged = []
        self._bodies = []
        if self.channel is not None:
            self.channel.discard()


def _mark_retrieved(future: asyncio.Future[TaggedResponse]) -> None:
    """A command that was abandoned has nobody to read its failure; every other one raises it where it is awaited."""
    if not future.cancelled():
        future.exception()
