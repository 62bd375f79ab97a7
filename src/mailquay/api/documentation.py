"""The pages of docs/, rendered to HTML: what the server shows of itself without asking anybody else.

A wheel carries the folder inside the package (scripts/package_docs.py); a checkout has it beside src.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mailquay

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BASE = "/docs"
INDEX = "README"
DECISIONS = "adr"
_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_PAGE_LINK = re.compile(r"(?P<page>[\w./-]+)\.md(?P<anchor>#.*)?")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page. `anchors` are the ids of its headings, `links` the addresses that it names."""

    title: str
    html: str
    anchors: frozenset[str]
    links: tuple[str, ...]


@lru_cache(maxsize=1)
def page_names() -> Mapping[str, Traversable]:
    """Every page by its name below /docs: `webhooks`, `adr/0001-…`. Nothing else is ever read."""
    folder = _folder()
    pages = {_stem(entry): entry for entry in folder.iterdir() if entry.name.endswith(".md")}
    decisions = folder.joinpath(DECISIONS)
    pages |= {f"{DECISIONS}/{_stem(entry)}": entry for entry in decisions.iterdir() if entry.name.endswith(".md")}
    return dict(sorted(pages.items()))


def _folder() -> Traversable:
    packaged = files("mailquay").joinpath("docs")
    if packaged.is_dir() or mailquay.__file__ is None:
        return packaged
    return Path(mailquay.__file__).parents[2] / "docs"


def _stem(entry: Traversable) -> str:
    return entry.name.removesuffix(".md")


@lru_cache(maxsize=64)
def read_page(name: str) -> Page | None:
    """A page by its name, None when there is none; rendered when first asked for."""
    entry = page_names().get(name)
    if entry is None:
        return None
    # Comments tell those who change the file, not those who read the page.
    source = _COMMENT.sub("", entry.read_text(encoding="utf-8"))
    markdown = _markdown()
    tokens = markdown.parse(source)
    anchors = _name_headings(tokens)
    links = _point_to_pages(tokens, name)
    title = next((token.content for token in tokens if token.type == "inline"), name)
    return Page(title, markdown.renderer.render(tokens, markdown.options, {}), anchors, links)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    # Here, since a server whose pages nobody reads needs none of it to start.
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    return markdown


def _open_table(_renderer: object, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    """A table wider than a telephone's screen is moved by itself, not with the page."""
    return '<div class="wide" tabindex="0"><table>\n'


def _close_table(_renderer: object, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def _name_headings(tokens: Sequence[Token]) -> frozenset[str]:
    """Give each heading an id, made as code hosts make them, so that links with a # lead to the same place."""
    anchors: set[str] = set()
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            plain = "".join(child.content for child in inline.children or ())
            slug = _NOT_IN_ANCHORS.sub("", plain.lower()).replace(" ", "-")
            repeats = sum(anchor == slug or anchor.startswith(f"{slug}-") for anchor in anchors)
            anchor = f"{slug}-{repeats}" if slug in anchors else slug
            anchors.add(anchor)
            heading.attrSet("id", anchor)
    return frozenset(anchors)


def _point_to_pages(tokens: Sequence[Token], name: str) -> tuple[str, ...]:
    """Turn links between the files into links between the pages; all links as they are then."""
    folder = name.rpartition("/")[0]
    links = []
    for inline in tokens:
        for token in inline.children or ():
            if token.type == "link_open":
                target = page_address(str(token.attrGet("href") or ""), folder)
                token.attrSet("href", target)
                links.append(target)
    return tuple(links)


def page_address(target: str, folder: str) -> str:
    """Where a link in a file of `folder` leads here; other than to a file of ours it stays as it is."""
    match = _PAGE_LINK.fullmatch(target)
    if match is None:
        return target
    parts: list[str] = folder.split("/") if folder else []
    for part in match["page"].split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    page = "/".join(parts)
    return (BASE if page == INDEX else f"{BASE}/{page}") + (match["anchor"] or "")
