"""NAMESPACE: where personal, other users' and shared mailboxes begin (RFC 2342 §5, RFC 9051 §6.3.10)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import decode_mailbox, encode_mailbox
from mailquay.wire.imap.writer import Writer


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: the prefix of its names, perhaps empty, and its hierarchy delimiter."""

    prefix: str
    delimiter: str | None


@dataclass(frozen=True, slots=True)
class NamespaceResponse:
    """The three kinds of namespace, each with zero or more of them."""

    personal: tuple[Namespace, ...] = ()
    other_users: tuple[Namespace, ...] = ()
    shared: tuple[Namespace, ...] = ()


def _read_one(r: Reader) -> Namespace:
    r.expect(b"(")
    prefix = decode_mailbox(r.string(), utf8=r.utf8)[0]
    r.space()
    delimiter = r.nstring()
    while r.skip_blanks():
        r.node()
    r.expect(b")")
    return Namespace(prefix, delimiter.decode("latin-1") if delimiter else None)


def _read_kind(r: Reader) -> tuple[Namespace, ...]:
    if r.nil():
        return ()
    r.expect(b"(")
    found: list[Namespace] = []
    while not r.skip(b")"):
        if len(found) >= r.limits.max_list_items:
            raise r.error("fewer namespaces")
        r.skip_blanks()
        found.append(_read_one(r))
    return tuple(found)


def read_namespace(r: Reader) -> NamespaceResponse:
    """Read what follows `* NAMESPACE `. Namespace extensions are skipped."""
    personal = _read_kind(r)
    r.space()
    other_users = _read_kind(r)
    r.space()
    shared = _read_kind(r)
    r.expect_end()
    return NamespaceResponse(personal, other_users, shared)


def write_namespace(w: Writer, response: NamespaceResponse) -> None:
    """Write `NAMESPACE ...`."""
    w.raw(b"NAMESPACE")
    for kind in (response.personal, response.other_users, response.shared):
        if not kind:
            w.raw(b" NIL")
            continue
        w.raw(b" (")
        for namespace in kind:
            w.raw(b"(")
            w.string(encode_mailbox(namespace.prefix, utf8=w.utf8) if namespace.prefix else b"")
            w.raw(b" ")
            w.nstring(None if namespace.delimiter is None else namespace.delimiter.encode("latin-1", "replace"))
            w.raw(b")")
        w.raw(b")")
