"""After a message was sent: its copy among the sent mail, the flags of the message that it answers, its draft.

What is to be done is stored with the success of the delivery, so that neither a crash nor a mail server that is away
loses it. Each attempt is counted before it begins: only the first may append without looking, every later one searches
the mailbox for the Message-ID before, because the former may have got through.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable

import structlog

from mailquay.backends.interface import FlagChange, MailSession, SearchTerms
from mailquay.errors import InvalidRequest, MailboxNotFound, MailquayError, NotOperational, Unavailable, Unsupported
from mailquay.model.account import Account, AccountNumber
from mailquay.model.node import Fence
from mailquay.model.submission import Filing, ReferenceUpdate, Submission
from mailquay.services.identifiers import parse_message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.services.places import place_of
from mailquay.services.ports import Clock, Journal, MailAccess
from mailquay.services.sent_drafts import Copy, SentDrafts
from mailquay.services.settings import SettingsService
from mailquay.services.stored_body import whole
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_ATTEMPTS = 32
"""With the usual backoff (5, 10, 20 … seconds, then every hour) the last one comes after a day."""
_LONGEST_PAUSE_MS = 3600 * 1000
_SESSION_SECONDS = 30.0
_OWN_COPY_HOSTS = ("gmail.com", "googlemail.com", "outlook.com", "office365.com")
_ATTEMPTS_WITHOUT_MAILBOX = 8
"""Some ten minutes: a mailbox may be missing in one listing and be back in the next."""
_HOPELESS = (Unsupported, InvalidRequest)


def wants_copy(account: Account, submission: Submission, *, through_gateway: bool = False) -> bool:
    """Whether a copy is to be filed: as the submission says, else the account, else unless the provider does it.

    No provider knows of what goes out through a gateway.
    """
    if not account.profile.has_imap:
        return False
    if submission.options.copy is not None:
        return submission.options.copy
    return account.profile.copy is not False and (through_gateway or not _files_itself(account))


def files_own_copy(account: Account, submission: Submission) -> bool:
    """Whether the provider puts what it was given into the account's sent mail, so that it can be looked for there."""
    return account.profile.has_imap and submission.options.gateway is None and _files_itself(account)


def _files_itself(account: Account) -> bool:
    host = (account.profile.smtp.host or "").lower() if account.profile.smtp else ""
    return any(host == name or host.endswith(f".{name}") for name in _OWN_COPY_HOSTS)


def wants_flags(account: Account, submission: Submission) -> bool:
    """Whether the message that it answers is to be flagged."""
    return account.profile.has_imap and submission.options.reference is not None


def wants_draft_removed(account: Account, submission: Submission) -> bool:
    """Whether it was a draft, which is to go."""
    return account.profile.has_imap and submission.options.draft is not None


