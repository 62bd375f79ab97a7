"""Make hostile HTML harmless for HTML parsers themselves.

The parsing rules of HTML take quadratic time and memory for markup nested deep enough, for formatting elements left
open and for tags with many attributes. Markup that is large enough for that to matter is rewritten first, in linear
time: every element closed, depth and attributes limited, everything dropped whose content parsers read differently.
"""

from __future__ import annotations

import html
import re

MAX_DEPTH = 200
_MAX_OPEN_FORMATTING = 30
_MAX_ATTRIBUTES = 100
_SMALL_CHARACTERS = 64 * 1024
_SMALL_TAGS = 1000

_TOKEN = re.compile(
    r"""<!--(?:-?>|.*?(?:--!?>|\Z))
      | <[!?][^>]*(?:>|\Z)
      | <(?P<close>/)?(?P<name>[a-zA-Z][^\s/>]*)
        (?P<attributes>(?:[^>=]*+=\s*+(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*+)?)*+[^>]*+)(?:>|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s=/>"'<]{1,100})(?:\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s>"'][^\s>]*+)?))?""")
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "title", "iframe", "noembed", "noframes", "noscript", "template", "xmp")
}
_SAFE_NAME = re.compile(r"[a-z][a-z0-9:-]{0,60}")

_VOID = frozenset(("area", "br", "col", "hr", "img", "input", "wbr"))
_FORMATTING = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
_DROPPED = frozenset(
    (
        *("applet", "audio", "base", "basefont", "bgsound", "button", "canvas", "dialog", "embed", "form", "frame"),
        *("frameset", "head", "html", "iframe", "image", "keygen", "link", "listing", "math", "meta", "noembed"),
        *("noframes", "noscript", "object", "optgroup", "option", "param", "plaintext", "select", "source", "svg"),
        *("template", "textarea", "title", "track", "video", "xmp"),
    )
)
_TABLE_PARTS = frozenset(("tr", "tbody", "thead", "tfoot", "td", "th", "caption", "colgroup"))
# What a start tag ends when it finds one of them open, and where it stops looking (the optional end tags of HTML).
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset(("li",)), frozenset(("ul", "ol", "menu", "dir", "td", "th", "blockquote"))),
    "dt": (frozenset(("dt", "dd")), frozenset(("dl", "td", "th", "blockquote"))),
    "dd": (frozenset(("dt", "dd")), frozenset(("dl", "td", "th", "blockquote"))),
    "td": (frozenset(("td", "th", "caption", "colgroup")), frozenset(("table",))),
    "th": (frozenset(("td", "th", "caption", "colgroup")), frozenset(("table",))),
    "tr": (frozenset(("tr", "caption", "colgroup")), frozenset(("table",))),
    "tbody": (_TABLE_PARTS, frozenset(("table",))),
    "thead": (_TABLE_PARTS, frozenset(("table",))),
    "tfoot": (_TABLE_PARTS, frozenset(("table",))),
    "a": (frozenset(("a",)), frozenset(("td", "th", "table"))),
}
_P = frozenset(("p",))
_P_SCOPE = frozenset(("td", "th", "table", "caption"))
_ENDS_P = frozenset(
    (
        *("address", "article", "aside", "blockquote", "center", "details", "dir", "div", "dl", "fieldset"),
        *("figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "menu", "nav"),
        *("ol", "p", "pre", "section", "summary", "table", "ul", "li", "dt", "dd"),
    )
)


def tame(markup: str) -> str:
    """`markup` itself when it is too small to hurt, else rewritten so that any parser reads it in linear time."""
    if len(markup) <= _SMALL_CHARACTERS and markup.count("<") <= _SMALL_TAGS:
        return markup
    return _Rewriter(markup).run()


class _Rewriter:
    """One pass over the tokens, with the stack of open elements as it will be in the output."""

    def __init__(self, markup: str) -> None:
        self._markup = markup
        self._out: list[str] = []
        self._stack: list[str] = []
        self._formatting = 0
        self._seen_body = False
        self._raw_ends: dict[str, int] = {}

    def run(self) -> str:
        position = 0
        while position < len(self._markup):
            angle = self._markup.find("<", position)
            if angle < 0:
                break
            self._text(position, angle)
            token = _TOKEN.match(self._markup, angle)
            if token is None:
                self._out.append("&lt;")
                position = angle + 1
                continue
            position = token.end()
            name = (token["name"] or "").lower()
            if not name or not _SAFE_NAME.fullmatch(name):
                continue
            if token["close"]:
                self._end(name)
            elif name in _RAW_END:
                position = self._raw(name, position)
            elif name not in _DROPPED:
                self._start(name, token["attributes"])
        if position < len(self._markup):
            self._text(position, len(self._markup))
        self._pop_to(0)
        return "".join(self._out)

    def _text(self, start: int, stop: int) -> None:
        if stop > start:
            self._out.append(self._markup[start:stop])

    def _raw(self, name: str, position: int) -> int:
        """Skip what is never shown, up to the first thing like its end tag; keep a style sheet."""
        if name not in self._raw_ends or self._raw_ends[name] < position:
            found = _RAW_END[name].search(self._markup, position)
            self._raw_ends[name] = found.start() if found is not None else len(self._markup)
        stop = self._raw_ends[name]
        if stop == len(self._markup) and name not in ("script", "style"):
            return position  # never closed: browsers would lose the rest of the mail in it
        if name == "style":
            self._out.append(f"<style>{self._markup[position:stop]}</style>")
        return stop

    def _start(self, name: str, attributes: str) -> None:
        if name == "body":
            if not self._seen_body:
                self._seen_body = True
                self._out.append(f"<body{_attributes(attributes)}>")
            return
        if name in _ENDS_P:
            self._end_open(_P, _P_SCOPE)
        if name in _ENDS:
            self._end_open(*_ENDS[name])
        if name in _VOID:
            self._out.append(f"<{name}{_attributes(attributes)}>")
            return
        if len(self._stack) >= MAX_DEPTH or (name in _FORMATTING and self._formatting >= _MAX_OPEN_FORMATTING):
            return
        self._formatting += name in _FORMATTING
        self._stack.append(name)
        self._out.append(f"<{name}{_attributes(attributes)}>")

    def _end(self, name: str) -> None:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] == name:
                self._pop_to(index)
                return
            if self._stack[index] in _P_SCOPE and name not in _TABLE_PARTS and name != "table":
                return  # an end tag inside a cell closes nothing outside of it

    def _end_open(self, names: frozenset[str], scope: frozenset[str]) -> None:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] in names:
                self._pop_to(index)
                return
            if self._stack[index] in scope:
                return

    def _pop_to(self, depth: int) -> None:
        while len(self._stack) > depth:
            name = self._stack.pop()
            self._formatting -= name in _FORMATTING
            self._out.append(f"</{name}>")


def _attributes(text: str) -> str:
    written: list[str] = []
    seen: set[str] = set()
    for found in _ATTRIBUTE.finditer(text):
        name = found[1].lower()
        if name in seen:
            continue
        seen.add(name)
        value = next((group for group in found.groups()[1:] if group is not None), "")
        written.append(f' {name}="{html.escape(html.unescape(value))}"')
        if len(written) >= _MAX_ATTRIBUTES:
            break
    return "".join(written)
