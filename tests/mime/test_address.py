from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest
from mailquay.mime.address import (
    MAX_ADDRESSES,
    Address,
    ascii_address,
    encode_addresses,
    format_address,
    needs_smtputf8,
    parse_addresses,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a@b.c", [("", "a@b.c")]),
        ('John <a@b.c>, "Doe, Jane" <j@d.e>', [("John", "a@b.c"), ("Doe, Jane", "j@d.e")]),
        ("=?utf-8?q?J=C3=B6rg?= <a@b.c>", [("Jörg", "a@b.c")]),
        ("=?utf-8?q?Doe, J?= <a@b.c>", [("Doe, J", "a@b.c")]),
        ('"=?utf-8?q?J=C3=B6rg?=" <a@b.c>', [("Jörg", "a@b.c")]),
        ("team: a@b.c, X <d@e.f>;, z@y.x", [("", "a@b.c"), ("X", "d@e.f"), ("", "z@y.x")]),
        ("undisclosed-recipients:;", []),
        ("a@b.c (Joe (x) Y)", [("Joe (x) Y", "a@b.c")]),
        ("<@r1,@r2:a@b.c>", [("", "a@b.c")]),
        ('"a@b.c" <a@b.c>', [("", "a@b.c")]),
        ("'Foo' <a@b.c>", [("Foo", "a@b.c")]),
        ("Pat O'Brien' <a@b.c>", [("Pat O'Brien'", "a@b.c")]),
        ("John Doe a@b.c", [("John Doe", "a@b.c")]),
        ('"john doe"@b.c', [("", '"john doe"@b.c')]),
        ('<"john doe"@b.c>', [("", '"john doe"@b.c')]),
        ("a@b.c; d@e.f", [("", "a@b.c"), ("", "d@e.f")]),
        ("Foo <a@b.c", [("Foo", "a@b.c")]),
        ("Foo <a@b.c, Bar <d@e.f>", [("Foo", "a@b.c"), ("Bar", "d@e.f")]),
        ("", []),
        ("<>", []),
        (" , ,, ", []),
        ("MAILER-DAEMON", [("MAILER-DAEMON", "")]),
        ("a@[1.2.3.4]", [("", "a@[1.2.3.4]")]),
        ("a @ b.c", [("", "a@b.c")]),
        ("[x] foo <a@b.c>", [("[x] foo", "a@b.c")]),
        ("Joe Q. Public <john.q.public@example.com>", [("Joe Q. Public", "john.q.public@example.com")]),
        ("Jörg <jörg@bücher.example>", [("Jörg", "jörg@bücher.example")]),
        ('Foo "x" Bar <a@b.c>', [("Foo x Bar", "a@b.c")]),
        ('"Foo \\"x\\" Bar" <a@b.c>', [('Foo "x" Bar', "a@b.c")]),
        ("a@b.c\x00", [("", "a@b.c\x00")]),
    ],
)
def test_parse(raw: str, expected: list[tuple[str, str]]) -> None:
    wanted = [Address(*pair) for pair in expected]
    assert parse_addresses(raw) == wanted
    assert parse_addresses(raw.encode()) == wanted


def test_raw_bytes_in_names() -> None:
    assert parse_addresses(b"J\xf6rg Wei\xdf <a@b.c>") == [Address("Jörg Weiß", "a@b.c")]


@pytest.mark.parametrize("raw", ["=?utf-8?q?a=40b.c?=", "=?utf-8?q?x=40evil.example=2C?= <>"])
def test_an_encoded_word_never_becomes_an_address(raw: str) -> None:
    assert all(address.address == "" for address in parse_addresses(raw))


def test_smuggled_syntax_in_encoded_words_stays_in_the_name() -> None:
    (address,) = parse_addresses("=?utf-8?q?Boss_=3Cboss=40corp.example=3E=2C?= <thief@evil.example>")
    assert address == Address("Boss <boss@corp.example>,", "thief@evil.example")


@pytest.mark.parametrize(
    ("addresses", "encoded"),
    [
        ([Address("", "a@b.c")], b"To: a@b.c\r\n"),
        ([Address("John", "a@b.c"), Address("", "d@e.f")], b"To: John <a@b.c>, d@e.f\r\n"),
        ([Address("Doe, J.", "a@b.c")], b'To: "Doe, J." <a@b.c>\r\n'),
        ([Address("Jörg", "a@bücher.example")], b"To: =?UTF-8?B?SsO2cmc=?= <a@xn--bcher-kva.example>\r\n"),
        ([], b"To:\r\n"),
    ],
)
def test_encode(addresses: list[Address], encoded: bytes) -> None:
    assert encode_addresses("To", addresses) == encoded


def test_encode_utf8() -> None:
    assert encode_addresses("To", [Address("Jörg", "jörg@b.example")], utf8=True) == (
        'To: "Jörg" <jörg@b.example>\r\n'.encode()
    )


@pytest.mark.parametrize(
    "address",
    [
        Address("a\r\nBcc: x@y", "a@b.c"),
        Address("", "a@b.c\r\nBcc: x@y"),
        Address("", "a@b.c>, <x@y"),
        Address("", "a b@c"),
        Address("", "@b.c"),
        Address("", "a@"),
        Address("", "nobody"),
        Address("", "a@b c"),
        Address("", "a@ü..ä"),
    ],
)
def test_what_cannot_be_written_is_refused(address: Address) -> None:
    with pytest.raises(InvalidRequest):
        encode_addresses("To", [address])


def test_helpers() -> None:
    assert needs_smtputf8("jörg@b.c")
    assert not needs_smtputf8("joe@bücher.example")
    assert ascii_address("joe@bücher.example") == "joe@xn--bcher-kva.example"
    assert format_address(Address("Doe, J", "a@b.c")) == '"Doe, J" <a@b.c>'
    assert format_address(Address("", "a@b.c")) == "a@b.c"
    assert Address("x", "A@B.c").key == "a@b.c"


names = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"), exclude_characters="\x85"), max_size=60
)
locals_ = st.from_regex(r"[a-zA-Z0-9.!#$%&*+/=?^_`{|}~-]{1,30}", fullmatch=True)
domains = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z]{2,5}){1,2}", fullmatch=True)


@given(st.lists(st.builds(Address, names, st.builds("{}@{}".format, locals_, domains)), min_size=1, max_size=6))
def test_round_trip(addresses: list[Address]) -> None:
    expected = [
        Address("" if a.name in (a.address, "''") else a.name[1:-1] if _in_apostrophes(a.name) else a.name, a.address)
        for a in addresses
    ]
    encoded = encode_addresses("To", addresses)
    assert all(len(line) <= 998 for line in encoded.split(b"\r\n"))
    assert parse_addresses(encoded.removeprefix(b"To: ").replace(b"\r\n ", b" ").strip()) == expected


def _in_apostrophes(name: str) -> bool:
    return len(name) > 1 and name[0] == name[-1] == "'"


@given(st.text(alphabet='a@b.c<>,;:()"\\[] =?utf-8q', max_size=100))
def test_never_fails(text: str) -> None:
    for address in parse_addresses(text):
        assert address.name or address.address


@pytest.mark.parametrize(
    "piece", ["(", "<", '"', "a<", "a@b,", "=?a?q?", "\\", "a:", "[", "<x,", "a@ ", "=?a?q?x,?= ", "(a", '"\\']
)
def test_linear_time(piece: str) -> None:
    started = time.process_time()
    assert len(parse_addresses(piece * (500_000 // len(piece)))) <= MAX_ADDRESSES
    assert time.process_time() - started < 5
