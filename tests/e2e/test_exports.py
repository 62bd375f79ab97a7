"""Exports with real processes and Dovecot: killed again and again, downloaded at any node, told of once."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server

_SEED = int(os.environ.get("MAILQUAY_SOAK_SEED", "7"))
_BODY = {"startDate": "2020-01-01", "endDate": "2100-01-01", "includeAttachments": True}


def _mail(n: int, size: int) -> bytes:
    text = random.Random(n).randbytes(size // 2).hex()
    lines = "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    return f"From: a@b.test\r\nSubject: in-{n}\r\nMessage-ID: <in-{n}@b.test>\r\n\r\n{lines}\r\n".encode()


async def _until(server: Server, export: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Poll the export, as callers without webhooks do."""
    async with asyncio.timeout(120):
        while True:
            shown: dict[str, Any] = await server.ok("GET", f"/v1/account/ann/export/{export}")
            if wanted(shown):
                return shown
            await asyncio.sleep(0.02)


def _has_more(told: int, shown: dict[str, Any]) -> bool:
    return shown["status"] == "completed" or int(shown["progress"]["messagesExported"]) > told


def _lines(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(raw).splitlines()]


async def test_kills_lose_and_double_no_message(
    dovecot: Dovecot, postfix: Postfix, webhook_sink: WebhookSink, mail_user: MailUser, tmp_path: Path
) -> None:
    count, rng = 400, random.Random(_SEED)
    dovecot.fill(mail_user.login, [_mail(n, 100_000) for n in range(count)])
    settings = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["exportCompleted"]}
    async with Server(tmp_path) as server:
        await server.ok("POST", "/v1/settings", settings)
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        export = (await server.ok("POST", "/v1/account/ann/export", _BODY))["exportId"]
        told, kills = 0, 0
        while kills < 3:
            await asyncio.sleep(rng.uniform(0.05, 0.3))  # the moment of the crash
            # Each time something more than before, so that it cannot be killed for ever.
            shown = await _until(server, export, partial(_has_more, told))
            if shown["status"] == "completed":
                break
            told, kills = shown["progress"]["messagesExported"], kills + 1
            await server.kill()
            await server.start()
            after = await server.ok("GET", f"/v1/account/ann/export/{export}")
            assert after["progress"]["messagesExported"] >= told
        done = await _until(server, export, lambda one: one["status"] not in ("queued", "processing"))
        assert (done["status"], done["progress"]["messagesExported"]) == ("completed", count)
        status, raw = await server.request("GET", f"/v1/account/ann/export/{export}/download")
        assert status == 200 and len(raw) == done["progress"]["bytesWritten"]
        subjects = [line["subject"] for line in _lines(raw)]
        assert sorted(subjects) == sorted(f"in-{n}" for n in range(count))
        [hook] = await webhook_sink.wait_for_events("exportCompleted", account="ann")
        assert hook.payload["data"]["exportId"] == export
        assert hook.payload["data"]["messagesExported"] == count
        # All that the database or a crash left over is gone; the file is in as many pieces as were noted.
        folder = tmp_path / "exports" / export
        assert len(list(folder.glob("*.content"))) == len(list(folder.glob("*.directory")))
        assert kills > 0 and told > 0
        await server.ok("DELETE", f"/v1/account/ann/export/{export}")
        async with asyncio.timeout(10):
            while folder.exists():
                await asyncio.sleep(0.05)  # files are removed behind the answer
    assert len([one for one in webhook_sink.requests if one.event == "exportCompleted"]) == 1


async def test_a_file_is_downloaded_at_any_node(
    dovecot: Dovecot, postfix: Postfix, postgres_dsn: str, mail_user: MailUser, tmp_path: Path
) -> None:
    dovecot.fill(mail_user.login, [_mail(n, 50_000) for n in range(60)])
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    options: dict[str, Any] = {"key_file": tmp_path / "key", "lease_ttl": "2s", "lease_renew": "500ms"}
    async with (
        Server(tmp_path / "one", database=postgres_dsn, **options) as one,
        Server(tmp_path / "two", database=postgres_dsn, **options) as two,
    ):
        await one.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await two.wait_connected("ann")
        export = (await two.ok("POST", "/v1/account/ann/export", _BODY))["exportId"]
        for server in (one, two):
            await _until(server, export, lambda shown: shown["status"] == "completed")
        files = []
        for server in (one, two):
            status, raw = await server.request("GET", f"/v1/account/ann/export/{export}/download")
            assert status == 200
            files.append(raw)
        assert files[0] == files[1] and len(_lines(files[0])) == 60
        holders = [server for server in (one, two) if (server.folder / "exports" / export).exists()]
        assert len(holders) == 1
        [other] = [server for server in (one, two) if server is not holders[0]]
        await holders[0].kill()
        async with asyncio.timeout(15):
            while True:
                status, answer = await other.request("GET", f"/v1/account/ann/export/{export}/download")
                assert (status, answer["code"]) == (503, "WorkerNotAvailable")
                if "has the file" in answer["message"]:
                    break
                await asyncio.sleep(0.2)  # until its lease has run out
        await holders[0].start()
        async with asyncio.timeout(15):
            while True:
                status, raw = await other.request("GET", f"/v1/account/ann/export/{export}/download")
                if status == 200:
                    break
                await asyncio.sleep(0.2)  # until the other node is known again
        assert raw == files[0]


async def test_processes_that_share_a_folder_share_its_files(
    dovecot: Dovecot, postfix: Postfix, mail_user: MailUser, tmp_path: Path
) -> None:
    dovecot.fill(mail_user.login, [_mail(n, 1000) for n in range(30)])
    async with Server(tmp_path, processes=2) as server:
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        # Whichever process takes a request: one of them owns the account.
        for _ in range(6):
            export = (await server.ok("POST", "/v1/account/ann/export", _BODY, headers={"Connection": "close"}))[
                "exportId"
            ]
            await _until(server, export, lambda shown: shown["status"] == "completed")
            for _ in range(4):
                path = f"/v1/account/ann/export/{export}/download"
                status, raw = await server.request("GET", path, headers={"Connection": "close"})
                assert status == 200 and len(_lines(raw)) == 30
