"""The documentation as pages for a browser; see api.documentation."""

from __future__ import annotations

import asyncio
from html import escape

from mailquay.api.documentation import BASE, DECISIONS, INDEX, page_names, read_page
from mailquay.api.errors import HttpError
from mailquay.api.http import Answer
from mailquay.api.operation import Call, Operation
from mailquay.api.routes.site import page


async def _index(_call: Call) -> Answer:
    return await _answer(INDEX)


async def _page(call: Call) -> Answer:
    return await _answer(call.path["page"])


async def _decision(call: Call) -> Answer:
    return await _answer(f"{DECISIONS}/{call.path['page']}")


async def _answer(name: str) -> Answer:
    """A page with its way back; 404 for what is not one."""
    # The longest one takes a tenth of a second to render, once.
    shown = await asyncio.to_thread(read_page, name)
    if shown is None:
        raise HttpError(404, "there is no such page")
    trail = ['<a href="/">Mailquay</a>']
    if name != INDEX:
        trail.append(f'<a href="{BASE}">Documentation</a>')
    content = f"<nav>{' › '.join(trail)}</nav>{shown.html}"
    if name == INDEX:
        content += await asyncio.to_thread(_decisions)
    return page(f"{shown.title} – Mailquay", content, wide=True)


def _decisions() -> str:
    """The list of design decisions, which grows without anybody writing it."""
    names = [name for name in page_names() if name.startswith(f"{DECISIONS}/")]
    entries = [(name, found.title) for name in names if (found := read_page(name)) is not None]
    items = "".join(f'<li><a href="{BASE}/{escape(name)}">{escape(title)}</a></li>' for name, title in entries)
    return f'<h2 id="decisions">Why it is as it is</h2><ul>{items}</ul>'


_TAG = "Documentation"
OPERATIONS = (
    Operation("getDocs", "GET", BASE, _TAG, "Documentation", _index, public=True, documented=False),
    Operation("getDocsPage", "GET", f"{BASE}/{{page}}", _TAG, "Page", _page, public=True, documented=False),
    Operation(
        "getDocsDecision", "GET", f"{BASE}/{DECISIONS}/{{page}}", _TAG, "Page", _decision, public=True, documented=False
    ),
)
