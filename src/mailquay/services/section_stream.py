"""One section of a message as a stream that outlives its connection: what is missing is asked for over another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

from mailquay.backends.interface import MailSession
from mailquay.errors import RateLimited, Unavailable

_MAX_FAILURES: Final = 2
"""So many connections in a row may end without a single byte."""
_MAX_CONNECTIONS: Final = 100

OpenSession = Callable[[], AbstractAsyncContextManager[MailSession]]
"""Gives a session that has the message's mailbox open."""


async def stream_section(
    open_session: OpenSession, uid: int, section: str, *, begin: int = 0
) -> AsyncGenerator[bytes, None]:
    """A section in pieces, from the byte `begin` on; see MailSession.stream_section.

    Some servers break off in the FETCH of a large message, whenever it is asked for as a whole. After a connection
    has ended so, the next one goes on in blocks behind what has come. Raises MessageNotFound, and Unavailable when
    that does not help.
    """
    received, failures = begin, 0
    for connection in range(_MAX_CONNECTIONS):
        before = received
        async with open_session() as session:
            chunks = session.stream_section(uid, section, resume_at=received if received or connection else None)
            try:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        received += len(chunk)
                        yield chunk
                return
            except RateLimited:
                raise
            except Unavailable:
                failures = failures + 1 if received == before else 0
                if failures >= _MAX_FAILURES or connection + 1 == _MAX_CONNECTIONS:
                    raise
