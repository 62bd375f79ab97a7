"""ENVELOPE: the header fields a server has parsed for us (RFC 9051 §7.5.2).

Strings stay bytes: encoded words are the business of `mime`. Well-formed envelopes are read with one
regular expression; everything else goes through a tree that is interpreted leniently.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import ANY_STRING, BACKSLASH, PLAIN_STRING, Node, Reader, unescape
from mailquay.wire.imap.writer import Writer


class Address(NamedTuple):
    """One address as on the wire.

    `host` None marks the start of a group, named by `mailbox`, or with no mailbox either its end.
    """

    name: bytes | None
    adl: bytes | None
    mailbox: bytes | None
    host: bytes | None


Addresses = tuple[Address, ...]


class Envelope(NamedTuple):
    """The ten fields of an ENVELOPE; an address field that is NIL is empty."""

    date: bytes | None
    subject: bytes | None
    from_: Addresses
    sender: Addresses
    reply_to: Addresses
    to: Addresses
    cc: Addresses
    bcc: Addresses
    in_reply_to: bytes | None
    message_id: bytes | None


def _address_pattern(string: bytes) -> bytes:
    return rb"\(" + rb" ".join([string] * 4) + rb"\)"


def _envelope_pattern(inside: bytes) -> bytes:
    string = rb'(?:NIL|"(' + inside + rb')")'
    address = _address_pattern(rb'(?:NIL|"' + inside + rb'")')
    addresses = rb"(?:NIL|\(((?:" + address + rb" ?)++)\))"
    return rb"\(" + rb" ".join([string] * 2 + [addresses] * 6 + [string] * 2) + rb"\)"


ENVELOPE_PATTERN: Final = _envelope_pattern(ANY_STRING)
"""Ten groups, one for each field; for other patterns to contain. What matches is complete and in good order."""
PLAIN_ENVELOPE_PATTERN: Final = _envelope_pattern(PLAIN_STRING)
"""The same for what a Reader calls plain."""
_ENVELOPE: Final = re.compile(ENVELOPE_PATTERN)
_ADDRESS = re.compile(_address_pattern(rb'(?:NIL|"(' + ANY_STRING + rb')")'))
_FIELDS = 10
_CACHED_BYTES = 200
"""Address lists up to this size are cached: the same few correspondents fill most of a mailbox."""
_ADDRESS_FIELDS = 4


def _addresses(raw: bytes | None) -> Addresses:
    """Read the inside of an address list that has matched already."""
    if not raw:
        return ()
    return _cached_addresses(raw) if len(raw) <= _CACHED_BYTES else _read_addresses(raw)


def _read_addresses(raw: bytes) -> Addresses:
    matches = _ADDRESS.finditer(raw)
    if BACKSLASH not in raw:
        return tuple([Address._make(match.groups()) for match in matches])
    return tuple(Address(*(None if part is None else unescape(part) for part in match.groups())) for match in matches)


_cached_addresses = lru_cache(maxsize=8192)(_read_addresses)


def read_envelope(r: Reader) -> Envelope | None:
    """Read an ENVELOPE; None when the server gives none, as for a message it cannot parse.

    Raises RemoteProtocolError when strings or parentheses do not balance.
    """
    match = _ENVELOPE.match(r.data, r.pos)
    if match is None:
        return envelope_from_node(r.node(), r)
    r.pos = match.end()
    return envelope_from_groups(match.groups(), r)


def envelope_from_groups(groups: tuple[bytes | None, ...], r: Reader) -> Envelope:
    """Build an envelope from what ENVELOPE_PATTERN has matched."""
    date, subject, from_, sender, reply_to, to, cc, bcc, in_reply_to, message_id = groups
    if sender is None and from_ is not None:
        r.note(Leniency.ENVELOPE_SENDER_NIL)
    from_addresses = _addresses(from_)
    fields = (
        date and unescape(date),
        subject and unescape(subject),
        from_addresses,
        from_addresses if sender == from_ else _addresses(sender),
        from_addresses if reply_to == from_ else _addresses(reply_to),
        _addresses(to),
        _addresses(cc),
        _addresses(bcc),
        in_reply_to and unescape(in_reply_to),
        message_id and unescape(message_id),
    )
    # Twice as fast as calling the class.
    return tuple.__new__(Envelope, fields)


def envelope_from_node(node: Node, r: Reader) -> Envelope | None:
    """Interpret a tree as an envelope; what was wrong with it is noted in `r`.

    Raises RemoteProtocolError when it is a string, or holds a list where a string must stand.
    """
    while isinstance(node, list) and len(node) == 1 and isinstance(node[0], list):
        r.note(Leniency.ENVELOPE_WRAPPED)
        node = node[0]
    if not node:
        r.note(Leniency.ENVELOPE_EMPTY)
        return None
    if not isinstance(node, list):
        raise RemoteProtocolError("ENVELOPE is not a list")
    if len(node) > _FIELDS:
        r.note(Leniency.ENVELOPE_LONG)
    elif len(node) < _FIELDS:
        r.note(Leniency.ENVELOPE_SHORT)
        node = [*node, *[None] * (_FIELDS - len(node))]
    from_, sender, reply_to, to, cc, bcc = (_addresses_from_node(field, r) for field in node[2:8])
    if from_ and not sender:
        r.note(Leniency.ENVELOPE_SENDER_NIL)
    return Envelope(
        _string(node[0]), _string(node[1]), from_, sender, reply_to, to, cc, bcc, _string(node[8]), _string(node[9])
    )


def _string(node: Node) -> bytes | None:
    if isinstance(node, list):
        raise RemoteProtocolError("ENVELOPE has a list where a string must stand")
    return None if node is None else bytes(node)


def _addresses_from_node(node: Node, r: Reader) -> Addresses:
    if node is None:
        return ()
    if not isinstance(node, list):
        r.note(Leniency.ADDRESS_MALFORMED)
        return (_address_from_text(node),)
    if len(node) == _ADDRESS_FIELDS and not any(isinstance(field, list) for field in node):
        r.note(Leniency.ADDRESS_MALFORMED)
        node = [node]
    return tuple(_address_from_node(address, r) for address in node if address is not None)


def _address_from_node(node: Node, r: Reader) -> Address:
    if not isinstance(node, list):
        r.note(Leniency.ADDRESS_MALFORMED)
        return _address_from_text(node or b"")
    if len(node) != _ADDRESS_FIELDS:
        r.note(Leniency.ADDRESS_MALFORMED)
        node = [*node[:_ADDRESS_FIELDS], *[None] * (_ADDRESS_FIELDS - len(node))]
    return Address(*(_string(field) for field in node))


def _address_from_text(text: bytes) -> Address:
    mailbox, at, host = text.strip(b"<>").rpartition(b"@")
    return Address(None, None, mailbox, host) if at else Address(None, None, host, None)


def write_envelope(w: Writer, envelope: Envelope) -> None:
    """Write an ENVELOPE."""
    w.raw(b"(")
    w.nstring(envelope.date)
    w.raw(b" ")
    w.nstring(envelope.subject)
    for addresses in envelope[2:8]:
        w.raw(b" ")
        _write_addresses(w, addresses)
    w.raw(b" ")
    w.nstring(envelope.in_reply_to)
    w.raw(b" ")
    w.nstring(envelope.message_id)
    w.raw(b")")


def _write_addresses(w: Writer, addresses: Addresses) -> None:
    if not addresses:
        w.raw(b"NIL")
        return
    w.raw(b"(")
    for address in addresses:
        w.raw(b"(")
        for index, field in enumerate(address):
            if index:
                w.raw(b" ")
            w.nstring(field)
        w.raw(b")")
    w.raw(b")")
