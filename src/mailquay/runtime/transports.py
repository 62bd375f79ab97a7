"""From an account's profile, the settings and the configuration to connections with its servers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.login_gate import LoginGate
from mailquay.backends.imap.traffic import Traffic
from mailquay.backends.interface import Receipt
from mailquay.backends.smtp.mapping import translated
from mailquay.backends.smtp.pool import SmtpPool
from mailquay.backends.smtp.server import SmtpServer, SmtpTimeouts
from mailquay.backends.smtp.shared_pool import SharedSmtpPool
from mailquay.backends.smtp.submitter import SmtpSubmitter
from mailquay.config import Config
from mailquay.errors import (
    AuthenticationFailed,
    BackendError,
    InvalidRequest,
    MailquayError,
    SubmissionRejected,
)
from mailquay.model.account import Account, AccountProfile, ImapSettings, SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.model.submission import Submission
from mailquay.net.local_address import LocalAddresses
from mailquay.net.proxy import ProxySettings
from mailquay.net.tap import Tap
from mailquay.net.tls import TlsSettings
from mailquay.runtime.local_addresses import LocalAddressBook
from mailquay.runtime.protocol_log import ProtocolLog
from mailquay.services.auth_server import AuthServer
from mailquay.services.settings import SettingsService
from mailquay.version import __version__
from mailquay.wire.smtp.client import Command

_LONGEST_POLL_SECONDS = 30.0
_GATEWAY_WAIT_SECONDS = 10.0
"""Short: whoever waits for a gateway that hangs takes the place of others that could send over their own servers."""
_CLIENT_ID_KEYS = (
    ("name", "imapClientName"),
    ("version", "imapClientVersion"),
    ("vendor", "imapClientVendor"),
    ("support-url", "imapClientSupportUrl"),
)


class Transports:
    """Makes IMAP backends, and is the Submitter of services. Settings are read as of their last refresh.

    `imap_traffic` counts what goes over every IMAP connection that is made here, `log` reads along where it is on.
    """

    def __init__(
        self,
        config: Config,
        settings: SettingsService,
        auth_server: AuthServer,
        addresses: LocalAddressBook,
        log: ProtocolLog | None = None,
    ) -> None:
        self._log = log
        self._addresses = addresses
        self._auth_server = auth_server
        self.imap_traffic = Traffic()
        self._imap_gate = LoginGate(per_host=config.connect_concurrency_per_host, at_once=config.connect_concurrency)
        self._config = config
        self._settings = settings
        self._pool = SmtpPool(max_messages=config.smtp_pool_messages, idle_seconds=config.smtp_pool_idle_seconds)
        self._gateway_pool = SharedSmtpPool(
            per_host=config.smtp_gateway_connections,
            wait_seconds=_GATEWAY_WAIT_SECONDS,
            max_messages=config.smtp_pool_messages,
            idle_seconds=config.smtp_pool_idle_seconds,
        )

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._pool.aclose()
        await self._gateway_pool.aclose()

    def imap(self, account: Account) -> ImapBackend:
        """How to reach the account's mailbox.

        Raises InvalidRequest when its settings cannot be used.
        """
        if account.profile.imap is None:
            raise InvalidRequest("the account has no IMAP settings")
        settings, log = account.profile.imap, self._log
        tap = None if log is None else lambda filled: log.imap(account, filled)
        return self.imap_for(settings, account.profile.proxy, account.id, tap)

    def imap_for(
        self,
        settings: ImapSettings,
        proxy: str | None,
        account_id: str,
        tap: Callable[[ImapSettings], Tap | None] | None = None,
    ) -> ImapBackend:
        """How to reach a server with settings that need not belong to an account.

        `account_id` is what the authentication server is asked about, and what a dedicated local address belongs to.
        """
        proxy = proxy or self._common_proxy()
        options = ImapOptions(
            connect_seconds=self._config.imap_connect_timeout_seconds,
            command_seconds=self._config.imap_command_timeout_seconds,
            idle_restart_seconds=self._config.imap_idle_restart_seconds,
            poll_seconds=min(_LONGEST_POLL_SECONDS, self._config.imap_sweep_interval_seconds),
            client_id=self._client_id(),
            verify_certificates=not self._settings.current("ignoreMailCertErrors"),
            traffic=self.imap_traffic,
            gate=self._imap_gate,
        )

        async def fill(wanted: ImapSettings) -> ImapSettings:
            return await self.imap_login(wanted, account_id)

        def local() -> LocalAddresses:
            return self._addresses.choose("imap", account_id).addresses

        return ImapBackend(settings, options, ProxySettings.from_url(proxy) if proxy else None, tap, fill, local)

    async def smtp_for(
        self,
        settings: SmtpSettings,
        profile: AccountProfile,
        account_id: str,
        *,
        proxy: str | None,
        local_address: str | None = None,
    ) -> SmtpServer:
        """Which submission server to use and how. `local_address` is a wish."""
        config = self._config
        route = self._addresses.choose("smtp", account_id, local_address)
        return SmtpServer.from_settings(
            settings,
            ehlo_name=profile.smtp_ehlo_name or self._ehlo_name(),
            proxy_url=proxy or profile.proxy or self._common_proxy(),
            local=route.addresses,
            local_names=await self._addresses.names(route.addresses),
            keep_ehlo_name=profile.smtp_ehlo_name is not None,
            requested_local_address=route.refused,
            tls_defaults=TlsSettings(reject_unauthorized=not self._settings.current("ignoreMailCertErrors")),
            timeouts=SmtpTimeouts(
                connect_seconds=config.smtp_connect_timeout_seconds,
                greeting_seconds=config.smtp_command_timeout_seconds,
                command_seconds=config.smtp_command_timeout_seconds,
                end_of_data_seconds=config.smtp_data_timeout_seconds,
            ),
        )

    async def submit(
        self,
        account: Account,
        submission: Submission,
        body: AsyncIterator[bytes],
        before_data: Callable[[], Awaitable[None]],
        gateway: Gateway | None = None,
    ) -> Receipt:
        """See Submitter.submit."""
        profile, options = account.profile, submission.options
        smtp = await self._submission_server(account, gateway)
        server = await self.smtp_for(
            smtp, profile, account.id, proxy=options.proxy, local_address=options.local_address
        )
        tap = None if self._log is None else self._log.smtp(account, smtp)
        if gateway is None:
            submitter = SmtpSubmitter(self._pool, account.number, server, tap)
        else:
            # What goes over a connection that is logged stands in the log of one account: no other shares it.
            owner = gateway.id if tap is None else (gateway.id, account.number)
            submitter = SmtpSubmitter(self._gateway_pool, owner, server, tap)
        try:
            receipt = await submitter.submit(
                submission.envelope,
                body,
                before_data=before_data,
                size_bytes=submission.size_bytes,
                eight_bit=options.eight_bit,
                utf8_header=options.utf8_header,
                dsn=options.dsn,
            )
        except BackendError as error:
            error.network_routing = server.network_routing(next(iter(server.local.all), None))
            if isinstance(error, SubmissionRejected) and smtp.use_auth_server and error.command == Command.AUTH.value:
                # A token that has run out meanwhile: the next attempt asks for another one.
                error.permanent, error.retryable = False, True
            raise
        return Receipt(
            response=receipt.response,
            refused=tuple(item.address for item in receipt.rejected),
            message_id=receipt.message_id,
            network_routing=receipt.network_routing,
        )

    async def _submission_server(self, account: Account, gateway: Gateway | None) -> SmtpSettings:
        """Where a message goes, with the credentials of this moment; raises InvalidRequest when there is no way."""
        if gateway is not None:
            return gateway.server
        if account.profile.smtp is None:
            raise InvalidRequest("the account has no way to send mail", code="ENOAUTH")
        return await self.smtp_login(account.profile.smtp, account.id)

    async def imap_login(self, settings: ImapSettings, account_id: str) -> ImapSettings:
        """Settings with the credentials of this moment. Raises as `AuthServer.fill` does."""
        return await self._auth_server.fill(settings, account_id, "imap")

    async def smtp_login(self, settings: SmtpSettings, account_id: str) -> SmtpSettings:
        """Settings with the credentials of this moment.

        Raises SubmissionRejected, never permanent, when the authentication server gives none.
        """
        try:
            return await self._auth_server.fill(settings, account_id, "smtp")
        except AuthenticationFailed as error:
            raise SubmissionRejected(
                error.message, code="EAUTH", permanent=False, command=Command.AUTH.value
            ) from error
        except MailquayError as error:
            raise translated(error, Command.AUTH) from error

    def _common_proxy(self) -> str | None:
        return self._settings.current("proxyUrl") if self._settings.current("proxyEnabled") else None

    def _ehlo_name(self) -> str:
        chosen = self._settings.current("smtpEhloName")
        if chosen:
            return str(chosen)
        service = self._settings.current("serviceUrl")
        host = urlsplit(service).hostname if service else None
        return host or socket.gethostname()

    def _client_id(self) -> dict[str, str]:
        """What ID tells the server about us (RFC 2971 §3.3)."""
        known = {"name": "mailquay", "version": __version__}
        chosen = {name: self._settings.current(key) for name, key in _CLIENT_ID_KEYS}
        return known | {name: str(value) for name, value in chosen.items() if value}
