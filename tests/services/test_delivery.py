"""Delivery to a real SMTP server while our own database fails: sent once, told once, nobody held up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from mailquay.backends.interface import Receipt
from mailquay.backends.smtp.mapping import translated
from mailquay.config import Config
from mailquay.errors import StorageError, Unavailable
from mailquay.model.account import Account, AccountId, AccountProfile, SmtpSettings
from mailquay.model.event import EventName
from mailquay.model.gateway import Gateway
from mailquay.model.node import Fence
from mailquay.model.submission import Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.net.dns import DnsResolver
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.runtime.clock import SystemClock
from mailquay.runtime.local_addresses import LocalAddressBook
from mailquay.runtime.mail_access import OwnedMailAccess
from mailquay.runtime.transports import Transports
from mailquay.services import delivery
from mailquay.services.auth_server import AuthServer
from mailquay.services.delivery import DeliveryService
from mailquay.services.mailboxes import MailboxService
from mailquay.services.settings import SettingsService
from mailquay.services.submission_events import gateway_error
from mailquay.services.uncertainty import Uncertainty
from mailquay.storage.interface import SETTINGS_CHANGED, Signal
from mailquay.storage.store import Store, open_store
from tests.runtime.harness import Journal
from tests.servers.smtp_sink import Phase as DialoguePhase
from tests.servers.smtp_sink import Reply, SmtpSink

_BODY = b"From: ann@example.test\r\nTo: bob@example.test\r\nSubject: x\r\n\r\nHello\r\n"


class _Counts(dict[str, int]):
    def count(self, key: str, amount: int = 1) -> None:
        self[key] = self.get(key, 0) + amount

    def webhook(self, event: str, *, success: bool, milliseconds: float) -> None:
        assert event and milliseconds >= 0
        self.count(f"webhooks:{'success' if success else 'fail'}")


class _Silent:
    def write(self, _account: Account, _entry: Mapping[str, object]) -> None:
        return


class _Owner:
    """An account that only sends: its lease, and no sessions."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence

    def fence(self, _number: int) -> Fence:
        return self._fence


class _World:
    def __init__(self, store: Store, account: Account, service: DeliveryService, folder: Path) -> None:
        self.store = store
        self.account = account
        self.service = service
        self._folder = folder

    async def queue(self, queue_id: str, **options: Any) -> None:
        now_ms = SystemClock().now_ms()
        submission = Submission(
            queue_id=queue_id,
            account=self.account.number,
            message_id=f"<{queue_id}@example.test>",
            envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
            options=SubmissionOptions(subject="x", **options),
            phase=Phase.QUEUED,
            created_ms=now_ms,
            scheduled_ms=now_ms,
            next_attempt_ms=now_ms,
            attempts_made=0,
            attempts=10,
            size_bytes=len(_BODY),
            progress={"status": "queued"},
        )
        await self.store.commit(self.store.outbox.enqueue(submission, _BODY, {}, None))

    async def set_server(self, smtp: SmtpSettings | None) -> None:
        """Change the submission server of the account."""
        unit = self.store.accounts.update(self.account.id, lambda profile: replace(profile, smtp=smtp))
        await self.store.commit(unit)

    async def account_now(self) -> Account:
        account = await self.store.accounts.by_number(self.account.number)
        assert account is not None
        return account

    async def keep_gateway(self, server: SmtpSettings) -> None:
        await self.store.commit(self.store.gateways.put("relay", lambda one: replace(one, server=server)))

    async def gateway(self) -> Gateway:
        gateway = await self.store.gateways.get("relay")
        assert gateway is not None
        return gateway

    def sql(self, statement: str) -> None:
        """What another hand does to the database file."""
        with contextlib.closing(sqlite3.connect(self._folder / "m.db", timeout=10)) as connection, connection:
            connection.execute(statement)

    async def events(self) -> list[EventName]:
        return [event.name for event in await self.store.events.of_account_after(self.account.number, 1, 100)]


