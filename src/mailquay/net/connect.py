"""Open a connection to a mail server: resolve, race the addresses, go through a proxy, start TLS."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest

from mailquay.errors import InvalidRequest, RemoteProtocolError, Unavailable
from mailquay.net.local_address import ANYWHERE, LocalAddresses
from mailquay.net.lookup import look_up
from mailquay.net.names import ascii_host
from mailquay.net.proxy import ProxySettings, open_tunnel
from mailquay.net.stream import Stream, TransportStream
from mailquay.net.tls import TlsSettings, client_context, no_tls_at_once

_NEXT_ATTEMPT_SECONDS = 0.25
_ADDRESSES_TRIED = 8
_KEEPALIVE_IDLE_SECONDS = 30
_KEEPALIVE_INTERVAL_SECONDS = 10
_KEEPALIVE_PROBES = 4
_UNACKNOWLEDGED_MS = 75_000

AddressCheck = Callable[[str], None]
"""Called with an IP address before we connect to it; raises Unavailable to forbid it."""


@dataclass(frozen=True, slots=True)
class Address:
    """One resolved address of a host, ready for a socket."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


async def connect(
    host: str,
    port: int,
    *,
    tls: TlsSettings | None,
    timeout_seconds: float,
    local: LocalAddresses = ANYWHERE,
    proxy: ProxySettings | None = None,
    check_address: AddressCheck | None = None,
    long_lived: bool = False,
) -> Stream:
    """Connect to `host`:`port`; with `tls` given the connection starts in TLS (implicit TLS, RFC 8314 §3).

    Where the host, or the proxy, has addresses of a family that `local` names one of ours for, only those are tried.
    A `long_lived` connection, which may be silent for minutes, is watched by the system: see `keep_alive`.

    All steps share one deadline. Raises Unavailable with the code ENOTFOUND or EDNS (the name), ECONNREFUSED,
    ETIMEDOUT, EPROXY, ETLS, one of `net.tls.CERTIFICATE_CODES`, or ESOCKET for the rest; InvalidRequest for a host
    name or an option that cannot be used.
    """
    name = ascii_host(host)
    context = client_context(tls) if tls is not None else None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    if proxy is None:
        stream = await _connect_tcp(name, port, timeout_seconds, local, check_address, long_lived=long_lived)
    else:
        stream = await _connect_tcp(proxy.host, proxy.port, timeout_seconds, local, None, long_lived=long_lived)
    try:
        if proxy is not None:
            await open_tunnel(stream, proxy, name, port, timeout_seconds=deadline - loop.time())
        if context is not None and tls is not None:
            await stream.start_tls(context, tls.servername or name, deadline - loop.time())
    except RemoteProtocolError as error:
        await stream.aclose()
        raise no_tls_at_once(f"{name}:{port}") from error
    except BaseException:
        await stream.aclose()
        raise
    return stream


async def _connect_tcp(
    host: str,
    port: int,
    timeout_seconds: float,
    local: LocalAddresses,
    check_address: AddressCheck | None,
    *,
    long_lived: bool,
) -> TransportStream:
    peer = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_seconds):
            addresses = interleave(_usable(await resolve(host, port), local))[:_ADDRESSES_TRIED]
            if check_address is not None:
                for address in addresses:
                    check_address(address.sockaddr[0])
            connected = await _race(peer, addresses, local)
            if long_lived:
                keep_alive(connected)
            return await _wrap(peer, connected)
    except TimeoutError:
        raise Unavailable(f"{peer} did not answer within {timeout_seconds:g} s", code="ETIMEDOUT") from None


async def _wrap(peer: str, connected: socket.socket) -> TransportStream:
    try:
        _, stream = await asyncio.get_running_loop().create_connection(lambda: TransportStream(peer), sock=connected)
    except BaseException:
        connected.close()
        raise
    return stream


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host` in the resolver's order.

    Raises Unavailable: ENOTFOUND when the name does not exist, EDNS when the resolver could not say.
    """
    try:
        found = await look_up(host, port)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            raise Unavailable(f"The host name {host} does not exist in the DNS", code="ENOTFOUND") from error
        raise Unavailable(f"The host name {host} could not be resolved right now", code="EDNS") from error
    except UnicodeError as error:
        raise InvalidRequest(f"{host[:80]!r} is not a host name") from error
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


def interleave(addresses: list[Address]) -> list[Address]:
    """Alternate the address families, starting with the resolver's first choice (RFC 8305 §4)."""
    first = [a for a in addresses if a.family == addresses[0].family]
    second = [a for a in addresses if a.family != addresses[0].family]
    return [a for a in chain.from_iterable(zip_longest(first, second)) if a is not None]


def _usable(addresses: list[Address], local: LocalAddresses) -> list[Address]:
    """Those that one of our chosen addresses can reach; all, from wherever the system likes, when none can."""
    return [one for one in addresses if local.of_family(one.family) is not None] or addresses


async def _race(peer: str, addresses: list[Address], local: LocalAddresses) -> socket.socket:
    """Try the addresses a quarter of a second apart, or at once after a failure; the first to connect wins.

    RFC 8305 §5. Losing attempts are cancelled and their sockets closed.
    """
    waiting = list(reversed(addresses))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.pop(), local)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=_NEXT_ATTEMPT_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    done.discard(task)
                    attempts |= done
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failures.append(error)
    finally:
        await _abandon(attempts)
    raise _refused(peer, failures)


async def _attempt(address: Address, local: LocalAddresses) -> socket.socket:
    local_address = local.of_family(address.family)
    attempt = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        attempt.setblocking(False)
        attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if local_address is not None:
            attempt.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(attempt, address.sockaddr)
    except BaseException:
        attempt.close()
        raise
    return attempt


def keep_alive(sock: socket.socket) -> None:
    """Have the system notice within 75 s that nobody is at the other end any more (RFC 9293 §3.8.3, §3.8.4, RFC 5482).

    That covers hosts that vanish and middleboxes that forget: the first probe goes out after 30 s of silence, three
    more ten seconds apart, and what is sent and not acknowledged in 75 s ends the connection too. It says nothing about
    a program that hangs while its system, or a proxy before it, acknowledges everything: that takes a protocol's own
    questions with deadlines. Options that a platform lacks or refuses are left at its defaults.
    """
    # macOS calls the first one TCP_KEEPALIVE and has no TCP_USER_TIMEOUT.
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    wanted = {
        idle: _KEEPALIVE_IDLE_SECONDS,
        "TCP_KEEPINTVL": _KEEPALIVE_INTERVAL_SECONDS,
        "TCP_KEEPCNT": _KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS,
    }
    for name, value in wanted.items():
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


async def _abandon(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for task in attempts:
        task.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


def _refused(peer: str, failures: list[OSError]) -> Unavailable:
    """One error for all addresses: the first failure speaks for them, a refusal before anything else."""
    failure = next((f for f in failures if f.errno == errno.ECONNREFUSED), failures[0])
    if failure.errno == errno.ECONNREFUSED:
        refused = Unavailable(f"{peer} refused the connection", code="ECONNREFUSED")
    elif failure.errno == errno.ETIMEDOUT:
        refused = Unavailable(f"{peer} did not answer", code="ETIMEDOUT")
    elif failure.errno == errno.EADDRNOTAVAIL:
        refused = Unavailable(f"The local address to connect to {peer} from is not one of this machine", code="ESOCKET")
    else:
        text = (failure.strerror or str(failure)).lower()
        refused = Unavailable(f"{peer} could not be reached: {text}", code="ESOCKET")
    refused.__cause__ = failure
    return refused
