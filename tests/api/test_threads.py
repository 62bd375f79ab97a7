"""Threads over HTTP: what reaches the service."""

from __future__ import annotations

import pytest

from mailquay.services.identifiers import encode_cursor
from tests.api.world import World


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    return world


async def test_lists_and_single_ones(ann: World) -> None:
    reply = await ann.call("GET", "/v1/account/ann/threads")
    assert (reply.status, reply.json["threads"]) == (200, [])
    await ann.call("GET", f"/v1/account/ann/threads?path=%5CSent&pageSize=7&page=1&cursor={encode_cursor(3)}")
    reply = await ann.call("GET", "/v1/account/ann/thread/mqt_abc?page=2&pageSize=5")
    assert (reply.status, reply.json["threadId"]) == (200, "mqt_abc")
    assert ann.recorder.calls == [
        ("threads", (None, 0, 20)),
        ("threads", ("\\Sent", 3, 7)),
        ("thread", ("mqt_abc", 2, 5)),
    ]


@pytest.mark.parametrize(
    "target",
    [
        "threads?pageSize=0",
        "threads?page=-1",
        "threads?cursor=imap_!",
        f"threads?cursor={encode_cursor(2**62)}",
        f"messages?path=INBOX&cursor={encode_cursor(2**62)}",
        "thread/x?pageSize=1001",
    ],
)
async def test_what_is_no_page(ann: World, target: str) -> None:
    reply = await ann.call("GET", f"/v1/account/ann/{target}")
    assert (reply.status, ann.recorder.calls) == (400, [])
