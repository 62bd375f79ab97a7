"""Reading messages through the API's service: nested parts, texts by id, unreliable structures, winmail.dat."""

from __future__ import annotations

import base64
import contextlib
import random
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import InvalidRequest, MessageNotFound
from mailquay.mime import websafe
from mailquay.mime.tnef import MAX_FILES
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import download_stream, identifiers, message_content, message_html
from mailquay.services.body_source import download_part, read_texts
from mailquay.services.message_request import ReadOptions
from mailquay.wire.imap.leniency import Leniency
from tests.mime.test_tnef import attribute, file, properties, tnef
from tests.runtime.reading import SECONDS, Reader, reading

HEAD = b"From: Ann <a@b.test>\r\nTo: b@c.test\r\nSubject: parts\r\nMessage-ID: <parts@b.test>\r\nMIME-Version: 1.0\r\n"
_DATA = random.Random(7).randbytes(300_000)


def multipart(kind: str, boundary: str, *parts: bytes) -> bytes:
    """A multipart entity."""
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode()
    lines = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return head + lines + f"--{boundary}--\r\n".encode()


def part(content_type: str, body: bytes, *fields: str) -> bytes:
    """An entity with that body."""
    head = "".join(f"{line}\r\n" for line in (f"Content-Type: {content_type}", *fields))
    return head.encode() + b"\r\n" + body


def encoded(content_type: str, body: bytes, *fields: str) -> bytes:
    """An entity in base64."""
    return part(content_type, base64.encodebytes(body), "Content-Transfer-Encoding: base64", *fields)


_INNER = HEAD.replace(b"parts", b"inner") + multipart(
    "mixed",
    "in",
    part("text/plain; charset=utf-8", "Grüße".encode()),
    part("text/html", b"<b>inner</b>"),
    encoded("application/pdf", b"%PDF inner", 'Content-Disposition: attachment; filename="inner.pdf"'),
)
_NESTED = HEAD + multipart(
    "mixed",
    "out",
    part("text/plain", b"outer text"),
    part("message/rfc822", _INNER, 'Content-Disposition: attachment; filename="fwd.eml"'),
    encoded("application/zip", _DATA, 'Content-Disposition: attachment; filename="data.zip"'),
)


@contextlib.asynccontextmanager
async def _account(tmp_path: Path, *messages: bytes, quirk: Leniency | None = None) -> AsyncIterator[Reader]:
    world = SandboxWorld(empty=True)
    if quirk is not None:
        world.imap_faults.quirks.add(quirk)
    await world.start()
    for message in messages:
        world.store_of(world.accounts[0].email).append("INBOX", message)
    async with reading(world, tmp_path) as reader:
        yield reader
    await world.stop()


async def _get(reader: Reader, uid: int = 1, **options: Any) -> dict[str, Any]:
    number = (await reader.mailbox()).number
    chosen = ReadOptions(**{"text_type": "*", **options})
    message_id = identifiers.message_id(number, uid)
    return await reader.service.get(reader.account, message_id, chosen, timeout_seconds=SECONDS)


