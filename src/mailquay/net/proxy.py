"""Reach a server through a proxy: SOCKS5 with or without a password, SOCKS4 and 4a, or HTTP CONNECT."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mailquay.errors import InvalidRequest, Unavailable
from mailquay.net.lookup import look_up
from mailquay.net.names import ascii_host, parse_address
from mailquay.net.stream import Stream
from mailquay.net.tls import TlsSettings, client_context

_DEFAULT_PORTS = {"socks5": 1080, "socks4": 1080, "socks4a": 1080, "http": 3128, "https": 443}
_SCHEMES = {"socks": "socks5", "socks5h": "socks5"} | {name: name for name in _DEFAULT_PORTS}
_MAX_ANSWER_BYTES = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")

# RFC 1928 §6, the reply field.
_SOCKS_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "the connection timed out",
    7: "command not supported",
    8: "address type not supported",
}


# The protocol of SOCKS 4 as published by NEC (no RFC), the second byte of a reply.
_SOCKS4_GRANTED = 90
_SOCKS4_REPLIES = {91: "refused or failed", 92: "it cannot reach our identd", 93: "our identd says another user"}


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where a proxy is and how to talk to it.

    `scheme` is "socks5", "socks4", "socks4a", "http" or "https" (TLS to the proxy).
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> ProxySettings:
        """Read `socks5://user:password@host:port` and its like; hosts are resolved by the proxy, but for `socks4`.

        Raises InvalidRequest, which does not repeat the URL: it may hold a password.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise InvalidRequest("The proxy address is not a URL") from error
        scheme = _SCHEMES.get(parts.scheme.lower())
        if scheme is None or not parts.hostname:
            raise InvalidRequest("The proxy address must look like socks5://host:port or http://host:port")
        return cls(
            scheme=scheme,
            host=ascii_host(parts.hostname),
            port=port or _DEFAULT_PORTS[scheme],
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


async def open_tunnel(stream: Stream, proxy: ProxySettings, host: str, port: int, *, timeout_seconds: float) -> None:
    """Ask `proxy`, to which `stream` is connected, for a connection to `host`:`port`.

    Reads not one byte more than the proxy's answer, so that a server's greeting stays in the stream. Raises
    Unavailable with the code EPROXY when the proxy refuses, ETIMEDOUT when it is too slow.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            if proxy.scheme == "https":
                await stream.start_tls(client_context(TlsSettings()), proxy.host, timeout_seconds)
            if proxy.scheme == "socks5":
                await _socks5(_Exchange(stream, timeout_seconds), proxy, host, port)
            elif proxy.scheme in ("socks4", "socks4a"):
                await _socks4(_Exchange(stream, timeout_seconds), proxy, host, port)
            else:
                await _http_connect(_Exchange(stream, timeout_seconds), proxy, host, port)
    except TimeoutError:
        raise Unavailable(f"The proxy did not answer within {timeout_seconds:g} s", code="ETIMEDOUT") from None


class _Exchange:
    """Exact reads and writes on a stream that ends early in no case silently."""

    def __init__(self, stream: Stream, timeout_seconds: float) -> None:
        self._stream = stream
        self._timeout_seconds = timeout_seconds

    async def send(self, data: bytes) -> None:
        await self._stream.write(data, self._timeout_seconds)

    async def receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            data = await self._stream.read(count - len(received), self._timeout_seconds)
            if not data:
                raise Unavailable("The proxy closed the connection before it answered", code="EPROXY")
            received += data
        return received


async def _socks5(exchange: _Exchange, proxy: ProxySettings, host: str, port: int) -> None:
    """RFC 1928 §3 to §6, with user and password by RFC 1929."""
    methods = b"\x00\x02" if proxy.user is not None else b"\x00"
    await exchange.send(b"\x05" + bytes([len(methods)]) + methods)
    version, method = await exchange.receive(2)
    if version != 5:
        raise Unavailable("The proxy does not speak SOCKS5", code="EPROXY")
    if method == 2 and proxy.user is not None:
        user, password = proxy.user.encode()[:255], (proxy.password or "").encode()[:255]
        await exchange.send(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        _, status = await exchange.receive(2)
        if status != 0:
            raise Unavailable("The proxy did not accept the user name and password", code="EPROXY")
    elif method != 0:
        raise Unavailable("The proxy wants a user name and password", code="EPROXY")
    await exchange.send(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    version, reply, _, kind = await exchange.receive(4)
    if version != 5 or reply != 0:
        reason = _SOCKS_REPLIES.get(reply, f"reply {reply}")
        raise Unavailable(f"The proxy could not connect to {host}:{port}: {reason}", code="EPROXY")
    length = {1: 4, 4: 16}.get(kind) or (await exchange.receive(1))[0]
    await exchange.receive(length + 2)


def _socks_address(host: str) -> bytes:
    address = parse_address(host)
    if address is not None:
        return (b"\x01" if address.version == 4 else b"\x04") + address.packed
    name = host.encode("ascii")
    return b"\x03" + bytes([len(name)]) + name


async def _socks4(exchange: _Exchange, proxy: ProxySettings, host: str, port: int) -> None:
    """SOCKS 4 knows IPv4 addresses only and no password; 4a takes a name behind an impossible address."""
    address, name = parse_address(host), b""
    if address is None and proxy.scheme == "socks4a":
        address, name = ipaddress.IPv4Address("0.0.0.1"), host.encode("ascii") + b"\x00"
    elif address is None:
        address = await _ipv4_address(host)
    if address.version != 4:
        raise Unavailable("The proxy speaks SOCKS 4, which does not know IPv6 addresses", code="EPROXY")
    user = (proxy.user or "").encode().replace(b"\x00", b"")[:255]
    await exchange.send(b"\x04\x01" + port.to_bytes(2, "big") + address.packed + user + b"\x00" + name)
    answer = await exchange.receive(8)
    if answer[0] != 0:
        raise Unavailable("The proxy does not speak SOCKS4", code="EPROXY")
    if answer[1] != _SOCKS4_GRANTED:
        reason = _SOCKS4_REPLIES.get(answer[1], f"reply {answer[1]}")
        raise Unavailable(f"The proxy could not connect to {host}:{port}: {reason}", code="EPROXY")


async def _ipv4_address(host: str) -> ipaddress.IPv4Address:
    try:
        found = await look_up(host, 0, family=socket.AF_INET)
    except (socket.gaierror, UnicodeError) as error:
        raise Unavailable(f"The host name {host} has no IPv4 address for a SOCKS 4 proxy", code="ENOTFOUND") from error
    return ipaddress.IPv4Address(found[0][4][0])


async def _http_connect(exchange: _Exchange, proxy: ProxySettings, host: str, port: int) -> None:
    """RFC 9110 §9.3.6: any 2xx answer makes the connection a tunnel."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.user is not None:
        credentials = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    await exchange.send("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = bytearray()
    while not answer.endswith((b"\r\n\r\n", b"\n\n")):
        if len(answer) >= _MAX_ANSWER_BYTES:
            raise Unavailable("The answer of the proxy is too long", code="EPROXY")
        answer += await exchange.receive(1)
    status = _STATUS_LINE.match(answer)
    if status is None:
        raise Unavailable("The proxy does not speak HTTP", code="EPROXY")
    if not status[1].startswith(b"2"):
        phrase = (status[2] or b"").decode("latin-1")[:100]
        raise Unavailable(
            f"The proxy could not connect to {authority}: {status[1].decode()} {phrase}".rstrip(), code="EPROXY"
        )
