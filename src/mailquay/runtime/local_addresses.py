"""The local addresses of connections to mail servers, as the settings say."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Literal

import structlog

from mailquay.errors import Unavailable
from mailquay.net.dns import DnsResolver
from mailquay.net.local_address import ANYWHERE, BoundAddresses, LocalAddresses, choose_local
from mailquay.services.settings import SettingsService
from mailquay.wire.autoconfig.servers import read_host

_log = structlog.get_logger(__name__)
_NAME_SECONDS = 2.0
_NAME_KEPT_SECONDS = 3600.0
_MAX_NAMES = 1000


@dataclass(frozen=True, slots=True)
class LocalRoute:
    """The addresses to connect from; `refused` is the one that was asked for and cannot be had."""

    addresses: LocalAddresses = ANYWHERE
    refused: str | None = None


class LocalAddressBook:
    """Chooses among those of `localAddresses` that the machine has. Settings are read as of their last refresh.

    `name_private` has the reverse zone asked about private addresses as well, which say nothing to strangers.
    """

    def __init__(self, settings: SettingsService, dns: DnsResolver, *, name_private: bool = False) -> None:
        self._settings = settings
        self._dns = dns
        self._name_private = name_private
        self._bound = BoundAddresses()
        self._names: dict[str, tuple[float, str | None]] = {}

    def choose(self, protocol: Literal["imap", "smtp"], key: str, requested: str | None = None) -> LocalRoute:
        """The addresses for one connection of an account (`key`). `requested` goes first where it can be had."""
        candidates = self._bound.among(self._settings.current("localAddresses"))
        if requested is not None:
            wanted = str(ipaddress.ip_address(requested))
            if wanted in candidates:
                return LocalRoute(LocalAddresses.only(wanted))
        strategy = str(self._settings.current(f"{protocol}Strategy"))
        return LocalRoute(choose_local(strategy, candidates, key), refused=requested)

    async def names(self, addresses: LocalAddresses) -> tuple[tuple[str, str], ...]:
        """The host names of the addresses that have one, as (address, name)."""
        found = [(address, await self._name(address)) for address in addresses.all]
        return tuple((address, name) for address, name in found if name is not None)

    async def _name(self, address: str) -> str | None:
        now = time.monotonic()
        asked_at, name = self._names.get(address, (0.0, None))
        if address in self._names and now - asked_at < _NAME_KEPT_SECONDS:
            return name
        if self._name_private or ipaddress.ip_address(address).is_global:
            try:
                told = await self._dns.name_of(address, timeout_seconds=_NAME_SECONDS)
                name = read_host(told) if told is not None else None
            except Unavailable as error:
                # Mail goes out without the name; the next look comes in an hour.
                _log.warning("local_address_without_name", address=address, error=error.message)
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[address] = (now, name)
        return name
