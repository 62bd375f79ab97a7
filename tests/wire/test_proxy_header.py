"""Headers of the PROXY protocol: what belongs to them, and whom they name."""

from __future__ import annotations

import pytest

from mailquay.errors import RemoteProtocolError
from mailquay.wire.proxy_header import ProxyHeader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 10, 0, 0, 1]) + b"\x12\x34\x09\xdd"
V6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + b"\x12\x34\x09\xdd"


def binary(command: int, family: int, payload: bytes) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes([0x20 | command, family]) + len(payload).to_bytes(2) + payload


GOOD = [
    (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 2525\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::1 ::1 4660 2525\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (binary(1, 0x11, V4), "192.0.2.1"),
    (binary(1, 0x11, V4 + b"\x04\x00\x01x"), "192.0.2.1"),
    (binary(1, 0x21, V6), "2001:db8::1"),
    (binary(0, 0x00, b""), None),
    (binary(0, 0x11, V4), None),
    (binary(1, 0x31, bytes(216)), None),
]


@pytest.mark.parametrize(("wire", "source"), GOOD)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_headers(wire: bytes, source: str | None, size: int) -> None:
    """However it arrives, the header takes its own bytes and none of those behind it."""
    header, stream, position = ProxyHeader(), wire + b"\x16\x03\x01 a handshake", 0
    while not header.complete:
        taken = header.take(stream[position : position + size])
        assert taken > 0
        position += taken
    assert (position, header.source) == (len(wire), source)


@pytest.mark.parametrize(
    "wire",
    [
        b"EHLO client\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 4660\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 4660 2525\r\n",
        b"PROXY TCP4 nobody 10.0.0.1 4660 2525\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        b"PROXY UDP4 192.0.2.1 10.0.0.1 4660 2525\r\n",
        SIGNATURE + b"\x31\x11\x00\x0c" + V4,
        SIGNATURE + b"\x22\x11\x00\x0c" + V4,
        SIGNATURE + b"\x21\x11\xff\xff" + V4,
        binary(1, 0x11, V4[:8]),
    ],
)
def test_what_is_no_header(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ProxyHeader().take(wire)
