"""Questions to a real name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mailquay.errors import ConfigError, Unavailable
from mailquay.net.dns import DnsResolver, MxRecord, SrvRecord
from tests.servers.dns_server import DnsServer

LIMIT = 5.0


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with DnsServer() as running:
        yield running


@pytest.fixture
def resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver([server.address])


async def test_mx_in_their_order(server: DnsServer, resolver: DnsResolver) -> None:
    server.zone["x.test", "MX"] = ["20 b.x.test.", "10 A.x.test.", "0 ."]
    found = await resolver.mx("x.test", timeout_seconds=LIMIT)
    assert found == [MxRecord(10, "a.x.test"), MxRecord(20, "b.x.test")]
    assert server.asked == [("x.test", "MX")]


async def test_srv_in_their_order(server: DnsServer, resolver: DnsResolver) -> None:
    name = "_imaps._tcp.x.test"
    server.zone[name, "SRV"] = ["20 0 1 d.test.", "10 5 2 b.test.", "10 9 3 a.test.", "5 0 0 zero.test.", "0 0 993 ."]
    found = await resolver.srv(name, timeout_seconds=LIMIT)
    assert found == [SrvRecord(10, 9, 3, "a.test"), SrvRecord(10, 5, 2, "b.test"), SrvRecord(20, 0, 1, "d.test")]


async def test_addresses_of_both_families(server: DnsServer, resolver: DnsResolver) -> None:
    server.zone.update({("h.test", "A"): ["192.0.2.1", "192.0.2.2"], ("h.test", "AAAA"): ["2001:db8::1"]})
    found = await resolver.addresses("h.test", timeout_seconds=LIMIT)
    assert found[2:] == ["2001:db8::1"] and set(found[:2]) == {"192.0.2.1", "192.0.2.2"}


async def test_what_does_not_exist_is_nothing(server: DnsServer, resolver: DnsResolver) -> None:
    server.zone["x.test", "MX"] = ["1 a.test."]
    assert await resolver.mx("nowhere.test", timeout_seconds=LIMIT) == []
    assert await resolver.srv("x.test", timeout_seconds=LIMIT) == []
    assert await resolver.addresses("x.test", timeout_seconds=LIMIT) == []


async def test_a_long_answer_comes_over_tcp(server: DnsServer, resolver: DnsResolver) -> None:
    server.zone["x.test", "MX"] = [f"{number} mx{number}.{'x' * 50}.test." for number in range(200)]
    server.truncated.add("x.test")
    found = await resolver.mx("x.test", timeout_seconds=LIMIT)
    assert len(found) == 50
    assert server.asked == [("x.test", "MX")] * 2


async def test_silence_ends_at_the_deadline(server: DnsServer, resolver: DnsResolver) -> None:
    server.silent.add("x.test")
    with pytest.raises(Unavailable, match=r"within 0\.2 s") as caught:
        await resolver.mx("x.test", timeout_seconds=0.2)
    assert caught.value.code == "ETIMEDOUT"


async def test_a_server_in_trouble(server: DnsServer, resolver: DnsResolver) -> None:
    server.broken.add("x.test")
    with pytest.raises(Unavailable) as caught:
        await resolver.addresses("x.test", timeout_seconds=LIMIT)
    assert caught.value.code == "EDNS"


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test", ".".join(["x" * 60] * 5), "ü.test"])
async def test_what_is_no_name_is_not_there(resolver: DnsResolver, name: str) -> None:
    try:
        assert await resolver.mx(name, timeout_seconds=LIMIT) == []
    except Unavailable as error:
        assert error.code == "EDNS"


async def test_the_name_of_an_address(server: DnsServer, resolver: DnsResolver) -> None:
    server.zone["2.0.0.127.in-addr.arpa", "PTR"] = ["Out.x.test."]
    assert await resolver.name_of("127.0.0.2", timeout_seconds=LIMIT) == "out.x.test"
    assert await resolver.name_of("::1", timeout_seconds=LIMIT) is None


async def test_many_questions_at_once(server: DnsServer, resolver: DnsResolver) -> None:
    for number in range(50):
        server.zone[f"h{number}.test", "A"] = [f"192.0.2.{number}"]
    found = await asyncio.gather(
        *(resolver.addresses(f"h{number}.test", timeout_seconds=LIMIT) for number in range(50))
    )
    assert found == [[f"192.0.2.{number}"] for number in range(50)]


@pytest.mark.parametrize("text", ["ns.example.com", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", "[::1", ""])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigError, match="dns_servers"):
        DnsResolver([text])


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:53", "::1", "[::1]:5353", "[::1]"])
def test_what_is_a_server(text: str) -> None:
    DnsResolver([text])
