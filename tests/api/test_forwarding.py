"""Two nodes over one store: what the owner must answer goes there and comes back, and nobody else can ask so."""

from __future__ import annotations

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from mailquay.api.forwarding import HEADER, Signatures
from mailquay.api.http import Request
from mailquay.api.principal import Principal
from mailquay.config import Config
from mailquay.errors import Unavailable
from mailquay.model.token import Permissions, RateLimit, Restrictions
from mailquay.services.tokens import NewToken
from mailquay.storage.store import Store
from tests.api.world import NODE_SECRET, ManualClock, World
from tests.servers.process import short_directory

TARGET = "/v1/account/ann/message/AAAAAQAAAB4"


class Pair:
    """The node that clients talk to, and the one that owns the account."""

    def __init__(self, front: World, owner: World, address: str) -> None:
        self.front = front
        self.owner = owner
        self.address = address


@pytest.fixture(params=["unix", "tcp"])
async def pair(request: pytest.FixtureRequest, store: Store, config: Config) -> AsyncIterator[Pair]:
    """Both run, and the front knows where the owner is."""
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(World(store, config).running())
        owner = World(store, config)
        if request.param == "unix":
            directory = short_directory("node-")
            stack.callback(shutil.rmtree, directory)
            path = directory / "node.sock"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            await stack.enter_async_context(owner.running(listener))
            address = f"unix:{path}"
        else:
            await stack.enter_async_context(owner.running())
            address = owner.url
        await front.register()
        front.recorder.owner_address = address
        yield Pair(front, owner, address)


async def test_the_owner_answers_with_the_callers_rights_and_address(pair: Pair) -> None:
    wanted = NewToken("d", restrictions=Restrictions(rate_limit=RateLimit(5, 60)))
    token = (await pair.front.tokens.create(wanted)).value
    reply = await pair.front.call("GET", f"{TARGET}?textType=html", token=token, headers={"X-EE-Timeout": "1500"})
    assert (reply.status, reply.json) == (200, {"id": "AAAAAQAAAB4"})
    assert reply.headers["x-ratelimit-remaining"] == "4"
    assert [reply.headers.get("x-request-id") is not None, "transfer-encoding" in reply.headers] == [True, False]
    assert pair.front.recorder.calls == [] and pair.owner.recorder.names == ["get"]


async def test_changes_and_bodies_get_there(pair: Pair) -> None:
    reply = await pair.front.call("PUT", TARGET, {"flags": {"add": ["\\Seen"]}})
    assert reply.json == {"flags": {"add": True}}
    large = {"text": "x" * 600_000, "reference": {"message": "AAAAAQAAAB4"}}
    reply = await pair.front.call("POST", "/v1/account/ann/submit", large, headers={"Idempotency-Key": "k"})
    assert reply.status == 200
    name, (request, key) = pair.owner.recorder.calls[-1]
    assert (name, len(request.text), key) == ("submit", 600_000, "k")


async def test_what_needs_no_owner_is_answered_where_it_lands(pair: Pair) -> None:
    for target in ("/v1/account/ann", "/v1/account/ann/mailboxes", "/v1/account/ann/messages?path=INBOX"):
        assert (await pair.front.call("GET", target)).status == 200
    assert (await pair.front.call("POST", "/v1/account/ann/submit", {"to": {"address": "a@b.test"}})).status == 200
    assert pair.owner.recorder.calls == [] and pair.front.recorder.names == ["mailboxes", "page", "submit"]
    pair.front.recorder.current = False
    assert (await pair.front.call("GET", "/v1/account/ann/messages?path=INBOX")).status == 200
    assert (await pair.front.call("GET", "/v1/account/ann/mailboxes?counters=true")).status == 200
    assert pair.owner.recorder.names == ["page", "mailboxes"]


async def test_downloads_and_refusals_pass_through(pair: Pair) -> None:
    pair.owner.recorder.chunks = [b"x" * 100_000] * 5
    reply = await pair.front.call("GET", "/v1/account/ann/attachment/abc")
    assert len(reply.body) == 500_000
    assert reply.headers["content-disposition"] == 'attachment; filename="report.pdf"'
    missing = await pair.front.call("GET", "/v1/account/ann/attachment/missing")
    assert (missing.status, missing.json["code"]) == (404, "MessageNotFound")
    pair.owner.recorder.chunk_error = Unavailable("gone")
    with pytest.raises(aiohttp.ClientPayloadError):
        await pair.front.call("GET", "/v1/account/ann/attachment/abc")


async def test_only_one_hop(pair: Pair) -> None:
    pair.owner.recorder.owner_address = pair.address
    reply = await pair.front.call("GET", TARGET)
    assert (reply.status, reply.json["code"]) == (503, "WorkerNotAvailable")


