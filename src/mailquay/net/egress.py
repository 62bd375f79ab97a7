"""Where outgoing HTTP may connect: a policy judged on addresses, never on names.

A name can resolve to anything at any moment, so the judgement is passed on every resolved address and once more on
the address that the socket is opened for.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from mailquay.errors import EgressBlocked
from mailquay.net.lookup import look_up
from mailquay.net.names import parse_address

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class EgressPolicy(Enum):
    """How much of the neighbourhood is forbidden; each value includes the ones before it."""

    OFF = "off"
    LINK_LOCAL = "link-local"
    PRIVATE = "private"

    @classmethod
    def parse(cls, text: str | None) -> EgressPolicy:
        """The policy called `text`; anything unknown means link-local, so that a typing error opens nothing."""
        try:
            return cls((text or "").strip().lower())
        except ValueError:
            return cls.LINK_LOCAL


# Link-local ranges, and the metadata services of cloud machines that live outside them: Alibaba, Azure, Oracle,
# AWS and Google over IPv6.
_LINK_LOCAL: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    )
)
# RFC 1918, RFC 6598, RFC 4193 and what else the IANA special-purpose registries (RFC 6890) keep off the Internet.
_PRIVATE: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
        "ff00::/8",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")


def is_blocked(policy: EgressPolicy, address: _Address) -> bool:
    """Whether `policy` forbids `address`, or an IPv4 address that is wrapped in it."""
    if policy is EgressPolicy.OFF:
        return False
    networks = _LINK_LOCAL if policy is EgressPolicy.LINK_LOCAL else _LINK_LOCAL + _PRIVATE
    return any(form.version == network.version and form in network for form in _forms(address) for network in networks)


def _forms(address: _Address) -> list[_Address]:
    """The address and each IPv4 address that a kernel or gateway would turn it into."""
    forms: list[_Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        wrapped = [address.ipv4_mapped, address.sixtofour]
        if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 0xFFFF):
            wrapped.append(low)
        forms += [form for form in wrapped if form is not None]
    return forms


def check_address(policy: EgressPolicy, text: str) -> None:
    """Raise EgressBlocked when `policy` forbids the IP address `text`; a text that is no address is forbidden too."""
    if policy is EgressPolicy.OFF:
        return
    address = parse_address(text)
    if address is None or is_blocked(policy, address):
        raise EgressBlocked(
            f"The egress policy {policy.value!r} does not allow a connection to {text[:80]} "
            "(EENGINE_WEBHOOK_EGRESS_POLICY sets it)"
        )


AddressLookup = Callable[[str], Awaitable[Sequence[str]]]
"""The IP addresses of a host name; raises MailquayError when that cannot be said now."""


class PolicyResolver(AbstractResolver):
    """Resolver for aiohttp that refuses a name as soon as one of its addresses is forbidden.

    `addresses` looks names up in place of the system's resolver.
    """

    def __init__(self, policy: EgressPolicy, addresses: AddressLookup | None = None) -> None:
        self._policy = policy
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve `host`; raises EgressBlocked, or OSError when it does not resolve."""
        if self._addresses is not None:
            return self._checked(host, port, family, await self._addresses(host))
        results: list[ResolveResult] = []
        for found, _, protocol, _, sockaddr in await look_up(host, port, family=family, flags=socket.AI_ADDRCONFIG):
            check_address(self._policy, sockaddr[0])
            address = ResolveResult(
                hostname=host, host=sockaddr[0], port=sockaddr[1], family=found, proto=protocol, flags=_NUMERIC
            )
            results.append(address)
        return results

    def _checked(self, host: str, port: int, family: int, addresses: Sequence[str]) -> list[ResolveResult]:
        results: list[ResolveResult] = []
        for text in addresses:
            check_address(self._policy, text)
            found = socket.AF_INET6 if ":" in text else socket.AF_INET
            if family in (socket.AF_UNSPEC, found):
                results.append(
                    ResolveResult(hostname=host, host=text, port=port, family=found, proto=0, flags=_NUMERIC)
                )
        if not results:
            raise OSError(f"{host} has no address")
        return results

    async def close(self) -> None:
        """Nothing is held open."""


def open_socket(policy: EgressPolicy, address_info: AddrInfoType) -> socket.socket:
    """Make the socket for one address of `getaddrinfo`, unless `policy` forbids it (raises EgressBlocked)."""
    family, kind, protocol, _, sockaddr = address_info
    check_address(policy, str(sockaddr[0]))
    return socket.socket(family, kind, protocol)
