"""What is not the API itself: health, metrics, the API's own description, and a page for whoever comes by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any

from mailquay.api.errors import HttpError
from mailquay.api.http import HTML, TEXT, Answer
from mailquay.api.operation import Call, Operation
from mailquay.api.schemas.common import NoQuery
from mailquay.api.schemas.system import Success
from mailquay.errors import MailquayError
from mailquay.version import __version__

_CHECK_SECONDS = 5.0
_ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "reference.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.LICENSE.txt": TEXT,
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{inline}; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
)


def page_headers(*, inline_styles: bool = False, forms: bool = False) -> dict[str, str]:
    """Headers of every HTML page: nothing from elsewhere, nothing in a frame, no address told to others."""
    return {
        "content-security-policy": _POLICY.format(
            inline=" 'unsafe-inline'" if inline_styles else "", forms="'self'" if forms else "'none'"
        ),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
    }


def page(
    title: str, content: str, *, status: int = 200, wide: bool = False, locale: str = "en", forms: bool = False
) -> Answer:
    """A small HTML page; `content` is HTML already. `wide`: for text with tables and code; `forms`: it has one."""
    main = '<main class="text">' if wide else "<main>"
    text = (
        f'<!doctype html><html lang="{locale}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        '<link rel="icon" href="/static/favicon.svg"><link rel="stylesheet" href="/static/page.css"></head>'
        f"<body>{main}{content}</main></body></html>"
    )
    return Answer(text.encode(), HTML, status, page_headers(forms=forms))


async def _home(call: Call) -> Answer:
    states = await call.services.accounts.count_by_state()
    healthy = await _is_healthy(call)
    rows = "".join(f"<tr><th>{escape(state)}</th><td>{count}</td></tr>" for state, count in sorted(states.items()))
    accounts = f"<table>{rows}</table>" if rows else "<p>None yet.</p>"
    content = (
        f'<h1>Mailquay</h1><p>Version {escape(__version__)} is <strong class="{"good" if healthy else "bad"}">'
        f"{'running' if healthy else 'in trouble'}</strong>.</p><h2>Accounts by state</h2>{accounts}"
        '<h2>Where next</h2><ul><li><a href="/docs">Documentation</a></li>'
        '<li><a href="/reference">API reference</a></li>'
        '<li><a href="/swagger.json">OpenAPI description</a></li><li><a href="/health">Health</a></li></ul>'
    )
    return page("Mailquay", content)


async def _reference(_call: Call) -> Answer:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mailquay API</title>'
        '<link rel="icon" href="/static/favicon.svg"><link rel="stylesheet" href="/static/swagger-ui.css"></head>'
        '<body><div id="reference"></div><script src="/static/swagger-ui-bundle.js"></script>'
        '<script src="/static/reference.js"></script></body></html>'
    )
    # The viewer sets style attributes; scripts stay limited to our own files.
    return Answer(text.encode(), HTML, headers=page_headers(inline_styles=True))


async def _health(call: Call) -> Mapping[str, Any]:
    if not await _is_healthy(call):
        raise HttpError(500, "this node cannot do its work; its log tells why")
    return {"success": True}


async def _is_healthy(call: Call) -> bool:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await call.services.health.check()
    except (MailquayError, TimeoutError):
        return False
    return True


async def _metrics(call: Call) -> Answer:
    return Answer(await call.services.meter.render(), "text/plain; version=0.0.4; charset=utf-8")


async def _robots(_call: Call) -> Answer:
    return Answer(b"User-agent: *\nDisallow: /\n", TEXT)


async def _favicon(_call: Call) -> Answer:
    return _asset_answer("favicon.svg")


async def _asset(call: Call) -> Answer:
    return _asset_answer(call.path["asset"])


def _asset_answer(name: str) -> Answer:
    content_type = _ASSETS.get(name)
    if content_type is None:
        raise HttpError(404, "there is no such file")
    headers = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff"}
    return Answer(_asset_bytes(name), content_type, headers=headers)


@lru_cache(maxsize=len(_ASSETS))
def _asset_bytes(name: str) -> bytes:
    return files("mailquay.api").joinpath("static", name).read_bytes()


_TAG = "Site"
OPERATIONS = (
    Operation("getHealth", "GET", "/health", _TAG, "Health", _health, public=True, answer=Success, documented=False),
    Operation(
        "getMetrics",
        "GET",
        "/metrics",
        _TAG,
        "Metrics",
        _metrics,
        "read",
        "diagnostics",
        scope="metrics",
        query=NoQuery,
        answer_type="text/plain",
        documented=False,
    ),
    Operation("getHome", "GET", "/", _TAG, "Home", _home, public=True, documented=False),
    Operation("getReference", "GET", "/reference", _TAG, "Reference", _reference, public=True, documented=False),
    Operation("getRobots", "GET", "/robots.txt", _TAG, "Robots", _robots, public=True, documented=False),
    Operation("getFavicon", "GET", "/favicon.ico", _TAG, "Icon", _favicon, public=True, documented=False),
    Operation("getStatic", "GET", "/static/{asset}", _TAG, "Assets", _asset, public=True, documented=False),
)
