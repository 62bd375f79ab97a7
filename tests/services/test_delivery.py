"""Delivery to a real SMTP server while our own database fails: sent once, told once, nobody held up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from mailquay.backends.interface import Receipt
from mailquay.config import Config
from mailquay.errors import StorageError
from mailquay.model.account import Account, AccountId, AccountProfile, SmtpSettings
from mailquay.model.event import EventName
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
from mailquay.services.uncertainty import Uncertainty
from mailquay.storage.interface import SETTINGS_CHANGED, Signal
from mailquay.storage.store import Store, open_store
from tests.runtime.harness import Journal
from tests.servers.smtp_sink import SmtpSink

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

    async def queue(self, queue_id: str) -> None:
        now_ms = SystemClock().now_ms()
        submission = Submission(
            queue_id=queue_id,
            account=self.account.number,
            message_id=f"<{queue_id}@example.test>",
            envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
            options=SubmissionOptions(subject="x"),
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
