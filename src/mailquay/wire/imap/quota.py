"""QUOTA: how much may be stored, and how much is (RFC 9208, RFC 2087)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import MailboxCommand, read_mailbox
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.quota_data import QuotaResponse, QuotaRootResponse, read_root, write_root
from mailquay.wire.imap.response import Response
from mailquay.wire.imap.writer import Writer

STORAGE: Final = "STORAGE"
"""Resource: what all messages weigh, in units of 1024 bytes (RFC 9208 §5.1)."""
QUOTA_UNIT_BYTES: Final = 1024
"""The unit of STORAGE."""
MESSAGE: Final = "MESSAGE"
"""Resource: the number of messages (RFC 9208 §5.2)."""


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    """GETQUOTA: usage and limits of one quota root (RFC 9208 §4.1.1)."""

    name = "GETQUOTA"

    root: str

    def write(self, w: Writer) -> None:
        w.raw(b"GETQUOTA ")
        write_root(w, self.root)

    def claims(self, response: Response) -> bool:
        return isinstance(response, QuotaResponse)


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(MailboxCommand):
    """GETQUOTAROOT: the quota roots of a mailbox, each with usage and limits (RFC 9208 §4.1.2)."""

    name = "GETQUOTAROOT"

    mailbox: MailboxArgument

    def claims(self, response: Response) -> bool:
        return isinstance(response, QuotaResponse | QuotaRootResponse)


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    """SETQUOTA: new limits for one quota root, by resource (RFC 9208 §4.1.3)."""

    name = "SETQUOTA"

    root: str
    limits: tuple[tuple[str, int], ...]

    def write(self, w: Writer) -> None:
        w.raw(b"SETQUOTA ")
        write_root(w, self.root)
        w.raw(b" ")
        w.items(self.limits, _write_limit)

    def claims(self, response: Response) -> bool:
        return isinstance(response, QuotaResponse)


def _write_limit(w: Writer, limit: tuple[str, int]) -> None:
    w.atom(limit[0])
    w.raw(b" ")
    w.number(limit[1])


def _read_limit(r: Reader) -> tuple[str, int]:
    resource = r.atom().decode("latin-1").upper()
    r.space()
    return resource, r.number64()


def read_get_quota(r: Reader) -> GetQuota:
    """Read the arguments of GETQUOTA."""
    return GetQuota(read_root(r))


def read_get_quota_root(r: Reader) -> GetQuotaRoot:
    """Read the arguments of GETQUOTAROOT."""
    return GetQuotaRoot(read_mailbox(r))


def read_set_quota(r: Reader) -> SetQuota:
    """Read the arguments of SETQUOTA."""
    root = read_root(r)
    r.space()
    return SetQuota(root, r.items(_read_limit))
