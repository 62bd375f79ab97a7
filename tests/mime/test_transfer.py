from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.transfer import (
    decode_transfer,
    decoder_for,
    encode_base64,
    encode_quoted_printable,
    normalize_line_ends,
)

CASES = [
    ("base64", b"aGVsbG8=", b"hello"),
    ("BASE64", b"aGVs\r\nbG8=\r\n", b"hello"),
    ("base64", b"aGVsbG8", b"hello"),
    ("base64", b"aGVsbG8==", b"hello"),
    ("base64", b"aGVs!b*G8 =", b"hello"),
    ("base64", b"YQ==Yg==Yw==", b"abc"),
    ("base64", b"A", b""),
    ("base64", b"", b""),
    ("quoted-printable", b"caf=C3=A9", "café".encode()),
    ("quoted-printable", b"soft=\r\nbreak", b"softbreak"),
    ("quoted-printable", b"soft= \t\r\nbreak", b"softbreak"),
    ("quoted-printable", b"soft=\nbreak", b"softbreak"),
    ("quoted-printable", b"trailing  \r\nspace\t\n", b"trailing\r\nspace\n"),
    ("quoted-printable", b"bad =ZZ escape =", b"bad =ZZ escape "),
    ("quoted-printable", b"lower =c3=a9", "lower é".encode()),
    ("7bit", b"as it is=20", b"as it is=20"),
    ("x-nonsense", b"as it is", b"as it is"),
    ("x-uuencode", b"begin 644 a.txt\n%:&5L;&\\\n`\nend\nrest\n", b"hello"),
    ("uuencode", b"%:&5L;&\\\n", b"hello"),
]


@pytest.mark.parametrize(("encoding", "data", "content"), CASES)
def test_decode_whole_and_byte_by_byte(encoding: str, data: bytes, content: bytes) -> None:
    assert decode_transfer(data, encoding) == content
    decoder = decoder_for(encoding)
    assert b"".join([decoder.feed(data[i : i + 1]) for i in range(len(data))]) + decoder.finish() == content


@given(st.binary(max_size=5000))
def test_base64_round_trip(data: bytes) -> None:
    encoded = b"".join(encode_base64(data))
    assert decode_transfer(encoded, "base64") == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@given(st.binary(max_size=2000))
def test_quoted_printable_round_trip(data: bytes) -> None:
    encoded = encode_quoted_printable(data)
    assert decode_transfer(encoded, "quoted-printable") == normalize_line_ends(data)
    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in lines)
    assert encoded.isascii()


@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "uuencode"]), st.integers(1, 50))
def test_pieces_make_no_difference(data: bytes, encoding: str, size: int) -> None:
    decoder = decoder_for(encoding)
    pieces = [decoder.feed(data[i : i + size]) for i in range(0, len(data), size)]
    assert b"".join(pieces) + decoder.finish() == decode_transfer(data, encoding)


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "uuencode"])
@pytest.mark.parametrize("piece", [b"=", b"=A", b" ", b"a" * 50, b"\n", b"=\n", b"\t \r"])
def test_linear_time(encoding: str, piece: bytes) -> None:
    data = piece * (5_000_000 // len(piece))
    started = time.process_time()
    decode_transfer(data, encoding)
    decoder = decoder_for(encoding)
    for start in range(0, len(data), 65536):
        decoder.feed(data[start : start + 65536])
    decoder.finish()
    assert time.process_time() - started < 8
