from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mailquay.errors import InvalidRequest, Unavailable
from mailquay.net.connect import Address, connect, interleave
from mailquay.net.local_address import LocalAddresses
from mailquay.net.lookup import AddressInfo
from mailquay.net.names import ascii_host
from mailquay.net.tls import CERTIFICATE_CODES, TlsSettings
from tests.net.certificate import Certificate
from tests.net.peer import serve

LIMIT = 5.0


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hi\r\n")
    await writer.drain()


@contextmanager
def unused_port() -> Iterator[int]:
    """A port that is bound, so that nobody takes it, but not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_implicit_tls(certificate: Certificate) -> None:
    async with serve(greet, context=certificate.context) as port:
        stream = await connect("localhost", port, tls=TlsSettings(ca=(certificate.pem,)), timeout_seconds=LIMIT)
        assert await stream.read(100, LIMIT) == b"hi\r\n"
        assert str(stream.info("tls_version")).startswith("TLSv1.")
        await stream.aclose()


async def test_servername_is_what_gets_verified(other_certificate: Certificate) -> None:
    settings = TlsSettings(ca=(other_certificate.pem,), servername="other.example")
    async with serve(greet, context=other_certificate.context) as port:
        stream = await connect("127.0.0.1", port, tls=settings, timeout_seconds=LIMIT)
        assert await stream.read(100, LIMIT) == b"hi\r\n"
        await stream.aclose()


async def test_self_signed_certificate_is_refused_with_advice(certificate: Certificate) -> None:
    async with serve(greet, context=certificate.context) as port:
        with pytest.raises(Unavailable) as caught:
            await connect("localhost", port, tls=TlsSettings(), timeout_seconds=LIMIT)
    assert caught.value.code == "DEPTH_ZERO_SELF_SIGNED_CERT"
    assert caught.value.code in CERTIFICATE_CODES
    assert "tls.rejectUnauthorized" in caught.value.message


async def test_expired_certificate(expired_certificate: Certificate) -> None:
    settings = TlsSettings(ca=(expired_certificate.pem,))
    async with serve(greet, context=expired_certificate.context) as port:
        with pytest.raises(Unavailable) as caught:
            await connect("localhost", port, tls=settings, timeout_seconds=LIMIT)
    assert caught.value.code == "CERT_HAS_EXPIRED"


async def test_certificate_of_another_host(other_certificate: Certificate) -> None:
    settings = TlsSettings(ca=(other_certificate.pem,))
    async with serve(greet, context=other_certificate.context) as port:
        with pytest.raises(Unavailable) as caught:
            await connect("localhost", port, tls=settings, timeout_seconds=LIMIT)
    assert caught.value.code == "ERR_TLS_CERT_ALTNAME_INVALID"


async def test_reject_unauthorized_false_skips_the_check(other_certificate: Certificate) -> None:
    settings = TlsSettings.from_mapping({"rejectUnauthorized": False})
    async with serve(greet, context=other_certificate.context) as port:
        stream = await connect("localhost", port, tls=settings, timeout_seconds=LIMIT)
        assert await stream.read(100, LIMIT) == b"hi\r\n"
        await stream.aclose()


async def test_tls_to_a_plain_port_says_so() -> None:
    async def greet_and_listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 plain\r\n")
        await reader.read()

    async with serve(greet_and_listen) as port:
        with pytest.raises(Unavailable) as caught:
            await connect("127.0.0.1", port, tls=TlsSettings(), timeout_seconds=LIMIT)
    assert caught.value.code == "ETLS"
    assert "secure" in caught.value.message


async def test_refused_connection() -> None:
    with unused_port() as port, pytest.raises(Unavailable) as caught:
        await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
    assert caught.value.code == "ECONNREFUSED"


async def test_unknown_name() -> None:
    with pytest.raises(Unavailable) as caught:
        await connect("mail.invalid", 25, tls=None, timeout_seconds=LIMIT)
    assert caught.value.code in ("ENOTFOUND", "EDNS")


async def test_next_address_is_tried_when_the_first_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(greet) as port:
        with unused_port() as closed:

            async def two_addresses(*_: object, **__: object) -> list[object]:
                entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*entry, ("127.0.0.1", closed)), (*entry, ("127.0.0.1", port))]

            # A name server cannot be assumed.
            monkeypatch.setattr("mailquay.net.connect.look_up", two_addresses)
            stream = await connect("two.example", port, tls=None, timeout_seconds=LIMIT)
            assert await stream.read(100, LIMIT) == b"hi\r\n"
            await stream.aclose()


async def test_local_address_is_used() -> None:
    async with serve(greet) as port:
        stream = await connect(
            "127.0.0.1", port, tls=None, timeout_seconds=LIMIT, local=LocalAddresses("127.0.0.2", "::1")
        )
        sockname = stream.info("sockname")
        assert isinstance(sockname, tuple)
        assert sockname[0] == "127.0.0.2"
        await stream.aclose()


async def test_local_address_of_another_family_is_left_aside() -> None:
    async with serve(greet) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT, local=LocalAddresses.only("::1"))
        sockname = stream.info("sockname")
        assert isinstance(sockname, tuple)
        assert sockname[0] == "127.0.0.1"
        await stream.aclose()


async def test_the_family_of_the_local_address_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both_families(_host: str, port: int) -> list[AddressInfo]:
        return [
            (socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr("mailquay.net.connect.look_up", both_families)
    async with serve(greet) as port:
        local = LocalAddresses.only("127.0.0.3")
        stream = await connect("two.example", port, tls=None, timeout_seconds=LIMIT, local=local)
        sockname, peername = stream.info("sockname"), stream.info("peername")
        assert isinstance(sockname, tuple) and isinstance(peername, tuple)
        assert (sockname[0], peername[0]) == ("127.0.0.3", "127.0.0.1")
        await stream.aclose()


async def test_a_local_address_that_is_not_ours() -> None:
    async with serve(greet) as port:
        with pytest.raises(Unavailable, match="not one of this machine"):
            await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT, local=LocalAddresses.only("192.0.2.1"))


async def test_forbidden_address_is_not_connected_to() -> None:
    connections = 0

    async def count(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    def forbid(address: str) -> None:
        raise Unavailable(f"{address} is forbidden", code="EEGRESSBLOCKED")

    async with serve(count) as port:
        with pytest.raises(Unavailable) as caught:
            await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT, check_address=forbid)
    assert caught.value.code == "EEGRESSBLOCKED"
    assert connections == 0


def test_families_alternate() -> None:
    six = [Address(socket.AF_INET6, (f"2001:db8::{n}", 1, 0, 0)) for n in range(2)]
    four = [Address(socket.AF_INET, (f"192.0.2.{n}", 1)) for n in range(3)]
    assert interleave(six + four) == [six[0], four[0], six[1], four[1], four[2]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Mail.Example.COM.", "mail.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_host_names_become_ascii(given: str, expected: str) -> None:
    assert ascii_host(given) == expected


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "evil/path", "x" * 254, "user@host", "ü" * 300, "..ü"])
def test_what_is_no_host_name(name: str) -> None:
    with pytest.raises(InvalidRequest):
        ascii_host(name)


@pytest.mark.parametrize(
    "options",
    [
        {"rejectUnauthorized": "no"},
        {"minVersion": 2},
        {"ca": 5},
        {"ca": [1]},
    ],
)
def test_tls_options_of_the_wrong_type(options: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="tls"):
        TlsSettings.from_mapping(options)


@pytest.mark.parametrize(
    "settings",
    [TlsSettings(min_version="SSLv3"), TlsSettings(ciphers="nonsense"), TlsSettings(ca=("no certificate",))],
)
async def test_tls_options_that_openssl_does_not_take(settings: TlsSettings) -> None:
    with pytest.raises(InvalidRequest, match="tls"):
        await connect("127.0.0.1", 1, tls=settings, timeout_seconds=LIMIT)


async def test_a_long_lived_connection_is_watched_by_the_system() -> None:
    wanted = {
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPALIVE": 30,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": 75_000,
    }
    known = {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
    assert len(known) >= 3, "every platform that we run on has these under one name or another"
    async with serve(greet) as port:
        for long_lived in (True, False):
            stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT, long_lived=long_lived)
            sock: Any = stream.info("socket")
            assert sock is not None
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            told = {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in known}
            assert (told == known) is long_lived
            await stream.aclose()
