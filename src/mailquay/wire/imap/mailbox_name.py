"""Mailbox names: modified UTF-7 on the wire, str in our hands (RFC 3501 §5.1.3, RFC 9051 §5.1 and appendix A.1).

INBOX is the only name that ignores case. A name that a server sends in broken encoding has no text that would encode
to it again, so commands accept bytes too: a name exactly as the server wrote it.
"""

from __future__ import annotations

import base64
import binascii
import re

from mailquay.errors import LocalProtocolError

MailboxArgument = str | bytes
"""A mailbox in a command: text, or the name's own bytes when its encoding was broken."""

_ENCODED = re.compile(rb"&([^-]*)(-?)")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class InvalidMailboxName(ValueError):
    """The bytes are not valid modified UTF-7."""


def encode_utf7(name: str) -> bytes:
    """Write a name in modified UTF-7. Raises LocalProtocolError for lone surrogates."""
    out = bytearray()
    pos = 0
    while pos < len(name):
        match = _PRINTABLE.match(name, pos)
        if match is not None:
            out += match.group().replace("&", "&-").encode("ascii")
            pos = match.end()
            continue
        end = pos
        while end < len(name) and not " " <= name[end] <= "~":
            end += 1
        try:
            utf16 = name[pos:end].encode("utf-16-be")
        except UnicodeEncodeError as error:
            raise LocalProtocolError("mailbox name contains a lone surrogate") from error
        out += b"&" + base64.b64encode(utf16).rstrip(b"=").replace(b"/", b",") + b"-"
        pos = end
    return bytes(out)


def _decode_shifted(match: re.Match[bytes]) -> bytes:
    shifted, end = match.groups()
    if not end:
        raise InvalidMailboxName("unterminated shift")
    if not shifted:
        return b"&"
    try:
        utf16 = base64.b64decode(shifted.replace(b",", b"/") + b"=" * (-len(shifted) % 4), validate=True)
        return utf16.decode("utf-16-be").encode()
    except (binascii.Error, ValueError) as error:
        raise InvalidMailboxName("bad base64 or UTF-16") from error


def decode_utf7(name: bytes) -> str:
    """Read a name in modified UTF-7. Raises InvalidMailboxName when it is not."""
    if b"&" not in name:
        if not name.isascii():
            raise InvalidMailboxName("byte above 127")
        return name.decode("ascii")
    if not name.isascii():
        raise InvalidMailboxName("byte above 127")
    return _ENCODED.sub(_decode_shifted, name).decode()


def canonical(name: str) -> str:
    """Spell INBOX in capitals, leave any other name alone."""
    return "INBOX" if name.upper() == "INBOX" else name


def decode_mailbox(wire: bytes, *, utf8: bool = False) -> tuple[str, bytes | None]:
    """Return the name as text, and its bytes when the text would not encode to them again.

    Never fails: broken modified UTF-7 is shown as UTF-8 or, failing that, Latin-1.
    """
    try:
        name = canonical(wire.decode() if utf8 else decode_utf7(wire))
    except (InvalidMailboxName, UnicodeDecodeError):
        return _show_broken(wire), wire
    if name == "INBOX":
        return name, None
    written = name.encode() if utf8 else encode_utf7(name)
    return name, (None if written == wire else wire)


def _show_broken(wire: bytes) -> str:
    try:
        return wire.decode()
    except UnicodeDecodeError:
        return wire.decode("latin-1")


def encode_mailbox(name: MailboxArgument, *, utf8: bool = False) -> bytes:
    """Return the bytes of a name for a command.

    Raises LocalProtocolError for an empty name, and for CR, LF and NUL, which no server stores and some
    would take for the end of the command.
    """
    if not name:
        raise LocalProtocolError("mailbox name is empty")
    if isinstance(name, bytes):
        wire = name
    else:
        if any(char in name for char in "\r\n\0"):
            raise LocalProtocolError("mailbox name contains CR, LF or NUL")
        try:
            wire = canonical(name).encode() if utf8 else encode_utf7(canonical(name))
        except UnicodeEncodeError as error:
            raise LocalProtocolError("mailbox name contains a lone surrogate") from error
    if any(byte in wire for byte in b"\r\n\0"):
        raise LocalProtocolError("mailbox name contains CR, LF or NUL")
    return wire
