"""Exports of messages: create, list, show, cancel, download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.http import Streamed
from mailquay.api.operation import Call, Operation
from mailquay.api.paging import paged
from mailquay.api.routes.messages import attachment_headers
from mailquay.api.schemas.common import Deleted, Paging
from mailquay.api.schemas.exports import ExportCreated, ExportList, ExportRequestBody, ExportShown
from mailquay.model.export import ExportFormat, ExportRequest
from mailquay.services.message_request import Download


async def _create(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    body = call.payload(ExportRequestBody)
    request = ExportRequest(
        folders=tuple(dict.fromkeys(body.folders or ())),
        start_ms=body.start_date,
        end_ms=body.end_date,
        text_type=body.text_type,
        max_characters=body.max_bytes or None,
        include_attachments=body.include_attachments,
        format=ExportFormat(body.format),
    )
    return await call.services.exports.create(account, request)


async def _list(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    query = call.parameters(Paging)
    total, exports = await call.services.exports.page(account, page=query.page, page_size=query.page_size)
    return {**paged(total, query.page, query.page_size), "exports": exports}


async def _get(call: Call) -> Mapping[str, Any]:
    return await call.services.exports.get(await call.account(), call.path["exportId"])


async def _delete(call: Call) -> Mapping[str, Any]:
    await call.services.exports.delete(await call.account(), call.path["exportId"])
    return {"deleted": True}


async def _home(call: Call) -> str | None:
    return await call.services.exports.home(await call.account(), call.path["exportId"])


async def _download(call: Call) -> Streamed:
    source = call.services.exports.download(await call.account(), call.path["exportId"])
    return Streamed(source, _file_headers)


def _file_headers(download: Download) -> Mapping[str, str]:
    # By its length a client knows a file that broke off, whatever lies between it and us.
    return {**attachment_headers(download), "content-length": str(download.size_bytes)}


OPERATIONS = (
    Operation(
        "postV1AccountAccountExport",
        "POST",
        "/v1/account/{account}/export",
        "Export",
        "Export messages",
        _create,
        "write",
        "export",
        body=ExportRequestBody,
        answer=ExportCreated,
        description="The file is written in the background; webhooks tell of its completion.",
    ),
    Operation(
        "getV1AccountAccountExports",
        "GET",
        "/v1/account/{account}/exports",
        "Export",
        "List exports",
        _list,
        "read",
        "export",
        query=Paging,
        answer=ExportList,
    ),
    Operation(
        "getV1AccountAccountExportExportid",
        "GET",
        "/v1/account/{account}/export/{exportId}",
        "Export",
        "Show how far an export is",
        _get,
        "read",
        "export",
        answer=ExportShown,
    ),
    Operation(
        "deleteV1AccountAccountExportExportid",
        "DELETE",
        "/v1/account/{account}/export/{exportId}",
        "Export",
        "Cancel or delete an export",
        _delete,
        "destructive",
        "export",
        answer=Deleted,
        description="One that is under way is cancelled; any other is forgotten with its file.",
    ),
    Operation(
        "getV1AccountAccountExportExportidDownload",
        "GET",
        "/v1/account/{account}/export/{exportId}/download",
        "Export",
        "Download the file of an export",
        _download,
        "read",
        "export",
        answer_type="application/gzip",
        other_node=_home,
    ),
)
