"""kill -9 at random moments: nothing acknowledged is lost, nothing is sent twice, every message is announced once."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailquay.model.event import EventName
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import SmtpSink

pytestmark = pytest.mark.server

_SEED = int(os.environ.get("MAILQUAY_SOAK_SEED", "7"))
_MARK = re.compile(rb"^Subject: mark-(\d+)\r$", re.MULTILINE)


class _Submitter:
    """Submits messages one after another, each until it is acknowledged, as a careful caller does."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.acknowledged: dict[int, str] = {}

    async def run(self, count: int) -> None:
        for n in range(count):
            body = {"to": {"address": "x@remote.test"}, "subject": f"mark-{n}", "text": f"message {n}"}
            while True:
                try:
                    status, answer = await self._server.request(
                        "POST", "/v1/account/ann/submit", body, headers={"Idempotency-Key": f"mark-{n}"}
                    )
                except (aiohttp.ClientError, OSError, TimeoutError):
                    await asyncio.sleep(0.05)  # the server is being killed and started again
                    continue
                assert status == 200, answer
                self.acknowledged[n] = answer["queueId"]
                break


async def _kill_and_restart(server: Server, rng: random.Random, kills: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.2, 1.2))  # the moment of the crash
        await server.kill()
        await server.start()


async def _deliver(dovecot: Dovecot, user: MailUser, rng: random.Random, count: int) -> None:
    for n in range(count):
        text = f"From: a@b.test\r\nSubject: in-{n}\r\nMessage-ID: <in-{n}@b.test>\r\n\r\nx\r\n"
        await dovecot.deliver(user.login, text.encode())
        await asyncio.sleep(rng.uniform(0.0, 0.08))  # spread over the kills


def _mailbox_of(sink: SmtpSink) -> Counter[int]:
    marks: Counter[int] = Counter()
    for message in sink.received:
        found = _MARK.search(message.content)
        if found is not None:
            marks[int(found[1])] += 1
    return marks


async def _settled(store: Store, account: int) -> tuple[set[str], list[str]]:
    """Queue ids that are uncertain, and those that still wait."""
    _, found = await store.outbox.page(0, limit=10_000, offset=0)
    uncertain = {submission.queue_id for submission in found if submission.phase.value == "uncertain"}
    waiting = [s.queue_id for s in found if s.phase.value in ("queued", "data") and s.account == account]
    return uncertain, waiting


@pytest.mark.parametrize(("count", "kills"), [(40, 3), pytest.param(500, 10, marks=pytest.mark.soak)])
async def test_kills_lose_nothing_and_double_nothing(
    count: int,
    kills: int,
    dovecot: Dovecot,
    postfix: Postfix,
    smtp_sink: SmtpSink,
    mail_user: MailUser,
    tmp_path: Path,
) -> None:
    rng = random.Random(_SEED)
    async with Server(tmp_path, submit_backoff="100ms") as server:
        body = account_body(dovecot, postfix, mail_user, "ann")
        body["smtp"] |= {"host": "127.0.0.1", "port": smtp_sink.port}
        body["smtp"].pop("auth")
        body["copy"] = False
        await server.ok("POST", "/v1/account", body)
        await server.wait_connected("ann")
        submitter = _Submitter(server)
        async with asyncio.timeout(60 + count), asyncio.TaskGroup() as group:
            group.create_task(submitter.run(count))
            group.create_task(_deliver(dovecot, mail_user, rng, count))
            group.create_task(_kill_and_restart(server, rng, kills))
        await server.wait_connected("ann")
        store = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "encryption.key")
        try:
            account = await store.accounts.get("ann")
            assert account is not None
            await _wait_until_done(store, account.number, count)
            uncertain, _ = await _settled(store, account.number)
            events = await store.events.of_account_after(account.number, 0, 1_000_000)
        finally:
            await store.close()
    marks = _mailbox_of(smtp_sink)
    for n, queue_id in submitter.acknowledged.items():
        if queue_id in uncertain:
            assert marks[n] <= 1, f"mark-{n} was sent {marks[n]} times"
        else:
            assert marks[n] == 1, f"mark-{n} was sent {marks[n]} times"
    assert len(submitter.acknowledged) == count
    announced = Counter(_uid(event.facts) for event in events if event.name is EventName.MESSAGE_NEW)
    assert announced == Counter(range(1, count + 1))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def _uid(facts: Any) -> int:
    return int(facts["uid"])


async def _wait_until_done(store: Store, number: int, count: int) -> None:
    async with asyncio.timeout(90):
        while True:
            _, waiting = await _settled(store, number)
            counters = await store.accounts.event_counters(number)
            if not waiting and counters.get("messageNew", 0) >= count:
                return
            await asyncio.sleep(0.2)  # another process works on it; its commits are seen by looking
