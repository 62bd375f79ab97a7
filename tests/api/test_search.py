"""Searches over HTTP: what reaches the services, and what is refused with all its faults."""

from __future__ import annotations

from typing import Any

import pytest

from mailquay.backends.interface import SearchTerms
from mailquay.services.identifiers import encode_cursor
from mailquay.services.message_request import MessageChanges
from tests.api.world import World


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    return world


@pytest.mark.parametrize(
    ("search", "terms"),
    [
        ({}, SearchTerms()),
        ({"seq": "1:4, 7", "uid": "9:*"}, SearchTerms(seq="1:4,7", uid="9:*")),
        (
            {"answered": True, "deleted": "N", "draft": 0, "unseen": "1", "flagged": False, "seen": "false"},
            SearchTerms(
                flags={
                    "seen": False,
                    "unseen": True,
                    "flagged": False,
                    "answered": True,
                    "deleted": False,
                    "draft": False,
                }
            ),
        ),
        (
            {"from": " ann ", "to": "b", "cc": "c", "bcc": "d", "body": "Grüße", "subject": "e"},
            SearchTerms(text={"from": "ann", "to": "b", "cc": "c", "bcc": "d", "subject": "e", "body": "Grüße"}),
        ),
        ({"from": "", "subject": " "}, SearchTerms()),
        ({"larger": 1, "smaller": 2, "modseq": 3}, SearchTerms(larger=1, smaller=2, modseq=3)),
        (
            {
                "before": "2026-11-02",
                "since": "2026-11-01T23:30:00-02:00",
                "sentBefore": 1793577600000,
                "sentSince": "2026-11-01T00:00:00.000Z",
            },
            SearchTerms(
                dates={
                    "before": "2026-11-02",
                    "since": "2026-11-02",
                    "sentBefore": "2026-11-02",
                    "sentSince": "2026-11-01",
                }
            ),
        ),
        ({"emailId": "e", "threadId": "t"}, SearchTerms(email_id="e", thread_id="t")),
        ({"header": {"List-Id": "x", "X-Seen": ""}}, SearchTerms(headers=(("List-Id", "x"), ("X-Seen", "")))),
        ({"gmailRaw": "has:attachment"}, SearchTerms(gmail_raw="has:attachment")),
        ({"labels": {"has": "a", "not": ["b", "c"]}}, SearchTerms(labels=("a",), without_labels=("b", "c"))),
        ({"emailIds": "1"}, SearchTerms(email_ids=("1",))),
        ({"emailIds": []}, SearchTerms(email_ids=())),
    ],
)
async def test_every_term(ann: World, search: dict[str, Any], terms: SearchTerms) -> None:
    reply = await ann.call("POST", "/v1/account/ann/search?path=INBOX", {"search": search})
    assert reply.status == 200, reply.json
    assert ann.recorder.calls == [("search", ("INBOX", terms, 0, 20))]


async def test_pages(ann: World) -> None:
    cursor = encode_cursor(7)
    await ann.call("POST", "/v1/account/ann/search?path=%5CSent&page=2&pageSize=3", {"search": {}})
    await ann.call("POST", f"/v1/account/ann/search?path=%5CSent&page=2&cursor={cursor}", {"search": {}})
    assert [call[1][2:] for call in ann.recorder.calls] == [(2, 3), (7, 20)]


@pytest.mark.parametrize(
    ("search", "paths"),
    [
        ({"seq": "0"}, {"search.seq"}),
        ({"uid": "1:4294967296"}, {"search.uid"}),
        ({"uid": "1,,2", "seq": "a"}, {"search.uid", "search.seq"}),
        ({"uid": ""}, set()),
        ({"uid": "1\r\nA DELETE INBOX"}, {"search.uid"}),
        ({"subject": "a\r\nb"}, {"search.subject"}),
        ({"from": "a" * 257, "larger": -1, "smaller": 2**31}, {"search.from", "search.larger", "search.smaller"}),
        ({"modseq": 2**63, "since": "soon"}, {"search.modseq", "search.since"}),
        ({"seen": "perhaps", "flagged": None}, {"search.seen", "search.flagged"}),
        ({"header": {"A B": "x"}}, {"search.header"}),
        ({"header": {str(n): "x" for n in range(21)}}, {"search.header"}),
        ({"header": {"a": "x\ny"}}, {"search.header.a"}),
        ({"labels": {"has": [""] * 21, "nor": []}}, {"search.labels.has", "search.labels.nor"}),
        ({"wat": 1}, {"search.wat"}),
        (None, {"search"}),
    ],
)
async def test_terms_that_are_none(ann: World, search: object, paths: set[str]) -> None:
    reply = await ann.call("POST", "/v1/account/ann/search?path=INBOX", {"search": search})
    assert reply.status == (400 if paths else 200), reply.json
    assert {field["path"] for field in reply.json.get("fields", [])} == paths
    assert bool(ann.recorder.calls) is not bool(paths)


@pytest.mark.parametrize("body", [{}, {"search": {}, "documentQuery": {}}])
@pytest.mark.parametrize("path", ["search?path=INBOX", "messages/delete?path=INBOX"])
async def test_what_is_no_search(ann: World, path: str, body: object) -> None:
    reply = await ann.call("POST" if path.startswith("search") else "PUT", f"/v1/account/ann/{path}", body)
    assert (reply.status, ann.recorder.calls) == (400, [])


async def test_changes_of_all_that_is_found(ann: World) -> None:
    search, terms = {"unseen": True}, SearchTerms(flags={"unseen": True})
    body = {"search": search, "update": {"flags": {"add": "\\Seen"}, "labels": {"delete": ["a"]}}}
    reply = await ann.call("PUT", "/v1/account/ann/messages?path=INBOX", body)
    assert (reply.status, reply.json) == (200, {"flags": {"add": True}})
    reply = await ann.call("PUT", "/v1/account/ann/messages/move?path=INBOX", {"search": search, "path": "\\Junk"})
    assert (reply.status, reply.json) == (200, {"path": "\\Junk", "idMap": [["a", "b"]]})
    for force in ("false", "true"):
        reply = await ann.call("PUT", f"/v1/account/ann/messages/delete?path=INBOX&force={force}", {"search": search})
        assert (reply.status, reply.json) == (200, {"deleted": force == "true"})
    assert ann.recorder.calls == [
        ("update_all", ("INBOX", terms, MessageChanges(add=("\\Seen",), labels_delete=("a",)))),
        ("move_all", ("INBOX", terms, "\\Junk")),
        ("delete_all", ("INBOX", terms, False)),
        ("delete_all", ("INBOX", terms, True)),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages", {"search": {}}),
        ("messages?path=INBOX", {"update": {}}),
        ("messages?path=INBOX", {"search": {}, "update": {"flags": {"add": [""]}}}),
        ("messages/move?path=INBOX", {"search": {}}),
        ("messages/move?path=INBOX", {"search": {}, "path": ""}),
        ("messages/delete", {"search": {}}),
        ("messages/delete?path=INBOX&force=perhaps", {"search": {}}),
    ],
)
async def test_changes_that_are_none(ann: World, path: str, body: object) -> None:
    reply = await ann.call("PUT", f"/v1/account/ann/{path}", body)
    assert (reply.status, ann.recorder.calls) == (400, [])
    assert reply.json["fields"]
