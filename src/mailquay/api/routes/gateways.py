"""Gateways: keep, list, show, change, remove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation
from mailquay.api.paging import paged
from mailquay.api.schemas.common import Paging
from mailquay.api.schemas.gateways import (
    CreateGateway,
    GatewayCreated,
    GatewayDeleted,
    GatewayList,
    GatewayShown,
    GatewayUpdated,
    UpdateGateway,
)
from mailquay.services.gateways import GatewayChanges

_TAG = "SMTP Gateway"
_SERVER_FIELDS = frozenset({"user", "password", "host", "port", "secure"})


async def _create(call: Call) -> Mapping[str, Any]:
    body = call.payload(CreateGateway)
    gateway, created = await call.services.gateways.put(body.gateway, _changes(body, whole=True))
    return {"gateway": gateway, "state": "new" if created else "existing"}


async def _list(call: Call) -> Mapping[str, Any]:
    query = call.parameters(Paging)
    total, gateways = await call.services.gateways.page(page=query.page, page_size=query.page_size)
    return {**paged(total, query.page, query.page_size), "gateways": gateways}


async def _get(call: Call) -> Mapping[str, Any]:
    return await call.services.gateways.get(call.path["gateway"])


async def _update(call: Call) -> Mapping[str, Any]:
    await call.services.gateways.update(call.path["gateway"], _changes(call.payload(UpdateGateway), whole=False))
    return {"gateway": call.path["gateway"]}


async def _delete(call: Call) -> Mapping[str, Any]:
    deleted = await call.services.gateways.delete(call.path["gateway"])
    return {"gateway": call.path["gateway"], "deleted": deleted}


def _changes(body: CreateGateway | UpdateGateway, *, whole: bool) -> GatewayChanges:
    """What a body says about a gateway."""
    server: dict[str, Any] = {}
    for name in body.model_fields_set & _SERVER_FIELDS:
        value = getattr(body, name)
        # What is empty counts as not given; of the host the check has made None of it.
        if value != "" and not (name == "host" and value is None):
            server[name] = value
    tls = body.tls
    if "tls" in body.model_fields_set:
        server["tls"] = None if tls is None else tls.model_dump(by_alias=True, exclude_unset=True, exclude={"partial"})
    return GatewayChanges(body.name, server, whole=whole, tls_partial=tls is not None and tls.partial)


OPERATIONS = (
    Operation(
        "getV1Gateways",
        "GET",
        "/v1/gateways",
        _TAG,
        "List gateways",
        _list,
        "read",
        "gateway",
        query=Paging,
        answer=GatewayList,
    ),
    Operation(
        "postV1Gateway",
        "POST",
        "/v1/gateway",
        _TAG,
        "Keep a gateway",
        _create,
        "write",
        "admin",
        body=CreateGateway,
        answer=GatewayCreated,
        description="A gateway with the given id is replaced instead. Credentials are not tried.",
    ),
    Operation(
        "getV1GatewayGateway",
        "GET",
        "/v1/gateway/{gateway}",
        _TAG,
        "Show a gateway",
        _get,
        "read",
        "gateway",
        answer=GatewayShown,
    ),
    Operation(
        "putV1GatewayEditGateway",
        "PUT",
        "/v1/gateway/edit/{gateway}",
        _TAG,
        "Change a gateway",
        _update,
        "write",
        "admin",
        body=UpdateGateway,
        answer=GatewayUpdated,
    ),
    Operation(
        "deleteV1GatewayGateway",
        "DELETE",
        "/v1/gateway/{gateway}",
        _TAG,
        "Delete a gateway",
        _delete,
        "destructive",
        "gateway",
        answer=GatewayDeleted,
        description="Messages that wait for it go out over the submission servers of their accounts.",
    ),
)
