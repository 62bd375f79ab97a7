"""Findings under the names that webhooks, lists and the command line tell them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.reports.bounce import Bounce
from mailquay.reports.classification import classify
from mailquay.reports.verdict import Verdict

MAX_HEADERS_CHARACTERS = 64 * 1024
"""How much is told of the header of a message that came back."""

MAX_TOLD_RECIPIENTS = 100


def bounce_data(bounce: Bounce) -> dict[str, Any]:
    """What messageBounce tells, but for the id of the bounce itself. `recipients` only where there are several."""
    judged = classify(bounce.message, bounce.status)
    response: dict[str, Any] = {
        "source": bounce.source,
        "message": bounce.message,
        "status": bounce.status,
        "category": judged.category,
        "recommendedAction": judged.recommended_action,
        "blocklist": judged.blocklist,
        "retryAfter": judged.retry_after_seconds,
    }
    data: dict[str, Any] = {
        "recipient": bounce.recipient,
        "action": bounce.action,
        "response": _without_nothing(response),
        "mta": bounce.mta,
        "queueId": bounce.queue_id,
        "messageId": bounce.message_id,
    }
    data = _without_nothing(data)
    data["messageHeaders"] = None if bounce.headers is None else _within_limit(bounce.headers)
    if len(bounce.recipients) > 1:
        told = bounce.recipients[:MAX_TOLD_RECIPIENTS]
        data["recipients"] = [
            _without_nothing(
                {"recipient": one.recipient, "action": one.action, "status": one.status, "message": one.message}
            )
            for one in told
        ]
    return data


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """A whole judgement; what a message is not is false or missing."""
    data: dict[str, Any] = {"isBounce": verdict.bounce is not None, "isComplaint": verdict.complaint is not None}
    if verdict.auto_reply:
        data["isAutoReply"] = True
    if verdict.bounce is not None:
        data["bounce"] = bounce_data(verdict.bounce)
    if verdict.delivery_report is not None:
        data["deliveryReport"] = verdict.delivery_report
    if verdict.complaint is not None:
        data["complaint"] = {"arf": verdict.complaint.arf, **_without_nothing({"headers": verdict.complaint.headers})}
    return data


def _within_limit(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The first fields that fit."""
    kept: dict[str, list[str]] = {}
    left = MAX_HEADERS_CHARACTERS
    for name, values in headers.items():
        left -= sum(len(name) + len(value) for value in values)
        if left < 0:
            break
        kept[name] = values
    return kept


def _without_nothing(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
