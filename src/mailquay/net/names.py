"""Host names: the form that resolvers and TLS take, and address literals."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

import idna

from mailquay.errors import InvalidRequest

_MAX_HOST_OCTETS = 253


@lru_cache(maxsize=1024)
def ascii_host(host: str) -> str:
    """The A-label form of `host` (RFC 5891 §4), lower-case; address literals lose their brackets.

    Raises InvalidRequest when the name cannot be a host name.
    """
    name = host.strip().removesuffix(".")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if parse_address(name) is not None:
        return name
    try:
        ascii_name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidRequest(f"{host[:80]!r} is not a host name") from error
    if not 0 < len(ascii_name) <= _MAX_HOST_OCTETS or any(c <= " " or c in "/@\\%\x7f" for c in ascii_name):
        raise InvalidRequest(f"{host[:80]!r} is not a host name")
    return ascii_name


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that `text` is, None when it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def unmapped(address: str) -> str:
    """An address as its host has it: one of IPv4 that a socket for both kinds writes as IPv6 (RFC 4291 §2.5.5.2)."""
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return address


def in_networks(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Whether an address lies in one of the networks."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)
