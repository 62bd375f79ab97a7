from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.charset import codec_name, decode


@pytest.mark.parametrize(
    ("data", "label", "text"),
    [
        (b"plain", None, "plain"),
        (b"plain", "no-such-charset", "plain"),
        ("häß".encode(), "utf-8", "häß"),
        ("häß".encode(), '"UTF-8"', "häß"),
        ("häß".encode(), None, "häß"),
        ("häß".encode(), "us-ascii", "häß"),
        (b"caf\xe9", "iso-8859-1", "café"),
        (b"\x93quoted\x94", "ISO-8859-1", "“quoted”"),
        (b"\x93quoted\x94", "latin1", "“quoted”"),
        ("привет".encode("koi8-r"), "KOI8-R", "привет"),
        ("привет".encode("cp1251"), "win-1251", "привет"),
        ("日本語".encode("iso2022_jp"), "ISO-2022-JP", "日本語"),
        ("日本語".encode("cp932"), "Shift_JIS", "日本語"),
        ("中文".encode("gb18030"), "GB2312", "中文"),
        ("한국어".encode("cp949"), "ks_c_5601-1987", "한국어"),
        ("中文".encode("big5"), "Big5", "中文"),
        (b"caf\xe9 au lait", "utf-8", "café au lait"),
        ("zażółć".encode("utf-16"), "utf-16", "zażółć"),
        (b"Hi+AOk-", "utf-7", "Hié"),
        (b"p\xc3\xa4iv\xc3\xa4\xc3\xa4 \xff", "utf-8", "päivää \ufffd"),
        ("naïve".encode("mac-roman"), "macintosh", "naïve"),
    ],
)
def test_decode(data: bytes, label: str | None, text: str) -> None:
    assert decode(data, label) == text


def test_missing_charset_is_detected() -> None:
    text = "Добрый день, направляем вам счёт за услуги связи. С уважением, бухгалтерия."
    assert decode(text.encode("cp1251"), None) == text


@pytest.mark.parametrize("label", ["punycode", "idna", "unicode_escape", "rot13", "hex", "zip", "base64_codec", "bz2"])
def test_codecs_that_are_no_charsets_are_refused(label: str) -> None:
    assert codec_name(label) is None
    assert decode(b"\\u0041 caf\xc3\xa9", label) == "\\u0041 café"


def test_lone_surrogates_do_not_survive() -> None:
    decode(b"+2AA-", "utf-7").encode("utf-8")
    decode(b"\x00\xd8a\x00", "utf-16-le").encode("utf-8")


@given(st.binary(max_size=300), st.text(max_size=20))
def test_never_fails(data: bytes, label: str) -> None:
    decode(data, label).encode("utf-8")


@pytest.mark.parametrize("label", [None, "utf-8", "iso-2022-jp", "gb2312", "utf-7", "hz", "unknown"])
def test_linear_time_on_garbage(label: str | None) -> None:
    started = time.process_time()
    decode(bytes(range(256)) * 8000, label)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("charset", "declared"),
    [
        *(("utf-8", True), ("gb2312", True), ("shift_jis", True), ("euc-kr", True), ("big5", True)),
        *(("utf-8", False), ("shift_jis", False), ("euc-kr", False)),
    ],
)
def test_a_text_that_ends_within_a_character_keeps_its_charset(charset: str, declared: bool) -> None:
    words = {
        "utf-8": "Grüße ",
        "gb2312": "你好吗朋友",
        "shift_jis": "こんにちは皆さん",
        "euc-kr": "안녕하세요",
        "big5": "你好嗎",
    }
    text = words[charset] * 120
    data = text.encode(charset)
    cut = next(size for size in range(len(data) - 1, 0, -1) if not _readable(data[:size], charset))
    assert decode(data[:cut], charset if declared else None)[:300] == text[:300]


def _readable(data: bytes, charset: str) -> bool:
    try:
        data.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(("page", "codec"), [("cp28592", "iso8859-2"), ("cp65001", "utf-8"), ("cp20866", "koi8-r")])
def test_code_pages_by_number(page: str, codec: str) -> None:
    assert codec_name(page) == codec
