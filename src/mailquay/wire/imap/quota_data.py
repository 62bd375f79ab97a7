"""QUOTA and QUOTAROOT responses (RFC 9208 §4.2, RFC 2087 §5)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import decode_mailbox
from mailquay.wire.imap.writer import Writer


@dataclass(frozen=True, slots=True)
class QuotaResource:
    """One resource of a quota root, as STORAGE or MESSAGE, in the units of that resource."""

    name: str
    usage: int
    limit: int


@dataclass(frozen=True, slots=True)
class QuotaResponse:
    """Usage and limits of one quota root; without resources there is no limit."""

    root: str
    resources: tuple[QuotaResource, ...] = ()


@dataclass(frozen=True, slots=True)
class QuotaRootResponse:
    """The quota roots that count for a mailbox; often one, often with an empty name."""

    mailbox: str
    roots: tuple[str, ...] = ()


def read_root(r: Reader) -> str:
    """The name of a quota root; it may be empty."""
    return r.astring().decode("utf-8", "replace")


def write_root(w: Writer, root: str) -> None:
    """Write the name of a quota root. Raises LocalProtocolError for NUL and lone surrogates."""
    w.text(root)


def read_quota(r: Reader) -> QuotaResponse:
    """Read what follows `* QUOTA `."""
    root = read_root(r)
    r.space()

    def read_resource(reader: Reader) -> QuotaResource:
        name = reader.atom().decode("latin-1").upper()
        reader.space()
        usage = reader.number64()
        reader.space()
        return QuotaResource(name, usage, reader.number64())

    resources = r.items(read_resource)
    r.expect_end()
    return QuotaResponse(root, resources)


def read_quota_root(r: Reader) -> QuotaRootResponse:
    """Read what follows `* QUOTAROOT `."""
    mailbox, wire_name = decode_mailbox(r.astring(), utf8=r.utf8)
    if wire_name is not None:
        r.note(Leniency.MAILBOX_NAME_INVALID)
    roots: list[str] = []
    while r.skip_blanks() and not r.at_end():
        if len(roots) >= r.limits.max_list_items:
            raise r.error("fewer quota roots")
        roots.append(read_root(r))
    r.expect_end()
    return QuotaRootResponse(mailbox, tuple(roots))


def write_quota(w: Writer, response: QuotaResponse) -> None:
    """Write `QUOTA root (...)`."""
    w.raw(b"QUOTA ")
    write_root(w, response.root)
    w.raw(b" ")
    w.items(response.resources, _write_resource)


def _write_resource(w: Writer, resource: QuotaResource) -> None:
    w.atom(resource.name)
    w.raw(b" ")
    w.number(resource.usage)
    w.raw(b" ")
    w.number(resource.limit)


def write_quota_root(w: Writer, response: QuotaRootResponse) -> None:
    """Write `QUOTAROOT mailbox root...`."""
    w.raw(b"QUOTAROOT ")
    w.mailbox(response.mailbox)
    for root in response.roots:
        w.raw(b" ")
        write_root(w, root)
