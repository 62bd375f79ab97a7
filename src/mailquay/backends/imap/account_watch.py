"""Watching all mailboxes of an account over one connection: NOTIFY, with IDLE to listen (RFC 5465, RFC 2177)."""

from __future__ import annotations

import dataclasses
from typing import Final

import structlog

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.idle import MOST_AT_ONCE, IdleSession
from mailquay.backends.imap.mapping import evidence, newer
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import MailboxNews, MailboxNewsKind, Survey
from mailquay.errors import (
    BackendError,
    CommandRejected,
    LocalProtocolError,
    PartUnavailable,
    RateLimited,
    Unsupported,
)
from mailquay.wire.imap.listing import ListResponse
from mailquay.wire.imap.notify import MESSAGE_EVENTS, EventGroup, MailboxFilter, Notify, NotifyEvent
from mailquay.wire.imap.response import UntaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import code_name
from mailquay.wire.imap.status import StatusResponse

_log = structlog.get_logger(__name__)
_WISHES: Final = (
    MESSAGE_EVENTS | {NotifyEvent.MAILBOX_NAME, NotifyEvent.SUBSCRIPTION_CHANGE},
    MESSAGE_EVENTS | {NotifyEvent.MAILBOX_NAME},
    MESSAGE_EVENTS,
    frozenset([NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE]),
)
"""The events we want, then fewer: a server may not know them all and refuse with BADEVENT (RFC 5465 §5)."""
_GONE: Final = frozenset(["\\nonexistent", "\\noselect"])

_Merged = dict[tuple[MailboxNewsKind, str], MailboxNews]


class ImapAccountWatch:
    """See MailWatch. No mailbox is selected, so that INBOX is told of like any other."""

    def __init__(self, connection: ImapConnection, path: str, *, restart_seconds: float) -> None:
        self._connection = connection
        self._path = path
        self._restart_seconds = restart_seconds
        self._idle: IdleSession | None = None
        self._early: _Merged = {}
        """What was told before the IDLE began."""

    @property
    def path(self) -> str:
        """See MailWatch.path."""
        return self._path

    @property
    def everywhere(self) -> bool:
        """See MailWatch.everywhere."""
        return True

    async def start(self, *, survey: bool = False) -> Survey | None:
        """See MailWatch.start."""
        if self._connection.has_capability("CONDSTORE"):
            # Without it, changed flags are told without saying what state they lead to.
            try:
                await self._connection.enable("CONDSTORE")
            except (CommandRejected, PartUnavailable) as error:
                raise Unsupported(f"the server refuses ENABLE: {error}") from error
        return await self._listen(survey=survey)

    async def _listen(self, *, survey: bool = False) -> Survey | None:
        with self._connection.hearing(lambda response: self._note(response, self._early)):
            await self._ask()
            surveyed = await self._survey() if survey else None
            await self._begin_idle()
        return surveyed

    async def _survey(self) -> Survey | None:
        """What is there, asked for while news come in already: what they say stands in between, and counts."""
        try:
            return await ImapSession(self._connection).survey()
        except (CommandRejected, PartUnavailable) as error:
            _log.info("survey_refused", error=error.message)
            return None

    async def _begin_idle(self) -> None:
        try:
            self._idle = await self._connection.idle(restart_seconds=self._restart_seconds)
        except (CommandRejected, PartUnavailable) as error:
            raise Unsupported(f"the server refuses IDLE: {error}") from error

    async def _ask(self) -> None:
        refused: BackendError | None = None
        for events in _WISHES:
            try:
                await self._connection.execute(Notify((EventGroup(MailboxFilter.PERSONAL, events),)))
            except CommandRejected as error:
                refused = error
                if error.response_code != "BADEVENT":
                    break
            except RateLimited as error:
                # It may be NOTIFY alone that is down, or has its limits. Else what is done instead hears the same.
                refused = error
                break
            else:
                return
        raise Unsupported(f"the server refuses NOTIFY: {refused}") from refused

    async def next_news(self) -> list[MailboxNews]:
        """See MailWatch.next_news."""
        idle = self._idle
        if idle is None:
            raise LocalProtocolError("the watch was not started")
        merged, self._early = self._early, {}
        while not merged:
            first = await idle.next()
            if first is None:
                continue
            self._note(first, merged)
            # What came in the same breath is the same news.
            for _ in range(MOST_AT_ONCE):
                more = await idle.next(0)
                if more is None:
                    break
                self._note(more, merged)
        if (MailboxNewsKind.LOST, "") in merged:
            for late in await idle.stop():
                self._note(late, merged)
            await self._listen()
        return list(merged.values())

    def _note(self, response: UntaggedResponse, merged: _Merged) -> None:
        match response:
            case StatusResponse(mailbox):
                news = MailboxNews(MailboxNewsKind.MESSAGES, mailbox, evidence(response))
            case ListResponse(mailbox, attributes=attributes):
                gone = not _GONE.isdisjoint(attribute.lower() for attribute in attributes)
                kind = MailboxNewsKind.REMOVED if gone else MailboxNewsKind.APPEARED
                news = MailboxNews(kind, mailbox, old_path=response.old_name)
            case UntaggedStatus(code=code) if code_name(code) == "NOTIFICATIONOVERFLOW":
                news = MailboxNews(MailboxNewsKind.LOST)
            case _:
                return
        before = merged.pop((news.kind, news.path), None)
        if before is not None:
            news = dataclasses.replace(
                news,
                evidence=newer(before.evidence, news.evidence),
                old_path=news.old_path or before.old_path,
            )
        merged[news.kind, news.path] = news

    async def close(self) -> None:
        """See MailWatch.close."""
        await self._connection.aclose()
