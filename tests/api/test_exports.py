"""Exports over HTTP: what is asked for, everything that is wrong with it at once, limits, and where files lie."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.event import EventName, NewEvent
from mailquay.model.export import Export, ExportFormat, ExportPhase, ExportProgress, ExportStatus
from mailquay.model.node import Fence
from mailquay.services.export_formats import write_messages
from mailquay.storage.repositories.exports import ExportEnd
from tests.api.world import START_MS, World

_BODY = {"startDate": "2026-01-01", "endDate": "2026-02-01T00:00:00Z"}
_EXPORT = "/v1/account/ann/export"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(export_dir=tmp_path / "exports")


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    await asyncio.to_thread(world.export_files.open)
    return world


async def _stored(world: World, export_id: str) -> Export:
    account = await world.store.accounts.get("ann")
    assert account is not None
    export = await world.store.exports.get(account.number, export_id)
    assert export is not None
    return export


async def _complete(world: World, export_id: str) -> Export:
    """Write a file without messages, as the owner of the account does."""
    export = await _stored(world, export_id)
    fence, exports = Fence(export.account, 0), world.store.exports
    await world.store.commit(exports.settle(export, world.export_files.place, "node", fence, anew=False))
    spool = world.export_files.spool()
    fill, _ = write_messages(export, [], spool, limit_bytes=1000)
    segment = await asyncio.to_thread(world.export_files.write, export, 0, fill)
    spool.close()
    size = 0 if segment is None else segment.content_bytes
    progress = ExportProgress(segments=1, content_bytes=size)
    await world.store.commit(exports.advance(export, segment, progress, fence))
    end = ExportEnd(ExportStatus.COMPLETED, ExportPhase.COMPLETE, START_MS, START_MS + 1000)
    event = NewEvent(export.account, EventName.EXPORT_COMPLETED, START_MS, {"exportId": export_id})
    await world.store.commit(exports.end(export, end, event, fence))
    return export


async def test_an_export_is_queued_shown_and_listed(ann: World) -> None:
    made = await ann.call("POST", _EXPORT, {**_BODY, "folders": ["INBOX", "Work", "INBOX"], "includeAttachments": "Y"})
    assert (made.status, made.json["status"], made.json["created"]) == (200, "queued", "2026-11-21T00:00:00.000Z")
    export_id = made.json["exportId"]
    request = (await _stored(ann, export_id)).request
    assert request == dataclasses.replace(
        request,
        folders=("INBOX", "Work"),
        start_ms=1_767_225_600_000,
        end_ms=1_769_904_000_000,
        text_type="*",
        max_characters=5 * 1024 * 1024,
        include_attachments=True,
        format=ExportFormat.NDJSON,
    )
    shown = await ann.call("GET", f"{_EXPORT}/{export_id}")
    assert shown.json == {
        "exportId": export_id,
        "status": "queued",
        "phase": "indexing",
        "folders": ["INBOX", "Work"],
        "startDate": "2026-01-01T00:00:00.000Z",
        "endDate": "2026-02-01T00:00:00.000Z",
        "format": "ndjson",
        "isEncrypted": True,
        "progress": {
            "foldersScanned": 0,
            "foldersTotal": 0,
            "messagesQueued": 0,
            "messagesExported": 0,
            "messagesSkipped": 0,
            "bytesWritten": 0,
            "percent": 0,
        },
        "created": "2026-11-21T00:00:00.000Z",
        "error": None,
    }
    listed = await ann.call("GET", "/v1/account/ann/exports")
    assert listed.json == {
        "total": 1,
        "page": 0,
        "pages": 1,
        "exports": [{"exportId": export_id, "status": "queued", "created": "2026-11-21T00:00:00.000Z"}],
    }


async def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_queued(ann: World) -> None:
    body = {
        "folders": ["x" * 1025, "ok"],
        "startDate": "2026-02-01",
        "endDate": "2026-02-01",
        "textType": "rtf",
        "maxBytes": -1,
        "includeAttachments": "maybe",
        "format": "pst",
        "extra": 1,
    }
    reply = await ann.call("POST", _EXPORT, body)
    assert reply.status == 400
    assert {field["path"] for field in reply.json["fields"]} == {
        "folders.0",
        "endDate",
        "textType",
        "maxBytes",
        "includeAttachments",
        "format",
        "extra",
    }
    empty = await ann.call("POST", _EXPORT, {})
    assert [field["key"] for field in empty.json["fields"]] == ["startDate", "endDate"]
    for wrong in ("-5", "1969-12-31", "nonsense", True):
        assert (await ann.call("POST", _EXPORT, {**_BODY, "startDate": wrong})).status == 400
    assert (await ann.call("GET", "/v1/account/ann/exports")).json["total"] == 0


async def test_limits_of_the_account_and_of_all(ann: World) -> None:
    await ann.register("bob")
    assert [(await ann.call("POST", _EXPORT, _BODY)).status for _ in range(2)] == [200, 200]
    refused = await ann.call("POST", _EXPORT, _BODY)
    assert (refused.status, refused.json["code"]) == (429, "TooManyExports")
    await ann.settings.write({"exportMaxGlobalConcurrent": 3})
    others = [await ann.call("POST", "/v1/account/bob/export", _BODY) for _ in range(2)]
    assert [(one.status, one.json.get("code")) for one in others] == [(200, None), (429, "TooManyExports")]
    mine = (await ann.call("GET", "/v1/account/ann/exports")).json["exports"][0]["exportId"]
    assert (await ann.call("DELETE", f"{_EXPORT}/{mine}")).json == {"deleted": True}
    assert (await ann.call("POST", "/v1/account/bob/export", _BODY)).status == 200
    assert (await ann.call("GET", f"{_EXPORT}/{mine}")).json["status"] == "cancelled"


async def test_exports_of_others_are_unknown(ann: World) -> None:
    await ann.register("bob")
    export_id = (await ann.call("POST", _EXPORT, _BODY)).json["exportId"]
    for method, target in (("GET", ""), ("DELETE", ""), ("GET", "/download")):
        for path in (f"/v1/account/bob/export/{export_id}", f"{_EXPORT}/exp_{'0' * 24}"):
            reply = await ann.call(method, path + target)
            assert (reply.status, reply.json["code"]) == (404, "NotFound")
        assert (await ann.call(method, f"{_EXPORT}/exp_1{target}")).status == 400
        assert (await ann.call(method, f"/v1/account/nobody/export/{export_id}{target}")).status == 404


async def test_an_account_without_a_mailbox_has_nothing_to_export(ann: World) -> None:
    body = {"account": "send", "name": "S", "smtp": {"host": "h.example.com", "port": 25, "secure": False}}
    assert (await ann.call("POST", "/v1/account", body)).status == 200
    reply = await ann.call("POST", "/v1/account/send/export", _BODY)
    assert (reply.status, reply.json["code"]) == (503, "NotSyncing")


async def test_download(ann: World, tmp_path: Path) -> None:
    export_id = (await ann.call("POST", _EXPORT, _BODY)).json["exportId"]
    early = await ann.call("GET", f"{_EXPORT}/{export_id}/download")
    assert (early.status, early.json["code"]) == (400, "ExportNotReady")
    await _complete(ann, export_id)
    reply = await ann.call("GET", f"{_EXPORT}/{export_id}/download")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/gzip")
    assert reply.headers["content-disposition"] == f'attachment; filename="{export_id}.ndjson.gz"'
    assert int(reply.headers["content-length"]) == len(reply.body) == 20
    head = await ann.call("HEAD", f"{_EXPORT}/{export_id}/download")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "20")
    for path in (tmp_path / "exports" / export_id).iterdir():
        path.unlink()
    gone = await ann.call("GET", f"{_EXPORT}/{export_id}/download")
    assert (gone.status, gone.json["code"]) == (404, "FileNotFound")
    assert (await ann.call("DELETE", f"{_EXPORT}/{export_id}")).json == {"deleted": True}
    assert (await ann.call("GET", f"{_EXPORT}/{export_id}")).status == 404


async def test_a_damaged_file_is_no_whole_download(ann: World, tmp_path: Path) -> None:
    export_id = (await ann.call("POST", _EXPORT, _BODY)).json["exportId"]
    await _complete(ann, export_id)
    [path] = (tmp_path / "exports" / export_id).glob("*.content")
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert (await ann.call("GET", f"{_EXPORT}/{export_id}/download")).status == 500


async def test_a_narrowed_token_needs_the_group(ann: World) -> None:
    issue = {"account": "ann", "description": "d"}
    for permissions, status in (({"groups": ["export"], "actions": ["write"]}, 200), ({"groups": ["message"]}, 403)):
        token = (await ann.call("POST", "/v1/tokens", {**issue, "permissions": permissions})).json["token"]
        assert (await ann.call("POST", _EXPORT, _BODY, token=token)).status == status
