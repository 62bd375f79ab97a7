"""Trying out server settings before an account is registered: who answers, who lets us in, and where it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from mailquay.errors import AuthenticationFailed, CommandRejected, InvalidRequest, MailquayError, SubmissionRejected
from mailquay.model.account import ImapSettings, SmtpSettings
from mailquay.model.mailbox import ListedMailbox, listing_order
from mailquay.services.presentation import mailbox_entry


class VerifyPhase(Enum):
    """How far an attempt got; the values are the public names."""

    CONNECT = "connect"
    LOGIN = "login"
    LIST = "list"


Note = Callable[[VerifyPhase], None]
"""Called when a phase begins."""


@dataclass(frozen=True, slots=True)
class VerifyRoute:
    """How to get there: `proxy` None takes the operator's proxy, if any."""

    proxy: str | None = None
    ehlo_name: str | None = None


class MailVerifier(Protocol):
    """Logs in for real, and out again. Raises what connecting and logging in raise (MailquayError)."""

    async def imap(
        self, settings: ImapSettings, route: VerifyRoute, note: Note, *, list_mailboxes: bool
    ) -> Sequence[ListedMailbox]:
        """Connect, log in and, if asked to, list the mailboxes."""
        ...

    async def smtp(self, settings: SmtpSettings, route: VerifyRoute, note: Note) -> None:
        """Connect, greet and log in."""
        ...


class VerifyService:
    """Both sides at once, each with its own outcome."""

    def __init__(self, verifier: MailVerifier) -> None:
        self._verifier = verifier

    async def verify(
        self,
        imap: ImapSettings | None,
        smtp: SmtpSettings | None,
        route: VerifyRoute,
        *,
        mailboxes: bool,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """What came of it, in its public form; whatever the servers do is no error. Only given sides are in it."""
        listed: list[ListedMailbox] = []

        async def try_imap(note: Note) -> None:
            assert imap is not None
            listed.extend(await self._verifier.imap(imap, route, note, list_mailboxes=mailboxes))

        async def try_smtp(note: Note) -> None:
            assert smtp is not None
            await self._verifier.smtp(smtp, route, note)

        sides: dict[str, Callable[[Note], Awaitable[None]]] = {}
        if imap is not None:
            sides["imap"] = try_imap
        if smtp is not None:
            sides["smtp"] = try_smtp
        outcomes = await asyncio.gather(*(_outcome(side, attempt, timeout_seconds) for side, attempt in sides.items()))
        result: dict[str, Any] = dict(zip(sides, outcomes, strict=True))
        if mailboxes and result.get("imap", {}).get("success"):
            result["mailboxes"] = [_shown_mailbox(one) for one in listing_order(listed) if one.selectable]
        return result


def _shown_mailbox(listing: ListedMailbox) -> dict[str, Any]:
    """A mailbox as lists show it, without the counters, which nobody asked for."""
    entry = mailbox_entry(listing, None, None)
    return {key: value for key, value in entry.items() if key not in ("messages", "uidNext")}


async def _outcome(side: str, attempt: Callable[[Note], Awaitable[None]], timeout_seconds: float) -> dict[str, Any]:
    reached = VerifyPhase.CONNECT

    def note(phase: VerifyPhase) -> None:
        nonlocal reached
        reached = phase

    try:
        async with asyncio.timeout(timeout_seconds):
            await attempt(note)
    except TimeoutError:
        message = f"{reached.value}: no answer within {timeout_seconds:g} seconds"
        return {"success": False, "error": message, "code": "ETIMEDOUT", "phase": reached.value}
    except MailquayError as error:
        return {"success": False, **_failure(side, reached, error), "phase": reached.value}
    return {"success": True}


def _failure(side: str, phase: VerifyPhase, error: MailquayError) -> dict[str, Any]:
    shown: dict[str, Any] = {"error": f"{phase.value}: {error.message}", "code": error.code}
    if isinstance(error, AuthenticationFailed):
        shown["code"] = "EAUTH" if side == "smtp" else (error.response_code or "AUTHENTICATIONFAILED")
        shown["statusCode"] = 401
        shown["responseText"] = error.message
    elif isinstance(error, CommandRejected):
        shown["code"] = error.response_code or error.code
        shown["responseText"] = error.message
    elif isinstance(error, SubmissionRejected):
        shown["responseText"] = error.response or error.message
        if error.reply_code is not None:
            shown["statusCode"] = error.reply_code
    elif isinstance(error, InvalidRequest):
        shown["statusCode"] = 400
    return shown