async def _text(reader: Reader, text_id: str, **options: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {"text_type": "*", "max_characters": None, "web_safe_html": False, **options}
    return await reader.service.text(reader.account, text_id, timeout_seconds=SECONDS, **chosen)


async def _download(reader: Reader, attachment_id: str) -> tuple[str, str | None, bytes]:
    async with reader.service.attachment(reader.account, attachment_id, timeout_seconds=SECONDS) as download:
        return download.content_type, download.filename, b"".join([chunk async for chunk in download.chunks])


def _listed(message: dict[str, Any]) -> list[tuple[str, str | None, bool]]:
    return [(one["contentType"], one.get("filename"), one["encodedInMessage"]) for one in message["attachments"]]


_EXPECTED = [
    ("message/rfc822", "fwd.eml", False),
    ("application/pdf", "inner.pdf", True),
    ("application/zip", "data.zip", False),
]
RELIABLE_OR_NOT = pytest.mark.parametrize("quirk", [None, Leniency.MULTIPART_WITHOUT_PARTS], ids=["told", "read"])


@RELIABLE_OR_NOT
async def test_embedded_messages_and_what_is_in_them(tmp_path: Path, quirk: Leniency | None) -> None:
    async with _account(tmp_path, _NESTED, quirk=quirk) as reader:
        for message in (await _get(reader), await _get(reader, text_type=None)):
            assert _listed(message) == _EXPECTED
            assert identifiers.parse_text_id(message["text"]["id"]).plain == ("1",)
        message = await _get(reader)
        assert (message["text"]["plain"], message["text"].get("html")) == ("outer text", None)
        rfc822, pdf, zipped = [await _download(reader, one["id"]) for one in message["attachments"]]
        assert rfc822 == ("message/rfc822", "fwd.eml", _INNER)
        assert pdf == ("application/pdf", "inner.pdf", b"%PDF inner")
        assert zipped == ("application/zip", "data.zip", _DATA)


@RELIABLE_OR_NOT
async def test_texts_of_embedded_messages_by_id(tmp_path: Path, quirk: Leniency | None) -> None:
    async with _account(tmp_path, _NESTED, quirk=quirk) as reader:
        number = (await reader.mailbox()).number
        inner = identifiers.text_id(number, 1, ["2.1"], ["2.2"], [])
        assert await _text(reader, inner) == {"plain": "Grüße", "html": "<b>inner</b>", "hasMore": False}
        assert await _text(reader, inner, text_type="html") == {"html": "<b>inner</b>", "hasMore": False}
        inner_part = identifiers.attachment_id(number, 1, "2.1")
        assert await _download(reader, inner_part) == ("text/plain", None, "Grüße".encode())
        safe = await _text(reader, inner, web_safe_html=True)
        assert safe == {"html": '<div style="overflow: auto;"><b>inner</b></div>', "hasMore": False, "webSafe": True}


@RELIABLE_OR_NOT
@pytest.mark.parametrize("missing", ["4", "2.4", "1.1", "3.1", "2.3.1", "0", "99999999999999999999"])
async def test_parts_that_are_not_there(tmp_path: Path, quirk: Leniency | None, missing: str) -> None:
    async with _account(tmp_path, _NESTED, quirk=quirk) as reader:
        with pytest.raises(MessageNotFound):
            await _download(reader, identifiers.attachment_id((await reader.mailbox()).number, 1, missing))


async def test_a_multipart_that_is_told_as_a_leaf_is_read_from_the_source(tmp_path: Path) -> None:
    source = HEAD + multipart(
        "mixed",
        "out",
        multipart("alternative", "alt", part("text/plain", b"words"), part("text/html", b"<p>words</p>")),
        encoded("application/pdf", b"%PDF", 'Content-Disposition: attachment; filename="a.pdf"'),
    )
    async with _account(tmp_path, source, quirk=Leniency.MULTIPART_AS_LEAF) as reader:
        message = await _get(reader)
        assert (message["text"]["plain"], message["text"]["html"]) == ("words", "<p>words</p>")
        assert _listed(message) == [("application/pdf", "a.pdf", False)]


async def test_the_words_of_a_multipart_without_boundaries_are_its_text(tmp_path: Path) -> None:
    source = HEAD + b"Content-Type: multipart/mixed; boundary=lost\r\n\r\nAll the words\r\nare here.\r\n"
    async with _account(tmp_path, source) as reader:
        message = await _get(reader)
        assert message["text"]["plain"] == "All the words\nare here.\n"
        assert (await _text(reader, message["text"]["id"]))["plain"] == "All the words\nare here.\n"
        [listed] = await reader.page()
        assert (await _text(reader, listed["text"]["id"]))["plain"] == "All the words\nare here.\n"


async def test_a_part_of_an_unreliable_message_is_never_held() -> None:
    block = base64.encodebytes(random.Random(3).randbytes(57 * 1000))
    head = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/zip\r\n"

    async def source() -> AsyncIterator[bytes]:
        yield head + b"Content-Transfer-Encoding: base64\r\n\r\n"
        for _ in range(500):
            yield block
        yield b"\r\n--b--\r\n"

    tracemalloc.start()
    download = await download_part(source(), "1")
    size = sum([len(chunk) async for chunk in download.chunks])
    texts = await read_texts(source(), ("plain", "html"), limit_bytes=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (download.content_type, size) == ("application/zip", 500 * 57 * 1000)
    assert [part.encoded_size_bytes for part in texts.structure.attachments] == [500 * len(block)]
    assert peak < 2 * 1024 * 1024


async def test_a_text_is_read_up_to_its_limit_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_content, "MAX_TEXT_BYTES", 5000)
    source = HEAD + part("text/plain; charset=utf-8", b"a" * 20_000)
    for quirk in (None, Leniency.MULTIPART_WITHOUT_PARTS):
        async with _account(tmp_path / str(quirk), source, quirk=quirk) as reader:
            text = (await _get(reader))["text"]
            assert (len(text["plain"]), text["hasMore"]) == (5000, True)
            short = (await _get(reader, max_characters=100))["text"]
            assert (len(short["plain"]), short["hasMore"]) == (100, True)


async def test_what_is_too_large_to_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_stream, "MAX_DOWNLOAD_BYTES", 100_000)
    for quirk in (None, Leniency.MULTIPART_WITHOUT_PARTS):
        async with _account(tmp_path / str(quirk), _NESTED, quirk=quirk) as reader:
            number = (await reader.mailbox()).number
            with pytest.raises(InvalidRequest, match="limit"):
                await _download(reader, identifiers.attachment_id(number, 1, "3"))
            with pytest.raises(InvalidRequest, match="limit"):
                async with reader.service.source(
                    reader.account, identifiers.message_id(number, 1), timeout_seconds=SECONDS
                ) as download:
                    async for _ in download.chunks:
                        pass


