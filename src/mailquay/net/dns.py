"""Questions to name servers about mail domains: MX, SRV and addresses, each with a deadline.

Names are asked for as they are, without the search list and the hosts file of this machine: they come from strangers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mailquay.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

_PORT = 53
_SERVER = re.compile(
    r"(?:(?P<host>[0-9.]+)|\[(?P<bracketed>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[0-9a-f:.]+)",
    re.IGNORECASE,
)
_MAX_RECORDS = 50


@dataclass(frozen=True, slots=True)
class MxRecord:
    """A mail exchanger of a domain; the lowest `preference` is tried first (RFC 5321 §5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """A server of a service; the lowest `priority` first, then the largest `weight` (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str


class DnsResolver:
    """Asks the given name servers (`ADDRESS`, `ADDRESS:PORT`, `[IPv6]:PORT`), or those of the system."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        """Raises ConfigError for what is no address of a server."""
        self._servers = [_server(text) for text in servers]
        self._resolver: Resolver | None = None

    async def mx(self, domain: str, *, timeout_seconds: float) -> list[MxRecord]:
        """The mail exchangers of a domain in their order, none for a domain that takes no mail (RFC 7505).

        Raises Unavailable: EDNS when the name servers have no answer, ETIMEDOUT when they are silent.
        """
        found = await self._ask(domain, "MX", timeout_seconds)
        records = [MxRecord(item.preference, _host(item.exchange)) for item in found]
        return sorted((record for record in records if record.host), key=lambda record: record.preference)

    async def srv(self, name: str, *, timeout_seconds: float) -> list[SrvRecord]:
        """The servers of a service in their order, none when it is said not to exist. Raises as `mx` does."""
        found = await self._ask(name, "SRV", timeout_seconds)
        records = [SrvRecord(item.priority, item.weight, item.port, _host(item.target)) for item in found]
        known = (record for record in records if record.host and record.port)
        return sorted(known, key=lambda record: (record.priority, -record.weight))

    async def addresses(self, host: str, *, timeout_seconds: float) -> list[str]:
        """The IP addresses of a host, both families. Raises as `mx` does, when neither family has an answer."""
        outcomes = await asyncio.gather(
            self._ask(host, "A", timeout_seconds), self._ask(host, "AAAA", timeout_seconds), return_exceptions=True
        )
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        found = [str(item.address) for one in outcomes if not isinstance(one, BaseException) for item in one]
        for failure in failures:
            if not found or not isinstance(failure, Unavailable):
                raise failure
        return found

    async def name_of(self, address: str, *, timeout_seconds: float) -> str | None:
        """The host name that the reverse zone gives to an IP address (RFC 1035 §3.5). Raises as `mx` does."""
        found = await self._ask(ipaddress.ip_address(address).reverse_pointer, "PTR", timeout_seconds)
        return _host(found[0].target) or None if found else None

    async def _ask(self, name: str, kind: str, timeout_seconds: float) -> list[Any]:
        """Records of one kind, none where the name or the kind does not exist."""
        deadline = time.monotonic() + timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                resolver = await self._opened()
                import dns.exception
                import dns.resolver

                try:
                    lifetime = max(0.001, deadline - time.monotonic())
                    answer = await resolver.resolve(
                        f"{name}.", kind, search=False, raise_on_no_answer=False, lifetime=lifetime
                    )
                except dns.resolver.NXDOMAIN:
                    return []
                except dns.resolver.LifetimeTimeout as error:
                    raise TimeoutError from error
                except (dns.exception.DNSException, OSError, ValueError) as error:
                    raise Unavailable(f"The DNS has no answer about {name[:253]}", code="EDNS") from error
        except TimeoutError:
            text = f"The name servers did not answer about {name[:253]} within {timeout_seconds:g} s"
            raise Unavailable(text, code="ETIMEDOUT") from None
        return list(answer.rrset or ())[:_MAX_RECORDS]

    async def _opened(self) -> Resolver:
        """The library takes a third of a second to load, and most nodes never need it."""
        if self._resolver is None:
            self._resolver = await asyncio.to_thread(_open, self._servers)
        return self._resolver


def _open(servers: Sequence[tuple[str, int]]) -> Resolver:
    import dns.asyncresolver
    import dns.nameserver
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration as error:
        raise Unavailable("This machine names no name servers; dns_servers can name them", code="EDNS") from error
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver


def _server(text: str) -> tuple[str, int]:
    found = _SERVER.fullmatch(text.strip())
    try:
        address = str(ipaddress.ip_address(found["host"] or found["bracketed"] or found["bare"])) if found else ""
    except ValueError:
        address = ""
    port = int(found["port"] or _PORT) if found else 0
    if not address or not 0 < port < 65536:
        raise ConfigError(f"dns_servers holds {text[:80]!r}, but must hold addresses, with :PORT where it is not 53")
    return address, port


def _host(name: Any) -> str:
    """A name in lower case without its last dot; "" for the root, which stands for "none"."""
    return str(name.to_text(omit_final_dot=True)).lower() if len(name.labels) > 1 else ""
