"""Changes of mailboxes over HTTP: what reaches the service, and what is refused."""

from __future__ import annotations

import pytest

from tests.api.world import World


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    return world


@pytest.mark.parametrize(("path", "names"), [("A/B", ["A/B"]), (["A", "B c"], ["A", "B c"]), (" Grüße ", ["Grüße"])])
async def test_creating(ann: World, path: object, names: list[str]) -> None:
    reply = await ann.call("POST", "/v1/account/ann/mailbox", {"path": path})
    assert (reply.status, reply.json) == (200, {"path": "/".join(names), "created": True})
    assert ann.recorder.calls == [("create", (names,))]


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"path": "A", "newPath": "B"}, ("A", ["B"], None)),
        ({"path": "A", "newPath": ["B", "C"], "subscribed": False}, ("A", ["B", "C"], False)),
        ({"path": "\\Sent", "subscribed": "true"}, ("\\Sent", None, True)),
        ({"path": "A"}, ("A", None, None)),
    ],
)
async def test_changing(ann: World, body: dict[str, object], call: tuple[object, ...]) -> None:
    reply = await ann.call("PUT", "/v1/account/ann/mailbox", body)
    assert (reply.status, reply.json) == (200, {"path": body["path"]})
    assert ann.recorder.calls == [("change", call)]


async def test_deleting(ann: World) -> None:
    reply = await ann.call("DELETE", "/v1/account/ann/mailbox?path=A%2FB")
    assert (reply.status, reply.json) == (200, {"path": "A/B", "deleted": True})
    assert ann.recorder.calls == [("delete_mailbox", ("A/B",))]


@pytest.mark.parametrize(
    ("method", "target", "body", "keys"),
    [
        ("POST", "mailbox", {}, {"path"}),
        ("POST", "mailbox", {"path": ""}, {"path"}),
        ("POST", "mailbox", {"path": []}, {"path"}),
        ("POST", "mailbox", {"path": ["a\r\nb"]}, {"path"}),
        ("POST", "mailbox", {"path": ["a"] * 101}, {"path"}),
        ("POST", "mailbox", {"path": "a" * 257, "newPath": "b"}, {"path", "newPath"}),
        ("PUT", "mailbox", {"newPath": "B"}, {"path"}),
        ("PUT", "mailbox", {"path": "A", "newPath": None, "subscribed": "perhaps"}, {"newPath", "subscribed"}),
        ("DELETE", "mailbox", None, {"path"}),
        ("DELETE", "mailbox?path=%20", None, {"path"}),
    ],
)
async def test_what_is_no_mailbox(ann: World, method: str, target: str, body: object, keys: set[str]) -> None:
    reply = await ann.call(method, f"/v1/account/ann/{target}", body)
    assert (reply.status, ann.recorder.calls) == (400, [])
    assert {field["key"] for field in reply.json["fields"]} == keys
