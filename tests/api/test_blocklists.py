"""Who is not to get the messages of a list: added, listed, removed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import World


async def _block(world: World, recipient: str, list_id: str = "news", **more: Any) -> dict[str, Any]:
    reply = await world.call("POST", f"/v1/blocklist/{list_id}", {"account": "ann", "recipient": recipient, **more})
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    return answer


async def test_an_address_is_on_a_list_once_however_it_is_written(world: World) -> None:
    await world.register()
    assert await _block(world, "Bob@Example.com ") == {"success": True, "added": True}
    assert await _block(world, "bob@example.com", reason="asked") == {"success": True, "added": False}
    assert (await _block(world, "carl@example.com", reason="asked"))["added"]
    assert (await _block(world, "bob@example.com", "Other.Example"))["added"]
    shown = (await world.call("GET", "/v1/blocklists")).json
    assert shown == {
        "total": 2,
        "page": 0,
        "pages": 1,
        "blocklists": [{"listId": "news", "count": 2}, {"listId": "other.example", "count": 1}],
    }
    first = (await world.call("GET", "/v1/blocklist/news?pageSize=1")).json
    assert (first["listId"], first["total"], first["pages"]) == ("news", 2, 2)
    assert first["addresses"] == [
        {
            "recipient": "bob@example.com",
            "account": "ann",
            "source": "api",
            "reason": "block",
            "created": "2026-11-21T00:00:00.000Z",
        }
    ]
    second = (await world.call("GET", "/v1/blocklist/news?pageSize=1&page=1")).json
    assert [one["reason"] for one in second["addresses"]] == ["asked"]


async def test_a_list_is_there_while_it_has_entries(world: World) -> None:
    await world.register()
    await _block(world, "bob@example.com")
    gone = await world.call("DELETE", "/v1/blocklist/news?recipient=carl@example.com")
    assert gone.json == {"deleted": False}
    gone = await world.call("DELETE", "/v1/blocklist/news?recipient=BOB@example.com")
    assert gone.json == {"deleted": True}
    for reply in (
        await world.call("DELETE", "/v1/blocklist/news?recipient=bob@example.com"),
        await world.call("GET", "/v1/blocklist/news"),
    ):
        assert reply.status == 404
    assert (await world.call("GET", "/v1/blocklists")).json["total"] == 0


async def test_entries_outlive_the_account(world: World) -> None:
    await world.register()
    await _block(world, "bob@example.com")
    await world.call("DELETE", "/v1/account/ann")
    [entry] = (await world.call("GET", "/v1/blocklist/news")).json["addresses"]
    assert (entry["recipient"], entry["account"]) == ("bob@example.com", "ann")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("news", {"account": "nobody", "recipient": "bob@example.com"}, 404),
        ("news", {"account": "ann"}, 400),
        ("news", {"account": "ann", "recipient": "bob"}, 400),
        ("news", {"account": "ann", "recipient": "bob@example.com", "reason": "a\r\nb"}, 400),
        ("a%20list", {"account": "ann", "recipient": "bob@example.com"}, 400),
    ],
)
async def test_what_is_refused_changes_nothing(world: World, path: str, body: dict[str, Any], status: int) -> None:
    await world.register()
    assert (await world.call("POST", f"/v1/blocklist/{path}", body)).status == status
    assert (await world.call("GET", "/v1/blocklists")).json["total"] == 0
