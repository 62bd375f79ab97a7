"""Where a request comes from: the peer of the socket, or what a proxy that we believe says."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from mailquay.net.names import in_networks, parse_address

_UNKNOWN = "0.0.0.0"  # noqa: S104 - a unix socket has no address


class ClientAddress:
    """Decides whom to believe. `proxies` are addresses or CIDR blocks.

    Without any, peers of private networks are believed: one from the internet could claim to be any address.
    """

    def __init__(self, proxies: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]

    def of(self, peer: str | None, forwarded_for: str | None, *, believe: bool) -> str:
        """The client's address. From the right, the first that is not a known proxy: further left anybody may write.

        Without a list of proxies there is one proxy, and what it added stands last.
        """
        address = _plain(peer or "") or _UNKNOWN
        if not believe or forwarded_for is None or not (peer is None or self._is_proxy(address)):
            return address
        for text in reversed(forwarded_for.split(",")):
            hop = _plain(text.strip())
            if hop is None:
                return address
            address = hop
            if not self._networks or not self._is_proxy(hop):
                return address
        return address

    def _is_proxy(self, address: str) -> bool:
        if self._networks:
            return in_networks(address, self._networks)
        parsed = parse_address(address)
        return parsed is not None and (parsed.is_private or parsed.is_loopback)


@lru_cache(maxsize=4096)
def _plain(text: str) -> str | None:
    """An address without port, brackets or the IPv6 form of an IPv4 address; None when it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    parsed = parse_address(text)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return None if parsed is None else str(parsed)