@pytest.fixture
async def world(tmp_path: Path, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_World]:
    monkeypatch.setattr(delivery, "_OUTCOME_PAUSES_SECONDS", (0.05,) * 100)
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    settings = SettingsService(store)
    await settings.establish({}, {})
    smtp = SmtpSettings(host=smtp_sink.host, port=smtp_sink.port, secure=False, tls={"disabled": True})
    profile = AccountProfile(name="Ann", email="ann@example.test", smtp=smtp)
    account = (await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: profile, 0))).account
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 60_000))
    [lease] = await store.commit(store.nodes.take("n1", await store.nodes.free()))
    access = cast(OwnedMailAccess, _Owner(Fence(lease.account, lease.epoch)))
    http = HttpClient(policy=EgressPolicy.LINK_LOCAL, user_agent="test")
    transports = Transports(
        Config(),
        settings,
        AuthServer(settings, http, timeout_seconds=5),
        LocalAddressBook(settings, DnsResolver()),
    )
    mailboxes = MailboxService(store, access)
    uncertainty = Uncertainty(store, access, mailboxes, SystemClock(), hold_seconds=3600, backoff_seconds=60)
    service = DeliveryService(
        store,
        settings,
        transports,
        access,
        SystemClock(),
        _Counts(),
        Journal(),
        uncertainty,
        backoff_seconds=60,
    )
    yield _World(store, account, service, tmp_path)
    await transports.aclose()
    await http.aclose()
    await store.close()


async def _logged(logs: list[Any], event: str) -> None:
    async with asyncio.timeout(10):
        while not any(entry["event"] == event for entry in logs):
            await asyncio.sleep(0)


async def test_an_outcome_is_stored_once_when_the_database_is_back(world: _World, smtp_sink: SmtpSink) -> None:
    await world.queue("q1")
    world.sql("ALTER TABLE events RENAME TO events_away")
    with structlog.testing.capture_logs() as logs:
        delivering = asyncio.create_task(world.service.deliver(world.account.number))
        await _logged(logs, "outcome_not_stored")
    world.sql("ALTER TABLE events_away RENAME TO events")
    assert await delivering is None
    assert len(smtp_sink.received) == 1
    assert await world.events() == [EventName.MESSAGE_SENT]
    assert await world.store.outbox.get("q1") is None


