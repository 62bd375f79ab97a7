from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.encoded_word import decode_header_bytes, decode_words, encode_words


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain =? text", "plain =? text"),
        ("=?utf-8?Q?caf=C3=A9?=", "café"),
        ("=?UTF-8?B?Y2Fmw6k=?= au lait", "café au lait"),
        ("=?utf-8*fr?q?caf=C3=A9?=", "café"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\t =?iso-8859-1?q?=E9?=", "aé"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "café"),
        ("=?utf-8?b?Y2Fmww==?= =?utf-8?b?qQ==?=", "café"),
        ("=?utf-8?q?with space?=", "with space"),
        ("=?utf-8?q?under_score?=", "under score"),
        ('"=?utf-8?q?quoted?="', '"quoted"'),
        ("x=?utf-8?q?glued?=y", "xgluedy"),
        ("=?utf-8?b?Y2Fmw6k?=", "café"),
        ("=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        ("=?utf-8?x?strange?=", "=?utf-8?x?strange?="),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?utf-8?q??=", ""),
        ("=?nonsense?q?caf=C3=A9?=", "café"),
    ],
)
def test_decode(raw: str, text: str) -> None:
    assert decode_words(raw) == text


def test_raw_eight_bit_bytes() -> None:
    assert decode_header_bytes("café =?utf-8?q?=C3=A9?=".encode()) == "café é"
    assert decode_header_bytes(b"caf\xe9 cr\xe8me") == "café crème"


@given(st.text(max_size=400))
def test_round_trip(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    words = encode_words(text, first_width=40)
    assert decode_words(" ".join(words)) == text
    assert all(len(word) <= 75 and word.isascii() for word in words)


@given(st.text(alphabet="=?utf-8qb_ AZ=C3\r\n", max_size=200))
def test_never_fails(text: str) -> None:
    decode_words(text).encode("utf-8")


@pytest.mark.parametrize("piece", ["=?a?q?", "=?a?q?x?=", "=?", "?=", "=?a?b?!", "=?a?q?=?= "])
def test_linear_time(piece: str) -> None:
    started = time.process_time()
    decode_words(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5
