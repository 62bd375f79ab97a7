"""Templates: keep, list, show, change, remove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.errors import HttpError, account_missing
from mailquay.api.operation import Call, Operation
from mailquay.api.paging import paged
from mailquay.api.schemas.templates import (
    CreateTemplate,
    FlushQuery,
    TemplateCreated,
    TemplateDeleted,
    TemplateList,
    TemplatesFlushed,
    TemplateShown,
    TemplatesQuery,
    TemplateTexts,
    TemplateUpdated,
    UpdateTemplate,
)
from mailquay.model.account import Account
from mailquay.model.template import TemplateChanges, TemplateContent, TemplateFormat

_TAG = "Templates"


async def _owner(call: Call, account_id: str | None) -> Account | None:
    """The account that a request names, if it names one.

    Raises HttpError (404) when there is none.
    """
    if account_id is None:
        return None
    account = await call.services.accounts.get(account_id)
    if account is None:
        raise account_missing()
    return account


def _content(texts: TemplateTexts) -> TemplateContent:
    return TemplateContent(texts.subject, texts.text, texts.html, texts.preview_text)


async def _create(call: Call) -> Mapping[str, Any]:
    body = call.payload(CreateTemplate)
    # Whoever is bound to an account makes templates of that account, whatever the body says.
    account_id = call.principal.account or body.account
    template_id = await call.services.templates.create(
        await _owner(call, account_id),
        _content(body.content),
        name=body.name,
        description=body.description,
        template_format=TemplateFormat(body.format),
    )
    return {"created": True, "account": account_id, "id": template_id}


async def _list(call: Call) -> Mapping[str, Any]:
    query = call.parameters(TemplatesQuery)
    account = await _owner(call, query.account)
    total, templates = await call.services.templates.page(account, page=query.page, page_size=query.page_size)
    return {"account": query.account, **paged(total, query.page, query.page_size), "templates": templates}


async def _get(call: Call) -> Mapping[str, Any]:
    return await call.services.templates.get(call.path["template"])


async def _update(call: Call) -> Mapping[str, Any]:
    body = call.payload(UpdateTemplate)
    changes = TemplateChanges(
        name=body.name,
        description=body.description,
        format=None if body.format is None else TemplateFormat(body.format),
        content=None if body.content is None else _content(body.content),
    )
    account = await call.services.templates.update(call.path["template"], changes)
    return {"updated": True, "account": account, "id": call.path["template"]}


async def _delete(call: Call) -> Mapping[str, Any]:
    deleted, account = await call.services.templates.delete(call.path["template"])
    return {"deleted": deleted, "account": account, "id": call.path["template"]}


async def _flush(call: Call) -> Mapping[str, Any]:
    if not call.parameters(FlushQuery).force:
        raise HttpError(400, "to delete all templates of an account, say force=true", code="ForceRequired")
    account = await call.account()
    await call.services.templates.delete_all(account)
    return {"flushed": True, "account": account.id}


OPERATIONS = (
    Operation(
        "getV1Templates",
        "GET",
        "/v1/templates",
        _TAG,
        "List templates",
        _list,
        "read",
        "template",
        query=TemplatesQuery,
        answer=TemplateList,
        account_in_query=True,
    ),
    Operation(
        "postV1TemplatesTemplate",
        "POST",
        "/v1/templates/template",
        _TAG,
        "Keep a template",
        _create,
        "write",
        "template",
        body=CreateTemplate,
        answer=TemplateCreated,
        body_bytes=None,
        within_account=True,
        description="A token that is bound to an account makes templates of that account only.",
    ),
    Operation(
        "getV1TemplatesTemplateTemplate",
        "GET",
        "/v1/templates/template/{template}",
        _TAG,
        "Show a template",
        _get,
        "read",
        "template",
        answer=TemplateShown,
    ),
    Operation(
        "putV1TemplatesTemplateTemplate",
        "PUT",
        "/v1/templates/template/{template}",
        _TAG,
        "Change a template",
        _update,
        "write",
        "template",
        body=UpdateTemplate,
        answer=TemplateUpdated,
        body_bytes=None,
    ),
    Operation(
        "deleteV1TemplatesTemplateTemplate",
        "DELETE",
        "/v1/templates/template/{template}",
        _TAG,
        "Delete a template",
        _delete,
        "destructive",
        "template",
        answer=TemplateDeleted,
    ),
    Operation(
        "deleteV1TemplatesAccountAccount",
        "DELETE",
        "/v1/templates/account/{account}",
        _TAG,
        "Delete all templates of an account",
        _flush,
        "destructive",
        "template",
        query=FlushQuery,
        answer=TemplatesFlushed,
    ),
)
