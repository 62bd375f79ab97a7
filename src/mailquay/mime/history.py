"""Find where the sender's own words end and quoted history begins, and fold that tail away.

Only with certainty: by the wrappers that mail clients put around history, by their attribution lines and header
blocks, and never when anything visible of the sender's own follows.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_CHARACTERS = 262_144
"""Longer mails are left as they are."""

_MIN_FOLDED_CHARACTERS = 120
_MAX_CANDIDATES = 200
_MAX_ATTRIBUTION_CHARACTERS = 500

OPENING = '<details class="ee-collapsed-thread"><summary class="ee-collapsed-thread-toggle"></summary>'
CLOSING = "</details>"

_TABLE_TAGS = frozenset(("caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"))

# Wrappers of history: nothing but history is inside; what follows them may be the sender's own.
_WRAPPERS = (
    *("div.gmail_quote_container", "div.gmail_quote", "div.gmail_extra", "blockquote.gmail_quote"),
    *("blockquote[type=cite]", "div.moz-forward-container", "div.yahoo_quoted", "div.protonmail_quote"),
    *("blockquote.protonmail_quote", "div.tutanota_quote", "blockquote.tutanota_quote", "div.zmail_extra"),
    *("div.ymail_quote", "div#mail-editor-reference-message-container", "div.front-blockquote", "blockquote.cite"),
    *("div.hmmessage blockquote", "blockquote[class^=ee-block]", "div.ee-quoted-message"),
)
# Marks behind which everything up to the end is history.
_MARKS = ("div#appendonsend", "div#divRplyFwdMsg", "hr#stopSpelling", "div#OLK_SRC_BODY_SECTION")
_OUTLOOK_BORDER = re.compile(r"border-top:\s*(?:solid\s+#(?:B5C4DF|E1E1E1)\s+1\.0pt|1px\s+solid)", re.IGNORECASE)
_HEADER_BLOCK = re.compile(
    r"^\s*(?:From|Kellelt|Von|De|Da|Van|Od|Fra|Från|Lähettäjä|Saatja|差出人|发件人|От):.{1,400}?"
    r"(?:To|Kellele|An|À|A|Aan|Do|Til|Till|Vastaanottaja|Saaja|宛先|收件人|Кому):.{1,600}?"
    r"(?:Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Temat|Emne|Ämne|Aihe|Teema|件名|主题|Тема):",
    re.DOTALL,
)
_SEPARATOR = re.compile(
    r"^\s*-{2,}\s*(?:original message|original appointment|forwarded message|ursprüngliche nachricht|message d'origine|"
    r"message transféré|weitergeleitete nachricht|mensaje original|messaggio originale|oorspronkelijk bericht|"
    r"doorgestuurd bericht|wiadomość oryginalna|przekazana wiadomość|alkuperäinen viesti|algne kiri|edastatud kiri|"
    r"転送されたメッセージ|元のメッセージ)\s*-{2,}",
    re.IGNORECASE,
)
_ATTRIBUTION = re.compile(
    r"(?:\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|napisał\(?a?\)?|skrev|kirjoitti|kirjutas|"
    r"написал\(?а?\)?|пишет)\b.{0,80}|(?:さんは書きました|のメール|写道|wrote)\s*)[:：]\s*$",
    re.IGNORECASE | re.DOTALL,
)


def fold_history(document: LexborHTMLParser, markup_characters: int) -> tuple[str, str] | None:
    """Mark the tail of history in `document`, if it has one that is certain.

    Returns two texts that stand in the document where `OPENING` and `CLOSING` belong; the caller puts those in their
    place once nothing will rewrite the markup any more. None when nothing is folded.
    """
    body = document.body
    if body is None or markup_characters > MAX_CHARACTERS:
        return None
    start = _find_start(body)
    if start is None:
        return None
    last = start
    folded: list[str] = []
    node: LexborNode | None = start
    while node is not None:
        folded.append(_text(node))
        last = node
        node = node.next
    if len("".join(folded).strip()) < _MIN_FOLDED_CHARACTERS or not _text_before(start, body):
        return None
    opening, closing = _marker(body, "open"), _marker(body, "close")
    start.insert_before(opening)
    last.insert_after(closing)
    return opening, closing


def _marker(body: LexborNode, kind: str) -> str:
    """A text that the mail does not contain."""
    text = body.text(deep=True)
    number = 0
    while (marker := f"[[fold-{kind}-{number}]]") in text:
        number += 1
    return marker


def _find_start(body: LexborNode) -> LexborNode | None:
    """The first node of the tail, together with the attribution line in front of it."""
    candidates = [(node, True) for selector in _MARKS for node in body.css(selector)]
    candidates += [(node, True) for node in _outlook_headers(body)]
    candidates += [(node, True) for node in _separators(body)]
    candidates += [(node, False) for selector in _WRAPPERS for node in body.css(selector)]
    starts: list[LexborNode] = []
    for node, to_the_end in candidates[:_MAX_CANDIDATES]:
        start = _with_attribution(node)
        if _in_table(start, body) or not (to_the_end or _ends_with_history(node, body)):
            continue
        if not to_the_end or _is_last(start, body):
            starts.append(start)
    if len(starts) < 2:
        return starts[0] if starts else None
    order = {node.mem_id: index for index, node in enumerate(body.traverse(include_text=True))}
    return min(starts, key=lambda node: order.get(node.mem_id, len(order)))


def _outlook_headers(body: LexborNode) -> list[LexborNode]:
    """The blocks with From, Sent, To and Subject that Outlook sets above a line's history."""
    found: list[LexborNode] = []
    for node in body.css("div[style]"):
        style = node.attributes.get("style") or ""
        if _OUTLOOK_BORDER.search(style) and _HEADER_BLOCK.match(_text(node)[:2000]):
            parent = node.parent
            alone = parent is not None and parent.tag == "div" and not _text_before(node, parent)
            found.append(parent if alone and parent is not None and parent.mem_id != body.mem_id else node)
    return found


