from __future__ import annotations

import ipaddress
import socket

import pytest

from mailquay.errors import EgressBlocked
from mailquay.net.egress import EgressPolicy, PolicyResolver, check_address, is_blocked, open_socket

ALWAYS = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::a9fe:a9fe",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "::",
    "fd12::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "224.0.0.1",
    "255.255.255.255",
]
PUBLIC = ["192.0.2.1", "8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", "2002:0808:0808::1", "100.128.0.1"]


@pytest.mark.parametrize("address", ALWAYS)
def test_link_local_policy_blocks(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert is_blocked(EgressPolicy.LINK_LOCAL, parsed)
    assert is_blocked(EgressPolicy.PRIVATE, parsed)
    assert not is_blocked(EgressPolicy.OFF, parsed)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_policy_blocks_more(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not is_blocked(EgressPolicy.LINK_LOCAL, parsed)
    assert is_blocked(EgressPolicy.PRIVATE, parsed)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert not is_blocked(EgressPolicy.PRIVATE, ipaddress.ip_address(address))


def test_error_is_permanent_and_named() -> None:
    with pytest.raises(EgressBlocked) as caught:
        check_address(EgressPolicy.PRIVATE, "10.0.0.1")
    assert caught.value.code == "EEGRESSBLOCKED"
    assert not caught.value.retryable
    with pytest.raises(EgressBlocked):
        check_address(EgressPolicy.LINK_LOCAL, "not an address")
    check_address(EgressPolicy.OFF, "not an address")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("off", EgressPolicy.OFF),
        ("private", EgressPolicy.PRIVATE),
        (" Link-Local ", EgressPolicy.LINK_LOCAL),
        ("nonsense", EgressPolicy.LINK_LOCAL),
        (None, EgressPolicy.LINK_LOCAL),
    ],
)
def test_policy_names(text: str | None, policy: EgressPolicy) -> None:
    assert EgressPolicy.parse(text) is policy


async def test_resolver_judges_every_address() -> None:
    with pytest.raises(EgressBlocked):
        await PolicyResolver(EgressPolicy.PRIVATE).resolve("localhost", 80)
    assert await PolicyResolver(EgressPolicy.LINK_LOCAL).resolve("localhost", 80)


def test_no_socket_is_opened_for_a_forbidden_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(EgressBlocked):
        open_socket(EgressPolicy.PRIVATE, info)
    open_socket(EgressPolicy.LINK_LOCAL, info).close()
