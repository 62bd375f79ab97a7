"""Switches that make the sandbox's servers misbehave on purpose, so that tests can see what a client does then.

world.imap_faults.on("UID FETCH", ImapAction.DROP)
world.imap_faults.missing.add("CONDSTORE")
world.imap_faults.quirks.add(Leniency.ENVELOPE_SHORT)
world.imap_faults.message_limit = 1000
world.smtp_faults.on(SmtpPhase.RCPT, SmtpAction.REPLY, reply="451 4.3.0 later", argument="bruno@")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from mailquay.wire.imap.leniency import Leniency


class ImapAction(Enum):
    """What to do at a command. NO and BAD answer instead of carrying it out; DROP cuts the connection before it.

    BYE says so and closes. STALL carries it out and keeps the answer back until `release` is called; DROP_ANSWER
    carries it out and cuts the connection instead of answering.
    """

    NO = "NO"
    BAD = "BAD"
    BYE = "BYE"
    DROP = "drop"
    DROP_ANSWER = "drop answer"
    STALL = "stall"


class SmtpPhase(Enum):
    """Where in the dialogue a fault strikes; BODY is the reply after the end of the data."""

    CONNECT = "CONNECT"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "BODY"


class SmtpAction(Enum):
    """What to do. REPLY says `reply` instead of carrying the command out; DROP cuts the connection before it.

    STALL keeps silent until `release` is called, then goes on. For BODY alone: DROP_REPLY accepts the message and cuts
    the connection before the reply, DROP_AFTER right after it.
    """

    REPLY = "reply"
    DROP = "drop"
    DROP_REPLY = "drop reply"
    DROP_AFTER = "drop after"
    STALL = "stall"


@dataclass(slots=True)
class ImapFault:
    """One planned fault; `times` counts down, None is for ever."""

    command: str
    action: ImapAction
    times: int | None
    code: str | None
    text: str


@dataclass(slots=True)
class SmtpFault:
    """One planned fault; it strikes where the command's argument contains `argument`."""

    phase: SmtpPhase
    action: SmtpAction
    times: int | None
    reply: str
    argument: str


F = TypeVar("F", ImapFault, SmtpFault)


def _take(planned: list[F], strikes: Callable[[F], bool]) -> F | None:
    """The first fault that strikes, counted, and forgotten when it was its last time."""
    for fault in planned:
        if strikes(fault):
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    planned.remove(fault)
            return fault
    return None


@dataclass(slots=True)
class _Gate:
    """Holds stalled answers back."""

    waiting: int = 0
    _opened: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let everything that is stalled now go on."""
        self._opened.set()
        self._opened = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next `release`; whoever waits is cancelled when the world ends."""
        self.waiting += 1
        try:
            await self._opened.wait()
        finally:
            self.waiting -= 1


@dataclass(slots=True)
class ImapFaults:
    """Faults of the IMAP server. Everything is off at first.

    `missing` names capabilities that the server neither offers nor understands: IDLE, CONDSTORE, UIDPLUS, MOVE,
    SPECIAL-USE and any other; `extra` is what it names besides. `drop_after_bytes` cuts every connection once the
    server has sent that much on it. `quirks` are answers written as some servers write them. `message_limit` is how
    many messages a command may be about (RFC 9738), `append_limit` how many bytes a message that is added may have
    (RFC 7889). `unavailable_uids` are messages that fail every FETCH, `late_uids` such as are found and not fetched.
    `unselectable` are paths that are listed with that attribute (\\Noselect) and cannot be opened; with an empty one
    nothing is seen of it in the listing.
    `identity` is the name that the server gives itself (ID).
    With `charset_refused` every SEARCH that names a charset is refused, with `texts_refused` every one for a text; with
    `search_empty` no SEARCH finds anything; with `uidonly` every session knows UIDs alone from login on, as if its
    client had enabled that (RFC 9586). `section_limit` cuts the connection at every FETCH that would bring more bytes
    of one section.
    """

    refuse_login: bool = False
    missing: set[str] = field(default_factory=set)
    extra: set[str] = field(default_factory=set)
    drop_after_bytes: int | None = None
    quirks: set[Leniency] = field(default_factory=set)
    message_limit: int | None = None
    append_limit: int | None = None
    unavailable_uids: set[int] = field(default_factory=set)
    late_uids: set[int] = field(default_factory=set)
    unselectable: dict[str, str] = field(default_factory=dict)
    identity: str | None = None
    charset_refused: bool = False
    search_empty: bool = False
    texts_refused: bool = False
    uidonly: bool = False
    section_limit: int | None = None
    gate: _Gate = field(default_factory=_Gate)
    _planned: list[ImapFault] = field(default_factory=list)

    def on(
        self, command: str, action: ImapAction, *, times: int | None = 1, code: str | None = None, text: str = "fault"
    ) -> None:
        """Misbehave at the next `times` commands of that name (`UID FETCH`, `SELECT`); `*` is any command."""
        self._planned.append(ImapFault(command.upper(), action, times, code, text))

    def take(self, command: str) -> ImapFault | None:
        """The fault that strikes this command, counted."""
        return _take(self._planned, lambda fault: fault.command in ("*", command))

    @property
    def stalled(self) -> int:
        """How many answers are held back now."""
        return self.gate.waiting

    def release(self) -> None:
        """Let stalled answers go."""
        self.gate.release()

    def clear(self) -> None:
        """Behave again."""
        self.refuse_login, self.drop_after_bytes = False, None
        self.missing.clear()
        self.extra.clear()
        self.quirks.clear()
        self.unavailable_uids.clear()
        self.late_uids.clear()
        self.unselectable.clear()
        self.message_limit, self.append_limit, self.section_limit, self.identity = None, None, None, None
        self.charset_refused, self.texts_refused, self.search_empty, self.uidonly = False, False, False, False
        self._planned.clear()
        self.release()


@dataclass(slots=True)
class SmtpFaults:
    """Faults of the SMTP server. Everything is off at first."""

    refuse_login: bool = False
    gate: _Gate = field(default_factory=_Gate)
    _planned: list[SmtpFault] = field(default_factory=list)

    def on(
        self,
        phase: SmtpPhase,
        action: SmtpAction,
        *,
        times: int | None = 1,
        reply: str = "451 4.3.0 Try again later",
        argument: str = "",
    ) -> None:
        """Misbehave the next `times` times in that phase, where the command's argument contains `argument`."""
        self._planned.append(SmtpFault(phase, action, times, reply, argument.lower()))

    def take(self, phase: SmtpPhase, argument: str) -> SmtpFault | None:
        """The fault that strikes here, counted."""
        return _take(self._planned, lambda fault: fault.phase is phase and fault.argument in argument.lower())

    @property
    def stalled(self) -> int:
        """How many replies are held back now."""
        return self.gate.waiting

    def release(self) -> None:
        """Let stalled replies go."""
        self.gate.release()

    def clear(self) -> None:
        """Behave again."""
        self.refuse_login = False
        self._planned.clear()
        self.release()
