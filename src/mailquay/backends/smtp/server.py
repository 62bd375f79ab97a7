"""Which submission server to use and how: everything that decides about one connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailquay.model.account import ServerSettings
from mailquay.net.local_address import ANYWHERE, LocalAddresses
from mailquay.net.names import ascii_host
from mailquay.net.proxy import ProxySettings
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.sasl import Credentials


@dataclass(frozen=True, slots=True)
class SmtpTimeouts:
    """Seconds to wait for each step (RFC 5321 §4.5.3.2, shorter where a person waits for the answer)."""

    connect_seconds: float = 60.0
    greeting_seconds: float = 90.0
    command_seconds: float = 120.0
    data_block_seconds: float = 180.0
    end_of_data_seconds: float = 600.0
    quit_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """One server as one account reaches it. Equal values may share a connection.

    `local_names` are host names of addresses of ours: a connection from one of them says EHLO with its name, unless
    `keep_ehlo_name`. `requested_local_address` is what the caller asked for when another had to be used. A `user`
    without credentials cannot log in, and no mail goes out without.
    """

    host: str
    port: int
    secure: bool
    tls: TlsSettings = field(default_factory=TlsSettings)
    require_tls: bool = False
    ignore_tls: bool = False
    user: str | None = None
    credentials: Credentials | None = None
    ehlo_name: str = "localhost"
    proxy: ProxySettings | None = None
    proxy_url: str | None = None
    local: LocalAddresses = ANYWHERE
    local_names: tuple[tuple[str, str], ...] = ()
    keep_ehlo_name: bool = False
    requested_local_address: str | None = None
    timeouts: SmtpTimeouts = field(default_factory=SmtpTimeouts)

    @classmethod
    def from_settings(
        cls,
        settings: ServerSettings,
        *,
        ehlo_name: str,
        proxy_url: str | None = None,
        local: LocalAddresses = ANYWHERE,
        local_names: tuple[tuple[str, str], ...] = (),
        keep_ehlo_name: bool = False,
        requested_local_address: str | None = None,
        tls_defaults: TlsSettings | None = None,
        timeouts: SmtpTimeouts | None = None,
    ) -> SmtpServer:
        """Read an account's or gateway's settings.

        Without a port: 465 when `secure`, else 587 (RFC 6409 §3.1, RFC 8314 §3.3). Raises InvalidRequest that names
        the option for hosts, TLS options and proxies that cannot be used.
        """
        tls = TlsSettings.from_mapping(settings.tls, tls_defaults)
        client_context(tls)
        credentials = None
        if settings.user and settings.access_token:
            credentials = Credentials(username=settings.user, access_token=settings.access_token)
        elif settings.user and settings.password is not None:
            credentials = Credentials(username=settings.user, password=settings.password)
        return cls(
            host=ascii_host(settings.host) if settings.host else "",
            port=settings.port or (465 if settings.secure else 587),
            secure=settings.secure,
            tls=tls,
            require_tls=settings.tls.get("requireTLS") is True,
            ignore_tls=settings.tls.get("ignoreTLS") is True,
            user=settings.user or None,
            credentials=credentials,
            ehlo_name=ehlo_name,
            proxy=ProxySettings.from_url(proxy_url) if proxy_url else None,
            proxy_url=proxy_url or None,
            local=local,
            local_names=local_names,
            keep_ehlo_name=keep_ehlo_name,
            requested_local_address=requested_local_address,
            timeouts=timeouts or SmtpTimeouts(),
        )

    def ehlo_name_from(self, local_address: str | None) -> str:
        """The name to say EHLO with on a connection from that address."""
        return self.ehlo_name if self.keep_ehlo_name else self.local_name(local_address) or self.ehlo_name

    def local_name(self, local_address: str | None) -> str | None:
        """The host name of an address of ours."""
        return dict(self.local_names).get(local_address or "")

    def network_routing(self, local_address: str | None) -> Mapping[str, str | None] | None:
        """What is told about the way that mail took from an address; None when the system alone decided about it.

        The proxy's address is as given: whoever shows it masks the password in it.
        """
        if local_address not in self.local.all:
            local_address = None
        if local_address is None and self.proxy_url is None:
            return None
        routing: dict[str, str | None] = {}
        if local_address is not None:
            routing["localAddress"] = local_address
        if self.proxy_url is not None:
            routing["proxy"] = self.proxy_url
        if (name := self.local_name(local_address)) is not None:
            routing["name"] = name
        if self.requested_local_address is not None:
            routing["requestedLocalAddress"] = self.requested_local_address
        return routing
