"""One connection from greeting to end: what a client may say when, and what it is told (RFC 5321, RFC 6409)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from mailquay.errors import MailquayError, RemoteProtocolError, StorageError
from mailquay.model.account import Account
from mailquay.services.control_fields import ControlFields
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.ports import Clock, Counter
from mailquay.smtpd.admission import Admission
from mailquay.smtpd.incoming import ClientGone, Conversation
from mailquay.smtpd.limits import MAX_RECIPIENTS, Limits
from mailquay.smtpd.login import Gate, Login
from mailquay.smtpd.message import Delivery, Submissions, TooLong, Transaction, refusal_for, too_large, trace_field
from mailquay.wire.sasl import decode_base64, encode_base64, parse_plain
from mailquay.wire.smtp.server import (
    MAX_AUTH_OCTETS,
    MAX_LINE_OCTETS,
    Refusal,
    parse_command,
    parse_mail,
    parse_rcpt,
)

_log = structlog.get_logger(__name__)
_MECHANISMS = ("PLAIN", "LOGIN")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the sessions of a listener share."""

    limits: Limits
    gate: Gate
    submissions: Submissions
    admission: Admission
    budget: MemoryBudget
    counter: Counter
    clock: Clock


class Ended(Exception):
    """The session is over; the client has been told why."""


