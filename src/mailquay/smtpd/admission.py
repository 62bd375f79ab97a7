"""Who is let in, and how often: connections of all and of each address, and log-ins that were refused."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from mailquay.net.names import parse_address, unmapped
from mailquay.smtpd.limits import Limits

_WINDOW_SECONDS = 60.0
_REMEMBERED = 10_000


class Admission:
    """Counts for all connections of a listener."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: Counter[str] = Counter()
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    @contextmanager
    def connection(self, address: str) -> Iterator[bool]:
        """Count a connection for the time of the block; gives whether it is one too many of its address."""
        network = network_of(address)
        self._connections[network] += 1
        try:
            yield self._connections[network] > self._limits.connections_per_address
        finally:
            self._connections[network] -= 1
            if not self._connections[network]:
                del self._connections[network]

    def login_failed(self, address: str, username: str) -> None:
        """Count a refused log-in."""
        network = network_of(address)
        now = asyncio.get_running_loop().time()
        for key in ((network, ""), (network, username[:256])):
            began, count = self._failures.pop(key, (now, 0))
            self._failures[key] = (began, count + 1) if now - began < _WINDOW_SECONDS else (now, 1)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def may_log_in(self, address: str, username: str) -> bool:
        """Whether an address has not failed too often within a minute, with this user or with many."""
        network = network_of(address)
        return (
            self._recent((network, "")) < self._limits.failures
            and self._recent((network, username[:256])) < self._limits.failures_of_user
        )

    def _recent(self, key: tuple[str, str]) -> int:
        began, count = self._failures.get(key, (0.0, 0))
        return count if asyncio.get_running_loop().time() - began < _WINDOW_SECONDS else 0


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the network of 64 bits that one IPv6 host can choose from."""
    address = unmapped(address)
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
