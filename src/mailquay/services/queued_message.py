"""A composed message as it goes into the outbox."""

from __future__ import annotations

from mailquay.errors import InvalidRequest
from mailquay.model.account import Account
from mailquay.model.submission import Phase, ReferenceUpdate, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.services import identifiers
from mailquay.services.composition import Composed
from mailquay.services.references import Referenced
from mailquay.services.submit_request import ReferenceAction, SubmitRequest

_MAX_RECIPIENTS = 1000


def queued_message(
    account: Account,
    request: SubmitRequest,
    composed: Composed,
    referenced: Referenced | None,
    *,
    now_ms: int,
    attempts: int,
    idempotency_key: str | None,
) -> Submission:
    """The submission of a message; `attempts` counts for requests that say nothing of it.

    Raises InvalidRequest for a message without recipients, or with too many.
    """
    scheduled_ms = max(now_ms, request.send_at_ms or now_ms)
    return Submission(
        queue_id=identifiers.new_queue_id(scheduled_ms),
        account=account.number,
        message_id=composed.message_id,
        envelope=envelope_of(request, composed),
        options=_options(request, composed, referenced, idempotency_key),
        phase=Phase.QUEUED,
        created_ms=now_ms,
        scheduled_ms=scheduled_ms,
        next_attempt_ms=scheduled_ms,
        attempts_made=0,
        attempts=max(1, request.delivery_attempts or attempts),
        size_bytes=len(composed.body),
        progress={"status": "queued"},
    )


def envelope_of(request: SubmitRequest, composed: Composed) -> SubmissionEnvelope:
    """The SMTP envelope: what was asked for, else what the message says.

    Raises InvalidRequest.
    """
    given = request.envelope
    reverse_path = given.from_ if given is not None and given.from_ is not None else None
    if reverse_path is None:
        reverse_path = composed.author.address if composed.author is not None else ""
    chosen = given.to if given is not None and given.to is not None else composed.recipients
    unique = list({address.lower(): address for address in chosen if address}.values())
    if not unique:
        raise InvalidRequest("the message has no recipients")
    if len(unique) > _MAX_RECIPIENTS:
        raise InvalidRequest(f"a message can have at most {_MAX_RECIPIENTS} recipients")
    return SubmissionEnvelope(reverse_path, tuple(unique))


def _options(
    request: SubmitRequest, composed: Composed, referenced: Referenced | None, key: str | None
) -> SubmissionOptions:
    update = None
    if referenced is not None and request.reference is not None:
        forward = request.reference.action is ReferenceAction.FORWARD
        flags = ("\\Answered", "$Forwarded") if forward else ("\\Answered",)
        update = ReferenceUpdate(request.reference.message, flags)
    return SubmissionOptions(
        subject=composed.subject,
        dsn=request.dsn,
        copy=request.copy,
        sent_mail_path=request.sent_mail_path,
        gateway=request.gateway,
        proxy=request.proxy,
        local_address=request.local_address,
        reference=update,
        idempotency_key=key,
        source=request.source,
        eight_bit=not composed.body.isascii(),
        utf8_header=not composed.body.partition(b"\r\n\r\n")[0].isascii(),
    )
