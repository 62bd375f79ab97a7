"""Mailboxes and messages over HTTP: what reaches the services, and how downloads go out."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from mailquay.api.routes.messages import byte_range, disposition, source_headers
from mailquay.errors import Unavailable
from mailquay.services.identifiers import encode_cursor
from mailquay.services.message_request import ByteRange, Download, MessageChanges, ReadOptions
from tests.api.world import World

MESSAGE = "AAAAAQAAAB4"


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    return world


async def test_mailboxes(ann: World) -> None:
    reply = await ann.call("GET", "/v1/account/ann/mailboxes?counters=1")
    assert reply.json == {"mailboxes": [{"path": "INBOX", "name": "INBOX"}]}
    await ann.call("GET", "/v1/account/ann/mailboxes?counters=N")
    assert [args for _, args in ann.recorder.calls] == [("ann", True, 10.0), ("ann", False, 10.0)]


@pytest.mark.parametrize(
    ("query", "page", "page_size"),
    [
        ("", 0, 20),
        ("&page=3&pageSize=1000", 3, 1000),
        (f"&page=3&cursor={encode_cursor(7)}", 7, 20),
        ("&cursor=", 0, 20),
    ],
)
async def test_listing(ann: World, query: str, page: int, page_size: int) -> None:
    reply = await ann.call("GET", f"/v1/account/ann/messages?path=%5CSent{query}")
    assert reply.status == 200
    assert ann.recorder.calls[-1] == ("page", ("\\Sent", page, page_size, 10.0))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("path=INBOX&cursor=gmail_abc", "InvalidCursorType"),
        ("path=INBOX&cursor=imap_!!!", "InvalidCursorValue"),
        ("path=INBOX&pageSize=0", None),
        ("path=INBOX&page=1048577", None),
        ("path=", None),
        ("", None),
        ("path=a%0Db", None),
    ],
)
async def test_listings_that_cannot_be_had(ann: World, query: str, code: str | None) -> None:
    reply = await ann.call("GET", f"/v1/account/ann/messages?{query}")
    assert (reply.status, reply.json.get("code")) == (400, code)
    assert ann.recorder.calls == []


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", ReadOptions()),
        ("?textType=HTML&maxBytes=100", ReadOptions(text_type="html", max_characters=100)),
        (
            "?webSafeHtml=true&embedAttachedImages=false&preProcessHtml=Y&markAsSeen=1",
            ReadOptions(web_safe_html=True, embed_attached_images=False, pre_process_html=True, mark_as_seen=True),
        ),
    ],
)
async def test_reading(ann: World, query: str, options: ReadOptions) -> None:
    assert (await ann.call("GET", f"/v1/account/ann/message/{MESSAGE}{query}")).json == {"id": MESSAGE}
    assert ann.recorder.calls[-1] == ("get", (MESSAGE, options))


async def test_text(ann: World) -> None:
    reply = await ann.call("GET", "/v1/account/ann/text/abc?maxBytes=5")
    assert reply.json == {"plain": "Hello", "hasMore": False}
    name, (text_id, options) = ann.recorder.calls[-1]
    assert (name, text_id, options["text_type"], options["max_characters"]) == ("text", "abc", "*", 5)
    for query in ("textType=rtf", "maxBytes=-1", "maxBytes=1073741825"):
        assert (await ann.call("GET", f"/v1/account/ann/text/abc?{query}")).status == 400


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({"flags": {"add": "\\Seen"}}, MessageChanges(add=("\\Seen",))),
        ({"flags": {"set": []}}, MessageChanges(set=())),
        (
            {"flags": {"delete": ["a", "b"]}, "labels": {"add": ["x"], "set": "y"}},
            MessageChanges(delete=("a", "b"), labels_add=("x",), labels_set=("y",)),
        ),
    ],
)
async def test_changing(ann: World, body: dict[str, Any], changes: MessageChanges) -> None:
    assert (await ann.call("PUT", f"/v1/account/ann/message/{MESSAGE}", body)).status == 200
    assert ann.recorder.calls[-1] == ("update", (MESSAGE, changes))


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"flags": {"set": ["naïve"]}}, "set"),
        ({"flags": {"add": ["\\Seen", "two words"]}}, "add"),
        ({"flags": "x"}, "flags"),
        ({"flags": {"add": ["a\r\nb"]}}, "add"),
        ({"flags": {"add": ["x" * 129]}}, "add"),
    ],
)
async def test_changes_that_are_none(ann: World, body: dict[str, Any], key: str) -> None:
    reply = await ann.call("PUT", f"/v1/account/ann/message/{MESSAGE}", body)
    assert [field["key"] for field in reply.json["fields"]] == [key]


async def test_moving_and_deleting(ann: World) -> None:
    assert (await ann.call("PUT", f"/v1/account/ann/message/{MESSAGE}/move", {"path": "Done"})).json == {"path": "Done"}
    assert (await ann.call("PUT", f"/v1/account/ann/message/{MESSAGE}/move", {})).status == 400
    assert (await ann.call("DELETE", f"/v1/account/ann/message/{MESSAGE}?force=true")).json == {"deleted": True}
    assert (await ann.call("DELETE", f"/v1/account/ann/message/{MESSAGE}")).json == {"deleted": False}
    assert ann.recorder.calls == [
        ("move", (MESSAGE, "Done")),
        ("delete", (MESSAGE, True)),
        ("delete", (MESSAGE, False)),
    ]


async def test_an_attachment_is_streamed_and_never_shown(ann: World) -> None:
    ann.recorder.content_type = "text/html"
    reply = await ann.call("GET", "/v1/account/ann/attachment/abc")
    assert reply.body == b"onetwo"
    assert reply.headers["content-type"] == "text/html"
    assert reply.headers["content-disposition"] == 'attachment; filename="report.pdf"'
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in reply.headers["content-security-policy"]
    ann.recorder.content_type = "text/html\r\nSet-Cookie: a=b"
    assert (await ann.call("GET", "/v1/account/ann/attachment/abc")).headers[
        "content-type"
    ] == "application/octet-stream"


async def test_a_source_is_streamed(ann: World) -> None:
    reply = await ann.call("GET", f"/v1/account/ann/message/{MESSAGE}/source")
    assert (reply.body, reply.headers["content-type"]) == (b"onetwo", "message/rfc822")
    assert reply.headers["content-disposition"] == "attachment"
    head = await ann.call("HEAD", f"/v1/account/ann/message/{MESSAGE}/source")
    assert (head.status, head.body) == (200, b"")


async def test_a_download_that_fails_before_it_begins_has_a_status(ann: World) -> None:
    missing = await ann.call("GET", "/v1/account/ann/attachment/missing")
    assert (missing.status, missing.json["code"]) == (404, "MessageNotFound")
    ann.recorder.chunks, ann.recorder.chunk_error = (), Unavailable("gone", code="IMAPConnectionClosing")
    failed = await ann.call("GET", "/v1/account/ann/attachment/abc")
    assert (failed.status, failed.json["code"]) == (503, "IMAPConnectionClosing")


async def test_a_download_that_fails_half_way_is_cut_not_ended(ann: World) -> None:
    ann.recorder.chunk_error = Unavailable("gone")
    with pytest.raises(aiohttp.ClientPayloadError):
        await ann.call("GET", "/v1/account/ann/attachment/abc")


async def test_an_empty_download(ann: World) -> None:
    ann.recorder.chunks = ()
    assert (await ann.call("GET", "/v1/account/ann/attachment/abc")).body == b""


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        (None, "attachment"),
        ("a b-(1)^[x]~=,+*$.txt", 'attachment; filename="a b-(1)^[x]~=,+*$.txt"'),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=utf-8''na%C3%AFve.txt"),
        ('a"b\r\nc', "attachment; filename=\"a_b__c\"; filename*=utf-8''a%22b%0D%0Ac"),
        ("x\ud800", "attachment; filename=\"x_\"; filename*=utf-8''x%3F"),
    ],
)
def test_file_names(filename: str | None, header: str) -> None:
    assert disposition(filename) == header


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-99", ByteRange(0, 99)),
        ("Bytes = 100-", ByteRange(100, None)),
        ("bytes=-5", ByteRange(None, 5)),
        ("bytes=-", None),
        ("bytes=9-3", None),
        ("bytes=0-1,3-4", None),
        ("bytes=\u0663-", None),
        ("lines=0-1", None),
        ("bytes=0-9999999999999999", None),
    ],
)
def test_ranges(header: str, wanted: ByteRange | None) -> None:
    assert byte_range(header) == wanted


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        (ByteRange(0, 4), (0, 4)),
        (ByteRange(5, 99), (5, 9)),
        (ByteRange(9, None), (9, 9)),
        (ByteRange(10, None), None),
        (ByteRange(None, 3), (7, 9)),
        (ByteRange(None, 30), (0, 9)),
        (ByteRange(None, 0), None),
    ],
)
def test_bytes_that_there_are(wanted: ByteRange, part: tuple[int, int] | None) -> None:
    assert wanted.within(10) == part


def test_headers_of_some_bytes() -> None:
    download = Download("message/rfc822", None, None, 10, (2, 4))  # type: ignore[arg-type]
    headers = source_headers(download)
    assert (headers["content-range"], headers["content-length"]) == ("bytes 2-4/10", "3")
