"""A small authoritative name server for tests, over UDP and TCP on loopback."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.servers.process import LOOPBACK

Zone = Mapping[tuple[str, str], Sequence[str]]


class DnsServer:
    """Answers from `zone`: (name, type) to records in the text form of RFC 1035, and NXDOMAIN for other names.

    A name in `silent` gets no answer, one in `broken` SERVFAIL, one in `truncated` its answer only over TCP.
    `asked` holds every question in its order.
    """

    def __init__(self, zone: Zone | None = None) -> None:
        self.zone = dict(zone or {})
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.truncated: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.address = ""
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    def answer(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        """The answer to a message, None for silence."""
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        records = self.zone.get((name, kind))
        if name in self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif name in self.truncated and not over_tcp:
            reply.flags |= dns.flags.TC
        elif records:
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, records))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each message behind its length in two bytes (RFC 1035 §4.2.2)."""
        try:
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            reply = self.answer(wire, over_tcp=True)
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # the client left
        finally:
            writer.close()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for attempt in itertools.count():
            self._tcp = await asyncio.start_server(self._serve_tcp, LOOPBACK, 0)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(LOOPBACK, port)
                )
                break
            except OSError:
                # The UDP port of that number is somebody else's.
                self._tcp.close()
                if attempt > 20:
                    raise
        self.address = f"{LOOPBACK}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._udp is not None and self._tcp is not None
        self._udp.close()
        self._tcp.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.answer(data, over_tcp=False)
        if reply is not None:
            self._transport.sendto(reply, addr)
