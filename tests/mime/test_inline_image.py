from __future__ import annotations

import base64
import itertools
import time

from mailquay.mime.inline_image import content_ids, embed_images, extract_data_images

PNG = base64.b64encode(b"\x89PNG").decode()


def extract(markup: str) -> tuple[str, list[tuple[str | None, bytes]]]:
    counter = itertools.count(1)
    text, parts = extract_data_images(markup, lambda: f"id{next(counter)}")
    return text, [(part.content_type, part.content) for part in parts]


def test_data_images_become_parts() -> None:
    text, parts = extract(f"<p><img alt=x src=\"data:image/png;base64,{PNG}\"><img src='data:image/png;base64,{PNG}'>")
    assert text == '<p><img alt=x src="cid:id1@inline.mailquay"><img src="cid:id1@inline.mailquay">'
    assert parts == [("image/png", b"\x89PNG")]


def test_what_is_no_image_stays() -> None:
    for markup in (
        '<img src="data:text/html;base64,PGI+">',
        '<img src="data:image/png;base64,!!!">',
        '<a href="data:image/png;base64,AAAA">',
        '<img src="https://x.example/a.png">',
    ):
        assert extract(markup) == (markup, [])


def test_url_encoded_svg() -> None:
    _, parts = extract('<img src="data:image/svg+xml;utf8,%3Csvg/%3E">')
    assert parts == [("image/svg+xml", b"<svg/>")]


def test_cid_references_are_embedded() -> None:
    markup = '<img src="cid:a%40b"><div style="background:url(cid:c)"><img src="cid:missing">'
    contents: dict[str, tuple[str | None, bytes]] = {"a@b": ("image/png", b"1"), "c": (None, b"2")}
    assert content_ids(markup) == ["a@b", "c", "missing"]
    assert embed_images(markup, contents) == (
        '<img src="data:image/png;base64,MQ=="><div style="background:url(data:application/octet-stream;base64,Mg==)">'
        '<img src="cid:missing">'
    )


def test_a_content_type_cannot_break_out() -> None:
    assert '"' not in embed_images("cid:a", {"a": ('x" onerror="y', b"1")})


def test_growth_is_limited() -> None:
    result = embed_images("cid:a " * 100_000, {"a": ("image/png", bytes(1024 * 1024))})
    assert len(result) < 100 * 1024 * 1024


def test_linear_time() -> None:
    started = time.process_time()
    for piece in ("<img ", '<img src="data:', "cid:", "<img src='data:;;;;,"):
        extract(piece * 50_000)
        embed_images(piece * 50_000, {})
    assert time.process_time() - started < 5
