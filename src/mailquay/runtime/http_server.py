"""The HTTP listeners of a node: the public one, and a private one on which nodes talk to each other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvicorn

from mailquay.errors import ConfigError
from mailquay.runtime.http_protocol import BoundedHttpProtocol

_BACKLOG = 2048
_MAX_SOCKET_PATH = 100
_KEEP_ALIVE_SECONDS = 75
_DATE_SECONDS = 1.0


class _Server(uvicorn.Server):
    """Signals are the node's business; `ready` is set when the sockets are served."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Finish the requests at hand and stop."""
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        """Wake once a second, for the Date header; uvicorn's own looks ten times whether it is to end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _DATE_SECONDS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve the sockets."""
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signal handlers alone."""
        yield


class HttpServer:
    """Serves one application on several sockets; requests at hand get `drain_seconds` when it stops."""

    def __init__(self, app: Any, sockets: list[socket.socket], *, drain_seconds: float) -> None:
        self._sockets = sockets
        config = uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets), name="http")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait([self._task, ready], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            ready.cancel()
            await self._task

    async def stop(self) -> None:
        """Finish the requests at hand and stop."""
        if self._task is not None:
            self._server.end()
            await asyncio.wait([self._task])
        for listener in self._sockets:
            listener.close()


def public_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    """The public listener; `shared` lets several processes listen on the same port.

    Raises ConfigError when the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio does not recognise TCP, and leaves Nagle's algorithm on.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def private_socket(node_id: str, data_dir: Path, address: str | None) -> tuple[socket.socket, str]:
    """The listener for other nodes and its address: a unix socket, or the given http://HOST:PORT.

    Raises ConfigError when the address cannot be used.
    """
    if address is not None:
        host, _, port = address.removeprefix("http://").rpartition(":")
        return public_socket(host.strip("[]"), int(port), shared=False), address
    path = (data_dir / "nodes" / f"{node_id[:12]}.sock").resolve()
    if len(str(path)) > _MAX_SOCKET_PATH:
        # A unix socket's path is short by nature; one that a long data directory cannot hold lies in a private folder.
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"mailquay-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise ConfigError(f"{folder} belongs to somebody else")
        path = folder / f"{digest}.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener, f"unix:{path}"
