"""Deliver an account's submissions: each is sent once, or known to be uncertain."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import structlog

from mailquay.backends.interface import Receipt, Submitter
from mailquay.errors import (
    BackendError,
    Fenced,
    InvalidRequest,
    MailquayError,
    StorageError,
    SubmissionRejected,
    SubmissionUncertain,
    Unavailable,
)
from mailquay.model.account import Account, AccountNumber
from mailquay.model.event import EventName, NewEvent
from mailquay.model.gateway import Gateway
from mailquay.model.node import Fence
from mailquay.model.submission import Phase, Submission
from mailquay.services.filing import wants_copy, wants_draft_removed, wants_flags
from mailquay.services.ports import Clock, Counter, Journal, MailAccess
from mailquay.services.settings import SettingsService
from mailquay.services.stored_body import whole, wire_body
from mailquay.services.submission_events import (
    delivery_error,
    failure,
    gateway_error,
    sent,
    shown_routing,
    smtp_status,
)
from mailquay.services.uncertainty import Uncertainty
from mailquay.storage.interface import Unit, run_together
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_BATCH = 20
_LONGEST_PAUSE_MS = 3600 * 1000
_OUTCOME_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0)
_BROKE = "something went wrong on our side; the log holds the details"


class DeliveryService:
    """The worker of the outbox, run by the node that owns the account."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        submitter: Submitter,
        access: MailAccess,
        clock: Clock,
        counter: Counter,
        journal: Journal,
        uncertainty: Uncertainty,
        *,
        backoff_seconds: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._submitter = submitter
        self._access = access
        self._clock = clock
        self._counter = counter
        self._journal = journal
        self._uncertainty = uncertainty
        self._backoff_seconds = backoff_seconds
        self._in_doubt: set[AccountNumber] = set()

    async def deliver(self, account_number: AccountNumber) -> float | None:
        """Send what is due; returns after how many seconds to be called again, None when nothing waits."""
        if account_number in self._in_doubt:
            await self._settle_doubts(account_number)
        try:
            return await self._deliver(account_number)
        except BaseException:
            # Whatever broke, perhaps in the middle of a message: its row must not stay in the phase DATA for ever.
            self._in_doubt.add(account_number)
            raise

    async def _settle_doubts(self, account_number: AccountNumber) -> None:
        """One message of an account is sent at a time: what is in the phase DATA now was left there by a failure."""
        fence = self._access.fence(account_number)
        uncertain = await self._store.commit(
            self._store.outbox.mark_uncertain(account_number, fence, self._clock.now_ms())
        )
        self._in_doubt.discard(account_number)
        if uncertain:
            _log.error("submissions_uncertain", number=account_number, queue_ids=uncertain)

    async def _deliver(self, account_number: AccountNumber) -> float | None:
        while True:
            if await self._settings.is_paused("submit"):
                return None
            account = await self._store.accounts.by_number(account_number)
            if account is None:
                return None
            due = await self._store.outbox.due(account_number, self._clock.now_ms(), _BATCH)
            for submission in due:
                fence = self._access.fence(account_number)
                if submission.phase is Phase.UNCERTAIN:
                    await self._uncertainty.look(account, submission, fence)
                else:
                    await self._attempt(account, submission, fence)
            if due:
                continue
            next_ms = await self._store.outbox.next_due_ms(account_number)
            return None if next_ms is None else max(0.0, (next_ms - self._clock.now_ms()) / 1000)

    async def _attempt(self, account: Account, submission: Submission, fence: Fence) -> None:
        stage = _Stage()
        gateway: Gateway | None = None

        async def before_data() -> None:
            begin = self._store.outbox.begin_data(submission, fence, {"status": "smtp-starting"})
            if not await self._store.commit(begin):
                raise _Withdrawn

        log = _log.bind(account=account.id, queue_id=submission.queue_id)
        try:
            stored = whole(self._store.outbox.body(submission.queue_id), submission.size_bytes)
            gateway = await self._gateway(account, submission)
            body = stage.watch(wire_body(stored))
            receipt = await self._submitter.submit(account, submission, body, before_data, gateway)
        except _Withdrawn:
            log.info("submission_withdrawn")
        except Fenced:
            raise
        except SubmissionUncertain as error:
            log.error("submission_uncertain", error=error.message)
            await self._uncertain(account, submission, fence, error)
        except (BackendError, InvalidRequest) as error:
            await self._failed(account, submission, fence, error, gateway)
        except Exception as error:
            # The fault is ours. As long as the body was not complete nobody can have taken the message.
            log.error("submission_broke", exc_info=error)
            if stage.complete:
                await self._uncertain(account, submission, fence, SubmissionUncertain(_BROKE))
            else:
                await self._failed(account, submission, fence, Unavailable(_BROKE, code="ServerBug"), None)
        else:
            log.info("submission_sent", response=receipt.response)
            sent_line = {"msg": "submitted", "queueId": submission.queue_id, "response": receipt.response}
            self._journal.write(account, sent_line)
            await self._sent(account, submission, fence, receipt, gateway)

    async def _gateway(self, account: Account, submission: Submission) -> Gateway | None:
        """The gateway that a message is to go through; None: the account's own server, also when the gateway is gone.

        Raises InvalidRequest when the account has none of its own then.
        """
        wanted = submission.options.gateway
        if wanted is None:
            return None
        gateway = await self._store.gateways.get(wanted)
        if gateway is None:
            _log.warning("gateway_unknown", account=account.id, queue_id=submission.queue_id, gateway=wanted)
            if account.profile.smtp is None:
                message = f"there is no gateway {wanted} any more, and the account has no server of its own"
                raise InvalidRequest(message, code="ENOAUTH")
        return gateway

    async def _store_outcome(self, unit: Unit[Any]) -> None:
        """Commit what became of a message. A database that is away is waited for: it must not be forgotten.

        Raises Fenced when another node owns the account now, StorageError when the database stays away.
        """
        for pause_seconds in _OUTCOME_PAUSES_SECONDS:
            try:
                await self._store.commit(unit)
                return
            except Fenced:
                raise
            except StorageError as error:
                _log.error("outcome_not_stored", error=error.message)
                await asyncio.sleep(pause_seconds)
        await self._store.commit(unit)

    # -- outcomes --------------------------------------------------------------------------------

    async def _sent(
        self, account: Account, submission: Submission, fence: Fence, receipt: Receipt, gateway: Gateway | None
    ) -> None:
        now_ms = self._clock.now_ms()
        self._counter.count("submit:success")
        events = [NewEvent(account.number, EventName.MESSAGE_SENT, now_ms, *sent(submission, receipt))]
        settle = self._settle(account, submission, fence, receipt, events, through_gateway=gateway is not None)
        if gateway is None:
            status = self._store.accounts.update_smtp_status(account.number, smtp_status(now_ms, receipt))
            await self._store_outcome(run_together(settle, status))
        else:
            # The lease first, as everywhere: a new owner takes it before it looks at the outbox.
            counted = self._store.gateways.delivered(gateway.id, submission, now_ms)
            await self._store_outcome(fenced(fence, counted, settle))

    def _settle(
        self,
        account: Account,
        submission: Submission,
        fence: Fence,
        receipt: Receipt,
        events: Sequence[NewEvent],
        *,
        through_gateway: bool,
    ) -> Unit[None]:
        """The row goes, or is kept as sent; where something is to be filed, that is decided when it has been."""
        now_ms = self._clock.now_ms()
        copy = wants_copy(account, submission, through_gateway=through_gateway)
        filing = copy or wants_flags(account, submission) or wants_draft_removed(account, submission)
        # As of the last refresh: from the server's answer on, nothing may fail before the outcome is stored.
        if not filing and not self._settings.current("queueKeep"):
            return self._store.outbox.settle_and_remove(submission, fence, events)
        kept = dataclasses.replace(
            submission,
            phase=Phase.FILING if filing else Phase.SENT,
            next_attempt_ms=None,
            attempts_made=submission.attempts_made + 1,
            progress={"status": "submitted", "response": receipt.response, "messageId": submission.message_id},
        )
        return self._store.outbox.record(
            kept,
            fence,
            events,
            keep_body=copy,
            settled_ms=None if filing else now_ms,
            filing_due_ms=now_ms if filing else None,
        )

    async def _uncertain(
        self, account: Account, submission: Submission, fence: Fence, error: SubmissionUncertain
    ) -> None:
        """Nobody knows whether it was sent."""
        self._counter.count("submit:fail")
        await self._store_outcome(self._uncertainty.begin(account, submission, fence, error))

    async def _failed(
        self, account: Account, submission: Submission, fence: Fence, error: MailquayError, gateway: Gateway | None
    ) -> None:
        now_ms = self._clock.now_ms()
        self._counter.count("submit:fail")
        made = submission.attempts_made + 1
        final = is_permanent(error) or made >= submission.attempts
        next_ms = None if final else now_ms + self._pause_ms(made)
        _log.warning(
            "submission_failed",
            account=account.id,
            queue_id=submission.queue_id,
            code=error.code,
            error=error.message,
            final=final,
        )
        tried = dataclasses.replace(
            submission,
            phase=Phase.FAILED if final else Phase.QUEUED,
            next_attempt_ms=next_ms,
            attempts_made=made,
            progress=_error_progress(error),
        )
        data = delivery_error(submission, error, next_ms)
        events = [NewEvent(account.number, EventName.MESSAGE_DELIVERY_ERROR, now_ms, *data)]
        if final:
            events.append(NewEvent(account.number, EventName.MESSAGE_FAILED, now_ms, *failure(submission, error)))
        record = self._store.outbox.record(
            tried, fence, events, keep_body=not final, settled_ms=now_ms if final else None
        )
        await self._store_outcome(run_together(record, *self._failed_server(account, gateway, error, now_ms)))

    def _failed_server(
        self, account: Account, gateway: Gateway | None, error: MailquayError, now_ms: int
    ) -> list[Unit[None]]:
        """Where it is shown that an attempt failed: at the account, or at the gateway where that is to blame."""
        if gateway is None:
            return [self._store.accounts.update_smtp_status(account.number, smtp_status(now_ms, error))]
        shown = gateway_error(now_ms, error)
        return [] if shown is None else [self._store.gateways.failed(gateway.id, shown)]

    def _pause_ms(self, attempts_made: int) -> int:
        pause = self._backoff_seconds * 1000 * 2.0 ** min(attempts_made - 1, 20)
        return int(min(pause, _LONGEST_PAUSE_MS) * random.uniform(0.8, 1.2))  # noqa: S311  (spreading load)


class _Withdrawn(Exception):
    """The submission was deleted while its recipients were being announced."""


class _Stage:
    """Whether the whole body has been handed over: only after that can the server have taken the message."""

    def __init__(self) -> None:
        self.complete = False

    async def watch(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The body, noting its end."""
        async for chunk in body:
            yield chunk
        self.complete = True


def is_permanent(error: MailquayError) -> bool:
    """Whether no further attempt makes sense."""
    if isinstance(error, SubmissionRejected):
        return error.permanent
    return isinstance(error, InvalidRequest)


def _error_progress(error: MailquayError) -> Mapping[str, Any]:
    shown: dict[str, Any] = {"message": error.message, "code": error.code}
    if isinstance(error, SubmissionRejected) and error.reply_code is not None:
        shown["statusCode"] = error.reply_code
    return {"status": "error", "error": shown, "networkRouting": shown_routing(error)}
