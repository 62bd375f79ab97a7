"""The outbox as the API shows it."""

from __future__ import annotations

import math
from typing import Any

from mailquay.model.submission import Phase, Submission
from mailquay.services.masks import mask_url
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.uncertainty import Uncertainty, shown_progress
from mailquay.storage.store import Store

_UNCERTAIN = "it is not known whether the server took the message; it is not sent again by itself"


class OutboxService:
    """Lists, shows and deletes submissions of all accounts."""

    def __init__(self, store: Store, clock: Clock, uncertainty: Uncertainty) -> None:
        self._store = store
        self._clock = clock
        self._uncertainty = uncertainty

    async def page(self, *, page: int, page_size: int) -> dict[str, Any]:
        """One page: delayed, waiting, being sent, then failed and uncertain ones."""
        total, found = await self._store.outbox.page(self._clock.now_ms(), limit=page_size, offset=page * page_size)
        names = await self._account_ids(found)
        return {
            "total": total,
            "page": page,
            "pages": max(1, math.ceil(total / page_size)),
            "messages": [_entry(submission, names[submission.account]) for submission in found],
        }

    async def get(self, queue_id: str) -> dict[str, Any] | None:
        """One submission; None when there is none."""
        submission = await self._store.outbox.get(queue_id)
        if submission is None or submission.phase in (Phase.FILING, Phase.SENT):
            return None
        names = await self._account_ids([submission])
        return _entry(submission, names[submission.account])

    async def delete(self, queue_id: str) -> bool:
        """Delete a submission that is not being sent at this moment; False when there is none."""
        return await self._store.commit(self._store.outbox.delete(queue_id))

    async def resolve(self, queue_id: str, outcome: str) -> None:
        """See Uncertainty.resolve."""
        await self._uncertainty.resolve(queue_id, outcome)

    async def retry(self, queue_id: str) -> bool:
        """Have a message that waits for its next attempt, or for its time, sent now; False when there is none."""
        return await self._store.commit(self._store.outbox.hurry(queue_id, self._clock.now_ms()))

    async def _account_ids(self, submissions: list[Submission]) -> dict[int, str]:
        names: dict[int, str] = {}
        for number in {submission.account for submission in submissions}:
            account = await self._store.accounts.by_number(number)
            names[number] = account.id if account is not None else ""
        return names


def _entry(submission: Submission, account_id: str) -> dict[str, Any]:
    progress = shown_progress(submission.progress)
    waits = submission.phase is not Phase.UNCERTAIN and submission.next_attempt_ms is not None
    if submission.phase is Phase.UNCERTAIN and "error" not in progress:
        # A process that died while it sent this could not note what became of it.
        progress = {"status": "error", "error": {"message": _UNCERTAIN, "code": "EUNCERTAIN"}}
    entry: dict[str, Any] = {
        "source": submission.options.source,
        "useStructuredFormat": False,
        "account": account_id,
        "queueId": submission.queue_id,
        "gateway": submission.options.gateway,
        "messageId": submission.message_id,
        "envelope": {
            "from": submission.envelope.reverse_path,
            "to": list(submission.envelope.recipients),
        },
        "subject": submission.options.subject,
        "created": iso(submission.created_ms),
        "progress": progress,
        "attemptsMade": submission.attempts_made,
        "attempts": submission.attempts,
        "scheduled": iso(submission.scheduled_ms),
        "nextAttempt": iso(submission.next_attempt_ms or 0) if waits else False,
    }
    if submission.options.idempotency_key is not None:
        entry["idempotencyKey"] = submission.options.idempotency_key
    if submission.options.proxy is not None:
        entry["proxy"] = mask_url(submission.options.proxy)
    if submission.options.local_address is not None:
        entry["localAddress"] = submission.options.local_address
    return entry
