"""Plain text to HTML as a mail reader shows it: paragraphs, quotes, links."""

from __future__ import annotations

import html
import re

from mailquay.mime.text import normalize_newlines

STYLESHEET = (
    "body { font-family: sans-serif; font-size: 12px; }"
    "blockquote { margin: 0 0 0 4px; padding: 0 0 0 8px; border-left: 2px solid darkblue; }"
    ".ee-block-1 { border-left: 2px solid darkblue; }"
    ".ee-block-2 { border-left: 2px solid royalblue; }"
    ".ee-block-3 { border-left: 2px solid dodgerblue; }"
    ".ee-block-4 { border-left: 2px solid darkblue; }"
)
"""What gives the result of `plain_to_html` its looks; to be inlined."""

_MAX_QUOTE_DEPTH = 20
_RULE = re.compile(r"[ \t]*(?:-{2,}|_{2,})[ \t]*")
# Top-level domains that make a bare name a link: the generic ones in wide use and the countries, without those that
# name files rather than sites (md, py, rs, sh, so, ps).
_GENERIC = (
    "com|net|org|info|biz|edu|gov|mil|int|arpa|name|pro|aero|coop|museum|jobs|mobi|travel|tel|cat|asia|post|xxx|"
    "app|dev|page|cloud|online|site|store|shop|tech|blog|news|email|agency|company|digital|global|group|life|live|"
    "media|network|software|solutions|space|systems|team|today|tools|website|work|world|xyz|zone|bank|berlin|club|"
    "design|example|finance|hamburg|legal|london|paris|social|support|test|tokyo|university|vip|wien|wiki"
)
_COUNTRIES = (
    "ac|ad|ae|af|ag|ai|al|am|ao|aq|ar|as|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|bt|bw|by|bz|ca|cd|cf|"
    "cg|ch|ci|ck|cl|cm|cn|co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|do|dz|ec|ee|eg|er|es|et|eu|fi|fj|fk|fm|fo|fr|ga|gd|ge|gf|"
    "gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|gw|gy|hk|hm|hn|hr|ht|hu|id|ie|il|im|in|io|iq|ir|is|it|je|jm|jo|jp|ke|kg|kh|ki|"
    "km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|ma|mc|me|mg|mh|mk|ml|mm|mn|mo|mp|mq|mr|ms|mt|mu|mv|mw|mx|my|"
    "mz|na|nc|ne|nf|ng|ni|nl|no|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pl|pm|pn|pr|pt|pw|qa|re|ro|ru|rw|sa|sb|sc|sd|se|sg|si|"
    "sk|sl|sm|sn|sr|ss|st|su|sv|sx|sy|sz|tc|td|tf|tg|th|tj|tk|tl|tm|tn|to|tr|tt|tv|tw|tz|ua|ug|uk|us|uy|uz|va|vc|ve|vg|"
    "vi|vn|vu|wf|ws|ye|yt|za|zm|zw"
)
_HOST = rf"(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.){{1,8}}(?:{_GENERIC}|{_COUNTRIES})"
_IPV4 = r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_REST = r"(?::\d{1,5})?(?:[/?#][^\s<>\"]{0,2000})?"
_LINK = re.compile(
    rf"(?P<url>\b(?:https?|ftps?)://[^\s<>\"]{{1,2000}})"
    rf"|(?P<mailto>\bmailto:[^\s<>\"]{{1,500}})"
    rf"|(?P<mail>(?<![\w.%+-])[\w.%+-]{{1,64}}@{_HOST}(?![\w-]))"
    rf"|(?P<host>(?<![\w@.-])(?:{_HOST}|{_IPV4}){_REST}(?![\w@-]))",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?'\"*_~"
_LONGEST_LINE = 20_000


def plain_to_html(text: str) -> str:
    """The inside of a body element for `text`."""
    out: list[str] = []
    depth = 0
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            out.append(f"<p>{'<br />'.join(paragraph)}</p>")
            paragraph.clear()

    for line in normalize_newlines(text).strip("\n").split("\n"):
        level, content = _quote_level(line)
        if level != depth:
            flush()
            out += ["</blockquote>"] * (depth - level)
            out += [f'<blockquote type="cite" class="ee-block-{n}">' for n in range(depth + 1, level + 1)]
            depth = level
        if not content.strip():
            flush()
        elif _RULE.fullmatch(content):
            flush()
            out.append("<hr />")
        else:
            paragraph.append(linkify(content))
    flush()
    out += ["</blockquote>"] * depth
    return "\n".join(out)


def _quote_level(line: str) -> tuple[int, str]:
    """How deep a line is quoted; one space may follow each mark."""
    level = 0
    rest = line
    while rest.startswith(">") and level < _MAX_QUOTE_DEPTH:
        level += 1
        rest = rest[2:] if rest.startswith("> ") else rest[1:]
    return level, rest


def linkify(text: str) -> str:
    """`text` escaped, with addresses of sites and people as links."""
    if len(text) > _LONGEST_LINE:
        return html.escape(text, quote=False)
    pieces: list[str] = []
    position = 0
    for found in _LINK.finditer(text):
        label = _without_trailing(found[0])
        if not label or (found["host"] and not label.islower() and "/" not in label):
            continue  # "end.It": a forgotten space, no site
        pieces.append(html.escape(text[position : found.start()], quote=False))
        pieces.append(f'<a href="{html.escape(_target(found, label))}">{html.escape(label, quote=False)}</a>')
        position = found.start() + len(label)
    pieces.append(html.escape(text[position:], quote=False))
    return "".join(pieces)


def _target(found: re.Match[str], label: str) -> str:
    if found["mail"]:
        return f"mailto:{label}"
    return f"http://{label}" if found["host"] else label


def _without_trailing(label: str) -> str:
    """Punctuation at the end belongs to the sentence, and so does a bracket that was not opened in the link."""
    while label and (label[-1] in _TRAILING or (label[-1] in ")]}" and _unmatched(label))):
        label = label[:-1]
    return label


def _unmatched(label: str) -> bool:
    opening = {")": "(", "]": "[", "}": "{"}[label[-1]]
    return label.count(label[-1]) > label.count(opening)
