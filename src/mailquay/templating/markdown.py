"""Markdown to HTML (CommonMark with tables and strikethrough)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mailquay.errors import TemplateError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_CHARACTERS = 256 * 1024


def markdown_to_html(text: str) -> str:
    """HTML of a text; HTML in it passes as it is.

    Raises TemplateError for a text that is too long to be read in a reasonable time.
    """
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"Markdown may be at most {MAX_CHARACTERS} characters long")
    rendered: str = _markdown().render(text)
    return rendered


@cache
def _markdown() -> MarkdownIt:
    # Here, since it takes longer to load than all the rest of a server that never needs it.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
