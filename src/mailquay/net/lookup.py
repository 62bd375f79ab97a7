"""Looking up host names in a few threads of their own.

The system's resolver blocks, for half a minute where its servers are silent, and cannot be interrupted. In the loop's
own threads a handful of such names would stop all that files and databases need them for; threads that may be left
behind do not hold up the end of the process either.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial

from mailquay.net.names import parse_address

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""Family, kind, protocol, canonical name and socket address, as `socket.getaddrinfo` gives them."""

_THREADS = 16
_SECONDS = 20.0
_Job = tuple["Future[list[AddressInfo]]", Callable[[], list[AddressInfo]]]


async def look_up(host: str, port: int, *, family: int = 0, flags: int = 0) -> list[AddressInfo]:
    """The addresses of a host for TCP, in the resolver's order; an IP address needs no thread.

    Raises socket.gaierror when the resolver has no answer, and with EAI_AGAIN when it gives none in 20 seconds;
    UnicodeError for what is no host name.
    """
    if parse_address(host) is not None:
        # As bytes it does not pass through the codec for names, which takes longer than all the rest.
        return _getaddrinfo(host.encode("ascii"), port, family, flags)
    ask = partial(_getaddrinfo, host, port, family, flags)
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.wrap_future(_threads().submit(ask))
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer within {_SECONDS:g} s") from None


def _getaddrinfo(host: str | bytes, port: int, family: int, flags: int) -> list[AddressInfo]:
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)  # type: ignore[return-value]


class LookupThreads:
    """At most `limit` threads, started when needed. They end with the process, which does not wait for them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, ask: Callable[[], list[AddressInfo]]) -> Future[list[AddressInfo]]:
        """Have a thread ask; one that is cancelled before its turn is never asked."""
        future: Future[list[AddressInfo]] = Future()
        self._jobs.put((future, ask))
        if not self._idle.acquire(blocking=False) and self._started < self._limit:
            self._started += 1
            threading.Thread(target=self._work, name=f"lookup-{self._started}", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, ask = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    found = ask()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(found)
            # What a job holds must not live until the next one comes.
            del future, ask
            self._idle.release()


@lru_cache(maxsize=1)
def _threads() -> LookupThreads:
    return LookupThreads(_THREADS)
