"""Find the mail servers of an address: by its mail exchanger, else by what its domain and others publish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import structlog

from mailquay.errors import MailquayError, NotFound, Unavailable
from mailquay.net.dns import DnsResolver
from mailquay.net.http import HttpClient
from mailquay.net.names import parse_address
from mailquay.services.mail_providers import KnownServers, app_password, by_exchanger
from mailquay.wire.autoconfig.autodiscover import CONTENT_TYPE, autodiscover_request, read_autodiscover
from mailquay.wire.autoconfig.client_config import read_client_config
from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers, read_host
from mailquay.wire.autoconfig.xml import MAX_XML_BYTES

_log = structlog.get_logger(__name__)
T = TypeVar("T")
_NOTHING = AnnouncedServers()
_AT_ONCE = 10
_SUBMISSIONS_PORT = 465
_Attempt = Callable[[], Awaitable[AnnouncedServers]]


@dataclass(frozen=True, slots=True)
class AutoconfigOptions:
    """How long each source may take, and where the ISP database is (None: it is not asked).

    The ports are those of the sources that a domain runs itself.
    """

    timeout_seconds: float
    isp_database: str | None
    http_port: int = 80
    https_port: int = 443


@dataclass(frozen=True, slots=True)
class _Address:
    """The address in question; `domain` in its ASCII form."""

    email: str
    domain: str


class AutoconfigService:
    """Asks for a few addresses at a time; the others wait their turn."""

    def __init__(self, dns: DnsResolver, http: HttpClient, options: AutoconfigOptions) -> None:
        self._dns = dns
        self._http = http
        self._options = options
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def discover(self, email: str) -> dict[str, Any]:
        """The servers of an address in their public form; that nothing was found is an answer as well."""
        domain = read_host(email.rpartition("@")[2])
        if domain is None or parse_address(domain) is not None:
            # An address literal, or what no name server could be asked about.
            return _shown("unknown", _NOTHING)
        async with self._turns:
            return await self._discover(_Address(email, domain))

    async def _discover(self, address: _Address) -> dict[str, Any]:
        exchanger = await self._within("mx", lambda: self._exchanger(address.domain))
        known = None if exchanger is None else by_exchanger(exchanger, address.email)
        servers = None if known is None else await self._within("mx", lambda: self._of_known(known, address))
        if servers is not None:
            shown = _shown("mx", servers)
        else:
            shown = _shown(*await self._race(self._sources(address)))
        if hint := app_password(address.domain, exchanger):
            shown["appPassword"] = hint.shown()
        return shown

    # -- by the mail exchanger -------------------------------------------------------------------

    async def _exchanger(self, domain: str) -> str | None:
        records = await self._dns.mx(domain, timeout_seconds=self._options.timeout_seconds)
        return records[0].host if records else None

    async def _of_known(self, known: KnownServers, address: _Address) -> AnnouncedServers:
        if known.srv_of is not None:
            return await self._by_srv(_Address(address.email, known.srv_of))
        if known.autoconfig_of is not None:
            return await self._by_autoconfig(address, known.autoconfig_of)
        assert known.servers is not None
        return known.servers

    # -- by what is published ----------------------------------------------------------------------

    def _sources(self, address: _Address) -> Mapping[str, _Attempt]:
        sources: dict[str, _Attempt] = {
            "srv": lambda: self._by_srv(address),
            "well-known": lambda: self._by_well_known(address),
            "autoconfig": lambda: self._by_autoconfig(address, address.domain),
        }
        if self._options.isp_database is not None:
            sources["mozilla"] = lambda: self._by_isp_database(address, str(self._options.isp_database))
        return {**sources, "autodiscover": lambda: self._by_autodiscover(address)}

    async def _race(self, sources: Mapping[str, _Attempt]) -> tuple[str, AnnouncedServers]:
        """All at once; the first that found a server wins, else one that has found none, else nobody."""
        tasks = {
            name: asyncio.create_task(self._within(name, attempt), name=f"autoconfig-{name}")
            for name, attempt in sources.items()
        }
        waiting = set(tasks.values())
        try:
            while waiting:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                found = {name: task.result() for name, task in tasks.items() if task.done()}
                for name, servers in found.items():
                    if servers is not None and servers != _NOTHING:
                        return name, servers
            return next(((name, servers) for name, servers in found.items() if servers), ("unknown", _NOTHING))
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _within(self, source: str, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """What a source says within its time; None when it fails, which is what most of them do."""
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                return await attempt()
        except TimeoutError:
            _log.debug("autoconfig_source_silent", source=source)
        except MailquayError as error:
            _log.debug("autoconfig_source_failed", source=source, code=error.code, error=error.message)
        return None

    async def _by_srv(self, address: _Address) -> AnnouncedServers:
        """RFC 6186 §3, RFC 8314 §5.1; without a record for submission it is a failure."""
        imap, smtp = await asyncio.gather(
            self._first_service(address, ("_imaps._tcp", "_imap._tcp")),
            self._first_service(address, ("_submissions._tcp", "_submission._tcp")),
        )
        if smtp is None:
            raise NotFound(f"{address.domain} has no SRV record for submission")
        return AnnouncedServers(imap, smtp)

    async def _first_service(self, address: _Address, services: tuple[str, str]) -> AnnouncedServer | None:
        for service in services:
            records = await self._dns.srv(f"{service}.{address.domain}", timeout_seconds=self._options.timeout_seconds)
            for record in records:
                if (host := read_host(record.host)) is not None:
                    secure = service == "_imaps._tcp" or record.port == _SUBMISSIONS_PORT
                    return AnnouncedServer(host, record.port, secure, address.email)
        return None

    async def _by_well_known(self, address: _Address) -> AnnouncedServers:
        url = f"http://{address.domain}{_port(self._options.http_port, 80)}/.well-known/autoconfig/mail/config-v1.1.xml"
        return read_client_config(await self._fetch("GET", url), address.email)

    async def _by_autoconfig(self, address: _Address, domain: str) -> AnnouncedServers:
        url = f"https://autoconfig.{domain}{_port(self._options.https_port, 443)}/mail/config-v1.1.xml"
        document = await self._fetch("GET", f"{url}?emailaddress={quote(address.email, safe='')}")
        return read_client_config(document, address.email)

    async def _by_isp_database(self, address: _Address, database: str) -> AnnouncedServers:
        return read_client_config(await self._fetch("GET", f"{database}{address.domain}"), address.email)

    async def _by_autodiscover(self, address: _Address) -> AnnouncedServers:
        host, port = f"autodiscover.{address.domain}", self._options.https_port
        try:
            records = await self._dns.srv(
                f"_autodiscover._tcp.{address.domain}", timeout_seconds=self._options.timeout_seconds
            )
        except Unavailable as error:
            _log.debug("autoconfig_no_srv", error=error.message)
            records = []
        if records and (target := read_host(records[0].host)) is not None:
            host, port = target, records[0].port
        document = await self._fetch(
            "POST",
            f"https://{host}{_port(port, 443)}/autodiscover/autodiscover.xml",
            autodiscover_request(address.email),
        )
        return read_autodiscover(document, address.email)

    async def _fetch(self, method: str, url: str, body: bytes | None = None) -> bytes:
        response = await self._http.request(
            method,
            url,
            headers={"Accept": "application/xml, text/xml", **({"Content-Type": CONTENT_TYPE} if body else {})},
            body=body,
            timeout_seconds=self._options.timeout_seconds,
            max_response_bytes=MAX_XML_BYTES,
            follow_redirects=True,
        )
        if response.status != 200:
            raise NotFound(f"the answer was {response.status}")
        return response.body


def _port(port: int, usual: int) -> str:
    return "" if port == usual else f":{port}"


def _shown(source: str, servers: AnnouncedServers) -> dict[str, Any]:
    return {"imap": _server(servers.imap), "smtp": _server(servers.smtp), "_source": source}


def _server(server: AnnouncedServer | None) -> dict[str, Any] | bool:
    if server is None:
        return False
    auth = {} if server.user is None else {"auth": {"user": server.user}}
    return {**auth, "host": server.host, "port": server.port, "secure": server.secure}
