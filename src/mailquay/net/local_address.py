"""Which of this machine's addresses a connection comes from."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailquay.net.names import parse_address

_REMEMBERED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LocalAddresses:
    """One address for each family of the target; None leaves that family to the system."""

    ipv4: str | None = None
    ipv6: str | None = None

    def __bool__(self) -> bool:
        return self.ipv4 is not None or self.ipv6 is not None

    @classmethod
    def only(cls, address: str) -> LocalAddresses:
        """The one address, whichever family it is of."""
        return cls(ipv6=address) if ":" in address else cls(ipv4=address)

    def of_family(self, family: int) -> str | None:
        """The address to bind a socket of that family to."""
        return self.ipv6 if family == socket.AF_INET6 else self.ipv4

    @property
    def all(self) -> tuple[str, ...]:
        """The addresses that are set."""
        return tuple(one for one in (self.ipv4, self.ipv6) if one is not None)


ANYWHERE = LocalAddresses()
"""The system decides."""


def choose_local(strategy: str, candidates: Sequence[str], key: str) -> LocalAddresses:
    """Take one of the candidates for each family: `dedicated` always the same for a key, `random` any; else none.

    With `dedicated` a candidate that comes or goes moves only the keys that are or were on it (rendezvous hashing).
    """
    if strategy == "dedicated":
        pick: Callable[[list[str]], str] = lambda some: max(some, key=lambda one: _weight(one, key))  # noqa: E731
    elif strategy == "random":
        pick = lambda some: random.choice(some)  # noqa: E731, S311  (spreading load, not a secret)
    else:
        return ANYWHERE
    ipv6 = [one for one in candidates if ":" in one]
    ipv4 = [one for one in candidates if ":" not in one]
    return LocalAddresses(pick(ipv4) if ipv4 else None, pick(ipv6) if ipv6 else None)


def _weight(address: str, key: str) -> bytes:
    return hashlib.blake2b(f"{address}/{key}".encode(), digest_size=8).digest()


class BoundAddresses:
    """Knows which addresses this machine has, by trying to bind to them; an answer counts for some seconds."""

    def __init__(self, remembered_seconds: float = _REMEMBERED_SECONDS) -> None:
        self._remembered_seconds = remembered_seconds
        self._known: dict[str, tuple[float, bool]] = {}

    def among(self, candidates: Sequence[str]) -> list[str]:
        """Those of the candidates that are addresses of this machine now."""
        self._known = {address: self._known[address] for address in candidates if address in self._known}
        return [address for address in candidates if self._is_bound(address)]

    def _is_bound(self, address: str) -> bool:
        now = time.monotonic()
        asked_at, bound = self._known.get(address, (0.0, False))
        if address not in self._known or now - asked_at > self._remembered_seconds:
            bound = _can_bind(address)
            self._known[address] = (now, bound)
        return bound


def _can_bind(address: str) -> bool:
    parsed = parse_address(address)
    if parsed is None:
        return False
    try:
        with socket.socket(socket.AF_INET if parsed.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        # EADDRNOTAVAIL, or a machine without IPv6: it cannot be used, which is all that is asked.
        return False
    return True
