"""Every operation of the API, in the order in which its description shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mailquay.api.http import Answer
from mailquay.api.openapi import build_openapi
from mailquay.api.operation import Call, Operation
from mailquay.api.routes import (
    accounts,
    autoconfig,
    blocklists,
    documentation,
    exports,
    gateways,
    mailboxes,
    messages,
    search,
    site,
    submit,
    system,
    templates,
    threads,
    tokens,
    unsubscribe,
    upload,
)

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *mailboxes.OPERATIONS,
    *messages.OPERATIONS,
    *search.OPERATIONS,
    *upload.OPERATIONS,
    *threads.OPERATIONS,
    *submit.OPERATIONS,
    *templates.OPERATIONS,
    *blocklists.OPERATIONS,
    *unsubscribe.OPERATIONS,
    *gateways.OPERATIONS,
    *exports.OPERATIONS,
    *tokens.OPERATIONS,
    *system.OPERATIONS,
    *autoconfig.OPERATIONS,
    *site.OPERATIONS,
    *documentation.OPERATIONS,
)


def all_operations(max_content: int) -> tuple[Operation, ...]:
    """All of them, with the one that describes the others. `max_content`: see build_openapi."""
    document = _document(lambda: build_openapi(OPERATIONS, max_content=max_content))

    async def show(_call: Call) -> Answer:
        return Answer(document())

    return (
        *OPERATIONS,
        Operation("getSwagger", "GET", "/swagger.json", "Site", "API", show, public=True, documented=False),
    )


def _document(build: Callable[[], dict[str, Any]]) -> Callable[[], bytes]:
    """Built when first asked for, then kept."""
    kept: list[bytes] = []

    def get() -> bytes:
        if not kept:
            kept.append(msgspec.json.encode(build()))
        return kept[0]

    return get
