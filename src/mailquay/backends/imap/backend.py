"""How to reach an account's IMAP server: connect, secure, identify, log in."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from mailquay.backends.imap.account_watch import ImapAccountWatch
from mailquay.backends.imap.driver import ImapConnection, TlsUpgrade
from mailquay.backends.imap.login_gate import LoginGate
from mailquay.backends.imap.pump import DriverOptions
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.imap.traffic import Traffic
from mailquay.backends.imap.watch import ImapWatch
from mailquay.errors import CommandRejected, InvalidRequest, PartUnavailable, Unsupported
from mailquay.model.account import ImapSettings
from mailquay.net.connect import connect
from mailquay.net.local_address import LocalAddresses
from mailquay.net.proxy import ProxySettings
from mailquay.net.stream import Stream
from mailquay.net.tap import Tap, TappedStream
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.sasl import Credentials

_log = structlog.get_logger(__name__)
IMAPS_PORT = 993
IMAP_PORT = 143


@dataclass(frozen=True, slots=True)
class ImapOptions:
    """What every connection of a node shares. `client_id` is what ID says of us (RFC 2971 §3.3).

    `traffic` counts what goes over them, `gate` limits how many log in at the same time. `compress` asks for COMPRESS
    on connections for commands, where offered.
    """

    connect_seconds: float
    command_seconds: float
    idle_restart_seconds: float
    poll_seconds: float
    client_id: Mapping[str, str]
    verify_certificates: bool = True
    traffic: Traffic = field(default_factory=Traffic)
    gate: LoginGate = field(default_factory=LoginGate)
    compress: bool = False


class ImapBackend:
    """Opens sessions and watches for one account.

    At each connection `fill` is asked for the settings with the credentials of that moment, `local` for the addresses
    to come from, and `tap`, with those settings, whether somebody reads along.
    """

    def __init__(
        self,
        settings: ImapSettings,
        options: ImapOptions,
        proxy: ProxySettings | None = None,
        tap: Callable[[ImapSettings], Tap | None] | None = None,
        fill: Callable[[ImapSettings], Awaitable[ImapSettings]] | None = None,
        local: Callable[[], LocalAddresses] = LocalAddresses,
    ) -> None:
        if not settings.host:
            raise InvalidRequest("the account names no IMAP host")
        self._settings = settings
        self._host = settings.host
        self._port = settings.port or (IMAPS_PORT if settings.secure else IMAP_PORT)
        self._options = options
        self._proxy = proxy
        self._tap = tap
        self._fill = fill
        self._local = local

    async def open_session(self, on_login: Callable[[], None] | None = None) -> ImapSession:
        """See MailBackend.open_session; `on_login` is called when the server is reached and logging in begins."""
        connection = await self._open(on_login, urgent=True)
        if self._options.compress:
            try:
                await connection.compress()
            except BaseException:
                await connection.aclose()
                raise
        return ImapSession(connection)

    async def open_watch(self, path: str | None, *, everywhere: bool = False) -> ImapWatch | ImapAccountWatch:
        """See MailBackend.open_watch."""
        connection = await self._open(None, urgent=False)
        if path is None:
            try:
                path = await _arrivals_path(connection)
            except BaseException:
                await connection.aclose()
                raise
        restart_seconds = self._options.idle_restart_seconds
        if everywhere and connection.has_capability("NOTIFY") and connection.has_capability("IDLE"):
            return ImapAccountWatch(connection, path, restart_seconds=restart_seconds)
        return ImapWatch(connection, path, restart_seconds=restart_seconds, poll_seconds=self._options.poll_seconds)

    async def _open(self, on_login: Callable[[], None] | None, *, urgent: bool) -> ImapConnection:
        """Wait for a turn at the host, connect and log in.

        Without TLS from the start, STARTTLS is used whenever the server offers it, and required unless the account says
        otherwise. Raises Unavailable, AuthenticationFailed, RateLimited, Unsupported.
        """
        # First, so that no connection waits for it and no log shows what comes of it.
        settings = self._settings if self._fill is None else await self._fill(self._settings)
        async with self._options.gate.turn(self._host, urgent=urgent):
            return await self._log_in(settings, on_login)

    async def _log_in(self, settings: ImapSettings, on_login: Callable[[], None] | None) -> ImapConnection:
        credentials = _credentials(settings)
        tls = TlsSettings.from_mapping(
            self._settings.tls, TlsSettings(reject_unauthorized=self._options.verify_certificates)
        )
        connection = await self._connect(settings, tls, upgrade=False)
        if not self._settings.secure and self._wants_starttls(connection):
            await connection.aclose()
            connection = await self._connect(settings, tls, upgrade=True)
        if on_login is not None:
            on_login()
        try:
            secure = self._settings.secure or connection.info("tls_version") is not None
            await connection.login(credentials, host=self._host, port=self._port, secure=secure)
            if connection.has_capability("ID"):
                await self._identify(connection)
        except BaseException:
            await connection.aclose()
            raise
        return connection

    async def _identify(self, connection: ImapConnection) -> None:
        try:
            await connection.identify(tuple((name, value) for name, value in self._options.client_id.items()))
        except (CommandRejected, PartUnavailable) as error:
            # A courtesy to servers that care; who refuses it can be spoken to all the same.
            _log.info("identification_refused", host=self._host, error=error.message)

    async def _connect(self, settings: ImapSettings, tls: TlsSettings, *, upgrade: bool) -> ImapConnection:
        stream: Stream = await connect(
            self._host,
            self._port,
            tls=tls if self._settings.secure else None,
            timeout_seconds=self._options.connect_seconds,
            local=self._local(),
            proxy=self._proxy,
            long_lived=True,
        )
        tap = self._tap(settings) if self._tap is not None else None
        if tap is not None:
            stream = TappedStream(stream, tap)
        options = DriverOptions(
            greeting_seconds=self._options.connect_seconds, command_seconds=self._options.command_seconds
        )
        context: ssl.SSLContext | None = client_context(tls) if upgrade else None
        upgrade_with = TlsUpgrade(context, tls.servername or self._host) if context is not None else None
        return await ImapConnection.open(stream, options=options, tls=upgrade_with, traffic=self._options.traffic)

    def _wants_starttls(self, connection: ImapConnection) -> bool:
        return connection.has_capability("STARTTLS") and self._settings.tls.get("disabled") is not True


async def _arrivals_path(connection: ImapConnection) -> str:
    """Where new mail arrives; at Gmail INBOX is one of the labels, and mail that is filtered never gets it."""
    if not connection.has_capability("X-GM-EXT-1"):
        return "INBOX"
    listed = await ImapSession(connection).list_mailboxes()
    return next((box.path for box in listed if box.all_mail), "INBOX")


def _credentials(settings: ImapSettings) -> Credentials:
    if settings.user is None or (settings.password is None) == (settings.access_token is None):
        raise Unsupported("the account has no IMAP credentials", code="NoCredentials")
    return Credentials(settings.user, password=settings.password, access_token=settings.access_token)