def winmail(*, with_text: bool) -> bytes:
    """A message with two files and an HTML body in winmail.dat, and perhaps a text beside it."""
    html = b'<p>from Outlook <img src="cid:img1@x"></p>'
    image = attribute(2, 0x00069005, properties((0x1F, 0x3712, "img1@x\0".encode("utf-16-le"))))
    wrapped = tnef(
        file(b"report.pdf\0", b"%PDF wrapped"),
        file(b"image.png\0", b"PNG") + image,
        attribute(1, 0x00069003, properties((0x102, 0x1013, html))),
    )
    wrapper = encoded("application/ms-tnef; name=winmail.dat", wrapped, "Content-Disposition: attachment")
    return HEAD + multipart("mixed", "out", *([part("text/plain", b"as text")] if with_text else []), wrapper)


@RELIABLE_OR_NOT
@pytest.mark.parametrize("with_text", [True, False])
async def test_what_winmail_wraps_is_listed_and_downloaded(
    tmp_path: Path, quirk: Leniency | None, with_text: bool
) -> None:
    async with _account(tmp_path, winmail(with_text=with_text), quirk=quirk) as reader:
        message = await _get(reader, embed_attached_images=True)
        assert _listed(message) == [
            ("application/ms-tnef", "winmail.dat", False),
            ("application/octet-stream", "report.pdf", False),
            ("application/octet-stream", "image.png", False),
            ("text/html", "message.html", False),
        ]
        found = [await _download(reader, one["id"]) for one in message["attachments"]]
        assert found[1] == ("application/octet-stream", "report.pdf", b"%PDF wrapped")
        assert found[3][2].startswith(b"<p>from Outlook")
        if with_text:
            assert (message["text"]["plain"], message["text"].get("html")) == ("as text", None)
        else:
            shown = '<p>from Outlook <img src="data:application/octet-stream;base64,UE5H"></p>'
            assert message["text"]["html"] == shown
            assert (await _text(reader, message["text"]["id"]))["html"] == found[3][2].decode()
            [listed] = await reader.page()
            assert (await _text(reader, listed["text"]["id"]))["html"] == found[3][2].decode()
        wrapper = identifiers.parse_attachment_id(message["attachments"][0]["id"])[1]
        with pytest.raises(MessageNotFound):
            await _download(reader, identifiers.attachment_id((await reader.mailbox()).number, 1, f"{wrapper}.5"))


