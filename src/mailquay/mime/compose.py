"""Write messages: from fields and contents to bytes with CRLF, piece by piece."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mailquay.errors import InvalidRequest
from mailquay.mime.address import Address, encode_addresses, needs_smtputf8, parse_addresses
from mailquay.mime.date import format_date
from mailquay.mime.header import check_name, check_value, encode_unstructured, fold
from mailquay.mime.parameter import format_name_parameter, format_parameter
from mailquay.mime.transfer import encode_base64, encode_quoted_printable, normalize_line_ends

_MAX_7BIT_LINE = 998
_PIECE_BYTES = 256 * 1024
_ADDRESS_FIELDS = frozenset(("from", "sender", "reply-to", "to", "cc", "bcc"))
_MESSAGES = ("message/rfc822", "message/global")
_STRUCTURE_FIELDS = frozenset(("mime-version", "content-type", "content-transfer-encoding", "content-disposition"))


@dataclass(frozen=True, slots=True)
class AttachmentContent:
    """An attachment to write. With `content_id` (brackets optional) and HTML present it joins the HTML's related parts.

    `content_type` None is application/octet-stream; `disposition` None is inline for related parts, else attachment.
    `encoded` is what `encoded_content` made of the same content before, so that it need not be made again.
    """

    content: bytes
    filename: str | None = None
    content_type: str | None = None
    disposition: str | None = None
    content_id: str | None = None
    encoded: bytes | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything a message is made of. `headers` are further fields, in order; ours win over those of equal name."""

    date: datetime
    message_id: str
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    subject: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[AttachmentContent, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


def new_boundary() -> str:
    """A boundary that occurs in no content by chance (RFC 2046 §5.1.1); "=_" cannot stand in quoted-printable."""
    return f"=_{secrets.token_hex(16)}"


def compose(draft: Draft, *, make_boundary: Callable[[], str] = new_boundary) -> Iterator[bytes]:
    """The message in pieces of at most about 350 KB.

    The header is checked before the first piece comes out: raises InvalidRequest that names the field for line breaks
    and other controls in any value, and for addresses that cannot be written.
    """
    root = _root(draft, make_boundary)
    head = b"".join(_message_fields(draft)) + b"MIME-Version: 1.0\r\n"
    yield head
    yield from root.pieces()


def compose_bytes(draft: Draft, *, make_boundary: Callable[[], str] = new_boundary) -> bytes:
    """The whole message at once."""
    return b"".join(compose(draft, make_boundary=make_boundary))


def bracketed(message_id: str) -> str:
    """The id with its angle brackets, which callers often leave out."""
    text = message_id.strip()
    return text if text.startswith("<") and text.endswith(">") else f"<{text.strip('<>')}>"


def _message_fields(draft: Draft) -> Iterator[bytes]:
    lists = {
        "From": draft.from_,
        "Sender": draft.sender,
        "Reply-To": draft.reply_to,
        "To": draft.to,
        "Cc": draft.cc,
        "Bcc": draft.bcc,
    }
    utf8 = any(needs_smtputf8(address.address) for addresses in lists.values() for address in addresses)
    written = set(_STRUCTURE_FIELDS)
    for name, addresses in lists.items():
        if addresses:
            written.add(name.lower())
            yield encode_addresses(name, addresses, utf8=utf8)
    values = {
        "Subject": draft.subject,
        "Message-ID": bracketed(draft.message_id),
        "In-Reply-To": bracketed(draft.in_reply_to) if draft.in_reply_to else None,
        "References": " ".join(bracketed(item) for item in draft.references) or None,
        "Date": format_date(draft.date),
    }
    for name, value in values.items():
        if value is not None:
            written.add(name.lower())
            yield encode_field(name, value, utf8=utf8)
    for name, value in draft.headers:
        if name.lower() not in written:
            yield encode_field(name, value, utf8=utf8)


def encode_field(name: str, value: str, *, utf8: bool = False) -> bytes:
    """One field of any kind, in the way its name asks for: addresses, identifiers, or free text."""
    lower = name.lower()
    if lower in _ADDRESS_FIELDS or (lower.startswith("resent-") and lower[7:] in _ADDRESS_FIELDS):
        check_name(name)
        return encode_addresses(name, parse_addresses(check_value(name, value)), utf8=utf8)
    if lower in ("message-id", "in-reply-to", "references"):
        if not value.isascii() and not utf8:
            raise InvalidRequest(f"The value of {name} is not ASCII")
        return fold(check_name(name), check_value(name, value).split())
    return encode_unstructured(name, value, utf8=utf8)


class _Node:
    """A part to write: its Content-* fields and its body in pieces."""

    def __init__(self, fields: Iterable[bytes], body: Callable[[], Iterator[bytes]]) -> None:
        self._fields = tuple(fields)
        self._body = body

    def pieces(self) -> Iterator[bytes]:
        yield b"".join(self._fields) + b"\r\n"
        yield from self._body()


def _root(draft: Draft, make_boundary: Callable[[], str]) -> _Node:
    related = [a for a in draft.attachments if a.content_id and draft.html is not None]
    others = [a for a in draft.attachments if not (a.content_id and draft.html is not None)]
    bodies: list[_Node] = []
    if draft.text is not None:
        bodies.append(_text_node("plain", draft.text))
    if draft.html is not None:
        html = _text_node("html", draft.html)
        inline = [_attachment_node(attachment, "inline") for attachment in related]
        bodies.append(_multipart("related", [html, *inline], make_boundary) if inline else html)
    if not bodies and not others:
        bodies.append(_text_node("plain", ""))
    body = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, make_boundary) if bodies else None
    attached = [_attachment_node(attachment, "attachment") for attachment in others]
    if body is None and len(attached) == 1:
        return attached[0]
    if not attached and body is not None:
        return body
    return _multipart("mixed", [body, *attached] if body is not None else attached, make_boundary)


