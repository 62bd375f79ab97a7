"""Trying settings out: both sides at once, and how far each got."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mailquay.errors import (
    AuthenticationFailed,
    CommandRejected,
    InvalidRequest,
    MailquayError,
    SubmissionRejected,
    Unavailable,
)
from mailquay.model.account import ImapSettings, SmtpSettings
from mailquay.model.mailbox import ListedMailbox
from mailquay.services.verify import Note, VerifyPhase, VerifyRoute, VerifyService

ROUTE = VerifyRoute()


class Servers:
    """Servers that fail where a test says."""

    def __init__(self, error: BaseException | None = None, at: VerifyPhase = VerifyPhase.CONNECT) -> None:
        self.error = error
        self.at = at
        self.meet: asyncio.Barrier | None = None

    async def _try(self, note: Note, *phases: VerifyPhase) -> None:
        if self.meet is not None:
            await self.meet.wait()
        for phase in phases:
            note(phase)
            if phase is self.at and self.error is not None:
                raise self.error

    async def imap(
        self, settings: ImapSettings, route: VerifyRoute, note: Note, *, list_mailboxes: bool
    ) -> Sequence[ListedMailbox]:
        """See MailVerifier."""
        await self._try(note, *VerifyPhase)
        hidden = ListedMailbox("[Gmail]", "/", frozenset({"\\noselect"}))
        return [ListedMailbox("B", "/", frozenset()), hidden, ListedMailbox("A/C", "/", frozenset())]

    async def smtp(self, settings: SmtpSettings, route: VerifyRoute, note: Note) -> None:
        """See MailVerifier."""
        await self._try(note, VerifyPhase.CONNECT, VerifyPhase.LOGIN)


async def test_only_given_sides_are_told() -> None:
    service = VerifyService(Servers())
    assert await service.verify(None, None, ROUTE, mailboxes=True, timeout_seconds=5) == {}
    one = await service.verify(None, SmtpSettings(), ROUTE, mailboxes=True, timeout_seconds=5)
    assert one == {"smtp": {"success": True}}


async def test_both_sides_run_at_once() -> None:
    servers = Servers()
    servers.meet = asyncio.Barrier(2)
    result = await VerifyService(servers).verify(
        ImapSettings(), SmtpSettings(), ROUTE, mailboxes=False, timeout_seconds=5
    )
    assert result == {"imap": {"success": True}, "smtp": {"success": True}}


async def test_mailboxes_are_listed_in_order_without_those_that_hold_nothing() -> None:
    result = await VerifyService(Servers()).verify(ImapSettings(), None, ROUTE, mailboxes=True, timeout_seconds=5)
    assert [(box["path"], box.get("parentPath")) for box in result["mailboxes"]] == [("A/C", "A"), ("B", None)]


@pytest.mark.parametrize(
    ("error", "at", "imap_code", "smtp_code", "status"),
    [
        (Unavailable("x", code="ECONNREFUSED"), VerifyPhase.CONNECT, "ECONNREFUSED", "ECONNREFUSED", None),
        (AuthenticationFailed("x"), VerifyPhase.LOGIN, "AUTHENTICATIONFAILED", "EAUTH", 401),
        (AuthenticationFailed("x", response_code="EXPIRED"), VerifyPhase.LOGIN, "EXPIRED", "EAUTH", 401),
        (CommandRejected("x", response_code="LIMIT"), VerifyPhase.LOGIN, "LIMIT", "LIMIT", None),
        (SubmissionRejected("x", permanent=True, reply_code=554), VerifyPhase.CONNECT, "EENVELOPE", "EENVELOPE", 554),
        (InvalidRequest("x"), VerifyPhase.CONNECT, "InvalidInput", "InvalidInput", 400),
    ],
)
async def test_failures(
    error: MailquayError, at: VerifyPhase, imap_code: str, smtp_code: str, status: int | None
) -> None:
    result = await VerifyService(Servers(error, at)).verify(
        ImapSettings(), SmtpSettings(), ROUTE, mailboxes=True, timeout_seconds=5
    )
    assert set(result) == {"imap", "smtp"}
    for side, code in (("imap", imap_code), ("smtp", smtp_code)):
        shown = result[side]
        assert (shown["success"], shown["code"], shown["phase"]) == (False, code, at.value)
        assert shown["error"] == f"{at.value}: x" and shown.get("statusCode") == status


async def test_a_server_that_says_nothing() -> None:
    servers = Servers()
    servers.meet = asyncio.Barrier(2)
    result = await VerifyService(servers).verify(ImapSettings(), None, ROUTE, mailboxes=False, timeout_seconds=0.01)
    assert result["imap"]["code"] == "ETIMEDOUT" and result["imap"]["phase"] == "connect"
