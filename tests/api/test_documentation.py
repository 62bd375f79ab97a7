"""The documentation as the server shows it: whole, linked, harmless."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailquay.api.documentation import BASE, INDEX, page_address, page_names, read_page
from tests.api.world import World

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_file_is_a_page() -> None:
    files = {str(path.relative_to(DOCS)).removesuffix(".md") for path in DOCS.rglob("*.md")}
    assert set(page_names()) == files and INDEX in files and "adr/0001-rings-and-imports" in files


def _address(name: str) -> str:
    return BASE if name == INDEX else f"{BASE}/{name}"


@pytest.mark.parametrize("name", list(page_names()))
def test_links_lead_somewhere(name: str) -> None:
    page = read_page(name)
    assert page is not None and page.title
    pages = {_address(other): read_page(other) for other in page_names()}
    for link in page.links:
        target, _, anchor = link.partition("#")
        if target.startswith("https://"):
            continue
        found = pages.get(target or _address(name))
        assert found is not None, f"{name} links to {link}"
        assert not anchor or anchor in found.anchors, f"{name} links to {link}"


def test_the_index_names_every_page() -> None:
    index = read_page(INDEX)
    assert index is not None
    assert {_address(name) for name in page_names() if "/" not in name} - {BASE} <= set(index.links)


@pytest.mark.parametrize(
    ("target", "folder", "address"),
    [
        ("webhooks.md", "", "/docs/webhooks"),
        ("settings.md#runtime-settings", "", "/docs/settings#runtime-settings"),
        ("../sending.md", "adr", "/docs/sending"),
        ("0001-rings-and-imports.md", "adr", "/docs/adr/0001-rings-and-imports"),
        ("README.md", "", "/docs"),
        ("#tls", "", "#tls"),
        ("https://example.com/a.md", "", "https://example.com/a.md"),
    ],
)
def test_where_links_lead(target: str, folder: str, address: str) -> None:
    assert page_address(target, folder) == address


async def test_pages_over_http(world: World) -> None:
    assert 'href="/docs"' in (await world.call("GET", "/", token=None)).body.decode()
    for name in page_names():
        reply = await world.call("GET", _address(name), token=None)
        text = reply.body.decode()
        assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in reply.headers["content-security-policy"]
        assert "'unsafe-inline'" not in reply.headers["content-security-policy"]
        assert "<h1" in text and not re.search(r"<script| style=| on\w+=|<img", text), name
        assert "<!--" not in text and "&lt;!--" not in text, name
        # Everything the page itself needs comes from here.
        assert re.findall(r'<link [^>]*href="([^"]+)"', text) == ["/static/favicon.svg", "/static/page.css"]


async def test_tables_and_code(world: World) -> None:
    text = (await world.call("GET", "/docs/webhooks", token=None)).body.decode()
    assert '<div class="wide" tabindex="0"><table>' in text and "<th>header</th>" in text
    assert '<pre><code class="language-python">import base64' in text
    assert '<h2 id="checking-a-signature">' in text


@pytest.mark.parametrize(
    "target",
    [
        "/docs/nothing",
        "/docs/adr",
        "/docs/adr/nothing",
        "/docs/..%2F..%2Fpyproject",
        "/docs/%2e%2e/README",
        "/docs/adr/..%2Fsettings",
        "/docs/webhooks.md",
        f"/docs/{'a' * 100}",
    ],
)
async def test_other_pages_do_not_exist(world: World, target: str) -> None:
    assert (await world.call("GET", target, token=None)).status == 404
    reply = await world.call("GET", target, token=None, headers={"accept": "text/html"})
    assert reply.status == 404 and reply.headers["content-type"].startswith("text/html")