class Session:
    """The dialogue with one client. `tls` is what STARTTLS begins, None where it is not offered."""

    def __init__(
        self,
        conversation: Conversation,
        around: Surroundings,
        *,
        address: str,
        hostname: str,
        auth_enabled: bool,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._conversation = conversation
        self._around = around
        self._limits = around.limits
        self._address = address
        self._hostname = hostname
        self._auth_enabled = auth_enabled
        self._tls = tls
        self._client: str | None = None
        self._extended = False
        self._login: Login | None = None
        self._transaction: Transaction | None = None
        self._commands = 0
        self._errors = 0
        self._logins = 0
        self._waiting = False
        self._draining = False
        self._login_by = asyncio.get_running_loop().time() + around.limits.login_timeout
        self._handlers: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "VRFY": self._vrfy,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Serve the client until it leaves, or has to."""
        try:
            await self._conversation.reply(f"220 {self._hostname} ESMTP Mailquay")
            while True:
                await self._next()
        except (Ended, ClientGone):
            return
        except TooLong:
            await self._last_words(too_large(self._limits).reply)
        except Refusal as refusal:
            # Raised while a line was read: where the next one begins is not known.
            await self._last_words(refusal.reply)
        except MailquayError as error:
            _log.debug("smtp_session_ended", address=self._address, error=error.message)
            if error.code == "ETIMEDOUT":
                await self._last_words("421 4.4.2 Nothing came for too long")
        except Exception as error:
            _log.error("smtp_session_failed", address=self._address, exc_info=error)
            await self._last_words("421 4.3.0 Something went wrong here; try again later")

    async def drain(self) -> None:
        """End the session when nothing is under way, else behind the message that is."""
        self._draining = True
        if self._waiting and self._transaction is None:
            await self._last_words("421 4.3.2 The server is going down")
            await self._conversation.close()

    async def _last_words(self, reply: str) -> None:
        """Say why the session ends, to a client that may be gone."""
        try:
            await self._conversation.reply(reply)
        except MailquayError:
            return

    async def _next(self) -> None:
        """Carry out one command."""
        if self._draining and self._transaction is None:
            await self._end("421 4.3.2 The server is going down")
        line = await self._line(MAX_LINE_OCTETS)
        self._commands += 1
        if self._commands > self._limits.commands:
            await self._end("421 4.7.0 Too many commands")
        try:
            verb, argument = parse_command(line)
            handler = self._handlers.get(verb)
            if handler is None:
                raise Refusal(502, "5.5.1", "This command is not known here")
            await handler(argument)
        except Refusal as refusal:
            await self._refuse(refusal)
        except StorageError as error:
            await self._conversation.reply(refusal_for(error).reply)

    async def _refuse(self, refusal: Refusal) -> None:
        await self._conversation.reply(refusal.reply)
        if refusal.reply_code >= 500:
            self._errors += 1
            if self._errors >= self._limits.errors:
                await self._end("421 4.7.0 Too many errors")

    async def _end(self, reply: str) -> None:
        await self._conversation.reply(reply)
        raise Ended

    async def _line(self, max_octets: int) -> bytes:
        """The next line; whoever has not logged in where that is asked for has little time for everything."""
        timeout = self._limits.command_timeout
        if self._auth_enabled and self._login is None:
            timeout = min(timeout, max(self._login_by - asyncio.get_running_loop().time(), 0))
        self._waiting = True
        try:
            return await self._conversation.line(max_octets, timeout)
        finally:
            self._waiting = False

    # -- who is there ----------------------------------------------------------------------------

    async def _ehlo(self, argument: str) -> None:
        self._greet(argument, extended=True)
        offers = ["PIPELINING", f"SIZE {self._limits.message_bytes}", "8BITMIME", "SMTPUTF8", "DSN"]
        if self._tls is not None and not self._conversation.encrypted:
            offers.append("STARTTLS")
        if self._auth_enabled and self._login is None and self._is_safe:
            offers.append(f"AUTH {' '.join(_MECHANISMS)}")
        await self._conversation.reply(f"250 {self._hostname}", *(f"250 {offer}" for offer in offers))

    async def _helo(self, argument: str) -> None:
        self._greet(argument, extended=False)
        await self._conversation.reply(f"250 {self._hostname}")

    def _greet(self, argument: str, *, extended: bool) -> None:
        if not argument:
            raise Refusal(501, "5.5.4", "Say who you are: EHLO name")
        self._client, self._extended, self._transaction = argument[:255], extended, None

    @property
    def _is_safe(self) -> bool:
        """Whether passwords and mail may go over the connection as it is."""
        return self._conversation.encrypted or not self._limits.require_tls

    def _require_safety(self) -> None:
        if not self._is_safe:
            raise Refusal(530, "5.7.0", "Say STARTTLS first")

    async def _starttls(self, argument: str) -> None:
        if self._tls is None or self._conversation.encrypted:
            raise Refusal(503, "5.5.1", "TLS is not on offer here, or there already")
        if argument:
            raise Refusal(501, "5.5.4", "STARTTLS takes no argument")
        await self._conversation.reply("220 2.0.0 Go ahead")
        try:
            await self._conversation.start_tls(self._tls, self._limits.handshake_timeout)
        except RemoteProtocolError as error:
            _log.warning("smtp_starttls_refused", address=self._address, error=error.message)
            raise Ended from error
        # Nothing that was said in the clear counts any more (RFC 3207 §4.2).
        self._client, self._transaction = None, None

    # -- logging in ------------------------------------------------------------------------------

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if not self._auth_enabled:
            raise Refusal(503, "5.5.1", "There is no logging in here")
        self._require_safety()
        if self._client is None or self._login is not None or self._transaction is not None:
            raise Refusal(503, "5.5.1", "Not now")
        if mechanism.upper() not in _MECHANISMS:
            raise Refusal(504, "5.5.4", f"Log in with {' or '.join(_MECHANISMS)}")
        username, password = await self._credentials(mechanism.upper(), initial.strip())
        self._logins += 1
        if not self._around.admission.may_log_in(self._address, username):
            await self._end("421 4.7.0 Too many refused log-ins, try again later")
        self._login = await self._around.gate.log_in(username, password, self._address)
        if self._login is not None:
            await self._conversation.reply("235 2.7.0 Welcome")
            return
        self._around.admission.login_failed(self._address, username)
        _log.info("smtp_login_refused", address=self._address, account=username[:256])
        await asyncio.sleep(self._limits.login_delay * self._logins)
        if self._logins >= self._limits.logins:
            await self._conversation.reply("535 5.7.8 Wrong user name or password")
            raise Ended
        raise Refusal(535, "5.7.8", "Wrong user name or password")

    async def _credentials(self, mechanism: str, initial: str) -> tuple[str, str]:
        """User name and password (RFC 4954 §4).

        Raises Refusal when they cannot be read, or the client thought better of it.
        """
        try:
            if mechanism == "PLAIN":
                message = decode_base64(initial.encode()) if initial else await self._ask(b"")
                read = parse_plain(message)
                if read.authzid not in ("", read.username):
                    raise Refusal(535, "5.7.8", "Nobody may log in for somebody else")
                return read.username, read.password
            username = decode_base64(initial.encode()) if initial else await self._ask(b"Username:")
            password = await self._ask(b"Password:")
            return username.decode(), password.decode()
        except (RemoteProtocolError, UnicodeDecodeError) as error:
            if isinstance(error, Refusal):
                raise
            raise Refusal(501, "5.5.2", "That cannot be read") from error

    async def _ask(self, prompt: bytes) -> bytes:
        await self._conversation.reply(f"334 {encode_base64(prompt).decode()}")
        answer = await self._line(MAX_AUTH_OCTETS)
        if answer == b"*":
            raise Refusal(501, "5.7.0", "As you like")
        return decode_base64(answer)

    # -- a message -------------------------------------------------------------------------------

    async def _mail(self, argument: str) -> None:
        if self._client is None:
            raise Refusal(503, "5.5.1", "Say EHLO first")
        self._require_safety()
        if self._auth_enabled and self._login is None:
            raise Refusal(530, "5.7.0", "Log in first")
        if self._transaction is not None:
            raise Refusal(503, "5.5.1", "There is a sender already")
        sender = parse_mail(argument)
        if sender.size_bytes is not None and sender.size_bytes > self._limits.message_bytes:
            raise too_large(self._limits)
        if self._login is not None:
            await self._around.gate.pass_message(self._login, self._address)
        self._transaction = Transaction(sender)
        await self._conversation.reply("250 2.1.0 Sender noted")

    async def _rcpt(self, argument: str) -> None:
        if self._transaction is None:
            raise Refusal(503, "5.5.1", "Say MAIL first")
        recipient = parse_rcpt(argument, smtputf8=self._transaction.sender.smtputf8)
        if len(self._transaction.recipients) >= MAX_RECIPIENTS:
            raise Refusal(452, "4.5.3", f"A message can have at most {MAX_RECIPIENTS} recipients")
        self._transaction.recipients.append(recipient)
        await self._conversation.reply("250 2.1.5 Recipient noted")

    async def _data(self, argument: str) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            raise Refusal(503, "5.5.1", "There is no recipient yet")
        if argument:
            raise Refusal(501, "5.5.4", "DATA takes no argument")
        trace = trace_field(
            self._hostname,
            extended=self._extended,
            encrypted=self._conversation.encrypted,
            logged_in=self._login is not None,
            now_ms=self._around.clock.now_ms(),
        )
        await self._conversation.reply("354 End the message with a dot on its own line")
        try:
            with Delivery(self._limits, self._around.budget) as delivery:
                await delivery.receive(self._conversation, trace)
                control = await delivery.control()
                account = await self._sender(control)
                queued = await delivery.submit(self._around.submissions, account, transaction, control)
        except (Refusal, StorageError, TooLong):
            self._around.counter.count("events:smtpSubmitFail")
            raise
        finally:
            self._transaction = None
        self._around.counter.count("events:smtpSubmitQueued")
        self._commands = 0
        _log.info("smtp_message_queued", account=account.id, queue_id=queued.queue_id)
        await self._conversation.reply(queued.reply)

    async def _sender(self, control: ControlFields) -> Account:
        """The account that sends: the one that has logged in, else the one that the message names.

        Raises Refusal when there is none.
        """
        account_id = self._login.account_id if self._login is not None else control.account
        if account_id is None:
            raise Refusal(451, "4.3.0", "X-EE-Account must say which account sends")
        account = await self._around.gate.account(account_id)
        if account is None:
            raise Refusal(550, "5.1.8", f"There is no account {account_id[:100]}")
        return account

    # -- the rest --------------------------------------------------------------------------------

    async def _rset(self, _argument: str) -> None:
        self._transaction = None
        await self._conversation.reply("250 2.0.0 Forgotten")

    async def _noop(self, _argument: str) -> None:
        await self._conversation.reply("250 2.0.0 Yes")

    async def _vrfy(self, _argument: str) -> None:
        await self._conversation.reply("252 2.5.0 Send, and it will show")

    async def _quit(self, _argument: str) -> None:
        await self._end("221 2.0.0 Goodbye")
