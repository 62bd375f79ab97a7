"""Wire values as our model has them."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.backends.imap.mapping import addresses, header_date_ms, shown_flags, structure
from mailquay.model.message import Address
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, Disposition, Parameters
from mailquay.wire.imap.envelope import Address as WireAddress


@given(
    st.integers(1, 31),
    st.sampled_from(["Jan", "Feb", "Jun", "Dec", "Foo"]),
    st.integers(1800, 9999),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["+0000", "-0000", "+0530", "-0800", "+9999", "GMT", "-0500 (EST)"]),
)
def test_usual_dates_are_read_as_the_lenient_reader_reads_them(
    day: int, month: str, year: int, hour: int, minute: int, second: int, zone: str
) -> None:
    text = f"{day:02d} {month} {year} {hour:02d}:{minute:02d}:{second:02d} {zone}"
    # With two blanks in between it is not the usual form any more.
    assert header_date_ms(text.encode()) == header_date_ms(text.replace(" ", "  ", 1).encode())


def test_a_date_is_milliseconds_since_the_epoch() -> None:
    assert header_date_ms(b"Thu, 01 Jan 2026 10:00:00 +0100") == 1_767_258_000_000
    assert header_date_ms(email.utils.formatdate(1_767_258_000).encode()) == 1_767_258_000_000
    assert header_date_ms(b"yesterday") is None
    assert header_date_ms(None) is None


@pytest.mark.parametrize("length", [10, 5000])
def test_addresses_are_decoded_short_or_long(length: int) -> None:
    name = b"=?utf-8?q?J=C3=BCrgen?= " + b"x" * length
    [found] = addresses([WireAddress(name, None, b"a", b"b.test")])
    assert found == Address("Jürgen " + "x" * length, "a@b.test")


@pytest.mark.parametrize("host", [b"MISSING_DOMAIN", b".MISSING-HOST-NAME.", b""])
def test_an_address_without_a_domain_gets_none_from_the_words_of_servers(host: bytes) -> None:
    assert addresses([WireAddress(None, None, b"someone", host)]) == (Address("", "someone"),)


@pytest.mark.parametrize("type_", [("", ""), ("multipart", "mixed")])
def test_a_part_that_the_server_did_not_understand_makes_the_structure_unreliable(type_: tuple[str, str]) -> None:
    text = BodyPart("text", "plain", size_bytes=3)
    assert structure(text).reliable
    assert not structure(BodyPart(*type_, size_bytes=3)).reliable
    found = structure(BodyMultipart((text, BodyPart(*type_, size_bytes=3)), "mixed"))
    assert (found.reliable, [part.part for part in found.plain], found.attachments) == (False, ["1"], ())


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        ((("filename", b"a.pdf"), ("filename", b"b.pdf")), "a.pdf"),
        ((("filename", b"=?utf-8?q?=C3=A4.pdf?="),), "ä.pdf"),
        ((("filename*", b"utf-8''%C3%A4.pdf"),), "ä.pdf"),
        ((("filename*0", b'a "quoted" '), ("filename*1", b"back\\slash.pdf")), 'a "quoted" back\\slash.pdf'),
        ((("filename*1*", b"%B6.pdf"), ("filename*0*", b"utf-8''%C3%A4%C3")), "äö.pdf"),
        ((("filename", "ä.pdf".encode("latin-1")),), "ä.pdf"),
    ],
)
def test_names_of_attachments(parameters: Parameters, filename: str) -> None:
    part = BodyPart("application", "pdf", disposition=Disposition("attachment", parameters))
    [found] = structure(part).attachments
    assert found.filename == filename


def test_the_marks_of_groups_are_no_addresses() -> None:
    assert addresses([WireAddress(None, None, b"undisclosed", None), WireAddress(None, None, None, None)]) == ()


@pytest.mark.parametrize("keyword", ["$Forwarded", "k" * 1000])
def test_flags_are_shown_sorted_and_without_recent(keyword: str) -> None:
    assert shown_flags(frozenset(["\\Seen", "\\Recent", keyword])) == tuple(sorted(["\\Seen", keyword]))
