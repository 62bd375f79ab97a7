"""Mail merges against whole servers: sent once each although the process is killed in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.server import Server
from tests.servers.smtp_sink import SmtpSink

_SEED = int(os.environ.get("MAILQUAY_SOAK_SEED", "7"))
_MARK = re.compile(rb"^Subject: mark-(\d+)\r$", re.MULTILINE)


async def _registered(server: Server, sink: SmtpSink) -> None:
    smtp = {"host": "127.0.0.1", "port": sink.port, "secure": False}
    body = {"account": "ann", "name": "Ann", "email": "ann@example.com", "smtp": smtp, "copy": False}
    await server.ok("POST", "/v1/account", body)


def _merge(count: int) -> dict[str, Any]:
    """So many entries, each of which can be told by its subject."""
    entries = [{"to": {"address": f"m{n}@remote.test"}, "params": {"n": n}} for n in range(count)]
    return {"subject": "mark-{{params.n}}", "html": "<p>{{params.n}} of {{account.name}}</p>", "mailMerge": entries}


async def _until_acknowledged(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    while True:
        try:
            status, answer = await server.request(
                "POST", "/v1/account/ann/submit", body, headers={"Idempotency-Key": "all"}
            )
        except (aiohttp.ClientError, OSError, TimeoutError):
            await asyncio.sleep(0.05)  # the server is being killed and started again
            continue
        assert status == 200, answer
        shown: dict[str, Any] = answer
        return shown


def _queued(folder: Path) -> int:
    """How many messages are in the outbox, seen by another process."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/mailquay.db?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])


async def _kill(server: Server, at: list[int]) -> list[int]:
    """Kill the server once so many entries are queued, and start it again; how many there were each time."""
    found = []
    for wanted in at:
        while _queued(server.folder) < wanted:
            await asyncio.sleep(0.005)  # the commits of another process are seen by looking
        await server.kill()
        found.append(_queued(server.folder))
        await server.start()
    return found


@pytest.mark.parametrize(("count", "kills"), [(600, 2), pytest.param(5000, 10, marks=pytest.mark.soak)])
async def test_kills_lose_no_entry_and_double_none(count: int, kills: int, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    at = sorted(random.Random(_SEED).sample(range(1, count // 2), kills))
    async with Server(tmp_path, submit_backoff="100ms") as server:
        await _registered(server, smtp_sink)
        # Nothing is sent before all is queued: a kill while sending leaves doubt, which is another test's matter.
        await server.ok("PUT", "/v1/settings/queue/submit", {"paused": True})
        async with asyncio.timeout(120 + count), asyncio.TaskGroup() as group:
            merging = group.create_task(_until_acknowledged(server, _merge(count)))
            killing = group.create_task(_kill(server, at))
        assert all(0 < found < count for found in killing.result())
        results = merging.result()["mailMerge"]
        assert len({one["queueId"] for one in results if one["success"]}) == count
        assert (await server.ok("GET", "/v1/outbox"))["total"] == count
        again = await _until_acknowledged(server, _merge(count))
        assert again["idempotency"]["status"] == "HIT" and again["mailMerge"] == results
        await server.ok("PUT", "/v1/settings/queue/submit", {"paused": False})
        async with asyncio.timeout(60 + count):
            while (await server.ok("GET", "/v1/outbox"))["total"]:
                await asyncio.sleep(0.1)  # the API's own way to learn of it without webhooks
    marks = Counter(_mark(message.content) for message in smtp_sink.received)
    assert marks == Counter(range(count))


def _mark(content: bytes) -> int:
    found = _MARK.search(content)
    assert found is not None
    return int(found[1])


async def test_a_template_from_keeping_it_to_the_mailbox(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    async with Server(tmp_path) as server:
        await _registered(server, smtp_sink)
        texts = {"subject": "mark-{{params.n}}", "html": "# Hi *{{params.name}}*", "previewText": "For {{params.name}}"}
        template = {"account": "ann", "name": "Welcome", "format": "markdown", "content": texts}
        kept = (await server.ok("POST", "/v1/templates/template", template))["id"]
        params = {"n": 1, "name": "<Bo>"}
        body = {"to": {"address": "bo@remote.test"}, "template": kept, "render": {"params": params}}
        await server.ok("POST", "/v1/account/ann/submit", body)
        await smtp_sink.wait_for(1)
        [message] = smtp_sink.received
        assert _mark(message.content) == 1
        for part in (b"<h1>Hi <em>&lt;Bo&gt;</em></h1>", b"For &lt;Bo&gt;</div>", b"Hi <Bo>\r\n"):
            assert part in message.content
        status, answer = await server.request("POST", "/v1/account/ann/submit", {**body, "render": {"format": "x"}})
        assert status == 400
        broken = {"to": {"address": "bo@remote.test"}, "html": "{{#if}}", "render": {}}
        status, answer = await server.request("POST", "/v1/account/ann/submit", broken)
        assert (status, answer["info"]["part"]) == (422, "html")
        await server.ok("DELETE", "/v1/account/ann")
        status, answer = await server.request("GET", f"/v1/templates/template/{kept}")
        assert (status, answer["code"]) == (404, "TemplateNotFound")
