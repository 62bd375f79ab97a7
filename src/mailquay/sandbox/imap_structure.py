"""ENVELOPE and BODYSTRUCTURE of a parsed message (RFC 9051 §7.5.2)."""

from __future__ import annotations

from mailquay.mime import address as mime_address
from mailquay.mime.encoded_word import encode_words
from mailquay.mime.message import Part
from mailquay.mime.parameter import format_parameter, parse_parameterized
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Disposition, Parameters
from mailquay.wire.imap.envelope import Address, Addresses, Envelope

_NO_DOMAIN = b"MISSING_DOMAIN"
"""Stands for the domain of an address that has none: NIL there would begin a group."""

_WITH_ENVELOPE = frozenset(["message/rfc822", "message/global"])
_EMPTY_TEXT = BodyPart("text", "plain", (("charset", b"us-ascii"),), lines=0)


def envelope(part: Part) -> Envelope:
    """The ENVELOPE of a message; Sender and Reply-To are From where they are missing."""
    from_ = _addresses(part, "From")
    return Envelope(
        date=_field(part, "Date"),
        subject=_field(part, "Subject"),
        from_=from_,
        sender=_addresses(part, "Sender") or from_,
        reply_to=_addresses(part, "Reply-To") or from_,
        to=_addresses(part, "To"),
        cc=_addresses(part, "Cc"),
        bcc=_addresses(part, "Bcc"),
        in_reply_to=_field(part, "In-Reply-To"),
        message_id=_field(part, "Message-ID"),
    )


def _field(part: Part, name: str) -> bytes | None:
    """A field's value as it stands, in one line: encoded words are for the client to read."""
    field = part.headers.first(name)
    return None if field is None else field.unfolded


def _addresses(part: Part, name: str) -> Addresses:
    return tuple(
        _address(one) for field in part.headers.all(name) for one in mime_address.parse_addresses(field.unfolded)
    )


def _address(one: mime_address.Address) -> Address:
    local, _, domain = one.address.rpartition("@")
    if not local:
        # No @: a lone word, which stands as the local part of nowhere.
        word = one.address or one.name
        return Address(None, None, word.encode("utf-8", "replace"), _NO_DOMAIN)
    name = one.name if one.name.isascii() else " ".join(encode_words(one.name))
    return Address(
        name.encode("ascii") or None,
        None,
        local.encode("utf-8", "replace"),
        domain.encode("utf-8", "replace") or _NO_DOMAIN,
    )


def body_structure(part: Part) -> BodyStructure:
    """The BODYSTRUCTURE of a message or part."""
    disposition = _disposition(part)
    languages = tuple(word.strip() for word in (_field(part, "Content-Language") or b"").split(b",") if word.strip())
    location = _field(part, "Content-Location")
    media_type, _, subtype = part.content_type.partition("/")
    if part.is_multipart:
        # A multipart without parts cannot be written; an empty text stands for them.
        parts = tuple(body_structure(child) for child in part.children) or (_EMPTY_TEXT,)
        return BodyMultipart(parts, subtype, _parameters(part.parameters), disposition, languages, location)
    encloses = part.content_type in _WITH_ENVELOPE
    enclosed = part.children[0] if encloses and part.children else None
    if encloses and enclosed is None:
        # The message inside is hidden by a transfer encoding, so it has neither envelope nor parts to name.
        media_type, subtype = "application", "octet-stream"
    text = media_type == "text" or enclosed is not None
    return BodyPart(
        media_type,
        subtype,
        _parameters(part.parameters),
        content_id=None if part.content_id is None else part.content_id.encode("utf-8", "replace"),
        description=_field(part, "Content-Description"),
        encoding=part.encoding or "7bit",
        size_bytes=part.encoded_size,
        lines=part.source.count(b"\n", part.start, part.stop) if text else None,
        envelope=None if enclosed is None else envelope(enclosed),
        body=None if enclosed is None else body_structure(enclosed),
        md5=_field(part, "Content-MD5"),
        disposition=disposition,
        languages=languages,
        location=location,
    )


def _disposition(part: Part) -> Disposition | None:
    raw = _field(part, "Content-Disposition")
    if not raw:
        return None
    kind, parameters = parse_parameterized(raw.decode("utf-8", "replace"))
    return Disposition(kind, _parameters(parameters)) if kind else None


def _parameters(parameters: dict[str, str]) -> Parameters:
    """The parameters as IMAP shows them: what is not ASCII in the form of RFC 2231."""
    shown: list[tuple[str, bytes]] = []
    for name, value in parameters.items():
        if value.isascii():
            shown.append((name, value.encode("ascii")))
        else:
            for item in format_parameter(name, value):
                extended, _, encoded = item.partition("=")
                shown.append((extended, encoded.encode("ascii")))
    return tuple(shown)
