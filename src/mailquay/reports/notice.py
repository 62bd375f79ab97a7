"""The prose of a bounce: its lines, without the message that is returned below them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

MAX_LINE_CHARACTERS = 2000
_MAX_ADDRESSES = 20
_MAX_HEADING_CHARACTERS = 60
_SEPARATORS = re.compile(r"[\s<>\"(),;:\[\]]+")
_ADDRESS = re.compile(r"[^@]{1,256}@[^@.](?:[^@]{0,253}[^@.])?")
_FIELD = re.compile(
    r"[ \t>|]{0,12}(?:from|to|cc|subject|date|sent|message-id|received|return-path|reply-to|sender|x-[a-z-]{1,60}|"
    r"content-[a-z]{1,40}|mime-version|mail from|envelope-from|original sender)[ \t]{0,4}:",
    re.IGNORECASE,
)
_PASTED = re.compile(r"[ \t>]{0,12}(?:received|return-path|x-received|dkim-signature)[ \t]{0,4}:", re.IGNORECASE)
_STATUS_FIELD = re.compile(
    r"(?:final-recipient|original-recipient|x-actual-recipient|action|status|diagnostic-code|remote-mta|reporting-mta|"
    r"received-from-mta|arrival-date|last-attempt-date)[ \t]{0,4}:",
    re.IGNORECASE,
)
_MARKERS = (
    *("below this line is a copy", "copy of the message", "original message", "header of the original"),
    *("message headers follow", "message header follow", "unsent message follow", "returned message"),
    *("original mail info", "message text follows", "mensaje original", "copy of your message"),
    *("message header is", "undelivered message", "original email", "original e-mail", "returned mail follow"),
)
_BOILERPLATE = (
    *("no action is required", "message will be retried", "please note", "for email administrators", "if you "),
    *("additional information", "the attachment contains", "this condition", "message details", "please verify"),
    *("please check", "please contact", "for further", "for more", "sender-mta:", "remote-mta:", "reporting-mta:"),
    *("рекомендуем", "your message:", "message follows", "this message was created", "delivery attempts will"),
    *("(generated from", "(expanded from"),
)
_RULES = frozenset({"---", "===", "***"})
_DECORATION = " \t-=_*|#+."


@dataclass(frozen=True)
class Notice:
    """The lines of it, each cut at a length that no server writes."""

    lines: tuple[str, ...]

    @cached_property
    def lower(self) -> str:
        """All of it in lower case, line ends made spaces."""
        return " ".join(" ".join(self.lines).lower().split())


def read_notice(text: str) -> Notice:
    """Take the lines up to where the returned message begins; that is seldom in the first line."""
    lines: list[str] = []
    for line in text.split("\n"):
        line = line[:MAX_LINE_CHARACTERS].rstrip()
        if lines and (_PASTED.match(line) or _is_marker(line)):
            break
        # What a report has for machines is read as that, also where it stands in the text.
        if not _STATUS_FIELD.match(line):
            lines.append(line)
    return Notice(tuple(lines))


def addresses_in(line: str) -> list[str]:
    """The addresses in a line, as they stand there, in order."""
    if "@" not in line:
        return []
    found: list[str] = []
    for word in _SEPARATORS.split(line):
        if "@" in word and len(found) < _MAX_ADDRESSES:
            word = word.strip("'`*.!?|=").removeprefix("mailto:")
            if _ADDRESS.fullmatch(word):
                found.append(word)
    return found


def only_address(line: str) -> bool:
    """Whether a line is an address and nothing else."""
    words = line.strip(" \t<>*\"':.,;-")
    return "@" in words and " " not in words and _ADDRESS.fullmatch(words) is not None


def is_field_line(line: str) -> bool:
    """Whether a line looks like a field of the message that is returned, which names other addresses."""
    return _FIELD.match(line) is not None


def is_boilerplate(line: str) -> bool:
    """Whether a line begins what every bounce of a server says, or is a field of the returned message."""
    return line.strip().lower().startswith(_BOILERPLATE) or is_field_line(line)


def is_heading(line: str) -> bool:
    """Whether a line is decoration, or announces what comes below it."""
    text = line.strip()
    announces = text.endswith(":") and text.count(":") == 1 and "[" not in text and len(text) < _MAX_HEADING_CHARACTERS
    return announces or not text.strip(_DECORATION) or (text[:3] in _RULES and text[-3:] in _RULES)


def indent_of(line: str) -> int:
    """How far right a line begins."""
    return len(line) - len(line.lstrip())


def _is_marker(line: str) -> bool:
    """Whether the returned message is announced: decorated, or at the end of a sentence."""
    lower = line.lower()
    if not any(marker in lower for marker in _MARKERS):
        return False
    decorated = line.lstrip()[:2] in ("--", "==", "**", "__", "|-", "##") or line[:1] in ("-", "=")
    return decorated or lower.rstrip(_DECORATION + ":").endswith(("follows", "follow", "follow.", "following"))
