"""GETQUOTA, GETQUOTAROOT and SETQUOTA: one root without a name, which limits what all messages weigh (RFC 9208)."""

from __future__ import annotations

from mailquay.backends.memory import MemoryMailStore
from mailquay.errors import CommandRejected
from mailquay.sandbox.imap_commands_mailbox import path_of
from mailquay.sandbox.imap_session import Answer, SandboxSession
from mailquay.wire.imap.quota import STORAGE, GetQuota, GetQuotaRoot, SetQuota
from mailquay.wire.imap.quota_data import QuotaResource, QuotaResponse, QuotaRootResponse
from mailquay.wire.imap.response import Status

_ROOT = ""
_UNIT_BYTES = 1024


def _quota(store: MemoryMailStore) -> QuotaResponse:
    used = -(-store.used_bytes // _UNIT_BYTES)
    return QuotaResponse(_ROOT, (QuotaResource(STORAGE, used, store.quota_bytes // _UNIT_BYTES),))


def get_quota(session: SandboxSession, command: GetQuota) -> Answer:
    """GETQUOTA."""
    session.require("QUOTA")
    if command.root != _ROOT:
        raise CommandRejected("there is no such quota root", response_code="NONEXISTENT")
    session.send(_quota(session.owner.store))
    return Answer(Status.OK, "done")


def get_quota_root(session: SandboxSession, command: GetQuotaRoot) -> Answer:
    """GETQUOTAROOT."""
    session.require("QUOTA")
    mailbox = session.owner.store.mailbox(path_of(command.mailbox))
    session.send(QuotaRootResponse(mailbox.path, (_ROOT,)))
    session.send(_quota(session.owner.store))
    return Answer(Status.OK, "done")


def set_quota(session: SandboxSession, _command: SetQuota) -> Answer:
    """SETQUOTA, which is for administrators."""
    session.require("QUOTA")
    raise CommandRejected("limits are not yours to set", response_code="NOPERM")