async def test_an_owner_that_is_gone(pair: Pair) -> None:
    for address in ("unix:/nonexistent/socket", "http://127.0.0.1:1"):
        pair.front.recorder.owner_address = address
        reply = await pair.front.call("GET", TARGET)
        assert (reply.status, reply.json["code"]) == (503, "WorkerNotAvailable")
    pair.front.recorder.nobody = True
    assert (await pair.front.call("GET", TARGET)).json["code"] == "WorkerNotAvailable"


async def test_registering_again_reconnects_at_the_owner(pair: Pair) -> None:
    reply = await pair.front.call("POST", "/v1/account", {"account": "ann", "name": "Other"})
    assert reply.json["state"] == "existing"
    assert (pair.front.recorder.names, pair.owner.recorder.names) == ([], ["reconnect"])
    pair.front.recorder.nobody = True
    assert (await pair.front.call("POST", "/v1/account", {"account": "ann", "name": "Other"})).status == 200


async def test_a_narrowed_token_stays_narrow(pair: Pair) -> None:
    wanted = NewToken("d", account="ann", permissions=Permissions(("send",), None))
    token = (await pair.front.tokens.create(wanted)).value
    body = {"reference": {"message": "AAAAAQAAAB4"}, "proxy": "http://p.example.com"}
    assert (await pair.front.call("POST", "/v1/account/ann/submit", body, token=token)).status == 403


# -- what strangers may try -------------------------------------------------------------------------


@pytest.fixture
async def ann(world: World) -> World:
    """A single node with an account."""
    await world.register()
    return world


def signature(
    world: World, *, method: str = "GET", target: str = TARGET, body: bytes = b"", secret: bytes = NODE_SECRET
) -> str:
    """A header as another node would make it."""
    return Signatures(secret, world.clock).sign(method, target, body, Principal("192.0.2.1"))


async def test_a_right_signature_needs_no_token_and_works_once(ann: World) -> None:
    headers = {HEADER: signature(ann)}
    assert (await ann.call("GET", TARGET, token=None, headers=headers)).status == 200
    assert (await ann.call("GET", TARGET, token=None, headers=headers)).status == 401


async def test_a_wrong_signature_counts_for_nothing(ann: World) -> None:
    good = signature(ann)
    payload, _, mac = good.partition(".")
    forged = {
        "other secret": signature(ann, secret=b"guess"),
        "other method": signature(ann, method="DELETE"),
        "other address": signature(ann, target="/v1/account/bob"),
        "other body": signature(ann, body=b"x"),
        "other payload": f"{payload[:-4]}AAAA.{mac}",
        "no signature": payload,
        "empty": "",
        "nonsense": "!!.!!",
    }
    for name, value in forged.items():
        reply = await ann.call("GET", TARGET, token=None, headers={HEADER: value})
        assert reply.status == 401, name
        with_token = await ann.call("GET", "/v1/account/ann", headers={HEADER: value})
        assert with_token.status == 200, name


async def test_a_body_that_was_not_signed_is_refused(ann: World) -> None:
    headers = {HEADER: signature(ann, method="PUT", body=b'{"flags":{}}')}
    reply = await ann.call("PUT", TARGET, {"flags": {"add": ["\\Deleted"]}}, token=None, headers=headers)
    assert reply.status == 401 and ann.recorder.calls == []


async def test_a_signature_is_good_for_thirty_seconds(ann: World) -> None:
    for shift_ms, status in ((-30_001, 401), (-30_000, 200), (30_000, 200), (30_001, 401)):
        value = signature(ann)
        ann.clock.ms += shift_ms
        assert (await ann.call("GET", TARGET, token=None, headers={HEADER: value})).status == status
        ann.clock.ms -= shift_ms


async def test_seen_signatures_are_forgotten_when_they_are_no_good_any_more() -> None:
    clock = ManualClock()
    signatures = Signatures(NODE_SECRET, clock)
    value = signatures.sign("GET", "/x", b"", Principal("192.0.2.1", "t", "ann", narrowed=True))

    async def receive() -> dict[str, object]:
        return {}

    scope = {
        "method": "GET",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"",
        "headers": [(HEADER.encode(), value.encode())],
    }
    vouched = signatures.check(Request(scope, receive))
    assert vouched is not None and vouched.principal == Principal("192.0.2.1", "t", "ann", narrowed=True)
    for _ in range(3):
        assert signatures.check(Request(scope, receive)) is None
        clock.ms += 61_000
    fresh = signatures.sign("GET", "/x", b"", Principal("192.0.2.1"))
    scope["headers"] = [(HEADER.encode(), fresh.encode())]
    assert signatures.check(Request(scope, receive)) is not None
    assert signatures.remembered == 1


async def test_a_node_that_is_not_believed_does_not_blame_the_caller(pair: Pair) -> None:
    pair.owner.clock.ms += 3_600_000
    reply = await pair.front.call("GET", TARGET)
    assert (reply.status, reply.json["code"]) == (503, "WorkerNotAvailable")
    assert "www-authenticate" not in reply.headers
