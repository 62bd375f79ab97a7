"""The socket that clients come to: connections within limits, the PROXY header before anything else, then TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mailquay.errors import MailquayError, RemoteProtocolError
from mailquay.net.connect import keep_alive
from mailquay.net.names import unmapped
from mailquay.net.stream import TransportStream
from mailquay.services.settings import SettingsService
from mailquay.smtpd.incoming import Conversation
from mailquay.smtpd.session import Session, Surroundings
from mailquay.smtpd.tls import Certificate
from mailquay.wire.proxy_header import ProxyHeader

_log = structlog.get_logger(__name__)
_BACKLOG = 512
_PAUSE_SECONDS = 0.5
_PROXY_SECONDS = 5.0
_REFUSAL_SECONDS = 1.0
_PEEKED_BYTES = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen. `shared`: other processes on this machine listen on the same port."""

    host: str
    port: int
    implicit_tls: bool
    shared: bool = False


class Listener:
    """Accepts connections from `open` to `close`."""

    def __init__(
        self,
        place: Place,
        around: Surroundings,
        settings: SettingsService,
        certificate: Certificate | None,
        hostname: Callable[[], str],
    ) -> None:
        self._place = place
        self._around = around
        self._settings = settings
        self._certificate = certificate
        self._hostname = hostname
        self._socket: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], Session | None] = {}
        self.port = 0

    def open(self) -> None:
        """Begin to listen; `port` is known then.

        Raises OSError when the address cannot be had, ConfigError when the certificate cannot be used.
        """
        if self._certificate is not None:
            self._certificate.context()
        self._socket = listening_socket(self._place)
        self.port = self._socket.getsockname()[1]
        self._listen()

    def shut(self) -> None:
        """Stop to listen: the address is free when this returns."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    async def close(self) -> None:
        """End sessions without a message under way, and the others behind it; once it is shut.

        Each has its own deadlines. When this is cancelled, those that are left are cut off.
        """
        # A connection that has not got as far as a session yet has nothing to lose.
        for task, session in self._connections.items():
            if session is None:
                task.cancel()
        sessions = [session for session in self._connections.values() if session is not None]
        try:
            await asyncio.gather(*(session.drain() for session in sessions))
            if self._connections:
                await asyncio.wait(list(self._connections))
        finally:
            left = list(self._connections)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    def _listen(self) -> None:
        if self._socket is not None and self._socket.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept, self._socket)

    def _accept(self, listener: socket.socket) -> None:
        """Take the next of the connections that wait."""
        try:
            connection, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of file descriptors, most likely: they come back.
            _log.error("smtp_accept_failed", error=error.strerror or str(error))
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener.fileno())
            loop.call_later(_PAUSE_SECONDS, self._listen)
            return
        task = asyncio.create_task(self._serve(connection, unmapped(str(peer[0]))), name="smtp-session")
        self._connections[task] = None
        task.add_done_callback(self._connections.pop)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                connection.setblocking(False)
                keep_alive(connection)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if len(self._connections) > self._around.limits.connections:
                    await self._turn_away(connection)
                    return
                if await self._settings.get("smtpServerProxy"):
                    address = await read_proxy_header(connection) or address
                if stack.enter_context(self._around.admission.connection(address)):
                    await self._turn_away(connection)
                    return
                await self._talk(connection, address)
        except (MailquayError, OSError, TimeoutError) as error:
            _log.debug("smtp_connection_failed", address=address, error=str(error))
        except Exception as error:
            _log.error("smtp_session_failed", address=address, exc_info=error)

    async def _talk(self, connection: socket.socket, address: str) -> None:
        limits = self._around.limits
        tls = None if self._certificate is None else self._certificate.context()
        auth_enabled = bool(await self._settings.get("smtpServerAuthEnabled"))
        # From here on the transport closes it.
        handed_over = socket.socket(fileno=connection.detach())
        handed_over.setblocking(False)
        # Kept here, since uvloop gives back a protocol of its own for TLS.
        stream = TransportStream(f"the client at {address}")
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: stream,
            handed_over,
            ssl=tls if self._place.implicit_tls else None,
            ssl_handshake_timeout=limits.handshake_timeout if self._place.implicit_tls else None,
        )
        try:
            conversation = Conversation(stream, write_timeout=limits.write_timeout)
            session = Session(
                conversation,
                self._around,
                address=address,
                hostname=self._hostname(),
                auth_enabled=auth_enabled,
                tls=tls,
            )
            task = asyncio.current_task()
            assert task is not None
            self._connections[task] = session
            await session.run()
            await conversation.close()
        finally:
            transport.abort()

    async def _turn_away(self, connection: socket.socket) -> None:
        """Say that there are too many connections, where that can be read."""
        _log.warning("smtp_too_many_connections")
        if self._place.implicit_tls:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REFUSAL_SECONDS):
                await asyncio.get_running_loop().sock_sendall(connection, b"421 4.7.0 Too many connections\r\n")


def listening_socket(place: Place) -> socket.socket:
    """A socket that listens there.

    Raises OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((place.host, place.port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def read_proxy_header(connection: socket.socket) -> str | None:
    """Whom the header at the front of a connection names; what follows it, perhaps a TLS handshake, stays unread.

    Raises RemoteProtocolError, TimeoutError, OSError.
    """
    header = ProxyHeader()
    async with asyncio.timeout(_PROXY_SECONDS):
        while not header.complete:
            await _readable(connection)
            waiting = connection.recv(_PEEKED_BYTES, socket.MSG_PEEK)
            if not waiting:
                raise RemoteProtocolError("the connection ended before its PROXY header")
            connection.recv(header.take(waiting))
    return header.source


async def _readable(connection: socket.socket) -> None:
    """Wait until there is something to read, or nothing more to come."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection.fileno())
