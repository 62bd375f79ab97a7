"""Commands as lines of bytes; nothing that could end a line early gets into one (RFC 5321 §4.1.1)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from mailquay.errors import LocalProtocolError
from mailquay.wire.smtp.path import forward_path, reverse_path

_MAX_LINE_OCTETS = 2048
_MAX_AUTH_OCTETS = 12288
_LINE_BREAKER = re.compile(rb"[\r\n\0]")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_NOTIFY = frozenset(("NEVER", "SUCCESS", "FAILURE", "DELAY"))
_MAX_ENVID = 100
_MAX_ORCPT = 500


def encode_line(*words: bytes, max_octets: int = _MAX_LINE_OCTETS) -> bytes:
    """Words and spaces and CRLF. Raises LocalProtocolError for CR, LF, NUL and excess length."""
    line = b" ".join(words)
    if _LINE_BREAKER.search(line):
        raise LocalProtocolError("an SMTP command must not contain a line break or NUL")
    if len(line) > max_octets:
        raise LocalProtocolError(f"an SMTP command must not be longer than {max_octets} octets")
    return line + b"\r\n"


def ehlo(name: str, *, verb: bytes = b"EHLO") -> bytes:
    """EHLO (or HELO) with a host name, or an address literal when `name` is an IP address (RFC 5321 §4.1.3)."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not _DOMAIN.fullmatch(name):
            raise LocalProtocolError(f"{name[:100]!r} cannot be the name in EHLO") from None
        return encode_line(verb, name.encode("ascii"))
    literal = f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    return encode_line(verb, literal.encode("ascii"))


def auth(mechanism: str, initial: bytes | None) -> bytes:
    """AUTH with the base64 of an initial response; an empty one is "=" (RFC 4954 §4)."""
    words = [b"AUTH", mechanism.encode("ascii")]
    if initial is not None:
        words.append(initial or b"=")
    return encode_line(*words, max_octets=_MAX_AUTH_OCTETS)


def mail_from(
    address: str,
    *,
    size_bytes: int | None = None,
    eight_bit: bool = False,
    smtputf8: bool = False,
    ret: str | None = None,
    envid: str | None = None,
) -> bytes:
    """MAIL FROM with the parameters of RFC 1870 §3, RFC 6152 §3, RFC 6531 §3.4 and RFC 3461 §4.3, §4.4.

    `ret` is "FULL" or "HDRS". Raises LocalProtocolError for an address or parameter that cannot be written.
    """
    words = [b"MAIL", b"FROM:" + reverse_path(address)]
    if size_bytes is not None:
        words.append(b"SIZE=%d" % size_bytes)
    if eight_bit:
        words.append(b"BODY=8BITMIME")
    if smtputf8:
        words.append(b"SMTPUTF8")
    if ret is not None:
        if ret not in ("FULL", "HDRS"):
            raise LocalProtocolError("RET must be FULL or HDRS")
        words.append(b"RET=" + ret.encode("ascii"))
    if envid:
        if len(envid) > _MAX_ENVID:
            raise LocalProtocolError(f"ENVID must not be longer than {_MAX_ENVID} characters")
        words.append(b"ENVID=" + xtext(envid))
    return encode_line(*words)


def rcpt_to(address: str, *, notify: Sequence[str] = (), orcpt: str | None = None) -> bytes:
    """RCPT TO with the parameters of RFC 3461 §4.1 and §4.2; `orcpt` is an address, sent as `rfc822;…`, or
    `utf-8;…` where it needs that (RFC 6533 §3).

    Raises LocalProtocolError for an address or parameter that cannot be written.
    """
    words = [b"RCPT", b"TO:" + forward_path(address)]
    if notify:
        wishes = [wish.upper() for wish in notify]
        if not set(wishes) <= _NOTIFY or ("NEVER" in wishes and len(set(wishes)) > 1):
            raise LocalProtocolError("NOTIFY must be NEVER alone, or any of SUCCESS, FAILURE, DELAY")
        words.append(b"NOTIFY=" + ",".join(dict.fromkeys(wishes)).encode("ascii"))
    if orcpt:
        if len(orcpt) > _MAX_ORCPT:
            raise LocalProtocolError(f"ORCPT must not be longer than {_MAX_ORCPT} characters")
        words.append(b"ORCPT=rfc822;" + xtext(orcpt) if orcpt.isascii() else b"ORCPT=utf-8;" + unitext(orcpt))
    return encode_line(*words)


def xtext(text: str) -> bytes:
    """Text for a parameter value: everything but plain printable ASCII as +XX (RFC 3461 §4)."""
    return b"".join(
        bytes((byte,)) if 0x21 <= byte <= 0x7E and byte not in b"+=" else b"+%02X" % byte
        for byte in text.encode("utf-8")
    )


def unitext(text: str) -> bytes:
    """An address beyond ASCII for ORCPT: everything but plain printable ASCII as \\x{XX} (RFC 6533 §3)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in text).encode("ascii")