async def test_what_was_sent_is_known_as_sent_although_the_settings_cannot_be_read(
    world: _World, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Transports.submit

    async def then_away(self: Transports, *args: Any) -> Receipt:
        receipt = await real(self, *args)
        world.sql("ALTER TABLE settings RENAME TO settings_away")
        world.service._settings._on_signals(frozenset([Signal(SETTINGS_CHANGED)]))
        return receipt

    monkeypatch.setattr(Transports, "submit", then_away)
    await world.queue("q1")
    with pytest.raises(StorageError):
        await world.service.deliver(world.account.number)
    assert len(smtp_sink.received) == 1
    assert await world.events() == [EventName.MESSAGE_SENT]
    assert await world.store.outbox.get("q1") is None


async def test_a_body_that_cannot_be_read_is_not_sent_and_holds_nobody_up(world: _World, smtp_sink: SmtpSink) -> None:
    await world.queue("q1")
    await world.queue("q2")
    world.sql("UPDATE outbox SET body = x'00' WHERE queue_id = 'q1'")
    assert await world.service.deliver(world.account.number) is not None
    assert len(smtp_sink.received) == 1
    broken = await world.store.outbox.get("q1")
    assert broken is not None
    assert (broken.phase, broken.attempts_made) == (Phase.QUEUED, 1)
    assert await world.events() == [EventName.MESSAGE_DELIVERY_ERROR, EventName.MESSAGE_SENT]


async def test_a_body_that_ends_early_is_not_sent(world: _World, smtp_sink: SmtpSink) -> None:
    await world.queue("q1")
    world.sql("UPDATE outbox SET body = NULL")
    assert await world.service.deliver(world.account.number) is not None
    assert smtp_sink.received == []


async def test_what_a_failure_left_in_the_phase_data_becomes_uncertain(world: _World, smtp_sink: SmtpSink) -> None:
    await world.queue("q1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "_OUTCOME_PAUSES_SECONDS", ())
        world.sql("ALTER TABLE events RENAME TO events_away")
        with pytest.raises(StorageError):
            await world.service.deliver(world.account.number)
        world.sql("ALTER TABLE events_away RENAME TO events")
    left = await world.store.outbox.get("q1")
    assert left is not None
    assert left.phase is Phase.DATA
    pause = await world.service.deliver(world.account.number)
    assert pause is not None and pause > 3000, "until it counts as failed"
    found = await world.store.outbox.get("q1")
    assert found is not None
    assert found.phase is Phase.UNCERTAIN
    assert (await world.events())[-1] is EventName.MESSAGE_UNCERTAIN
    assert len(smtp_sink.received) == 1


# -- gateways ---------------------------------------------------------------------------------------

_SECRET = "gateway-secret"


@pytest.fixture
async def relay(world: _World) -> AsyncIterator[SmtpSink]:
    """The server of the gateway `relay`, which asks for a login."""
    async with SmtpSink(credentials={"relay": _SECRET}) as sink:
        await world.keep_gateway(_relay_settings(sink))
        yield sink


def _relay_settings(sink: SmtpSink, password: str = _SECRET) -> SmtpSettings:
    # Without TLS a sink takes no login from anywhere but loopback.
    return SmtpSettings(sink.host, sink.port, tls={"disabled": True}, user="relay", password=password)


async def test_a_message_goes_through_its_gateway_and_is_counted_there(
    world: _World, smtp_sink: SmtpSink, relay: SmtpSink
) -> None:
    await world.store.commit(world.store.gateways.failed("relay", {"code": "EAUTH"}))
    await world.queue("q1", gateway="relay")
    await world.queue("q2")
    before_ms = SystemClock().now_ms()
    assert await world.service.deliver(world.account.number) is None
    assert [one.login for one in relay.received] == ["relay"]
    assert len(smtp_sink.received) == 1
    gateway = await world.gateway()
    assert (gateway.deliveries, gateway.last_error) == (1, None)
    assert gateway.last_use_ms is not None and gateway.last_use_ms >= before_ms
    assert await world.events() == [EventName.MESSAGE_SENT] * 2


async def test_the_status_of_the_account_is_about_its_own_server(world: _World, relay: SmtpSink) -> None:
    await world.queue("q1", gateway="relay")
    assert await world.service.deliver(world.account.number) is None
    assert (await world.account_now()).status.smtp_status is None


async def test_an_account_without_a_server_sends_through_a_gateway(world: _World, relay: SmtpSink) -> None:
    await world.set_server(None)
    await world.queue("q1", gateway="relay")
    assert await world.service.deliver(world.account.number) is None
    assert len(relay.received) == 1


async def test_connections_to_a_gateway_are_used_again(world: _World, relay: SmtpSink) -> None:
    for number in range(5):
        await world.queue(f"q{number}", gateway="relay")
    assert await world.service.deliver(world.account.number) is None
    assert (len(relay.received), relay.connection_count) == (5, 1)
    assert (await world.gateway()).deliveries == 5


async def test_a_gateway_that_went_meanwhile_is_replaced_by_the_accounts_own_server(
    world: _World, smtp_sink: SmtpSink, relay: SmtpSink
) -> None:
    await world.queue("q1", gateway="relay")
    await world.store.commit(world.store.gateways.delete("relay"))
    with structlog.testing.capture_logs() as logs:
        assert await world.service.deliver(world.account.number) is None
    assert any(one["event"] == "gateway_unknown" and one["gateway"] == "relay" for one in logs)
    assert (len(smtp_sink.received), relay.received) == (1, [])
    assert (await world.account_now()).status.smtp_status is not None


async def test_a_gateway_that_went_and_was_the_only_way_is_told(world: _World, relay: SmtpSink) -> None:
    await world.set_server(None)
    await world.queue("q1", gateway="relay")
    await world.store.commit(world.store.gateways.delete("relay"))
    assert await world.service.deliver(world.account.number) is None
    found = await world.store.outbox.get("q1")
    assert found is not None and found.phase is Phase.FAILED
    assert found.progress["error"] == {
        "message": "there is no gateway relay any more, and the account has no server of its own",
        "code": "ENOAUTH",
    }
    assert await world.events() == [EventName.MESSAGE_DELIVERY_ERROR, EventName.MESSAGE_FAILED]


async def test_a_gateway_that_lets_nobody_in_shows_it_until_a_message_gets_through(
    world: _World, relay: SmtpSink
) -> None:
    await world.keep_gateway(_relay_settings(relay, "wrong"))
    await world.queue("q1", gateway="relay")
    with structlog.testing.capture_logs() as logs:
        assert await world.service.deliver(world.account.number) is None
    error = (await world.gateway()).last_error
    assert error is not None
    assert (error["status"], error["code"], error["responseCode"]) == ("error", "EAUTH", 535)
    assert error["description"] == "The server did not accept the login"
    assert error["networkRouting"] is None
    assert (await world.account_now()).status.smtp_status is None
    events = await world.store.events.of_account_after(world.account.number, 1, 100)
    assert "wrong" not in repr((logs, events, error))
    await world.keep_gateway(_relay_settings(relay))
    await world.queue("q2", gateway="relay")
    assert await world.service.deliver(world.account.number) is None
    assert (await world.gateway()).last_error is None


async def test_a_message_that_is_refused_says_nothing_of_the_gateway(world: _World, relay: SmtpSink) -> None:
    relay.script(DialoguePhase.RCPT, "550 5.1.1 no such user")
    await world.queue("q1", gateway="relay")
    assert await world.service.deliver(world.account.number) is None
    assert await world.gateway() == Gateway("relay", server=_relay_settings(relay))


async def test_a_gateway_that_cannot_be_reached_is_tried_again(world: _World, relay: SmtpSink) -> None:
    relay.script(DialoguePhase.EHLO, Reply(drop=True), times=2)
    await world.queue("q1", gateway="relay")
    assert await world.service.deliver(world.account.number) is not None
    found = await world.store.outbox.get("q1")
    assert found is not None and (found.phase, found.attempts_made) == (Phase.QUEUED, 1)
    error = (await world.gateway()).last_error
    assert error is not None and error["code"] == "ECONNECTION"


@pytest.mark.parametrize(
    ("code", "shown"), [("CERT_HAS_EXPIRED", "ESOCKET"), ("ECONNREFUSED", None), ("EDNS", "EDNS"), ("ETLS", "ETLS")]
)
def test_which_failures_of_the_network_a_gateway_shows(code: str, shown: str | None) -> None:
    error = gateway_error(0, translated(Unavailable("no", code=code), None))
    assert (None if error is None else error["code"]) == shown


async def test_a_delivery_whose_outcome_was_stored_late_is_counted_once(world: _World, relay: SmtpSink) -> None:
    await world.queue("q1", gateway="relay")
    world.sql("ALTER TABLE events RENAME TO events_away")
    with structlog.testing.capture_logs() as logs:
        delivering = asyncio.create_task(world.service.deliver(world.account.number))
        await _logged(logs, "outcome_not_stored")
    world.sql("ALTER TABLE events_away RENAME TO events")
    assert await delivering is None
    assert ((await world.gateway()).deliveries, len(relay.received)) == (1, 1)
