"""Reverse-path and forward-path (RFC 5321 §4.1.2): an address between angle brackets that cannot break out of them."""

from __future__ import annotations

import re

import idna

from mailquay.errors import LocalProtocolError

MAX_PATH_OCTETS = 900
"""Longer than RFC 5321 §4.5.3.1.3 promises (256), short enough for any command line."""

_UNSAFE = re.compile(r"[\x00-\x20<>\x7f\x80-\x9f]")
_UNSAFE_LOCAL = re.compile(r'[\x00-\x20<>"\\\x7f\x80-\x9f]')
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')


def needs_smtputf8(address: str) -> bool:
    """Whether `address` can only be written with SMTPUTF8 (RFC 6531 §3.2): a local part beyond ASCII."""
    return not address.rpartition("@")[0].isascii()


def reverse_path(address: str) -> bytes:
    """`<address>` for MAIL FROM, `<>` for the null sender. Raises LocalProtocolError as `forward_path` does."""
    return b"<>" if not address else forward_path(address)


def forward_path(address: str) -> bytes:
    """`<address>` for RCPT TO; a domain beyond ASCII becomes A-labels unless the local part needs UTF-8 anyway.

    Raises LocalProtocolError for line breaks, spaces outside of quotes, angle brackets, missing parts, excess length.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise LocalProtocolError(f"{address[:100]!r} is not an e-mail address")
    if _UNSAFE.search(domain) or not (_QUOTED_LOCAL.fullmatch(local) or not _UNSAFE_LOCAL.search(local)):
        raise LocalProtocolError(f"{address[:100]!r} has characters that an SMTP path cannot hold")
    if not domain.isascii() and local.isascii():
        domain = _ascii_domain(domain)
    path = f"<{local}@{domain}>".encode()
    if len(path) > MAX_PATH_OCTETS:
        raise LocalProtocolError(f"{address[:100]!r} is too long for an SMTP path")
    return path


def _ascii_domain(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise LocalProtocolError(f"{domain[:100]!r} is not a domain") from error
