"""Deliver an account's events to its webhook, in order: signed, retried, parked when only one of them is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog

from mailquay.errors import InvalidRequest, MailquayError
from mailquay.model.account import Account, AccountNumber, CustomHeader
from mailquay.model.event import OWN_EVENTS, EventName, LoggedEvent
from mailquay.net.http import HttpClient, take_userinfo
from mailquay.services.identifiers import b64u
from mailquay.services.ports import Clock, Counter, Ownership
from mailquay.services.presentation import is_in_inbox, iso
from mailquay.services.settings import SettingsService
from mailquay.storage.interface import Unit
from mailquay.storage.repositories.events import ParkedDelivery, WebhookCursor
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_BATCH = 50
_PERMANENT_CODES = frozenset({"EEGRESSBLOCKED", "EREDIRECTNOTFOLLOWED"})
_REMEMBERED_TARGETS = 10_000
_LONGEST_PAUSE_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """Deadlines and patience of deliveries."""

    timeout_seconds: float
    attempts: int
    backoff_seconds: float
    retry_limit_seconds: float


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    headers: tuple[CustomHeader, ...]


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    code: str
    status: int | None
    permanent: bool


class WebhookService:
    """The reader of the event log that posts webhooks. Its cursor is per account and moves with each delivery."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        http: HttpClient,
        ownership: Ownership,
        clock: Clock,
        counter: Counter,
        policy: WebhookPolicy,
    ) -> None:
        self._store = store
        self._settings = settings
        self._http = http
        self._ownership = ownership
        self._clock = clock
        self._counter = counter
        self._policy = policy
        self._last_success_ms: OrderedDict[str, int] = OrderedDict()

    async def deliver(self, account_number: AccountNumber) -> float | None:
        """Deliver what an account has waiting; returns after how many seconds to be called again, None when done."""
        if await self._settings.is_paused("notify"):
            return None
        account = await self._store.accounts.by_number(account_number)
        cursor = await self._store.events.webhook_cursor(account_number)
        while True:
            now_ms = self._clock.now_ms()
            if cursor.next_attempt_ms is not None and cursor.next_attempt_ms > now_ms:
                return (cursor.next_attempt_ms - now_ms) / 1000
            self._ownership.fence_or_none(account_number)
            events = await self._store.events.facts_of_account_after(account_number, cursor.sequence, _BATCH)
            if not events:
                await self._pass_over_the_rest(account_number, account, cursor)
                return None
            cursor = await self._deliver_batch(account_number, account, cursor, events)

    async def _pass_over_the_rest(self, number: AccountNumber, account: Account | None, cursor: WebhookCursor) -> None:
        """The last events of a deleted account may have expired undelivered: it is not waited for any more."""
        if account is None:
            last = await self._store.events.last_sequence(number)
            if last > cursor.sequence:
                await self._settle(number, cursor.sequence, WebhookCursor(sequence=last))

    async def _deliver_batch(
        self, number: AccountNumber, account: Account | None, cursor: WebhookCursor, events: Sequence[LoggedEvent]
    ) -> WebhookCursor:
        """Deliver in order until one fails; returns the cursor as stored."""
        stored = cursor
        for position, event in enumerate(events):
            if account is None:
                event = await self._store.events.with_content(event)
            target = await self._target(account, event)
            if target is None:
                # Nobody wants it: moving on is stored with the next delivery, or at the end.
                cursor = WebhookCursor(sequence=event.sequence, failing_since_ms=cursor.failing_since_ms)
                continue
            failure = await self._post(target, event, cursor.attempts_made)
            parked = None
            if failure is None:
                cursor = WebhookCursor(sequence=event.sequence)
            else:
                cursor, parked = await self._after_failure(account, target, events[position:], cursor, failure)
            await self._settle(number, stored.sequence, cursor, parked)
            stored = cursor
            if cursor.next_attempt_ms is not None:
                return cursor
        if cursor != stored:
            await self._settle(number, stored.sequence, cursor)
        return cursor

    # -- one delivery ------------------------------------------------------------------------------

    async def _target(self, account: Account | None, event: LoggedEvent) -> _Target | None:
        """Where an event is to be sent, None for nowhere: judged now, not when it happened."""
        await self._settings.refresh()
        current = self._settings.current
        chosen = current("webhookEvents")
        everything = "*" in chosen and event.name not in OWN_EVENTS
        if not current("webhooksEnabled") or not (everything or event.name.value in chosen):
            return None
        if event.name is EventName.MESSAGE_NEW and current("inboxNewOnly") and not _in_inbox(event):
            return None
        own, own_headers = _own_target(account, event)
        if account is None and event.name is not EventName.ACCOUNT_DELETED:
            return None
        url = own or current("webhooks")
        if not url:
            return None
        common = tuple(CustomHeader(item["key"], item["value"]) for item in current("webhooksCustomHeaders"))
        return _Target(str(url), (*common, *own_headers))

    async def _post(self, target: _Target, event: LoggedEvent, attempts_made: int) -> _Failure | None:
        """One attempt; None when the receiver took it."""
        body = msgspec.json.encode(await self._payload(event))
        began = time.perf_counter()
        try:
            url, headers = await self._request(target, event, attempts_made, body)
            response = await self._http.request(
                "POST", url, headers=headers, body=body, timeout_seconds=self._policy.timeout_seconds
            )
        except MailquayError as error:
            permanent = isinstance(error, InvalidRequest) or error.code in _PERMANENT_CODES
            failure = _Failure(error.message, error.code, None, permanent)
        else:
            if 200 <= response.status < 300:
                self._count(event, began, success=True)
                self._succeeded(target.url, event)
                return None
            redirect = 300 <= response.status < 400
            code = "EREDIRECTNOTFOLLOWED" if redirect else "EHTTPSTATUS"
            failure = _Failure(f"the receiver answered {response.status}", code, response.status, redirect)
        self._count(event, began, success=False)
        _log.warning("webhook_failed", account=event.account_id, event_name=event.name.value, error=failure.message)
        return failure

    def _count(self, event: LoggedEvent, began: float, *, success: bool) -> None:
        milliseconds = (time.perf_counter() - began) * 1000
        self._counter.webhook(event.name.value, success=success, milliseconds=milliseconds)

    def _succeeded(self, url: str, event: LoggedEvent) -> None:
        self._last_success_ms[url] = self._clock.now_ms()
        self._last_success_ms.move_to_end(url)
        if len(self._last_success_ms) > _REMEMBERED_TARGETS:
            self._last_success_ms.popitem(last=False)
        _log.debug("webhook_sent", account=event.account_id, event_name=event.name.value)

    async def _payload(self, event: LoggedEvent) -> Mapping[str, Any]:
        event = await self._store.events.with_content(event)
        payload: dict[str, Any] = {
            "serviceUrl": await self._settings.get("serviceUrl"),
            "account": event.account_id,
            "date": iso(event.date_ms),
        }
        if event.path is not None:
            payload["path"] = event.path
        if event.special_use is not None:
            payload["specialUse"] = event.special_use
        payload["event"] = event.name.value
        payload["data"] = {key: value for key, value in event.data.items() if key != "_target"}
        return payload

    async def _request(
        self, target: _Target, event: LoggedEvent, attempts_made: int, body: bytes
    ) -> tuple[str, dict[str, str]]:
        url, authorization = take_userinfo(target.url)
        now_ms = self._clock.now_ms()
        secret = str(await self._settings.get("serviceSecret")).encode()
        seconds = str(now_ms // 1000)
        signed = f"{event.event_id}.{seconds}.".encode() + body
        headers = {
            "Content-Type": "application/json",
            "X-EE-Wh-Id": str(event.position),
            "X-EE-Wh-Attempts-Made": str(attempts_made),
            "X-EE-Wh-Queued-Time": f"{max(0, now_ms - event.date_ms) // 1000}s",
            "X-EE-Wh-Event-Id": event.event_id,
            **authorization,
        }
        lower = {name.lower(): name for name in headers}
        for header in target.headers:
            headers.pop(lower.pop(header.key.lower(), ""), None)
            headers[header.key] = header.value
            lower[header.key.lower()] = header.key
        headers["X-EE-Wh-Signature"] = b64u(hmac.new(secret, body, hashlib.sha256).digest())
        headers["webhook-id"] = event.event_id
        headers["webhook-timestamp"] = seconds
        headers["webhook-signature"] = "v1," + base64.b64encode(
            hmac.new(secret, signed, hashlib.sha256).digest()
        ).decode("ascii")
        return url, headers

    # -- failures ----------------------------------------------------------------------------------

    async def _after_failure(
        self,
        account: Account | None,
        target: _Target,
        events: Sequence[LoggedEvent],
        cursor: WebhookCursor,
        failure: _Failure,
    ) -> tuple[WebhookCursor, ParkedDelivery | None]:
        """Wait and try again, or park the event and go on: only when the receiver takes other events."""
        now_ms = self._clock.now_ms()
        event, attempts_made = events[0], cursor.attempts_made + 1
        since_ms = cursor.failing_since_ms if cursor.failing_since_ms is not None else now_ms
        limit_ms = self._policy.retry_limit_seconds * 1000
        # Nothing has been taken for days, and this event has waited for as long; its followers have their own days.
        dead = now_ms - since_ms >= limit_ms and now_ms - event.date_ms >= limit_ms
        park = dead or failure.permanent or await self._give_up(account, target, events, attempts_made, since_ms)
        if park and not dead and not failure.permanent and await self._post(target, event, attempts_made) is None:
            # The receiver came back between two of our looks at it.
            return WebhookCursor(sequence=event.sequence), None
        if park:
            await self._flag(account, event, target, failure, now_ms)
            parked = ParkedDelivery(event.position, target.url, attempts_made, failure.message, now_ms)
            return WebhookCursor(sequence=event.sequence, failing_since_ms=since_ms if dead else None), parked
        return (
            WebhookCursor(
                sequence=event.sequence - 1,
                attempts_made=attempts_made,
                next_attempt_ms=now_ms + self._pause_ms(attempts_made),
                failing_since_ms=since_ms,
                last_error=failure.message,
            ),
            None,
        )

    async def _give_up(
        self,
        account: Account | None,
        target: _Target,
        events: Sequence[LoggedEvent],
        attempts_made: int,
        since_ms: int,
    ) -> bool:
        if attempts_made < self._policy.attempts:
            return False
        if self._last_success_ms.get(target.url, -1) >= since_ms:
            return True
        for other in events[1:]:
            if await self._target(account, other) == target:
                # A receiver that refuses everything holds the order; one that takes the next event refuses this one.
                return await self._post(target, other, 0) is None
        return False

    def _pause_ms(self, attempts_made: int) -> int:
        pause = self._policy.backoff_seconds * 1000 * 2.0 ** min(attempts_made - 1, 20)
        return int(min(pause, _LONGEST_PAUSE_MS) * random.uniform(0.8, 1.2))  # noqa: S311  (spreading load)

    async def _flag(
        self, account: Account | None, event: LoggedEvent, target: _Target, failure: _Failure, now_ms: int
    ) -> None:
        """Note the last failure for the operator, without the credentials that the URL may hold."""
        if account is not None and account.profile.webhooks:
            return
        parts = urlsplit(target.url)
        flag = {
            "event": event.name.value,
            "message": failure.message,
            "time": now_ms,
            "url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
            "code": failure.code,
            "statusCode": failure.status,
        }
        await self._settings.write({"webhookErrorFlag": flag})

    async def _settle(
        self, number: AccountNumber, before: int, cursor: WebhookCursor, parked: ParkedDelivery | None = None
    ) -> None:
        unit: Unit[Any] = self._store.events.settle_webhooks(number, before, cursor, parked)
        fence = self._ownership.fence_or_none(number)
        await self._store.commit(unit if fence is None else fenced(fence, unit))


def _in_inbox(event: LoggedEvent) -> bool:
    labels: Any = event.facts.get("labels")
    return is_in_inbox(event.special_use, labels)


def _own_target(account: Account | None, event: LoggedEvent) -> tuple[str | None, tuple[CustomHeader, ...]]:
    """The target of the account itself; a deleted account's is kept with its last event."""
    if account is not None:
        return account.profile.webhooks, account.profile.webhooks_custom_headers
    kept: Any = (event.content or {}).get("_target")
    if kept is None:
        return None, ()
    return kept["webhooks"], tuple(CustomHeader(item["key"], item["value"]) for item in kept["headers"])
