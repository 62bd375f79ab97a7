"""Submissions of which nobody knows whether they were sent: told, looked for among the sent mail, and settled in time.

The connection ended after the last byte of a message and before the reply (RFC 5321 §4.2.5, RFC 1047). Sending it again
may send it twice, giving it up may lose it: so says the account what is to be done, or somebody who looks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import structlog

from mailquay.backends.interface import Receipt
from mailquay.errors import InvalidRequest, MailquayError, NotFound, SubmissionUncertain
from mailquay.model.account import RETRIES_UNCERTAIN, Account
from mailquay.model.event import EventName, NewEvent
from mailquay.model.node import Fence
from mailquay.model.submission import Phase, Submission
from mailquay.services.filing import files_own_copy, is_there, wants_copy, wants_draft_removed, wants_flags
from mailquay.services.mailboxes import MailboxService
from mailquay.services.ports import Clock, MailAccess
from mailquay.services.presentation import iso
from mailquay.services.submission_events import failure, sent, uncertain
from mailquay.storage.interface import Unit
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_LOOKS_MS = (5_000, 15_000, 60_000, 300_000)
"""When after the doubt arose the sent mail is looked through; later every ten minutes."""
_LATER_LOOKS_MS = 600_000
_SESSION_SECONDS = 30.0
_LONGEST_PAUSE_MS = 3600 * 1000
_SINCE = "uncertainSinceMs"
_UNKNOWN = SubmissionUncertain("it is not known whether the server took the message")
OUTCOMES = ("sent", "failed", "retry")


class Uncertainty:
    """Keeps uncertain submissions until they are settled. Those of an account are looked at by its owner."""

    def __init__(
        self,
        store: Store,
        access: MailAccess,
        mailboxes: MailboxService,
        clock: Clock,
        *,
        hold_seconds: float,
        backoff_seconds: float,
    ) -> None:
        self._store = store
        self._access = access
        self._mailboxes = mailboxes
        self._clock = clock
        self._hold_ms = int(hold_seconds * 1000)
        self._backoff_ms = int(backoff_seconds * 1000)

    def begin(self, account: Account, submission: Submission, fence: Fence, error: SubmissionUncertain) -> Unit[None]:
        """Note the doubt, and tell of it: once."""
        now_ms = self._clock.now_ms()
        doubtful = dataclasses.replace(
            submission,
            phase=Phase.UNCERTAIN,
            attempts_made=submission.attempts_made + 1,
            progress={
                "status": "error",
                "error": {"message": error.message, "code": error.code},
                _SINCE: now_ms,
            },
        )
        doubtful = dataclasses.replace(doubtful, next_attempt_ms=self._next_look_ms(account, doubtful, now_ms))
        data = uncertain(doubtful, error, account.profile.when_uncertain, now_ms + self._hold_ms)
        events = [NewEvent(submission.account, EventName.MESSAGE_UNCERTAIN, now_ms, *data)]
        return self._store.outbox.record(doubtful, fence, events, keep_body=True, settled_ms=None)

    async def look(self, account: Account, submission: Submission, fence: Fence) -> None:
        """It is this one's turn: find it among the sent mail, or do what the account says once it is time for that."""
        since_ms = uncertain_since_ms(submission)
        if since_ms is None:
            # It was left behind in the middle of DATA; nobody has told of it yet.
            await self._store.commit(self.begin(account, submission, fence, _UNKNOWN))
            return
        now_ms = self._clock.now_ms()
        if files_own_copy(account, submission) and await self._is_among_sent(account, submission):
            receipt = Receipt("found among the sent mail")
            await self._store.commit(self._sent(account, submission, receipt, fence, copy=False))
        elif account.profile.when_uncertain == RETRIES_UNCERTAIN and now_ms - since_ms >= self._search_ms(
            account, submission
        ):
            if submission.attempts_made >= submission.attempts:
                await self._store.commit(self._failed(submission, fence))
            else:
                pause_ms = min(self._backoff_ms * 2 ** min(submission.attempts_made - 1, 20), _LONGEST_PAUSE_MS)
                await self._store.commit(self._again(submission, fence, now_ms + pause_ms))
        elif now_ms - since_ms >= self._hold_ms:
            await self._store.commit(self._failed(submission, fence))
        else:
            later = dataclasses.replace(submission, next_attempt_ms=self._next_look_ms(account, submission, now_ms))
            await self._store.commit(self._store.outbox.settle(later, fence, [], keep_body=True, settled_ms=None))

    async def resolve(self, queue_id: str, outcome: str) -> None:
        """Somebody knows, or decides, what became of a submission: one of OUTCOMES.

        Raises NotFound when there is none, InvalidRequest (NotUncertain) when it is not, or no longer, uncertain.
        """
        submission = await self._store.outbox.get(queue_id)
        account = None if submission is None else await self._store.accounts.by_number(submission.account)
        if submission is None or account is None or submission.phase in (Phase.FILING, Phase.SENT):
            raise NotFound("there is no such message in the outbox")
        if outcome == "sent":
            receipt = Receipt("said to be sent")
            unit = self._sent(
                account,
                submission,
                receipt,
                None,
                copy=wants_copy(account, submission, through_gateway=submission.options.gateway is not None),
            )
        elif outcome == "failed":
            unit = self._failed(submission, None)
        else:
            unit = self._again(submission, None, self._clock.now_ms())
        if submission.phase is not Phase.UNCERTAIN or not await self._store.commit(unit):
            raise InvalidRequest("the message is not uncertain", code="NotUncertain")
        _log.info("uncertainty_resolved", queue_id=queue_id, outcome=outcome)

    # -- how it ends -------------------------------------------------------------------------------

    def _sent(
        self, account: Account, submission: Submission, receipt: Receipt, fence: Fence | None, *, copy: bool
    ) -> Unit[bool]:
        now_ms = self._clock.now_ms()
        filing = copy or wants_flags(account, submission) or wants_draft_removed(account, submission)
        settled = dataclasses.replace(
            submission,
            phase=Phase.FILING if filing else Phase.SENT,
            next_attempt_ms=None,
            progress={"status": "submitted", "response": receipt.response, "messageId": submission.message_id},
        )
        events = [NewEvent(submission.account, EventName.MESSAGE_SENT, now_ms, *sent(submission, receipt))]
        return self._store.outbox.settle(
            settled,
            fence,
            events,
            keep_body=copy,
            settled_ms=None if filing else now_ms,
            filing_due_ms=now_ms if filing else None,
        )

    def _failed(self, submission: Submission, fence: Fence | None) -> Unit[bool]:
        now_ms = self._clock.now_ms()
        settled = dataclasses.replace(submission, phase=Phase.FAILED, next_attempt_ms=None)
        facts, content = failure(submission, _UNKNOWN)
        code = {"errorCode": _UNKNOWN.code}
        events = [
            NewEvent(submission.account, EventName.MESSAGE_FAILED, now_ms, {**facts, **code}, {**content, **code})
        ]
        return self._store.outbox.settle(settled, fence, events, keep_body=False, settled_ms=now_ms)

    def _again(self, submission: Submission, fence: Fence | None, at_ms: int) -> Unit[bool]:
        progress = {"status": "queued"}
        queued = dataclasses.replace(submission, phase=Phase.QUEUED, next_attempt_ms=at_ms, progress=progress)
        return self._store.outbox.settle(queued, fence, [], keep_body=True, settled_ms=None)

    # -- looking -----------------------------------------------------------------------------------

    async def _is_among_sent(self, account: Account, submission: Submission) -> bool:
        if not submission.message_id:
            return False
        try:
            path = (await self._mailboxes.find(account, submission.options.sent_mail_path or "\\Sent")).listing.path
            async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
                return await is_there(session, path, submission.message_id)
        except MailquayError as error:
            _log.warning("sent_mail_not_searched", account=account.id, code=error.code, error=error.message)
            return False

    def _search_ms(self, account: Account, submission: Submission) -> int:
        """How long the sent mail is given to show the message before it is sent again."""
        return _LOOKS_MS[2] if files_own_copy(account, submission) else 0

    def _next_look_ms(self, account: Account, submission: Submission, now_ms: int) -> int:
        since_ms = uncertain_since_ms(submission) or now_ms
        looks = [since_ms + self._hold_ms]
        if account.profile.when_uncertain == RETRIES_UNCERTAIN:
            looks.append(max(since_ms + self._search_ms(account, submission), now_ms + 1))
        if files_own_copy(account, submission):
            looks += [since_ms + pause_ms for pause_ms in _LOOKS_MS]
            looks.append(now_ms + _LATER_LOOKS_MS)
        # What is due now was looked at just now.
        return min((look for look in looks if look > now_ms), default=now_ms + 1)


def uncertain_since_ms(submission: Submission) -> int | None:
    """Since when nobody knows; None before that was noted."""
    since = submission.progress.get(_SINCE)
    return since if isinstance(since, int) else None


def shown_progress(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Progress in its public form."""
    shown = dict(progress)
    if (since_ms := shown.pop(_SINCE, None)) is not None:
        shown["uncertainSince"] = iso(since_ms)
    return shown
