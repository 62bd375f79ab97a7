"""Choosing local addresses."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from mailquay.net import local_address
from mailquay.net.local_address import ANYWHERE, BoundAddresses, LocalAddresses, choose_local

IPV4 = [f"192.0.2.{number}" for number in range(1, 6)]
IPV6 = ["2001:db8::1", "2001:db8::2"]
ACCOUNTS = [f"account-{number}" for number in range(1000)]


def test_by_default_the_system_decides() -> None:
    assert choose_local("default", IPV4, "ann") is ANYWHERE
    assert choose_local("dedicated", [], "ann") == ANYWHERE
    assert not ANYWHERE


def test_dedicated_is_always_the_same_for_each_family() -> None:
    chosen = choose_local("dedicated", [*IPV4, *IPV6], "ann")
    assert chosen.ipv4 in IPV4 and chosen.ipv6 in IPV6
    assert choose_local("dedicated", [*reversed(IPV6), *reversed(IPV4)], "ann") == chosen
    assert choose_local("dedicated", IPV6, "ann") == LocalAddresses(ipv6=chosen.ipv6)


def test_dedicated_spreads_accounts_and_moves_few() -> None:
    before = {account: choose_local("dedicated", IPV4, account).ipv4 for account in ACCOUNTS}
    assert all(150 < count < 250 for count in Counter(before.values()).values())
    after = {account: choose_local("dedicated", IPV4[:-1], account).ipv4 for account in ACCOUNTS}
    moved = {account for account in ACCOUNTS if before[account] != after[account]}
    assert moved == {account for account, address in before.items() if address == IPV4[-1]}


def test_random_is_any() -> None:
    chosen = {choose_local("random", [*IPV4, *IPV6], "ann") for _ in range(500)}
    assert {one.ipv4 for one in chosen} == set(IPV4) and {one.ipv6 for one in chosen} == set(IPV6)


def test_families() -> None:
    both = LocalAddresses("192.0.2.1", "2001:db8::1")
    assert (both.of_family(socket.AF_INET), both.of_family(socket.AF_INET6)) == both.all
    assert LocalAddresses.only("::1") == LocalAddresses(ipv6="::1")


def test_only_addresses_of_this_machine_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = BoundAddresses()
    candidates = ["127.0.0.2", "192.0.2.1", "2001:db8::1", "nonsense"]
    assert bound.among(candidates) == ["127.0.0.2"]
    monkeypatch.setattr(local_address, "_can_bind", lambda _address: True)
    assert bound.among(candidates) == ["127.0.0.2"]
    assert BoundAddresses(remembered_seconds=0).among(candidates) == candidates