async def test_automatic_answers_are_told_when_they_are_read(tmp_path: Path) -> None:
    plain = HEAD + part("text/plain", b"x")
    async with _account(tmp_path, plain, b"Auto-Submitted: auto-replied\r\n" + plain) as reader:
        assert [(await _get(reader, uid)).get("isAutoReply") for uid in (1, 2)] == [None, True]


async def test_a_text_id_that_would_be_too_long_stands_for_all_texts(tmp_path: Path) -> None:
    source = HEAD + multipart("mixed", "b", *[part("text/plain", f"t{number}".encode()) for number in range(1900)])
    async with _account(tmp_path, source) as reader:
        message = await _get(reader)
        assert len(message["text"]["id"]) <= identifiers.MAX_TEXT_ID_CHARACTERS
        expected = "\n".join(f"t{number}" for number in range(1900))
        assert message["text"]["plain"] == expected
        assert (await _text(reader, message["text"]["id"]))["plain"] == expected


async def test_what_is_too_long_to_be_made_safe_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websafe, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr(message_html, "MAX_CHARACTERS", 1000)
    source = HEAD + part("text/html", b"<p>word</p>" * 200)
    async with _account(tmp_path, source, HEAD + part("text/html", b"<p>word</p>")) as reader:
        long, short = [(await _get(reader, uid, web_safe_html=True))["text"] for uid in (1, 2)]
        assert (long["hasMore"], short["hasMore"]) == (True, False)
        assert 500 < len(long["html"]) < 1200
        assert (await _get(reader))["text"]["hasMore"] is False


async def test_a_message_that_is_nested_deeper_than_servers_take_part_numbers_is_read(tmp_path: Path) -> None:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200))
    async with _account(
        tmp_path, HEAD + b"Cc: =?utf-8?q?J=C3=BCrgen?= <j@b.test>\r\n" + opening + b"\r\ndeep"
    ) as reader:
        message = await _get(reader)
        assert message["subject"] == "parts" and message["messageId"] == "<parts@b.test>"
        assert message["from"] == {"name": "Ann", "address": "a@b.test"}
        assert message["cc"] == [{"name": "Jürgen", "address": "j@b.test"}]
        assert message["text"]["plain"].endswith("deep")


@RELIABLE_OR_NOT
async def test_many_wrappers_are_not_unpacked_without_end(tmp_path: Path, quirk: Leniency | None) -> None:
    wrapper = encoded("application/ms-tnef", tnef(*[file(b"f\0", b"x")] * MAX_FILES))
    async with _account(tmp_path, HEAD + multipart("mixed", "m", *[wrapper] * 20), quirk=quirk) as reader:
        attachments = (await _get(reader))["attachments"]
        assert [one["contentType"] for one in attachments].count("application/ms-tnef") == 20
        assert MAX_FILES <= len(attachments) <= 2 * MAX_FILES


async def test_texts_that_are_too_much_for_one_answer_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    texts = [part("text/plain", f"part{n} ".encode() + b"x" * 23_000_000) for n in range(3)]
    async with _account(tmp_path, HEAD + multipart("mixed", "m", *texts)) as reader:
        text = (await _get(reader))["text"]
        assert text["hasMore"] and "part0" in text["plain"] and "part1" in text["plain"]
