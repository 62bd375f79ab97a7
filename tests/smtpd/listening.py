"""The listener over a real store, as clients of it see it; submissions wait in the outbox."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import smtplib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from mailquay.config import Config
from mailquay.model.submission import Submission
from mailquay.services.accounts import AccountService
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.tokens import NewToken, TokenService
from mailquay.smtpd.limits import Limits
from mailquay.smtpd.server import SmtpServer, SmtpServerParts
from tests.services.submitting import Desk, desk_at

T = TypeVar("T")
PASSWORD = "shared secret"
LOGIN = "AUTH PLAIN " + base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
BUDGET_BYTES = 256 * 1024 * 1024
_SECONDS = 15.0


class Gauges:
    """What the listener counted, and the states that it went through."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.states: list[str] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def count(self, key: str, amount: int = 1) -> None:
        """See Counter."""
        self.counted[key] += amount

    def webhook(self, event: str, *, success: bool, milliseconds: float) -> None:
        """See Counter."""

    def smtp_listener(self, state: str) -> None:
        """See Gauge."""
        self.states.append(state)
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, state: str, *, after: int = 0) -> None:
        """Return when the listener has come into this state, after so many changes."""
        async with asyncio.timeout(_SECONDS), self._changed:
            await self._changed.wait_for(lambda: state in self.states[after:])


@dataclass
class Listening:
    """A listener, and what its messages go through."""

    desk: Desk
    tokens: TokenService
    server: SmtpServer
    gauges: Gauges
    memory: MemoryBudget

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    async def change(self, **settings: object) -> None:
        """Change settings and wait until the listener has followed."""
        after = len(self.gauges.states)
        await self.desk.settings.write(settings)
        async with asyncio.timeout(_SECONDS):
            await self.gauges.wait_for(
                "listening" if await self.desk.settings.get("smtpServerEnabled") else "disabled", after=after
            )

    async def token(self, **more: Any) -> str:
        """A token's value; it may do everything over SMTP unless something else is said."""
        return (await self.tokens.create(NewToken("test", **{"scopes": ("smtp",), **more}))).value

    async def queued(self) -> list[Submission]:
        """What waits in the outbox, oldest first."""
        _, found = await self.desk.store.outbox.page(self.desk.clock.ms, limit=1000, offset=0)
        return sorted(found, key=lambda one: one.created_ms)

    async def body(self, submission: Submission) -> bytes:
        """The message of a submission as it is stored."""
        return b"".join([chunk async for chunk in self.desk.store.outbox.body(submission.queue_id)])

    async def talk(self) -> Talk:
        """A connection on which every byte is the test's own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Talk(reader, writer)

    async def send(self, message: bytes, **more: Any) -> tuple[int, str]:
        """Send a message with smtplib, as ann; the reply to its end."""
        return await in_thread(lambda: submit(self.port, message, **more))


class Talk:
    """Bytes to the server, whole replies back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        assert (await self.reply()).startswith("220 ")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def reply(self) -> str:
        """The next reply, its lines joined; "" when the server has closed the connection."""
        lines = []
        async with asyncio.timeout(_SECONDS):
            while line := (await self.reader.readline()).decode():
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def ended(self) -> bool:
        """Whether the server closes the connection without another word, politely or not."""
        try:
            return await self.reply() == ""
        except ConnectionError:
            return True

    async def say(self, *lines: str) -> list[str]:
        """Send lines in one go; as many replies."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return [await self.reply() for _ in lines]

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()


def submit(
    port: int,
    message: bytes,
    *,
    sender: str = "ann@example.com",
    to: tuple[str, ...] = ("you@remote.test",),
    login: tuple[str, str] | None = ("ann", PASSWORD),
    mail_options: tuple[str, ...] = (),
    starttls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Send a message; the reply to its end. smtplib's exceptions come through."""
    client: smtplib.SMTP
    if implicit is not None:
        client = smtplib.SMTP_SSL("127.0.0.1", port, timeout=_SECONDS, context=implicit)
    else:
        client = smtplib.SMTP("127.0.0.1", port, timeout=_SECONDS)
    with client:
        if starttls is not None:
            client.starttls(context=starttls)
        if login is not None:
            client.login(*login)
        client.ehlo_or_helo_if_needed()
        code, text = client.mail(sender, mail_options)
        if code != 250:
            return code, text.decode()
        for recipient in to:
            client.rcpt(recipient)
        code, text = client.data(message)
        return code, text.decode()


async def in_thread(work: Callable[[], T]) -> T:
    """Do blocking work beside the server."""
    return await asyncio.to_thread(work)


def mail(subject: str = "hello", *fields: str, text: str = "Hello") -> bytes:
    """A message with further header fields."""
    more = "".join(f"{field}\r\n" for field in fields)
    return f"From: Ann <ann@example.com>\r\nTo: you@remote.test\r\nSubject: {subject}\r\n{more}\r\n{text}\r\n".encode()


@contextlib.asynccontextmanager
async def listening(
    folder: Path, config: Config | None = None, limits: Limits | None = None, **settings: object
) -> AsyncIterator[Listening]:
    """A listener on a free port of loopback."""
    async with desk_at(folder) as desk:
        gauges = Gauges()
        memory = MemoryBudget(BUDGET_BYTES)
        tokens = TokenService(desk.store, desk.clock, log_entries=1000, log_age_seconds=86400)
        # Of accounts nothing is asked that their owners would have to be asked.
        accounts = AccountService(
            desk.store, desk.settings, desk.clock, cast(Any, None), cast(Any, None), flush_pause_seconds=1
        )
        server = SmtpServer(
            SmtpServerParts(
                database=desk.store.database,
                settings=desk.settings,
                accounts=accounts,
                tokens=tokens,
                submissions=desk.service,
                memory=memory,
                metrics=gauges,
                clock=desk.clock,
            ),
            config or Config(),
            shared=False,
            limits=limits,
        )
        server.start()
        found = Listening(desk, tokens, server, gauges, memory)
        try:
            base = {"smtpServerEnabled": True, "smtpServerPort": 0, "smtpServerPassword": PASSWORD}
            await found.change(**{**base, **settings})
            yield found
        finally:
            await server.stop()
            await tokens.close()
