"""Messages whose reply never came: told once, found among the sent mail, held, sent again, or settled by somebody."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.account import Account, AccountProfile, SmtpSettings
from mailquay.model.event import EventName, LoggedEvent
from mailquay.model.submission import Phase, ReferenceUpdate, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.net.dns import DnsResolver
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.runtime.local_addresses import LocalAddressBook
from mailquay.runtime.transports import Transports
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import filing
from mailquay.services.auth_server import AuthServer
from mailquay.services.delivery import DeliveryService
from mailquay.services.mailboxes import MailboxService
from mailquay.services.outbox import OutboxService
from mailquay.services.uncertainty import Uncertainty
from tests.runtime.harness import Journal, SystemClock, TestNode, running_node
from tests.runtime.reading import profile_at
from tests.servers import smtp_sink as sink
from tests.servers.smtp_sink import Reply, SmtpSink
from tests.services.test_delivery import _Counts

_BODY = b"From: ann@example.test\r\nMessage-ID: <q1@example.test>\r\nSubject: x\r\n\r\nHello\r\n"
_HOLD_SECONDS = 3600.0
_TOLD = {
    EventName.MESSAGE_UNCERTAIN,
    EventName.MESSAGE_SENT,
    EventName.MESSAGE_FAILED,
    EventName.MESSAGE_DELIVERY_ERROR,
}


class _Clock(SystemClock):
    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms

    def pass_by(self, seconds: float) -> None:
        self.ahead_ms += int(seconds * 1000)


@dataclass
class _Sender:
    """An account that sends, and everything of it that a test looks at."""

    node: TestNode
    account: Account
    service: DeliveryService
    outbox: OutboxService
    clock: _Clock
    smtp: SmtpSink

    async def queue(self, **options: Any) -> None:
        """A message that is due."""
        now_ms = self.clock.now_ms()
        submission = Submission(
            queue_id="q1",
            account=self.account.number,
            message_id="<q1@example.test>",
            envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
            options=SubmissionOptions(subject="x", **options),
            phase=Phase.QUEUED,
            created_ms=now_ms,
            scheduled_ms=now_ms,
            next_attempt_ms=now_ms,
            attempts_made=0,
            attempts=2,
            size_bytes=len(_BODY),
            progress={"status": "queued"},
        )
        await self.node.store.commit(self.node.store.outbox.enqueue(submission, _BODY, {}, None))

    async def deliver(self) -> float | None:
        """A turn of the worker."""
        return await self.service.deliver(self.account.number)

    async def phase(self) -> Phase | None:
        found = await self.node.store.outbox.get("q1")
        return None if found is None else found.phase

    async def told(self) -> list[LoggedEvent]:
        """The events about the message."""
        events = await self.node.store.events.of_account_after(self.account.number, 0, 1000)
        return [event for event in events if event.name in _TOLD]

    async def names(self) -> list[EventName]:
        return [event.name for event in await self.told()]


@contextlib.asynccontextmanager
async def _sending(world: SandboxWorld, smtp: SmtpSink, folder: Path, **changes: Any) -> AsyncIterator[_Sender]:
    server = SmtpSettings(host=smtp.host, port=smtp.port, secure=False, tls={"disabled": True})
    profile: AccountProfile = profile_at(world, smtp=server, **changes)
    async with running_node(f"sqlite:///{folder}/m.db", folder) as node, contextlib.AsyncExitStack() as stack:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        account = await node.connected(account)
        http = HttpClient(policy=EgressPolicy.LINK_LOCAL, user_agent="test")
        stack.push_async_callback(http.aclose)
        auth = AuthServer(node.settings, http, timeout_seconds=5)
        transports = Transports(Config(), node.settings, auth, LocalAddressBook(node.settings, DnsResolver()))
        stack.push_async_callback(transports.aclose)
        clock, mailboxes = _Clock(), MailboxService(node.store, node.access)
        uncertainty = Uncertainty(
            node.store, node.access, mailboxes, clock, hold_seconds=_HOLD_SECONDS, backoff_seconds=5
        )
        service = DeliveryService(
            node.store,
            node.settings,
            transports,
            node.access,
            clock,
            _Counts(),
            Journal(),
            uncertainty,
            backoff_seconds=5,
        )
        outbox = OutboxService(node.store, clock, uncertainty)
        yield _Sender(node, account, service, outbox, clock, smtp)


@pytest.fixture
async def ann(world: SandboxWorld, smtp_sink: SmtpSink, tmp_path: Path) -> AsyncIterator[_Sender]:
    """An account whose messages are taken, and the answers lost."""
    smtp_sink.script(sink.Phase.BODY, Reply(drop=True, keep=True), times=1)
    async with _sending(world, smtp_sink, tmp_path) as sender:
        yield sender


async def test_a_doubt_is_told_and_held_until_it_counts_as_failed(ann: _Sender) -> None:
    await ann.queue()
    pause = await ann.deliver()
    assert pause is not None and _HOLD_SECONDS - 60 < pause <= _HOLD_SECONDS
    [event] = await ann.told()
    assert event.name is EventName.MESSAGE_UNCERTAIN
    assert event.facts["policy"] == "hold" and event.facts["errorCode"] == "EUNCERTAIN" and event.facts["heldUntil"]
    shown = await ann.outbox.get("q1")
    assert shown is not None and shown["nextAttempt"] is False and shown["attemptsMade"] == 1
    assert shown["progress"]["error"]["code"] == "EUNCERTAIN" and shown["progress"]["uncertainSince"]
    assert "uncertainSinceMs" not in shown["progress"]
    ann.clock.pass_by(_HOLD_SECONDS - 10)
    await ann.deliver()
    assert await ann.phase() is Phase.UNCERTAIN, "not yet"
    ann.clock.pass_by(11)
    assert await ann.deliver() is None
    assert await ann.phase() is Phase.FAILED
    failed = (await ann.told())[-1]
    assert failed.name is EventName.MESSAGE_FAILED and failed.facts["errorCode"] == "EUNCERTAIN"
    assert [chunk async for chunk in ann.node.store.outbox.body("q1")] == []
    assert len(ann.smtp.received) == 1, "it was never sent again"


async def test_what_a_crash_left_behind_is_told_once(ann: _Sender) -> None:
    await ann.queue()
    store, fence = ann.node.store, ann.node.access.fence(ann.account.number)
    [due] = await store.outbox.due(ann.account.number, ann.clock.now_ms(), 1)
    assert await store.commit(store.outbox.begin_data(due, fence, {"status": "smtp-starting"}))
    marked = store.outbox.mark_uncertain(ann.account.number, fence, ann.clock.now_ms())
    assert await store.commit(marked) == ["q1"]
    for _ in range(2):
        assert await ann.deliver() is not None
    assert await ann.names() == [EventName.MESSAGE_UNCERTAIN]
    assert ann.smtp.received == []


async def test_an_account_may_have_it_sent_again(world: SandboxWorld, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.script(sink.Phase.BODY, Reply(drop=True, keep=True), times=2)
    async with _sending(world, smtp_sink, tmp_path, when_uncertain="retry") as ann:
        await ann.queue(copy=False)
        for _ in range(3):
            ann.clock.pass_by(30)
            await ann.deliver()
        assert len(smtp_sink.received) == 2
        ann.clock.pass_by(30)
        assert await ann.deliver() is None
        assert await ann.phase() is Phase.FAILED, "both attempts were used"
        assert await ann.names() == [EventName.MESSAGE_UNCERTAIN] * 2 + [EventName.MESSAGE_FAILED]
        assert len(smtp_sink.received) == 2


async def test_a_copy_of_the_provider_settles_it(
    world: SandboxWorld, smtp_sink: SmtpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_OWN_COPY_HOSTS", (smtp_sink.host,))
    smtp_sink.script(sink.Phase.BODY, Reply(drop=True, keep=True), times=1)
    async with _sending(world, smtp_sink, tmp_path, when_uncertain="retry") as ann:
        await ann.queue(reference=ReferenceUpdate("AAAAAQAAAAE", ("\\Answered",)))
        pause = await ann.deliver()
        assert pause is not None and pause <= 5
        ann.clock.pass_by(6)
        await ann.deliver()
        assert await ann.phase() is Phase.UNCERTAIN, "not there yet"
        world.store_of(world.accounts[0].email).append("Sent", _BODY)
        ann.clock.pass_by(10)
        await ann.deliver()
        assert await ann.phase() is Phase.FILING, "the message that it answers is still to be flagged"
        assert await ann.names() == [EventName.MESSAGE_UNCERTAIN, EventName.MESSAGE_SENT]
        assert [chunk async for chunk in ann.node.store.outbox.body("q1")] == [], "it is filed already"
        assert len(smtp_sink.received) == 1


@pytest.mark.parametrize(
    ("outcome", "phase", "told"),
    [
        ("sent", Phase.FILING, [EventName.MESSAGE_SENT]),
        ("failed", Phase.FAILED, [EventName.MESSAGE_FAILED]),
        ("retry", Phase.QUEUED, []),
    ],
)
async def test_somebody_says_what_became_of_it(ann: _Sender, outcome: str, phase: Phase, told: list[EventName]) -> None:
    await ann.queue()
    with pytest.raises(InvalidRequest) as early:
        await ann.outbox.resolve("q1", outcome)
    assert early.value.code == "NotUncertain"
    await ann.deliver()
    await ann.outbox.resolve("q1", outcome)
    assert await ann.phase() is phase
    assert await ann.names() == [EventName.MESSAGE_UNCERTAIN, *told]
    if outcome == "retry":
        assert await ann.deliver() is None
        assert len(ann.smtp.received) == 2
        assert (await ann.names())[-1] is EventName.MESSAGE_SENT
    else:
        with pytest.raises((InvalidRequest, NotFound)):
            await ann.outbox.resolve("q1", outcome)
    with pytest.raises(NotFound):
        await ann.outbox.resolve("nobody", outcome)


async def test_a_draft_that_counts_as_sent_is_still_to_be_removed(ann: _Sender) -> None:
    await ann.queue(draft="AAAAAQAAAAE", copy=False)
    await ann.deliver()
    await ann.outbox.resolve("q1", "sent")
    assert await ann.phase() is Phase.FILING


async def test_a_message_that_waits_can_be_sent_now(ann: _Sender) -> None:
    await ann.queue()
    store = ann.node.store
    [due] = await store.outbox.due(ann.account.number, ann.clock.now_ms(), 1)
    later = dataclasses.replace(due, queue_id="q2", next_attempt_ms=ann.clock.now_ms() + 10**9)
    await store.commit(store.outbox.enqueue(later, _BODY, {}, None))
    await ann.deliver()
    assert not await ann.outbox.retry("q1"), "it is uncertain"
    assert await ann.outbox.retry("q2") and not await ann.outbox.retry("q3")
    await ann.deliver()
    assert len(ann.smtp.received) == 2
