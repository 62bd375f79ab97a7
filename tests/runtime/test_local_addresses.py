"""Local addresses as the settings say, and their names from a real name server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.net.dns import DnsResolver
from mailquay.net.local_address import ANYWHERE, LocalAddresses
from mailquay.runtime.local_addresses import LocalAddressBook, LocalRoute
from mailquay.services.settings import SettingsService
from mailquay.storage.store import open_store
from tests.servers.dns_server import DnsServer

OURS = ["127.0.0.2", "127.0.0.3"]


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[SettingsService]:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    service = SettingsService(store)
    await service.refresh()
    yield service
    await store.close()


async def _set(settings: SettingsService, **values: object) -> None:
    await settings.write(settings.check(values))
    await settings.refresh()


async def test_each_protocol_has_its_strategy(settings: SettingsService) -> None:
    book = LocalAddressBook(settings, DnsResolver())
    assert book.choose("smtp", "ann") == LocalRoute(ANYWHERE)
    await _set(settings, localAddresses=[*OURS, "192.0.2.1"], smtpStrategy="dedicated")
    route = book.choose("smtp", "ann")
    assert route.addresses.ipv4 in OURS and route == book.choose("smtp", "ann")
    assert book.choose("imap", "ann") == LocalRoute(ANYWHERE)
    await _set(settings, imapStrategy="random")
    assert {book.choose("imap", "ann").addresses.ipv4 for _ in range(100)} == set(OURS)


async def test_a_wish_is_heard_where_it_can_be(settings: SettingsService) -> None:
    book = LocalAddressBook(settings, DnsResolver())
    await _set(settings, localAddresses=[*OURS, "192.0.2.1"])
    assert book.choose("smtp", "ann", "127.0.0.3") == LocalRoute(LocalAddresses.only("127.0.0.3"))
    for wish in ("192.0.2.1", "127.0.0.9"):
        assert book.choose("smtp", "ann", wish) == LocalRoute(ANYWHERE, refused=wish)


async def test_names_of_addresses(settings: SettingsService) -> None:
    async with DnsServer({("2.0.0.127.in-addr.arpa", "PTR"): ["out.x.test."]}) as dns:
        resolver = DnsResolver([dns.address])
        book = LocalAddressBook(settings, resolver, name_private=True)
        for _ in range(2):
            assert await book.names(LocalAddresses("127.0.0.2", "::1")) == (("127.0.0.2", "out.x.test"),)
        assert len(dns.asked) == 2
        dns.broken.add("3.0.0.127.in-addr.arpa")
        assert await book.names(LocalAddresses.only("127.0.0.3")) == ()
        assert await LocalAddressBook(settings, resolver).names(LocalAddresses("127.0.0.2")) == ()
        assert len(dns.asked) == 3
