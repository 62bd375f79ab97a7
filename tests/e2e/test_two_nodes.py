"""Two real processes on one PostgreSQL: both answer for all accounts; one is killed, the other takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mailquay.model.event import EventName
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.server
_ACCOUNTS = 8


async def _owners(store: Store, numbers: Sequence[int]) -> dict[int, str | None]:
    leases = [await store.nodes.lease(number) for number in numbers]
    return {number: lease.node if lease else None for number, lease in zip(numbers, leases, strict=True)}


async def _until_owned_by(store: Store, numbers: Sequence[int], nodes: int, seconds: float) -> set[str | None]:
    async with asyncio.timeout(seconds):
        while True:
            owners = set((await _owners(store, numbers)).values())
            if None not in owners and len(owners) == nodes:
                return owners
            await asyncio.sleep(0.1)  # leases are another process's doing


async def test_the_survivor_owns_everything(
    dovecot: Dovecot, postfix: Postfix, postgres_dsn: str, tmp_path: Path
) -> None:
    users: dict[str, MailUser] = {f"a{n}": dovecot.new_user() for n in range(_ACCOUNTS)}
    key = tmp_path / "key"
    options: dict[str, Any] = {"key_file": key, "lease_ttl": "2s", "lease_renew": "500ms"}
    # Node ids decide who prefers which account; these share eight, where drawn ones once in 128 runs do not.
    for name, node_id in (("one", "1" * 32), ("two", "2" * 32)):
        (tmp_path / name / "nodes").mkdir(parents=True)
        (tmp_path / name / "nodes" / "0.id").write_text(f"{node_id}\n", encoding="ascii")
    async with (
        Server(tmp_path / "one", database=postgres_dsn, **options) as one,
        Server(tmp_path / "two", database=postgres_dsn, **options) as two,
    ):
        store = await open_store(postgres_dsn, key_file=key)
        for name, user in users.items():
            await one.ok("POST", "/v1/account", account_body(dovecot, postfix, user, name))
        accounts = [await store.accounts.get(name) for name in users]
        numbers = [account.number for account in accounts if account is not None]
        await _until_owned_by(store, numbers, 2, 15)
        for name, user in users.items():
            await dovecot.deliver(user.login, b"From: a@b.test\r\nSubject: one\r\nMessage-ID: <1@b>\r\n\r\nx\r\n")
            for server in (one, two):
                await server.wait_connected(name)
        await _wait_for_news(store, numbers, 1)
        for name in users:
            pages = [await server.ok("GET", f"/v1/account/{name}/messages?path=INBOX") for server in (one, two)]
            assert pages[0]["messages"] == pages[1]["messages"]
            [listed] = pages[0]["messages"]
            for server in (one, two):
                read = await server.ok("GET", f"/v1/account/{name}/message/{listed['id']}?textType=*")
                assert read["text"]["plain"] == "x\n"
        epochs = [lease.epoch for number in numbers if (lease := await store.nodes.lease(number))]

        assert one.process is not None
        os.killpg(one.process.pid, signal.SIGKILL)
        [survivor] = await _until_owned_by(store, numbers, 1, 12)
        after = [lease for number in numbers if (lease := await store.nodes.lease(number))]
        assert {lease.node for lease in after} == {survivor}
        assert sum(lease.epoch for lease in after) > sum(epochs)
        for name, user in users.items():
            await dovecot.deliver(user.login, b"From: a@b.test\r\nSubject: two\r\nMessage-ID: <2@b>\r\n\r\nx\r\n")
            await two.wait_connected(name)
        await _wait_for_news(store, numbers, 2)
        for name in users:
            listing = await two.ok("GET", f"/v1/account/{name}/messages?path=INBOX")
            assert [message["subject"] for message in listing["messages"]] == ["two", "one"]
        events = await store.events.after(0, 100_000)
        assert [event.position for event in events] == list(range(1, len(events) + 1))
        for number in numbers:
            news = [e.facts["uid"] for e in events if e.account == number and e.name is EventName.MESSAGE_NEW]
            assert news == [1, 2]
        await store.close()


async def _wait_for_news(store: Store, numbers: Sequence[int], count: int) -> None:
    async with asyncio.timeout(30):
        while True:
            counts = [(await store.accounts.event_counters(number)).get("messageNew", 0) for number in numbers]
            if all(found >= count for found in counts):
                return
            await asyncio.sleep(0.1)  # the log grows in other processes