def _multipart(subtype: str, children: list[_Node], make_boundary: Callable[[], str]) -> _Node:
    boundary = make_boundary()

    def body() -> Iterator[bytes]:
        for child in children:
            yield b"--" + boundary.encode("ascii") + b"\r\n"
            yield from child.pieces()
            yield b"\r\n"
        yield b"--" + boundary.encode("ascii") + b"--\r\n"

    kind = '; type="text/html"' if subtype == "related" else ""
    return _Node([f'Content-Type: multipart/{subtype}{kind};\r\n boundary="{boundary}"\r\n'.encode("ascii")], body)


def _text_node(subtype: str, text: str) -> _Node:
    data = normalize_line_ends(text.encode("utf-8", "replace"))
    encoding = text_encoding(data)
    charset = "us-ascii" if data.isascii() else "utf-8"
    fields = [
        f"Content-Type: text/{subtype}; charset={charset}\r\n".encode("ascii"),
        f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii"),
    ]
    return _Node(fields, lambda: _encoded(data, encoding))


def text_encoding(data: bytes) -> str:
    """The transfer encoding for text: 7bit where it may stand, else the shorter of the other two."""
    if data.isascii() and b"\0" not in data and not has_long_line(data):
        return "7bit"
    plain = len(data) - len(data.translate(None, bytes(range(128))))
    return "quoted-printable" if plain * 2 < len(data) / 3 else "base64"


def has_long_line(data: bytes) -> bool:
    """Whether a line exceeds 998 octets (RFC 5322 §2.1.1)."""
    return len(data) > _MAX_7BIT_LINE and max(map(len, data.split(b"\r\n"))) > _MAX_7BIT_LINE


def _encoded(data: bytes, encoding: str) -> Iterator[bytes]:
    if encoding == "base64":
        yield from encode_base64(data)
    elif encoding == "quoted-printable":
        yield from _slices(encode_quoted_printable(data))
    else:
        yield from _slices(data)


def _slices(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


def _attachment_node(attachment: AttachmentContent, default_disposition: str) -> _Node:
    content_type = (attachment.content_type or "application/octet-stream").strip()
    main, parameters = _checked_type(content_type)
    content, encoded = attachment.content, attachment.encoded
    encoding = "base64"
    if main in _MESSAGES:
        # An embedded message must not be base64 (RFC 2046 §5.2.1).
        content, encoded = normalize_line_ends(content), None
        encoding = "7bit" if content.isascii() and not has_long_line(content) else "8bit"
    disposition = attachment.disposition or default_disposition
    names = format_parameter("filename", _filename(attachment.filename)) if attachment.filename else []
    types = format_name_parameter(_filename(attachment.filename)) if attachment.filename else []
    fields = [
        _field("Content-Type", [main, *parameters, *(types if "name" not in content_type.lower() else [])]),
        f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii"),
        _field("Content-Disposition", [_token("contentDisposition", disposition), *names]),
    ]
    if attachment.content_id:
        fields.append(encode_field("Content-ID", bracketed(check_value("cid", attachment.content_id))))
    return _Node(fields, lambda: _encoded(content, encoding) if encoded is None else _slices(encoded))


def encoded_content(content: bytes) -> bytes:
    """The content of an attachment as it stands in a message."""
    return b"".join(encode_base64(content))


def _filename(name: str) -> str:
    return check_value("filename", name)


def _token(field: str, value: str) -> str:
    token = value.strip().lower()
    if not token.isascii() or not token.replace("-", "").isalnum():
        raise InvalidRequest(f"The value of {field} must be one word")
    return token


def _checked_type(content_type: str) -> tuple[str, list[str]]:
    check_value("contentType", content_type)
    main, *parameters = (item.strip() for item in content_type.split(";"))
    major, slash, minor = main.lower().partition("/")
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-")
    if not slash or not major or not minor or not set(major + minor) <= allowed or major == "multipart":
        raise InvalidRequest(f"{main[:80]!r} is not the content type of an attachment")
    if not content_type.isascii():
        raise InvalidRequest("The value of contentType is not ASCII")
    return f"{major}/{minor}", [item for item in parameters if item]


def _field(name: str, items: list[str]) -> bytes:
    tokens = [f"{item};" for item in items[:-1]] + items[-1:]
    return fold(name, tokens)
