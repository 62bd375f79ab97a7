"""SMTP replies inside of prose: where one begins, what it says, which enhanced status code it has (RFC 3463)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_REPLY_CHARACTERS = 4000
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d]|\.\d)")
_CODE = re.compile(r"(?<![\w.:@/-])[245]\d\d(?=[ -](?:#?[245]\.\d|[^\d\s]|\d))")
_SAID = re.compile(r"(?:\bsaid|failed with|responded with failure|error message):[ ]{0,4}", re.IGNORECASE)
_HOST = re.compile(r"\bhost:? {1,4}([A-Za-z0-9._-]{1,255})\.?(?=[ ]{0,2}[\[(]|:| said| )", re.IGNORECASE)
_NAMED = re.compile(r"(?<![\w.-])([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,10})[ ]{0,2}\[[0-9A-Fa-f:.]{2,45}\]")
_IN_REPLY = re.compile(r" ?\((?:in reply to|#[245]\.\d)[^()]{0,200}\)\W{0,3}$", re.IGNORECASE)
_PREFIX = re.compile(r"\(?(?:reason|diagnostic code|error|delay reason) ?: {0,4}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server is said to have answered; `mta` is its name in lower case."""

    message: str | None = None
    status: str | None = None
    mta: str | None = None


def enhanced_status(text: str) -> str | None:
    """The first enhanced status code in a text (RFC 3463 §2), also `(#5.1.1)`; an IP address is none."""
    found = _ENHANCED.search(text)
    return found[1] if found is not None else None


def enhanced_statuses(text: str) -> list[str]:
    """Every enhanced status code in a text, in order."""
    return _ENHANCED.findall(text[:MAX_REPLY_CHARACTERS])


def find_code(text: str) -> int | None:
    """Where a three-digit reply code of SMTP (RFC 5321 §4.2) begins; None when there is none."""
    found = _CODE.search(text)
    return found.start() if found is not None else None


def joined(lines: list[str]) -> str:
    """Lines as one, their white space made single spaces."""
    return " ".join(" ".join(lines).split())[:MAX_REPLY_CHARACTERS]


def read_reply(lines: list[str]) -> Reply:
    """What the lines about one recipient say: the server's own words, where they can be told from those around."""
    text = joined(lines)
    if not text:
        return Reply()
    host = _HOST.search(text) or _NAMED.search(text)
    mta = host[1].lower() if host is not None and "." in host[1] else None
    message = text
    said = _SAID.search(text)
    begin = find_code(text)
    if said is not None and len(text) > said.end():
        message = text[said.end() :]
    elif begin is not None:
        message = text[begin:]
    if prefix := _PREFIX.match(message):
        message = message[prefix.end() :]
    if message.endswith(")") and message.count(")") > message.count("("):
        message = message[:-1]
    status = enhanced_status(message) or enhanced_status(text)
    return Reply(_IN_REPLY.sub("", message).strip().removeprefix("- ") or None, status, mta)
