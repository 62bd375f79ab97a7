"""What every request goes through: limits, envelopes, addresses, browsers of other origins."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from mailquay.config import Config
from mailquay.errors import (
    CommandRejected,
    Fenced,
    LocalProtocolError,
    MailboxNotFound,
    MailquayError,
    MessageNotFound,
    NotFound,
    NotOperational,
    PartUnavailable,
    RateLimited,
    StorageError,
    Unavailable,
    Unsupported,
)
from mailquay.storage.store import Store
from tests.api.world import IMAP, World

_SMALL = 1024 * 1024


@pytest.fixture
def config() -> Config:
    """Small limits, a browser origin, a proxy that is believed."""
    return replace(
        Config(),
        body_budget_bytes=3 * _SMALL,
        max_body_bytes=2 * _SMALL,
        body_timeout_seconds=0.5,
        cors_origins=("https://app.example.com",),
    )


async def raw(world: World, head: str, body: bytes = b"", *, wait: bool = True) -> bytes:
    """What the server says to bytes that no client library would send."""
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
    try:
        async with asyncio.timeout(20):
            return await reader.readuntil(b"\r\n\r\n") if not wait else await reader.read()
    finally:
        writer.close()


async def test_bad_json(world: World) -> None:
    for data in (b"{bad json", b'{"a": "\xff"}', b"[" * 100_000, b'{"a": 1} x'):
        reply = await world.call("POST", "/v1/account", data=data, headers={"Content-Type": "application/json"})
        assert (reply.status, reply.json["error"]) == (400, "Bad Request"), data[:10]
        assert reply.json["message"] == "Invalid request payload JSON format"
        assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("data", [b"[]", b"1", b'"x"'])
async def test_a_body_must_be_an_object(world: World, data: bytes) -> None:
    for target in ("/v1/account", "/v1/settings"):
        reply = await world.call("POST", target, data=data, headers={"Content-Type": "application/json"})
        assert reply.status == 400 and "fields" in reply.json


async def test_media_types(world: World) -> None:
    body = json.dumps({"account": "a", "name": "A", "imap": IMAP}).encode()
    for kind, status in (
        ("application/vnd.x+json", 200),
        ("text/plain", 415),
        ("application/json; charset=utf-8", 200),
    ):
        reply = await world.call("POST", "/v1/account", data=body, headers={"Content-Type": kind})
        assert reply.status == status
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await world.call("POST", "/v1/account", data=body, headers=packed)).status == 415


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(world: World) -> None:
    head = f"POST /v1/account HTTP/1.1\nHost: x\nAuthorization: Bearer {world.token}\nContent-Length: {_SMALL + 1}\n"
    answer = await raw(world, head)
    assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer


async def test_a_body_without_a_length_is_counted(world: World) -> None:
    async def endless() -> object:
        for _ in range(40):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    reply = await world.call("POST", "/v1/account", data=endless(), headers=headers)
    assert reply.status == 413


async def test_a_slow_body_times_out(world: World) -> None:
    head = f"POST /v1/account HTTP/1.1\nHost: x\nAuthorization: Bearer {world.token}\nContent-Length: 10\n"
    answer = await raw(world, head, b"{")
    assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer


async def test_a_large_body_has_the_more_time(world: World) -> None:
    """Four pieces with pauses that are together longer than the timeout; then one that only drips."""
    await world.register()
    host, port = world.url.removeprefix("http://").split(":")
    body = json.dumps({"to": {"address": "a@b.test"}, "text": "x" * 200_000}).encode()
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/account/ann/submit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n"
    writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    for piece in pieces:
        await asyncio.sleep(0.2)  # the pause is what is tried here
        writer.write(piece)
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        while not reader.at_eof() and not (line := await _line_within(reader, 0.1)):
            writer.write(b" ")
    assert line.startswith(b"HTTP/1.1 408")
    writer.close()


async def _line_within(reader: asyncio.StreamReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await reader.readline()
    except TimeoutError:
        return b""


async def _held(world: World, size_bytes: int) -> None:
    async with asyncio.timeout(10):
        while world.app.held_body_bytes != size_bytes:
            await asyncio.sleep(0)  # a turn of the loop: the server reads in it, and tells nobody what it has reserved


async def test_bodies_in_flight_share_one_budget(world: World) -> None:
    """One body of 2 MB that does not end holds its part; a second one finds too little left, a third one later not."""
    await world.register()
    host, port = world.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/account/ann/submit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n"
        f"Content-Length: {2 * _SMALL}\r\n\r\n"
    ).encode()
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b" " * (2 * _SMALL - 1))
    await _held(world, 2 * _SMALL - 1)
    refused = await raw(world, head.decode().replace("\r\n", "\n").removesuffix("\n"), b" " * (2 * _SMALL))
    assert refused.startswith(b"HTTP/1.1 503") and b"retry-after:" in refused
    writer.close()
    await _held(world, 0)
    assert (await world.call("POST", "/v1/account/ann/submit", {"to": {"address": "a@b.test"}})).status == 200


async def test_large_bodies_are_parsed_all_the_same(world: World) -> None:
    await world.register()
    text = "x" * 700_000
    reply = await world.call("POST", "/v1/account/ann/submit", {"to": {"address": "a@b.test"}, "text": text})
    assert reply.status == 200
    assert world.recorder.calls[-1][1][0].text == text


async def test_addresses_that_are_too_long(world: World) -> None:
    assert (await world.call("GET", "/v1/account/" + "a" * 257)).status == 400
    assert (await world.call("GET", "/v1/account/" + "a" * 40_000)).status == 414
    many = {f"X-{n}": "v" for n in range(200)}
    assert (await world.call("GET", "/v1/accounts", headers=many)).status == 431
    assert (await world.call("GET", "/v1/account/ann?" + "&".join("a=1" for _ in range(300)))).status == 400


async def test_unknown_addresses_and_methods(world: World) -> None:
    missing = await world.call("GET", "/v1/nothing")
    assert missing.json == {"statusCode": 404, "error": "Not Found", "message": "there is nothing at this address"}
    page = await world.call("GET", "/nothing", headers={"Accept": "text/html,*/*"})
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await world.call("GET", "/v1/nothing", headers={"Accept": "text/html"})).json["statusCode"] == 404
    wrong = await world.call("PATCH", "/v1/account/ann")
    assert (wrong.status, wrong.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")


async def test_trailing_slashes_encoded_ids_and_head(world: World) -> None:
    await world.register("a/b ü", email="ab@example.com")
    for target in ("/v1/account/a%2Fb%20%C3%BC", "/v1/account/a%2Fb%20%C3%BC/"):
        assert (await world.call("GET", target)).json["account"] == "a/b ü"
    assert (await world.call("GET", "/v1/account/%FF")).status == 400
    head = await world.call("HEAD", "/v1/accounts/")
    assert (head.status, head.body) == (200, b"") and int(head.headers["content-length"]) > 0


async def test_unknown_query_keys_are_refused_and_all_faults_told(world: World) -> None:
    reply = await world.call("GET", "/v1/accounts?pageSize=5000&page=-1&what=1&state=odd")
    assert {field["key"] for field in reply.json["fields"]} == {"pageSize", "page", "what", "state"}
    assert (await world.call("GET", "/v1/tokens/" + "0" * 64 + "?x=1")).status == 400


async def test_the_timeout_header(world: World) -> None:
    await world.register()
    target = "/v1/account/ann/messages?path=INBOX"
    await world.call("GET", target, headers={"X-EE-Timeout": "2500"})
    await world.call("GET", target, headers={"X-EE-Timeout": "0"})
    await world.call("GET", target)
    assert [args[3] for _, args in world.recorder.calls] == [2.5, 10.0, 10.0]
    for bad in ("x", "-1", "7200001"):
        reply = await world.call("GET", target, headers={"X-EE-Timeout": bad})
        assert [field["key"] for field in reply.json["fields"]] == ["x-ee-timeout"]


async def test_a_mail_server_that_does_not_answer(world: World) -> None:
    await world.register()
    world.recorder.current = False
    world.recorder.delay = asyncio.Event()
    reply = await world.call("GET", "/v1/account/ann/messages?path=INBOX", headers={"X-EE-Timeout": "50"})
    assert (reply.status, reply.json["code"]) == (504, "Timeout")
    assert reply.json["message"].startswith("Timeout waiting for command response")


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (NotOperational("x", code="NotYetConnected", state="connecting"), 503, {"state": "connecting"}),
        (NotOperational("x", code="WorkerNotAvailable"), 503, {"code": "WorkerNotAvailable"}),
        (MessageNotFound("x"), 404, {"code": "MessageNotFound"}),
        (MailboxNotFound("x"), 404, {"code": "FolderNotFound"}),
        (NotFound("x", code="SMTPUnavailable"), 404, {"code": "SMTPUnavailable"}),
        (Unsupported("x"), 422, {"code": "MissingServerExtension"}),
        (Unavailable("x", code="Timeout"), 504, {"code": "Timeout"}),
        (Unavailable("x", code="IMAPUnavailable"), 503, {"code": "IMAPUnavailable"}),
        (RateLimited("x", retry_after_seconds=7), 503, {"code": "RateLimited"}),
        (PartUnavailable("x", retry_after_seconds=7), 503, {"code": "UNAVAILABLE"}),
        (CommandRejected("NO full", response_code="OVERQUOTA"), 400, {"info": {"response": "NO full"}}),
        (Fenced("x"), 503, {"code": "WorkerNotAvailable"}),
        (TimeoutError(), 504, {"code": "Timeout"}),
    ],
)
async def test_errors_become_answers(world: World, error: Exception, status: int, more: dict[str, object]) -> None:
    await world.register()
    world.recorder.error = error
    reply = await world.call("GET", "/v1/account/ann/message/AAAAAQAAAB4")
    assert reply.status == reply.json["statusCode"] == status
    assert more.items() <= reply.json.items()
    if isinstance(error, RateLimited):
        assert reply.headers["retry-after"] == "7"


@pytest.mark.parametrize("error", [RuntimeError("key=hunter2"), StorageError("hunter2"), LocalProtocolError("hunter2")])
async def test_a_defect_tells_nothing(world: World, error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    await world.register()
    world.recorder.error = error
    reply = await world.call("GET", "/v1/account/ann/message/AAAAAQAAAB4")
    assert (reply.status, reply.json["error"]) == (500, "Internal Server Error")
    assert b"hunter2" not in reply.body and reply.headers["x-request-id"] in reply.json["message"]
    logged = capsys.readouterr()
    assert reply.headers["x-request-id"] in logged.out + logged.err


def test_every_error_class_has_its_place_in_the_table() -> None:
    """A new class of errors has to be looked at: it is told to callers, or it is a defect."""
    from mailquay.api.errors import to_http_error
    from mailquay.errors import KeyMismatch, ProtocolError

    ours_alone = {StorageError, KeyMismatch, LocalProtocolError, ProtocolError, MailquayError}

    def classes(kind: type[MailquayError]) -> set[type[MailquayError]]:
        return {kind}.union(*(classes(sub) for sub in kind.__subclasses__() if sub.__module__ == "mailquay.errors"))

    needed: dict[str, dict[str, object]] = {
        "RateLimited": {"retry_after_seconds": 1.0},
        "PartUnavailable": {"retry_after_seconds": 1.0},
        "SubmissionRejected": {"permanent": True},
    }
    for kind in classes(MailquayError):
        error = kind("x", **needed.get(kind.__name__, {}))  # type: ignore[arg-type]
        assert (to_http_error(error) is None) is (kind in ours_alone), kind


async def test_forwarding_headers_count_only_from_believed_proxies(store: Store, config: Config) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.66, 203.0.113.9, 10.9.9.9"}
    seen = []
    for proxies, believe in (((), True), ((), False), (("10.0.0.0/8", "127.0.0.1"), True), (("10.0.0.0/8",), True)):
        async with World(store, replace(config, api_proxy_addresses=proxies)).running() as world:
            await world.settings.write({"enableApiProxy": believe})
            await world.call("GET", "/v1/accounts", headers={"X-Forwarded-For": "nonsense"})
            listed = (await world.call("GET", "/v1/tokens", headers=forwarded)).json
            seen.append(listed["tokens"][0]["access"]["ip"])
            await world.tokens.revoke(world.token)
    assert seen == ["10.9.9.9", "127.0.0.1", "203.0.113.9", "127.0.0.1"]


async def test_pages_of_other_origins(world: World) -> None:
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    preflight = await world.call("OPTIONS", "/v1/account", token=None, headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert preflight.headers["access-control-max-age"] == "60"
    assert "X-EE-Timeout" in preflight.headers["access-control-allow-headers"]
    for origin, allowed in (("https://app.example.com", True), ("https://evil.example.com", False)):
        reply = await world.call("GET", "/v1/accounts", headers={"Origin": origin})
        assert ("access-control-allow-origin" in reply.headers) is allowed
        assert reply.headers["vary"] == "origin"
    refused = await world.call("GET", "/v1/accounts", token=None, headers={"Origin": "https://app.example.com"})
    assert refused.status == 401 and "access-control-allow-origin" in refused.headers


async def test_without_origins_there_are_no_such_headers(store: Store) -> None:
    async with World(store, Config()).running() as world:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
        preflight = await world.call("OPTIONS", "/v1/account", token=None, headers=asked)
        assert preflight.status == 405
        assert not [name for name in preflight.headers if name.startswith("access-control")]
