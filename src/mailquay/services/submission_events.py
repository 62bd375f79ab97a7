"""What the events of a delivery say, in their public form: facts to keep (ids, codes), and contents with addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.backends.interface import Receipt
from mailquay.errors import BackendError, MailquayError, SubmissionRejected
from mailquay.model.submission import Submission
from mailquay.net.tls import CERTIFICATE_CODES
from mailquay.services.masks import mask_url
from mailquay.services.presentation import iso

_SERVER_FAULTS = {
    "ESOCKET": "The certificate of the server was not accepted",
    "ETIMEDOUT": "The server did not answer in time",
    "ETLS": "TLS with the server could not be set up",
    "EDNS": "The name of the server could not be found",
    "ECONNECTION": "The connection to the server was refused or lost",
    "EPROTOCOL": "The server gave an answer that it should not have given",
    "EAUTH": "The server did not accept the login",
    "ENOAUTH": "The server asks for a login, and there is none",
    "EOAUTH2": "There is no access token to log in with",
}
"""Codes that speak of a server and not of a message, in words of their own; ESOCKET only for a bad certificate."""

FactsAndContent = tuple[Mapping[str, Any], Mapping[str, Any]]


def _envelope(submission: Submission) -> dict[str, Any]:
    return {"from": submission.envelope.reverse_path, "to": list(submission.envelope.recipients)}


def sent(submission: Submission, receipt: Receipt) -> FactsAndContent:
    """messageSent."""
    facts: dict[str, Any] = {
        "messageId": receipt.message_id or submission.message_id,
        "response": receipt.response,
        "queueId": submission.queue_id,
    }
    if receipt.message_id is not None:
        facts["originalMessageId"] = submission.message_id
    content = facts | {"envelope": _envelope(submission), "networkRouting": shown_routing(receipt)}
    if receipt.refused:
        content["refused"] = list(receipt.refused)
    return facts, content


def delivery_error(submission: Submission, error: MailquayError, next_attempt_ms: int | None) -> FactsAndContent:
    """messageDeliveryError: one attempt failed; `job.nextAttempt` is false when it was the last."""
    facts: dict[str, Any] = {
        "queueId": submission.queue_id,
        "messageId": submission.message_id,
        "errorCode": error.code,
    }
    content: dict[str, Any] = {
        "queueId": submission.queue_id,
        "envelope": _envelope(submission),
        "messageId": submission.message_id,
        "error": error.message,
        "errorCode": error.code,
    }
    if isinstance(error, SubmissionRejected):
        said = {
            "smtpResponse": error.response,
            "smtpResponseCode": error.reply_code,
            "smtpCommand": error.command,
        }
        content |= {key: value for key, value in said.items() if value is not None}
    content["networkRouting"] = shown_routing(error)
    content["job"] = {
        "id": submission.queue_id,
        "attemptsMade": submission.attempts_made,
        "attempts": submission.attempts,
        "nextAttempt": iso(next_attempt_ms) if next_attempt_ms is not None else False,
    }
    return facts, content


def uncertain(submission: Submission, error: MailquayError, policy: str, held_until_ms: int) -> FactsAndContent:
    """messageUncertain: it may have been sent. `policy` is what the account does about it, with hold until then."""
    facts: dict[str, Any] = {
        "queueId": submission.queue_id,
        "messageId": submission.message_id,
        "errorCode": error.code,
        "policy": policy,
        "heldUntil": iso(held_until_ms),
    }
    content = facts | {
        "envelope": _envelope(submission),
        "error": error.message,
        "networkRouting": shown_routing(error),
    }
    return facts, content


def failure(submission: Submission, error: MailquayError) -> FactsAndContent:
    """messageFailed: no further attempt."""
    facts: dict[str, Any] = {"messageId": submission.message_id, "queueId": submission.queue_id}
    first_line = error.message.splitlines()[0] if error.message else error.code
    return facts, facts | {"error": f"Error: {first_line}", "networkRouting": shown_routing(error)}


def shown_routing(outcome: Receipt | MailquayError) -> Mapping[str, str | None] | None:
    """Which way mail took or was to take, without the proxy's password; None when the system alone decided about it."""
    routing = outcome.network_routing if isinstance(outcome, Receipt | BackendError) else None
    if routing is None or not (proxy := routing.get("proxy")):
        return routing
    return {**routing, "proxy": mask_url(proxy)}


def gateway_error(now_ms: int, error: MailquayError) -> Mapping[str, Any] | None:
    """What a gateway shows of a failed attempt; None when it was the message that was refused."""
    words = _SERVER_FAULTS.get(error.code)
    cause = error.__cause__
    certificate = isinstance(cause, MailquayError) and cause.code in CERTIFICATE_CODES
    if words is None or (error.code == "ESOCKET" and not certificate):
        return None
    return {**smtp_status(now_ms, error), "description": words}


def smtp_status(now_ms: int, outcome: Receipt | MailquayError) -> Mapping[str, Any]:
    """How the last submission went, as the account shows it."""
    routing = shown_routing(outcome)
    if isinstance(outcome, Receipt):
        return {"created": iso(now_ms), "status": "ok", "response": outcome.response, "networkRouting": routing}
    error = outcome
    status: dict[str, Any] = {
        "created": iso(now_ms),
        "status": "error",
        "description": error.message,
        "code": error.code,
        "networkRouting": routing,
    }
    if isinstance(error, SubmissionRejected):
        status["response"] = error.response or error.message
        if error.reply_code is not None:
            status["responseCode"] = error.reply_code
        if error.command is not None:
            status["command"] = error.command
    return status
