"""Looking up names: a resolver that hangs holds up nothing but lookups, and those not for ever."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from mailquay.errors import Unavailable
from mailquay.net import lookup
from mailquay.net.connect import resolve
from mailquay.net.egress import EgressPolicy, PolicyResolver
from mailquay.net.lookup import AddressInfo, LookupThreads, look_up

FOUND: list[AddressInfo] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 25))]


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that says nothing until the event is set, and threads of this test's own."""
    over = threading.Event()

    def hang(*_arguments: object) -> list[AddressInfo]:
        over.wait()
        return FOUND

    threads = LookupThreads(2)
    monkeypatch.setattr(lookup, "_threads", lambda: threads)
    monkeypatch.setattr(lookup, "_getaddrinfo", hang)
    monkeypatch.setattr(lookup, "_SECONDS", 0.05)
    yield over
    over.set()


async def test_names_and_addresses() -> None:
    assert {info[4][0] for info in await look_up("localhost", 25)} <= {"127.0.0.1", "::1"}
    [info] = await look_up("192.0.2.7", 25)
    assert (info[0], info[4]) == (socket.AF_INET, ("192.0.2.7", 25))
    with pytest.raises(socket.gaierror):
        await look_up("mail.invalid", 25)


async def test_a_silent_resolver_is_given_up(silence: threading.Event) -> None:
    with pytest.raises(Unavailable) as failure:
        await resolve("hangs.example", 25)
    assert failure.value.code == "EDNS"
    with pytest.raises(OSError):
        await PolicyResolver(EgressPolicy.LINK_LOCAL).resolve("hangs.example", 80)


async def test_a_silent_resolver_holds_up_no_other_work(silence: threading.Event) -> None:
    before = threading.active_count()
    tasks = [asyncio.create_task(look_up(f"n{n}.example", 25)) for n in range(50)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, socket.gaierror) for result in results)
    assert threading.active_count() - before <= 2
    assert await asyncio.to_thread(lambda: "files go on") == "files go on"


async def test_who_was_given_up_is_not_asked_for(silence: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the resolver is back, those that still wait are served, without the queue of the others first."""
    asked: list[Callable[[], object]] = []
    threads = LookupThreads(1)

    def ask(name: str) -> list[AddressInfo]:
        asked.append(lambda: name)
        silence.wait()
        return FOUND

    first = threads.submit(lambda: ask("first"))
    late = [threads.submit(lambda: ask("given up")) for _ in range(5)]
    assert all(future.cancel() for future in late)
    last = threads.submit(lambda: ask("last"))
    silence.set()
    assert await asyncio.wrap_future(first) == await asyncio.wrap_future(last) == FOUND
    assert [name() for name in asked] == ["first", "last"]
