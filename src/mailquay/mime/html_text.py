"""HTML to text: what a person would read, in lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mailquay.mime.markup import tame
from mailquay.mime.text import normalize_newlines

_BLANKS = re.compile(r"[ \t\r\n\f]+")
_MANY_LINES = re.compile(r"\n{3,}")
_MAX_QUOTE_DEPTH = 20

_INVISIBLE = frozenset(
    ("head", "script", "style", "title", "template", "noscript", "object", "svg", "math", "textarea", "select")
)
_SPACED = frozenset(("p", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "dl"))
_BLOCKS = _SPACED | frozenset(
    (
        *("address", "article", "aside", "center", "dd", "details", "dir", "div", "dt", "fieldset", "figcaption"),
        *("figure", "footer", "form", "header", "legend", "li", "main", "menu", "nav", "section", "summary"),
        *("tbody", "tfoot", "thead", "tr"),
    )
)


def html_to_text(markup: str) -> str:
    """A plain reading: blocks on their own lines, lists with dashes, quotes with ">", links with their target."""
    body = LexborHTMLParser(tame(markup)).body
    if body is None:
        return ""
    writer = _Writer()
    for node, tag, leaving in _events(body):
        if tag == "-text":
            writer.text(node.text_content or "")
        elif leaving:
            writer.leave(tag)
        else:
            writer.enter(tag, node)
    return writer.result()


def _events(root: LexborNode) -> Iterator[tuple[LexborNode, str, bool]]:
    """Walk the visible nodes below `root` without recursion, however deep: (node, tag, whether it is being left)."""
    node = root.child
    open_nodes: list[tuple[LexborNode, str]] = []
    while node is not None or open_nodes:
        if node is None:
            parent, tag = open_nodes.pop()
            yield parent, tag, True
            node = parent.next
            continue
        tag = node.tag or ""
        if tag == "-text":
            yield node, tag, False
        elif tag and not tag.startswith(("-", "!")) and tag not in _INVISIBLE:
            yield node, tag, False
            open_nodes.append((node, tag))
            node = node.child
            continue
        node = node.next


class _Writer:
    """Collects lines; whitespace collapses as a browser would do it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._links: list[tuple[int, str]] = []
        self._blank_wanted = False
        self._quotes = 0
        self._preformatted = 0

    def result(self) -> str:
        """Everything written."""
        self._break()
        return _MANY_LINES.sub("\n\n", "\n".join(self._lines)).strip("\n")

    def enter(self, tag: str, node: LexborNode) -> None:
        """An element begins."""
        if tag == "br":
            self._break(always=True)
        elif tag == "hr":
            self._break()
            self._line.append("---")
            self._break()
        elif tag == "img":
            alt = (node.attributes.get("alt") or "").strip()
            self.text(f"[{alt}]" if alt else "")
        elif tag == "a":
            self._links.append((len(self._line), (node.attributes.get("href") or "").strip()))
        elif tag in ("td", "th"):
            self.text(" ")
        elif tag in _BLOCKS:
            self._break()
            self._blank_wanted |= tag in _SPACED
            self._quotes += tag == "blockquote"
            self._preformatted += tag == "pre"
            if tag == "li":
                self.text("- ")

    def leave(self, tag: str) -> None:
        """An element ends."""
        if tag == "a":
            self._leave_link(*self._links.pop())
        elif tag in ("td", "th"):
            self.text(" ")
        elif tag in _BLOCKS:
            self._break()
            self._quotes -= tag == "blockquote"
            self._preformatted -= tag == "pre"
            self._blank_wanted |= tag in _SPACED

    def text(self, text: str) -> None:
        """Characters between the elements."""
        if self._preformatted:
            first, *others = normalize_newlines(text).split("\n")
            self._line.append(first)
            for line in others:
                self._break(always=True)
                self._line.append(line)
            return
        collapsed = _BLANKS.sub(" ", text)
        if collapsed.startswith(" ") and (not self._line or self._line[-1].endswith(" ")):
            collapsed = collapsed[1:]
        if collapsed:
            self._line.append(collapsed)

    def _leave_link(self, position: int, target: str) -> None:
        label = "".join(self._line[position:]).strip()
        if target.startswith(("http://", "https://", "mailto:")) and label:
            shown = target.removeprefix("mailto:")
            if shown.rstrip("/") != label.rstrip("/"):
                self.text(f" [{shown}]")

    def _break(self, *, always: bool = False) -> None:
        line = "".join(self._line).replace("\xa0", " ").rstrip()
        self._line = []
        if not line and not always:
            return
        prefix = "> " * min(self._quotes, _MAX_QUOTE_DEPTH)
        if self._blank_wanted and self._lines:
            self._lines.append(prefix.rstrip())
        self._blank_wanted = False
        self._lines.append((prefix + line).rstrip())