def _separators(body: LexborNode) -> list[LexborNode]:
    found: list[LexborNode] = []
    for node in body.css("div, p, span")[:2000]:
        text = node.child.text_content if node.child is not None and node.child.tag == "-text" else None
        if text and _SEPARATOR.match(text[:200]):
            found.append(node)
    return found


def _with_attribution(node: LexborNode) -> LexborNode:
    """The node itself, or the "… wrote:" in front of it."""
    previous = node.prev
    skipped = 0
    while previous is not None and skipped < 5 and (previous.tag in ("br", "-comment") or not _text(previous).strip()):
        previous, skipped = previous.prev, skipped + 1
    if previous is None or previous.tag in _TABLE_TAGS:
        return node
    text = _text(previous).strip()
    if len(text) <= _MAX_ATTRIBUTION_CHARACTERS and _ATTRIBUTION.search(text) and previous.tag != "blockquote":
        return previous
    return node


def _ends_with_history(node: LexborNode, body: LexborNode) -> bool:
    """Whether nothing visible follows `node`, up to the end of the body."""
    return _is_last(node, body, own_siblings=True)


def _is_last(node: LexborNode, body: LexborNode, *, own_siblings: bool = False) -> bool:
    """Whether nothing visible follows the node's parents (and, with `own_siblings`, the node itself)."""
    current: LexborNode | None = node
    check = own_siblings
    while current is not None and current.mem_id != body.mem_id:
        if check:
            following = current.next
            while following is not None:
                if _is_visible(following):
                    return False
                following = following.next
        check = True
        current = current.parent
    return True


def _in_table(node: LexborNode, body: LexborNode) -> bool:
    current: LexborNode | None = node
    while current is not None and current.mem_id != body.mem_id:
        if current.tag in _TABLE_TAGS:
            return True
        current = current.parent
    return False


def _text_before(node: LexborNode, top: LexborNode) -> bool:
    """Whether anything visible stands between the beginning of `top` and `node`."""
    current: LexborNode | None = node
    while current is not None and current.mem_id != top.mem_id:
        previous = current.prev
        while previous is not None:
            if _is_visible(previous):
                return True
            previous = previous.prev
        current = current.parent
    return False


def _is_visible(node: LexborNode) -> bool:
    if node.tag in ("-comment", "style", "script", "br", "title", "meta"):
        return False
    return (
        bool(_text(node).strip("\u200b\ufeff \t\r\n\xa0"))
        or node.tag == "img"
        or bool(node.css("img") if _is_element(node) else ())
    )


def _is_element(node: LexborNode) -> bool:
    return node.is_element_node


def _text(node: LexborNode) -> str:
    if node.tag == "-text":
        return node.text_content or ""
    return node.text(deep=True) if _is_element(node) else ""
