"""The client's half of an SMTP session without I/O: what may be said when, and which reply answers what.

A message must be sent exactly once. So that the caller can commit "now it goes out" to a database after all
recipients are answered and before anything is sent, DATA is never pipelined with what comes before it, and the end of
the data is a step of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA, NeedData
from mailquay.wire.sasl import decode_base64, encode_base64
from mailquay.wire.smtp import command
from mailquay.wire.smtp.dot_stuffing import DotStuffer
from mailquay.wire.smtp.extension import Extensions
from mailquay.wire.smtp.reply import Reply, ReplyParser


class Phase(Enum):
    """Where the session stands."""

    GREETING = "greeting"
    EHLO = "ehlo"
    READY = "ready"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    DATA = "data"
    BODY = "body"
    END_OF_DATA = "end-of-data"
    CLOSED = "closed"


class Command(Enum):
    """What a reply answers; the values are the words for people."""

    GREETING = "CONN"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    BODY = "DATA END"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A command was answered; None as command: the server spoke unasked, to close the session (421)."""

    command: Command | None
    reply: Reply


@dataclass(frozen=True, slots=True)
class ChallengeReceived:
    """The server sent a SASL challenge (RFC 4954 §4); answer with `respond` or `cancel_auth`."""

    challenge: bytes


Event = ReplyReceived | ChallengeReceived

_ALLOWED: dict[Phase, frozenset[Command]] = {
    Phase.GREETING: frozenset(),
    Phase.EHLO: frozenset((Command.EHLO, Command.HELO, Command.QUIT)),
    Phase.READY: frozenset(
        (
            *(Command.EHLO, Command.STARTTLS, Command.AUTH, Command.MAIL, Command.RSET, Command.NOOP),
            Command.QUIT,
        )
    ),
    Phase.TLS: frozenset(),
    Phase.AUTH: frozenset(),
    Phase.MAIL: frozenset((Command.RCPT, Command.DATA, Command.RSET, Command.NOOP, Command.QUIT)),
    Phase.DATA: frozenset(),
    Phase.BODY: frozenset(),
    Phase.END_OF_DATA: frozenset(),
    Phase.CLOSED: frozenset(),
}


def _challenge(reply: Reply) -> bytes:
    """The challenge behind its base64; some servers of LOGIN prompt in plain words."""
    text = "".join(reply.lines).encode("utf-8")
    try:
        return decode_base64(text)
    except RemoteProtocolError:
        return text


