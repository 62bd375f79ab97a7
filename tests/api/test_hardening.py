"""What strangers and careless callers may try that the other tests of requests do not."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace

import msgspec
import pytest

from mailquay.api.body import MAX_VALUES, decode_json
from mailquay.api.client_address import ClientAddress
from mailquay.api.errors import HttpError
from mailquay.config import Config
from mailquay.errors import InvalidRequest
from mailquay.runtime.http_protocol import MAX_HEAD_BYTES
from mailquay.runtime.http_server import HttpServer, public_socket
from mailquay.runtime.logs import redact_text
from mailquay.services.identifiers import b64u
from mailquay.services.masks import MASK
from mailquay.services.token_export import import_record
from tests.api.world import World

_JSON = {"Content-Type": "application/json"}
_LIMIT_SECONDS = 5.0


@pytest.fixture
def config() -> Config:
    """Short deadlines, a browser origin."""
    return replace(Config(), body_timeout_seconds=0.5, cors_origins=("https://app.example.com",))


@pytest.mark.parametrize("piece", ["a.", "a://", 'LOGIN "', "LOGIN ", "AUTH ", "bearer ", '"pass": \'', 'pass":"\\'])
def test_hostile_log_lines_take_linear_time(piece: str) -> None:
    began = time.process_time()
    redact_text(piece * (400_000 // len(piece)))
    assert time.process_time() - began < _LIMIT_SECONDS


@pytest.mark.parametrize("scheme", ["http", "socks5", "postgresql+asyncpg", "x-" * 40 + "y"])
def test_credentials_in_addresses_do_not_reach_logs(scheme: str) -> None:
    assert redact_text(f"no {scheme}://ann:hunter2@db.example.com/x") == f"no {scheme}://{MASK}@db.example.com/x"


async def test_a_flood_of_wrong_keys_gets_a_short_answer(world: World) -> None:
    body = {f"k{number}": 1 for number in range(5000)}
    for target in ("/v1/account", "/v1/settings"):
        reply = await world.call("POST", target, body)
        assert (reply.status, len(reply.json["fields"])) == (400, 100)


@pytest.mark.parametrize("piece", [b"[],", b"[[]],", b"1,", b'{"a":1},'])
async def test_bodies_that_grow_in_memory_are_refused(world: World, piece: bytes) -> None:
    await world.register()
    body = b'{"x":[' + piece * (MAX_VALUES + 1) + b"0]}"
    reply = await world.call("POST", "/v1/account/ann/submit", data=body, headers=_JSON)
    assert (reply.status, reply.json["error"]) == (413, "Request Entity Too Large")


def test_only_values_count_not_what_texts_hold() -> None:
    text = ',[{\\"' * MAX_VALUES
    assert decode_json(msgspec.json.encode({"text": text})) == {"text": text}
    for hostile in (b'"' + b'\\"' * 500_000 + b"," * 2 * MAX_VALUES, b'"\\' * 500_000 + b"," * 2 * MAX_VALUES + b"\\"):
        began = time.process_time()
        with pytest.raises(HttpError):
            decode_json(hostile)
        assert time.process_time() - began < _LIMIT_SECONDS


@pytest.mark.parametrize(
    ("begin", "piece", "status"), [(b'["a"', b',"a"', 413), (b'{"a":1', b',"a":1', 413), (b"[", b'"," ', 400)]
)
def test_values_are_counted_no_further_than_to_the_limit(begin: bytes, piece: bytes, status: int) -> None:
    """While they are counted in one step, nothing else runs: no request, no renewal of a lease."""
    end = b"}" if begin[:1] == b"{" else b"]"
    body = bytearray(begin + piece * (40_000_000 // len(piece)) + end)
    began = time.process_time()
    with pytest.raises(HttpError) as caught:
        decode_json(body)
    assert caught.value.status == status
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", [b'""', b'"a,[{"', rb'"\",["', b"1", b"null"])
def test_the_last_value_that_is_allowed(text: bytes) -> None:
    assert len(decode_json(b"[" + b",".join([text] * MAX_VALUES) + b"]")) == MAX_VALUES
    with pytest.raises(HttpError) as caught:
        decode_json(b"[" + b",".join([text] * (MAX_VALUES + 1)) + b"]")
    assert caught.value.status == 413


async def test_a_client_that_does_not_read_holds_nothing_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.register()
    world.recorder.chunks = [b"x" * 1_000_000] * 100
    done = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(world.metrics, "request", lambda method, route, status: done.set_result(route))
    host, port = world.url.removeprefix("http://").split(":")
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    await asyncio.get_running_loop().sock_connect(peer, (host, int(port)))
    _, writer = await asyncio.open_connection(sock=peer)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    head = f"GET /v1/account/ann/attachment/abc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(_LIMIT_SECONDS):
        assert await done == "/v1/account/{account}/attachment/{attachment}"
    writer.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"}, 200),
    ],
)
async def test_pages_of_others_do_not_profit_from_disabled_tokens(
    world: World, headers: dict[str, str], status: int
) -> None:
    await world.register()
    await world.settings.write({"disableTokens": True})
    body = b'{"to": {"address": "a@b.test"}}'
    reply = await world.call("POST", "/v1/account/ann/submit", data=body, token=None, headers={**_JSON, **headers})
    assert reply.status == status
    assert ("submit" in world.recorder.names) is (status == 200)
    with_token = await world.call("GET", "/v1/account/ann", headers=headers)
    assert with_token.status == 200


async def test_a_page_of_our_own_origin_may_call(world: World) -> None:
    await world.settings.write({"disableTokens": True})
    assert (await world.call("GET", "/v1/accounts", token=None, headers={"Origin": world.url})).status == 200


@pytest.mark.parametrize(
    "target", ["/v1/account/a%00b", "/v1/account/%1b[2J", "/v1/account/%c2%85", "/v1/accounts?query=%00"]
)
async def test_control_characters_in_addresses(world: World, target: str) -> None:
    assert (await world.call("GET", target)).status == 400


async def test_the_service_url_keeps_no_password(world: World) -> None:
    await world.call("POST", "/v1/settings", {"serviceUrl": "https://ann:hunter2@mail.example.com:8443/x"})
    shown = await world.call("GET", "/v1/settings?serviceUrl=true")
    assert shown.json == {"serviceUrl": "https://mail.example.com:8443"}


@pytest.mark.parametrize(
    "restrictions",
    [
        {"rateLimit": {"maxRequests": 5, "timeWindow": 0}},
        {"rateLimit": {"maxRequests": float("inf"), "timeWindow": 1}},
        {"addresses": ["not an address"]},
    ],
)
def test_imported_tokens_are_checked(restrictions: dict[str, object]) -> None:
    record = {"id": "0" * 64, "restrictions": restrictions}
    with pytest.raises(InvalidRequest):
        import_record(b64u(msgspec.msgpack.encode(record)))


@pytest.mark.parametrize(
    "endless", ["0\r\nX: ", "0\r\n", "5;", "5\r\nhello\r\n0\r\nX: "], ids=["trailer", "trailers", "extension", "late"]
)
async def test_what_follows_a_body_is_bounded(world: World, endless: str) -> None:
    """The parser gathers trailers, also those of a request that was answered long ago and needed no token."""
    listener = public_socket("127.0.0.1", 0, shared=False)
    port = listener.getsockname()[1]
    server = HttpServer(world.app, [listener], drain_seconds=1)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{endless}".encode())
    piece = b"X: v\r\n" * 1000 if endless == "0\r\n" else b"v" * 6000
    sent_bytes = 0
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while not reader.at_eof() and sent_bytes < 200 * MAX_HEAD_BYTES:
                writer.write(piece)
                sent_bytes += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
    except ConnectionError:
        pass  # cut, as it should be; what was sent by then is what counts
    assert sent_bytes < 200 * MAX_HEAD_BYTES
    writer.close()
    await server.stop()


async def test_a_body_of_many_small_chunks_is_no_head(world: World) -> None:
    await world.register()
    listener = public_socket("127.0.0.1", 0, shared=False)
    port = listener.getsockname()[1]
    server = HttpServer(world.app, [listener], drain_seconds=1)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/account/ann/submit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    for letter in '{"to": {"address": "a@b.test"}' + " " * 2 * MAX_HEAD_BYTES + "}":
        writer.write(f"1\r\n{letter}\r\n".encode())
    writer.write(b"0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await server.stop()


async def test_names_that_strangers_choose_fit_into_a_header(world: World) -> None:
    await world.register()
    world.recorder.filename, world.recorder.content_type = "ä" * 100_000 + ".pdf", "a/" + "b" * 10_000
    reply = await world.call("GET", "/v1/account/ann/attachment/abc")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    shown = reply.headers["content-disposition"]
    assert len(shown) < 4000 and shown.endswith("%C3%A4.pdf") and '_.pdf"' in shown


@pytest.mark.parametrize(("raw", "refused"), [(rb'{"a": "x\u0000y"}', True), (rb'{"a": "x\\u0000y"}', False)])
def test_a_nul_in_a_text_is_refused_and_its_spelling_is_not(raw: bytes, refused: bool) -> None:
    if refused:
        with pytest.raises(HttpError) as caught:
            decode_json(raw)
        assert caught.value.status == 400
    else:
        assert decode_json(raw) == {"a": "x\\u0000y"}


def test_without_a_list_only_peers_of_private_networks_are_believed() -> None:
    nobody_listed = ClientAddress(())
    assert nobody_listed.of("127.0.0.1", "10.1.2.3", believe=True) == "10.1.2.3"
    assert nobody_listed.of("8.8.8.8", "10.1.2.3", believe=True) == "8.8.8.8"
