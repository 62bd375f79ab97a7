"""Mail servers as a domain announces them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)
_MAX_USER_LENGTH = 256


@dataclass(frozen=True, slots=True)
class AnnouncedServer:
    """A server and how to reach it; `secure` is TLS from the first byte. `user` None: nothing is said about it."""

    host: str
    port: int
    secure: bool
    user: str | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedServers:
    """The two that matter; None where nothing is announced."""

    imap: AnnouncedServer | None = None
    smtp: AnnouncedServer | None = None


def read_host(text: str) -> str | None:
    """A host name in its ASCII form (RFC 5891 §4), None for what cannot be one."""
    name = text.strip().removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    return name.lower() if _HOST.fullmatch(name) else None


def read_port(text: str) -> int | None:
    """A port, None for what is none."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        return None
    return int(digits) if 0 < int(digits) < 65536 else None


def read_user(text: str) -> str | None:
    """A user name on one line, None for what cannot be one."""
    name = text.strip()
    return name if 0 < len(name) <= _MAX_USER_LENGTH and name.isprintable() else None
