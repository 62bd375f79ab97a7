"""Style sheets of mails: rules moved onto the elements they match, declarations cleaned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

MAX_STYLESHEET_CHARACTERS = 512 * 1024
_MAX_SELECTORS = 2000
_MAX_SELECTOR_CHARACTERS = 300
_MAX_WORK = 10_000_000
_MAX_MATCHES = 200_000

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STRING = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_PROPERTY = re.compile(r"(?:--|-)?[a-z][a-z0-9_-]{0,80}")
_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(.))", re.IGNORECASE | re.DOTALL)
_ACTIVE = re.compile(r"javascript:|vbscript:|expression\(|-moz-binding|behavior:|@import|</?[a-z]", re.IGNORECASE)
_IMPORTANT = re.compile(r" ?! ?important$", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
# Selectors that only make sense while the page lives, and those whose rules are left out by agreement.
_UNUSABLE = re.compile(
    r"::|:(?:hover|active|focus|visited|link|target|before|after|first-line|first-letter|is\(|where\(|has\()|:not\([^)]*:not\(",
    re.IGNORECASE,
)
_IDS, _CLASSES, _TYPES = (
    re.compile(pattern)
    for pattern in (r"#[\w-]+", r"\.[\w-]+|\[[^\]]*\]|:(?!:)[\w-]+", r"(?:^|[\s>+~(])[a-zA-Z][\w-]*")
)

_FORBIDDEN = frozenset(
    (
        *("all", "position", "clip", "float", "clear", "zoom", "paint-order", "offset", "animation"),
        *(f"animation-{part}" for part in ("delay", "direction", "duration", "fill-mode", "iteration-count", "name")),
        *("animation-play-state", "animation-timing-function"),
        *(f"offset-{part}" for part in ("anchor", "distance", "path", "position", "rotate")),
        *("scrollbar-color", "scrollbar-gutter", "scrollbar-width", "behavior", "-moz-binding"),
    )
)
SIZES = frozenset(f"{bound}{side}" for bound in ("", "min-", "max-") for side in ("width", "height"))
"""The properties that would give a mail a size of its own choosing."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A property in lower case, its value as written, and whether it is `!important`."""

    name: str
    value: str
    important: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    selector: str
    declarations: tuple[Declaration, ...]
    specificity: tuple[int, int, int]


def parse_declarations(text: str) -> list[Declaration]:
    """The declarations of a style attribute or rule that a mail may keep; malformed and forbidden ones are left out."""
    found: list[Declaration] = []
    for item in _split(_COMMENT.sub("", text), ";"):
        name, colon, value = item.partition(":")
        name = name.strip().lower()
        value = _SPACES.sub(" ", value).strip()
        important = _IMPORTANT.search(value) is not None
        value = _IMPORTANT.sub("", value)
        if colon and value and _PROPERTY.fullmatch(name) and name not in _FORBIDDEN and not _is_active(value):
            found.append(Declaration(name, value, important))
    return found


def format_declarations(declarations: list[Declaration]) -> str:
    """`name: value; name: value;`, later ones of equal name in the place of earlier ones, important ones kept."""
    merged: dict[str, Declaration] = {}
    for declaration in declarations:
        before = merged.get(declaration.name)
        if before is None or declaration.important or not before.important:
            merged.pop(declaration.name, None)
            merged[declaration.name] = declaration
    return " ".join(f"{d.name}: {d.value}{' !important' if d.important else ''};" for d in merged.values())


def clean_style(text: str) -> str:
    """A style attribute without what mails may not say about themselves."""
    return format_declarations(parse_declarations(text))


def _is_active(value: str) -> bool:
    """Whether a value could run something in any browser that ever was, escapes seen through."""
    plain = _ESCAPE.sub(lambda m: _character(m[1]) if m[1] else m[2], value)
    return _ACTIVE.search(_SPACES.sub("", plain)) is not None


def _character(digits: str) -> str:
    code = int(digits, 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def inline_styles(document: LexborHTMLParser, sheet: str, element_count: int) -> None:
    """Put the rules of `sheet` into the style attributes of the elements of `document` that they match.

    Rules come first, by specificity and order, the element's own declarations after them. Media queries and other
    at-rules are left out. Does nothing when sheet and document together would cost too much.
    """
    rules = list(_rules(_COMMENT.sub("", sheet[:MAX_STYLESHEET_CHARACTERS])))
    if not rules or len(rules) * max(element_count, 1) > _MAX_WORK:
        return
    styles: dict[int, tuple[LexborNode, list[Declaration]]] = {}
    matches = 0
    for rule in sorted(rules, key=lambda rule: rule.specificity):
        for node in _matching(document, rule.selector):
            styles.setdefault(node.mem_id, (node, []))[1].extend(rule.declarations)
            matches += 1
            if matches > _MAX_MATCHES:
                return
    for node, declarations in styles.values():
        own = parse_declarations(node.attributes.get("style") or "")
        node.attrs["style"] = format_declarations([*declarations, *own])


def _matching(document: LexborHTMLParser, selector: str) -> list[LexborNode]:
    try:
        return document.css(selector)
    except SelectolaxError:
        return []  # a selector that no browser would read either


def _rules(sheet: str) -> Iterator[_Rule]:
    count = 0
    for prelude, body in _blocks(sheet):
        declarations = tuple(parse_declarations(body))
        for selector in _split(prelude, ","):
            selector = selector.strip()
            if not selector or len(selector) > _MAX_SELECTOR_CHARACTERS or _UNUSABLE.search(selector):
                continue
            count += 1
            if count > _MAX_SELECTORS:
                return
            if declarations:
                yield _Rule(selector, declarations, _specificity(selector))


def _blocks(sheet: str) -> Iterator[tuple[str, str]]:
    """Preludes and bodies of the style rules at the top level; at-rules are skipped with all they hold."""
    position = 0
    while (opening := sheet.find("{", position)) >= 0:
        prelude = sheet[position:opening].rpartition(";")[2].strip()
        prelude = prelude.removeprefix("<!--").removeprefix("-->").strip()
        if prelude.startswith("@"):
            position = _block_end(sheet, opening)
            continue
        closing = sheet.find("}", opening)
        if closing < 0:
            closing = len(sheet)
        yield prelude, sheet[opening + 1 : closing]
        position = closing + 1


_BRACE = re.compile(r"[{}]")


def _block_end(sheet: str, opening: int) -> int:
    depth = 0
    for brace in _BRACE.finditer(sheet, opening):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return len(sheet)


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside of strings and parentheses."""
    if "(" not in text and '"' not in text and "'" not in text:
        return text.split(separator)
    masked = _STRING.sub(lambda m: "x" * len(m[0]), text)
    pieces: list[str] = []
    depth = start = 0
    for found in re.finditer(rf"[(){re.escape(separator)}]", masked):
        if found[0] == "(":
            depth += 1
        elif found[0] == ")":
            depth = max(depth - 1, 0)
        elif depth == 0:
            pieces.append(text[start : found.start()])
            start = found.end()
    pieces.append(text[start:])
    return pieces


def _specificity(selector: str) -> tuple[int, int, int]:
    rest = _IDS.sub("", selector)
    classes = len(_CLASSES.findall(rest))
    return len(_IDS.findall(selector)), classes, len(_TYPES.findall(_CLASSES.sub("", rest)))