class FilingService:
    """Files what an account has sent, one after the other, beside its deliveries and never in their way."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        access: MailAccess,
        mailboxes: MailboxService,
        clock: Clock,
        journal: Journal,
        *,
        backoff_seconds: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._access = access
        self._mailboxes = mailboxes
        self._drafts = SentDrafts(store, access, mailboxes)
        self._clock = clock
        self._journal = journal
        self._backoff_seconds = backoff_seconds

    async def file(self, account_number: AccountNumber) -> float | None:
        """File what is due; returns after how many seconds to be called again, None when nothing waits.

        Raises Fenced or NotOperational when this node does not own the account any more.
        """
        while True:
            account = await self._store.accounts.by_number(account_number)
            if account is None:
                return None
            filing = await self._store.outbox.filing_due(account_number, self._clock.now_ms())
            if filing is None:
                next_ms = await self._store.outbox.next_filing_ms(account_number)
                return None if next_ms is None else max(0.0, (next_ms - self._clock.now_ms()) / 1000)
            if not await self._attempt(account, filing, self._access.fence(account_number)):
                # Most likely the mail server is away: what else is due would fare no better at this moment.
                return self._backoff_seconds

    async def _attempt(self, account: Account, filing: Filing, fence: Fence) -> bool:
        """File one; False when it failed in a way in which the others would fail too."""
        submission = filing.submission
        retry_ms = self._clock.now_ms() + self._pause_ms(filing.attempts_made)
        if not await self._store.commit(self._store.outbox.begin_filing(submission, fence, retry_ms)):
            return True
        changed: list[str] = []
        error = await self._file(account, filing, changed)
        if error is not None and not self._given_up(account, filing, error):
            self._tell_index(account, changed)
            # A mailbox that is missing says nothing about the others.
            return isinstance(error, MailboxNotFound)
        settled_ms = self._clock.now_ms() if await self._settings.get("queueKeep") else None
        await self._store.commit(self._store.outbox.end_filing(submission, fence, settled_ms=settled_ms))
        self._tell_index(account, changed)
        return True

    def _given_up(self, account: Account, filing: Filing, error: MailquayError) -> bool:
        final = _is_final(filing, error)
        line = {"queueId": filing.submission.queue_id, "code": error.code, "error": error.message, "final": final}
        _log.warning("sent_message_not_filed", account=account.id, attempt=filing.attempts_made + 1, **line)
        self._journal.write(account, {"msg": "not filed", **line})
        return final

    def _tell_index(self, account: Account, paths: list[str]) -> None:
        try:
            self._access.nudge(account.number, paths)
        except NotOperational:
            # The account lost its connection meanwhile: with the next one everything is looked at anyway.
            return

    def _pause_ms(self, attempts_made: int) -> int:
        pause = self._backoff_seconds * 1000 * 2.0 ** min(attempts_made, 20)
        return int(min(pause, _LONGEST_PAUSE_MS) * random.uniform(0.8, 1.2))  # noqa: S311  (spreading load)

    # -- at the mail server ------------------------------------------------------------------------

    async def _file(self, account: Account, filing: Filing, changed: list[str]) -> MailquayError | None:
        """What went wrong, if anything did. `changed` gets the paths of the mailboxes concerned.

        A copy that was filed while the flags could not be stored is found by the attempts that follow, like one whose
        answer was lost; flags can be stored twice without harm.
        """
        if not account.profile.has_imap:
            return None
        reference = filing.submission.options.reference
        error: MailquayError | None = None
        if reference is not None:
            error = await self._try(account, self._flag_reference(account, filing.submission, reference, changed))
        copy_error = None
        if filing.copy:
            copy_error = await self._try(account, self._append_copy(account, filing, changed))
        draft_error = None
        if filing.submission.options.draft is not None and (copy_error is None or _is_final(filing, copy_error)):
            copy = Copy.UNWANTED if not filing.copy else Copy.FILED if copy_error is None else Copy.LACKING
            draft_error = await self._try(account, self._remove_draft(account, filing.submission, copy, changed))
        return draft_error or copy_error or error

    async def _try(self, account: Account, work: Awaitable[None]) -> MailquayError | None:
        try:
            await work
        except MailquayError as error:
            return error
        except Exception as error:
            _log.error("filing_broke", account=account.id, exc_info=error)
            return Unavailable("something went wrong on our side; the log holds the details", code="ServerBug")
        return None

    async def _append_copy(self, account: Account, filing: Filing, changed: list[str]) -> None:
        submission = filing.submission
        path = (await self._mailboxes.find(account, submission.options.sent_mail_path or "\\Sent")).listing.path
        draft_id = submission.options.draft
        draft = None if draft_id is None else await self._drafts.uid_in(account, draft_id, path)
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            if filing.attempts_made and await is_there(session, path, submission.message_id, besides=draft):
                return
            body = whole(self._store.outbox.body(submission.queue_id), submission.size_bytes)
            await session.append(path, body, submission.size_bytes, flags=["\\Seen"])
        changed.append(path)

    async def _remove_draft(self, account: Account, submission: Submission, copy: Copy, changed: list[str]) -> None:
        draft = submission.options.draft
        assert draft is not None
        changed += await self._drafts.remove(account, draft, copy, timeout_seconds=_SESSION_SECONDS)

    async def _flag_reference(
        self, account: Account, submission: Submission, reference: ReferenceUpdate, changed: list[str]
    ) -> None:
        """\\Answered (and $Forwarded) on the message that was answered; when it cannot be had, the copy still can."""
        try:
            mailbox, ref = await place_of(self._store, account.number, parse_message_id(reference.message_id))
            path = mailbox.listing.path
            async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
                opened = await session.open_mailbox(path, writable=True)
                if mailbox.uidvalidity not in (None, opened.uidvalidity or 0):
                    raise Unavailable("the server has replaced the mailbox, which is read anew")
                await session.store_flags(str(ref.uid), FlagChange.ADD, reference.flags)
            changed.append(path)
        except MailquayError as error:
            if error.retryable:
                raise
            _log.warning("reference_not_flagged", account=account.id, queue_id=submission.queue_id, error=error.message)


def _is_final(filing: Filing, error: MailquayError) -> bool:
    """Whether what an attempt failed with is not tried again."""
    attempts = _ATTEMPTS_WITHOUT_MAILBOX if isinstance(error, MailboxNotFound) else _ATTEMPTS
    return isinstance(error, _HOPELESS) or filing.attempts_made + 1 >= attempts


async def is_there(session: MailSession, path: str, message_id: str, *, besides: int | None = None) -> bool:
    """Whether a mailbox holds the message, as another than the draft that has the UID `besides`.

    One without Message-ID cannot be looked for: rather no copy than two.
    """
    if not message_id:
        return True
    await session.open_mailbox(path)
    found = await session.search(SearchTerms(headers=[("Message-ID", message_id)]))
    return any(uid != besides for uid in found)