class SmtpClient:
    """Methods that send return the bytes to send; `receive_data` and `next_event` take what comes back."""

    def __init__(self) -> None:
        self.phase = Phase.GREETING
        self.extensions = Extensions()
        self.authenticated = False
        self.accepted_recipients = 0
        self._parser = ReplyParser()
        self._awaited: deque[Command] = deque((Command.GREETING,))
        self._mail_accepted = False
        self._stuffer = DotStuffer()

    # Sending.

    def ehlo(self, name: str) -> bytes:
        """EHLO; forgets what the server offered before."""
        line = command.ehlo(name)
        self._expect(Command.EHLO)
        return line

    def helo(self, name: str) -> bytes:
        """HELO, for servers that do not know EHLO (RFC 5321 §3.2)."""
        line = command.ehlo(name, verb=b"HELO")
        self._expect(Command.HELO)
        return line

    def starttls(self) -> bytes:
        """STARTTLS (RFC 3207 §4); after a 220 do the handshake and call `tls_established`."""
        self._expect(Command.STARTTLS)
        return command.encode_line(b"STARTTLS")

    def tls_established(self) -> None:
        """The handshake is done: everything learnt before is forgotten, EHLO must follow (RFC 3207 §4.2)."""
        if self.phase is not Phase.TLS:
            raise LocalProtocolError(f"TLS cannot begin in the phase {self.phase.value!r}")
        self.extensions = Extensions()
        self.phase = Phase.EHLO

    def auth(self, mechanism: str, initial: bytes | None) -> bytes:
        """AUTH (RFC 4954 §4); `initial` is the raw initial response."""
        line = command.auth(mechanism, None if initial is None else encode_base64(initial))
        self._expect(Command.AUTH)
        self.phase = Phase.AUTH
        return line

    def respond(self, response: bytes) -> bytes:
        """Answer a challenge with the raw `response`."""
        self._require(Phase.AUTH)
        self._awaited.append(Command.AUTH)
        return command.encode_line(encode_base64(response), max_octets=12288)

    def cancel_auth(self) -> bytes:
        """Refuse to answer a challenge; the server answers 501."""
        self._require(Phase.AUTH)
        self._awaited.append(Command.AUTH)
        return command.encode_line(b"*")

    def mail(
        self,
        address: str,
        *,
        size_bytes: int | None = None,
        eight_bit: bool = False,
        smtputf8: bool = False,
        ret: str | None = None,
        envid: str | None = None,
    ) -> bytes:
        """MAIL FROM; parameters of extensions that the server does not offer are left out, but for SMTPUTF8.

        Raises LocalProtocolError when SMTPUTF8 is needed and not offered.
        """
        if smtputf8 and "SMTPUTF8" not in self.extensions:
            raise LocalProtocolError("the server does not offer SMTPUTF8")
        dsn = "DSN" in self.extensions
        line = command.mail_from(
            address,
            size_bytes=size_bytes if "SIZE" in self.extensions else None,
            eight_bit=eight_bit and "8BITMIME" in self.extensions,
            smtputf8=smtputf8,
            ret=ret if dsn else None,
            envid=envid if dsn else None,
        )
        self._expect(Command.MAIL)
        self.phase = Phase.MAIL
        self._mail_accepted = False
        self.accepted_recipients = 0
        return line

    def rcpt(self, address: str, notify: Sequence[str] = (), orcpt: str | None = None) -> bytes:
        """RCPT TO; may follow MAIL and other RCPTs unanswered where the server pipelines (RFC 2920 §3.1)."""
        dsn = "DSN" in self.extensions
        line = command.rcpt_to(address, notify=notify if dsn else (), orcpt=orcpt if dsn else None)
        self._expect(Command.RCPT)
        return line

    def data(self) -> bytes:
        """DATA, once MAIL and every RCPT are answered and at least one recipient is accepted."""
        if self._awaited or not self._mail_accepted or not self.accepted_recipients:
            raise LocalProtocolError("DATA must wait for every reply and needs an accepted recipient")
        self._expect(Command.DATA)
        self.phase = Phase.DATA
        self._stuffer = DotStuffer()
        return command.encode_line(b"DATA")

    def body(self, piece: bytes) -> bytes:
        """The next piece of the message; line ends become CRLF, leading dots are doubled."""
        self._require(Phase.BODY)
        return self._stuffer.feed(piece)

    def end_of_data(self) -> bytes:
        """The final dot. Once these bytes are on their way the message may have been sent."""
        self._require(Phase.BODY)
        self.phase = Phase.END_OF_DATA
        self._awaited.append(Command.BODY)
        return self._stuffer.finish()

    def rset(self) -> bytes:
        """RSET."""
        self._expect(Command.RSET)
        return command.encode_line(b"RSET")

    def noop(self) -> bytes:
        """NOOP."""
        self._expect(Command.NOOP)
        return command.encode_line(b"NOOP")

    def quit(self) -> bytes:
        """QUIT."""
        self._expect(Command.QUIT)
        return command.encode_line(b"QUIT")

    # Receiving.

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server; b"" when it closed the connection.

        Raises RemoteProtocolError when it closed in the middle of something.
        """
        if data:
            self._parser.feed(data)
            return
        expected = self._awaited and self._awaited[0] is not Command.QUIT
        self.phase = Phase.CLOSED
        if expected or len(self._parser):
            raise RemoteProtocolError("the server closed the connection without an answer")

    def next_event(self) -> Event | NeedData:
        """The next reply or challenge. Raises RemoteProtocolError for what is no SMTP, or not asked for."""
        reply = self._parser.next_reply()
        if reply is NEED_DATA:
            return NEED_DATA
        if not self._awaited:
            self.phase = Phase.CLOSED
            if reply.code != 421:
                raise RemoteProtocolError(f"the server sent a reply that nothing asked for: {reply.text[:200]}")
            return ReplyReceived(None, reply)
        answered = self._awaited.popleft()
        if answered is Command.AUTH and reply.code == 334:
            return ChallengeReceived(_challenge(reply))
        if reply.code == 421:
            self.phase = Phase.CLOSED
        else:
            self._advance(answered, reply)
        if self.phase is Phase.TLS and len(self._parser):
            # Whoever can inject into the plaintext must not be able to speak inside of TLS (RFC 3207 §6).
            self._parser.clear()
            raise RemoteProtocolError("the server sent data in plaintext after it agreed to start TLS")
        return ReplyReceived(answered, reply)

    @property
    def awaiting(self) -> int:
        """How many replies are still to come."""
        return len(self._awaited)

    @property
    def awaited(self) -> Command | None:
        """What the next reply will answer."""
        return self._awaited[0] if self._awaited else None

    def early_reply(self) -> Reply | None:
        """The reply that came in the middle of a message, from a server that would not wait for its end."""
        self._require(Phase.BODY)
        reply = self._parser.next_reply()
        return None if reply is NEED_DATA else reply

    def _advance(self, answered: Command, reply: Reply) -> None:
        match answered:
            case Command.GREETING:
                self.phase = Phase.EHLO if reply.code == 220 else Phase.CLOSED
            case Command.EHLO if reply.positive:
                self.extensions = Extensions.parse(reply)
                self.phase = Phase.READY
            case Command.HELO if reply.positive:
                self.extensions = Extensions()
                self.phase = Phase.READY
            case Command.STARTTLS if reply.code == 220:
                self.phase = Phase.TLS
            case Command.AUTH:
                self.authenticated = reply.positive
                self.phase = Phase.READY
            case Command.MAIL:
                self._mail_accepted = reply.positive
            case Command.RCPT if reply.positive:
                self.accepted_recipients += 1
            case Command.DATA:
                self.phase = Phase.BODY if reply.code == 354 else Phase.MAIL
            case Command.BODY | Command.RSET:
                self.phase = Phase.READY
            case Command.QUIT:
                self.phase = Phase.CLOSED

    def _expect(self, sent: Command) -> None:
        if sent not in _ALLOWED[self.phase]:
            raise LocalProtocolError(f"{sent.value} is not possible in the phase {self.phase.value!r}")
        pipelined = sent is Command.RCPT and "PIPELINING" in self.extensions
        if self._awaited and not pipelined:
            raise LocalProtocolError(f"{sent.value} must wait for the reply before it")
        self._awaited.append(sent)

    def _require(self, phase: Phase) -> None:
        if self.phase is not phase or self._awaited:
            raise LocalProtocolError(f"this needs the phase {phase.value!r}, not {self.phase.value!r}")
