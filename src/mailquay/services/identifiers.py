"""Public ids: opaque to callers, stable across restarts and nodes, and refused unless they are exactly ours."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mailquay.errors import MessageNotFound
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import MessageRef, Uid

MAX_TEXT_ID_CHARACTERS = 10240
"""The longest text id that a request may name."""

_REF = struct.Struct(">II")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_ID_CHARACTERS = 16
_STAMP = struct.Struct(">QI")
_LONGEST_MARK = 160
_THREAD = "mqt_"
_THREAD_KEY = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class TextRef:
    """What a text id names: a message and the MIME parts of its plain, HTML and other text."""

    message: MessageRef
    plain: tuple[str, ...]
    html: tuple[str, ...]
    other: tuple[str, ...]


def b64u(raw: bytes) -> str:
    """Base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def from_b64u(text: str) -> bytes:
    """The bytes of a base64url text; ValueError when it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not base64url: {text[:40]!r}") from error


def message_id(mailbox: int, uid: int) -> str:
    """The public id of a message."""
    return b64u(_REF.pack(mailbox, uid))


def parse_message_id(text: str) -> MessageRef:
    """Where a message id points; attachment and text ids point to their message.

    Raises MessageNotFound when it is not one of ours.
    """
    return _reference(_decode(text))


def attachment_id(mailbox: int, uid: int, part: str) -> str:
    """The public id of one part of a message."""
    return b64u(_REF.pack(mailbox, uid) + part.encode("ascii"))


def parse_attachment_id(text: str) -> tuple[MessageRef, str]:
    """The message and the MIME part number of an attachment id.

    Raises MessageNotFound when it is not one of ours.
    """
    raw = _decode(text)
    part = raw[_REF.size :].decode("ascii", "replace")
    if not part or not all(number.isdigit() and number.isascii() for number in part.split(".")):
        raise MessageNotFound("there is no such attachment")
    return _reference(raw), part


def text_id(mailbox: int, uid: int, plain: Sequence[str], html: Sequence[str], other: Sequence[str]) -> str:
    """The public id of a message's text."""
    return b64u(_REF.pack(mailbox, uid) + msgspec.msgpack.encode([plain, html, other]))


def parse_text_id(text: str) -> TextRef:
    """What a text id names.

    Raises MessageNotFound when it is not one of ours.
    """
    raw = _decode(text)
    try:
        plain, html, other = msgspec.msgpack.decode(raw[_REF.size :], type=tuple[list[str], list[str], list[str]])
    except msgspec.DecodeError as error:
        raise MessageNotFound("there is no such text") from error
    return TextRef(_reference(raw), tuple(plain), tuple(html), tuple(other))


def thread_id(thread: int) -> str:
    """The public id of a thread of ours, which cannot be taken for a server's."""
    return _THREAD + base64.b32encode(_THREAD_KEY.pack(thread)).rstrip(b"=").decode("ascii").lower()


def parse_thread_id(text: str) -> int | None:
    """The thread of ours that an id names; None when it is none of ours."""
    try:
        (thread,) = _THREAD_KEY.unpack(base64.b32decode(text.removeprefix(_THREAD).upper() + "==="))
    except (ValueError, struct.error):
        return None
    return int(thread) if thread < 2**63 and thread_id(thread) == text else None


def _decode(text: str) -> bytes:
    try:
        raw = from_b64u(text)
    except ValueError as error:
        raise MessageNotFound("there is no such message") from error
    if len(raw) < _REF.size:
        raise MessageNotFound("there is no such message")
    return raw


def _reference(raw: bytes) -> MessageRef:
    mailbox, uid = _REF.unpack_from(raw)
    return MessageRef(MailboxNumber(mailbox), Uid(uid))


def template_id(time_ms: int, count: int, account_id: str | None) -> str:
    """The id of a template: when it was made, a count that all ids share, and the account that it belongs to, if any.

    The account stands there itself, or its hash where that is shorter, so that no id outgrows its bounds.
    """
    return b64u(_STAMP.pack(time_ms, count % 2**32) + _owner_mark(account_id))


def is_template_of(text: str, account_id: str) -> bool:
    """Whether an id says that its template belongs to this account."""
    try:
        raw = from_b64u(text)
    except ValueError:
        return False
    return len(raw) > _STAMP.size and raw[_STAMP.size :] == _owner_mark(account_id)


def _owner_mark(account_id: str | None) -> bytes:
    raw = (account_id or "").encode()
    return raw if len(raw) <= _LONGEST_MARK else b"\0" + hashlib.sha256(raw).digest()


def new_account_id() -> str:
    """A random account id."""
    return _random_id()


def new_gateway_id() -> str:
    """A random gateway id."""
    return _random_id()


def _random_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_ID_CHARACTERS))


def new_queue_id(time_ms: int) -> str:
    """A queue id: 48 bits of time and 32 random bits in hex, without the leading digit."""
    return (time_ms.to_bytes(6, "big") + secrets.token_bytes(4)).hex()[1:]


def new_message_id(domain: str) -> str:
    """A Message-ID header value (RFC 5322 §3.6.4)."""
    return f"<{uuid.uuid4()}@{domain}>"


def encode_cursor(page: int) -> str:
    """A paging cursor of an IMAP account."""
    return "imap_" + b64u(msgspec.json.encode({"page": page}))


def decode_cursor(text: str) -> int | None:
    """The page of a cursor; None when it belongs to another kind of account.

    Raises ValueError when it is damaged.
    """
    if not text.startswith("imap_"):
        return None
    try:
        decoded = msgspec.json.decode(from_b64u(text.removeprefix("imap_")), type=dict[str, int])
    except msgspec.DecodeError as error:
        raise ValueError("damaged cursor") from error
    page = decoded.get("page", -1)
    if page < 0:
        raise ValueError("damaged cursor")
    return page
