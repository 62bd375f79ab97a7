"""Webhooks from the log to a real receiver: order, headers, signatures, retries, parking, filters."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.model.account import Account, AccountId, AccountProfile, CustomHeader
from mailquay.model.event import EventName, NewEvent
from mailquay.model.node import Fence
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.runtime.clock import SystemClock
from mailquay.services.identifiers import b64u
from mailquay.services.settings import SettingsService
from mailquay.services.webhooks import WebhookPolicy, WebhookService
from mailquay.storage.interface import Pending, Run, Script, append_events
from mailquay.storage.repositories.events import WebhookCursor
from mailquay.storage.store import Store, open_store
from tests.servers.webhook_sink import Answer, WebhookSink

_POLICY = WebhookPolicy(timeout_seconds=5, attempts=3, backoff_seconds=0.01, retry_limit_seconds=60)
_NOW = 1_800_000_000_000


class _Counts(dict[str, int]):
    def count(self, key: str, amount: int = 1) -> None:
        self[key] = self.get(key, 0) + amount

    def webhook(self, event: str, *, success: bool, milliseconds: float) -> None:
        assert event and milliseconds >= 0
        self.count(f"webhooks:{'success' if success else 'fail'}")


class _Unowned:
    def fence_or_none(self, _account: int) -> Fence | None:
        return None


class _World:
    """A store with one account whose webhooks go to a sink."""

    def __init__(self, store: Store, settings: SettingsService, http: HttpClient, account: Account) -> None:
        self.store = store
        self.settings = settings
        self.account = account
        self.counts = _Counts()
        self.service = WebhookService(store, settings, http, _Unowned(), SystemClock(), self.counts, _POLICY)

    async def log(self, *names: EventName, **more: object) -> None:
        events = [
            NewEvent(self.account.number, name, _NOW + n, {"n": n}, {"n": n, "subject": f"s{n}"}, **more)  # type: ignore[arg-type]
            for n, name in enumerate(names)
        ]
        await self.store.commit(append_events(events))

    async def run_until_done(self) -> None:
        """Deliver as the worker does, without its pauses."""
        for _ in range(100):
            if await self.service.deliver(self.account.number) is None:
                return
            cursor = await self.store.events.webhook_cursor(self.account.number)
            hurried = dataclasses.replace(cursor, next_attempt_ms=0)
            await self.store.commit(self.store.events.settle_webhooks(self.account.number, cursor.sequence, hurried))
        raise AssertionError("never done")


@pytest.fixture
async def world(tmp_path: Path, webhook_sink: WebhookSink) -> AsyncIterator[_World]:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    settings = SettingsService(store)
    await settings.establish(
        {}, {"webhooksEnabled": True, "webhooks": webhook_sink.url, "webhookEvents": ["*"], "serviceSecret": "secret"}
    )
    account = (
        await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile(name="Ann"), _NOW))
    ).account
    http = HttpClient(policy=EgressPolicy.OFF, user_agent="test")
    yield _World(store, settings, http, account)
    await http.aclose()
    await store.close()


async def test_events_arrive_in_order_with_their_content_which_is_then_dropped(
    world: _World, webhook_sink: WebhookSink
) -> None:
    await world.log(*[EventName.MESSAGE_NEW] * 120, path="INBOX", special_use="\\Inbox")
    await world.run_until_done()
    bodies = [json.loads(request.body) for request in webhook_sink.requests]
    assert [body["event"] for body in bodies] == ["accountAdded"] + ["messageNew"] * 120
    assert [body["data"].get("n") for body in bodies[1:]] == list(range(120))
    assert bodies[1] == {
        "serviceUrl": None,
        "account": "ann",
        "date": "2027-01-15T08:00:00.000Z",
        "path": "INBOX",
        "specialUse": "\\Inbox",
        "event": "messageNew",
        "data": {"n": 0, "subject": "s0"},
    }
    assert all(event.content is None for event in await world.store.events.after(0, 200))
    assert world.counts == {"webhooks:success": 121}


async def test_headers_and_both_signatures(world: _World, webhook_sink: WebhookSink) -> None:
    await world.settings.write(
        {"webhooksCustomHeaders": [{"key": "X-Team", "value": "a"}, {"key": "X-B", "value": "1"}]}
    )
    headers = (CustomHeader("x-team", "mine"),)
    url = webhook_sink.url.replace("http://", "http://us%40er:p%3Aw@")
    await world.store.commit(
        world.store.accounts.update(
            world.account.id, lambda p: dataclasses.replace(p, webhooks=url, webhooks_custom_headers=headers)
        )
    )
    await world.run_until_done()
    [request] = webhook_sink.requests
    seen = {name.lower(): value for name, value in request.headers.items()}
    [event] = await world.store.events.after(0, 10)
    assert seen["content-type"] == "application/json"
    assert (seen["x-team"], seen["x-b"]) == ("mine", "1")
    assert seen["authorization"] == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert (seen["x-ee-wh-id"], seen["x-ee-wh-attempts-made"]) == ("1", "0")
    assert seen["x-ee-wh-event-id"] == seen["webhook-id"] == event.event_id
    assert seen["x-ee-wh-signature"] == b64u(hmac.new(b"secret", request.body, hashlib.sha256).digest())
    signed = f"{seen['webhook-id']}.{seen['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(b"secret", signed, hashlib.sha256).digest()).decode()
    assert seen["webhook-signature"] == f"v1,{expected}"


async def test_a_receiver_that_refuses_everything_holds_the_order(world: _World, webhook_sink: WebhookSink) -> None:
    await world.log(EventName.MESSAGE_NEW, EventName.MESSAGE_DELETED)
    webhook_sink.answer_next(*[Answer(status=503)] * 9)
    await world.run_until_done()
    taken = [request.event for request in webhook_sink.requests if request.answer.status == 200]
    assert list(dict.fromkeys(taken[1:])) == ["accountAdded", "messageNew", "messageDeleted"]
    assert await world.store.database.fetch("parked_of_account", world.account.number) == []
    attempts = [request.headers["X-EE-Wh-Attempts-Made"] for request in webhook_sink.requests]
    assert attempts[:3] == ["0", "1", "2"]


async def test_an_event_that_is_refused_while_others_pass_is_parked(world: _World, webhook_sink: WebhookSink) -> None:
    await world.log(EventName.MESSAGE_NEW, EventName.MESSAGE_UPDATED, EventName.MESSAGE_DELETED)
    webhook_sink.decide = lambda request: Answer(
        status=500 if json.loads(request.body)["event"] == "messageNew" else 200
    )
    await world.run_until_done()
    delivered = [json.loads(request.body)["event"] for request in webhook_sink.requests]
    assert delivered.count("messageNew") == _POLICY.attempts + 1, "and once more after another event has passed"
    assert "messageDeleted" in delivered
    rows = await world.store.database.fetch("parked_of_account", world.account.number)
    assert len(rows) == 1
    [parked] = [event for event in await world.store.events.after(0, 10) if event.content is not None]
    assert parked.name is EventName.MESSAGE_NEW
    flag = await world.settings.stored("webhookErrorFlag")
    assert (flag["event"], flag["statusCode"]) == ("messageNew", 500)


async def test_a_redirect_is_not_followed_and_not_retried(world: _World, webhook_sink: WebhookSink) -> None:
    webhook_sink.answer_next(Answer(status=302, headers=(("Location", "http://169.254.169.254/"),)))
    await world.run_until_done()
    assert len(webhook_sink.requests) == 1
    assert len(await world.store.database.fetch("parked_of_account", world.account.number)) == 1


async def test_events_nobody_wants_are_passed_over(world: _World, webhook_sink: WebhookSink) -> None:
    await world.settings.write({"webhookEvents": ["messageDeleted"]})
    await world.log(EventName.MESSAGE_NEW, EventName.MESSAGE_DELETED, EventName.MESSAGE_NEW)
    await world.run_until_done()
    assert [json.loads(request.body)["event"] for request in webhook_sink.requests] == ["messageDeleted"]
    assert await world.store.events.webhook_backlog() == {}
    await world.settings.write({"webhookEvents": ["*"], "inboxNewOnly": True})
    await world.log(EventName.MESSAGE_NEW, path="Junk", special_use="\\Junk")
    await world.log(EventName.MESSAGE_NEW, path="INBOX", special_use="\\Inbox")
    await world.run_until_done()
    assert [json.loads(request.body).get("path") for request in webhook_sink.requests][1:] == ["INBOX"]


async def test_our_own_events_go_where_they_are_named(world: _World, webhook_sink: WebhookSink) -> None:
    await world.log(EventName.MESSAGE_MOVED, EventName.MESSAGE_NEW)
    await world.run_until_done()
    told = [json.loads(request.body)["event"] for request in webhook_sink.requests]
    assert told == ["accountAdded", "messageNew"]
    await world.settings.write({"webhookEvents": ["*", "messageMoved"]})
    await world.log(EventName.MESSAGE_MOVED)
    await world.run_until_done()
    told = [json.loads(request.body)["event"] for request in webhook_sink.requests]
    assert told == ["accountAdded", "messageNew", "messageMoved"]


async def test_a_deleted_account_sends_only_its_farewell(world: _World, webhook_sink: WebhookSink) -> None:
    await world.log(EventName.MESSAGE_NEW)
    await world.store.commit(world.store.accounts.delete(world.account.id, _NOW))
    assert await world.store.events.webhook_orphans() == [world.account.number]
    await world.run_until_done()
    bodies = [json.loads(request.body) for request in webhook_sink.requests]
    assert [(body["event"], body["data"]) for body in bodies] == [("accountDeleted", {"account": "ann"})]
    assert await world.store.events.webhook_orphans() == []


async def test_nothing_is_sent_while_the_queue_is_paused(world: _World, webhook_sink: WebhookSink) -> None:
    await world.settings.pause("notify", True)
    await world.run_until_done()
    assert webhook_sink.requests == []
    await world.settings.pause("notify", False)
    await world.run_until_done()
    assert len(webhook_sink.requests) == 1


async def test_a_receiver_that_was_gone_for_days_costs_each_event_its_own_days_and_no_more(
    world: _World, webhook_sink: WebhookSink
) -> None:
    # No pause is over before it is looked at.
    patient = dataclasses.replace(_POLICY, retry_limit_seconds=3600, backoff_seconds=60)
    clock = SystemClock()
    world.service = WebhookService(
        world.store, world.settings, world.service._http, _Unowned(), clock, world.counts, patient
    )
    now_ms = clock.now_ms()
    ages_ms = [7200_000, 7200_000, 60_000]
    account = world.account.number
    await world.store.commit(
        append_events([NewEvent(account, EventName.MESSAGE_NEW, now_ms - age, {"age": age}) for age in ages_ms])
    )
    gone_since = WebhookCursor(sequence=1, failing_since_ms=now_ms - 5 * 3600_000)
    await world.store.commit(world.store.events.settle_webhooks(account, 1, gone_since))
    webhook_sink.decide = lambda _request: Answer(status=503)
    assert await world.service.deliver(account) is not None
    cursor = await world.store.events.webhook_cursor(account)
    assert (cursor.sequence, cursor.attempts_made, cursor.failing_since_ms) == (3, 1, gone_since.failing_since_ms)
    assert len(await world.store.database.fetch("parked_of_account", account)) == 2
    assert len(webhook_sink.requests) == 3


async def test_a_content_that_cannot_be_unsealed_is_left_out_and_holds_nothing_up(
    world: _World, webhook_sink: WebhookSink
) -> None:
    await world.log(EventName.MESSAGE_NEW, EventName.MESSAGE_NEW)

    def spoil(_pending: Pending) -> Script[None]:
        yield Run("event_content_delete", (2,))
        yield Run("event_content_insert", (2, b"spoiled"))

    await world.store.commit(spoil)
    await world.run_until_done()
    bodies = [json.loads(request.body) for request in webhook_sink.requests]
    assert [body["data"] for body in bodies[1:]] == [{"n": 0}, {"n": 1, "subject": "s1"}]
