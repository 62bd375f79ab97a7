"""Mail merges of 2,000 entries in one request to a whole server, and what others notice of it meanwhile."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.world import pss_mb, quantile, row, server_in
from tests.e2e.server import Server

_ENTRIES = int(os.environ.get("BENCH_ENTRIES", "2000"))
_HTML = "<p>Hi {{params.name}}, order {{params.order}}</p>\n" + "<p>What everybody gets to read.</p>\n" * 100
_SMTP = {"host": "127.0.0.1", "port": 9, "secure": False}


def _body(**more: Any) -> dict[str, Any]:
    entries = [
        {"to": {"address": f"m{n}@example.com"}, "params": {"name": f"Person {n}", "order": n}} for n in range(_ENTRIES)
    ]
    # Far ahead: what is measured is queueing, not sending.
    return {"subject": "Order {{params.order}}", "html": _HTML, "mailMerge": entries, "sendAt": "2100-01-01", **more}


async def _asked(server: Server, done: asyncio.Event) -> list[float]:
    """How long a request takes that comes again and again, in milliseconds."""
    took = []
    while not done.is_set():
        began = time.perf_counter()
        await server.ok("GET", "/v1/account/shop")
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.002)
    return took


async def _measured(server: Server, name: str, body: dict[str, Any], key: str) -> None:
    done = asyncio.Event()
    others = asyncio.create_task(_asked(server, done))
    began = time.perf_counter()
    answer = await server.ok("POST", "/v1/account/shop/submit", body, headers={"Idempotency-Key": key})
    seconds = time.perf_counter() - began
    done.set()
    took = await others
    assert len(answer["mailMerge"]) == _ENTRIES and all(one["success"] for one in answer["mailMerge"])
    row(f"{_ENTRIES:,} entries, {name}", f"{seconds:.1f} s ({_ENTRIES / seconds:,.0f}/s)")
    row("… another request meanwhile, p50 / p99 / longest", " / ".join(f"{ms:.0f}" for ms in _quantiles(took)) + " ms")


def _quantiles(took: list[float]) -> tuple[float, float, float]:
    return quantile(took, 50), quantile(took, 99), max(took)


async def _measure(server: Server) -> None:
    await server.ok("POST", "/v1/account", {"account": "shop", "name": "Shop", "email": "s@example.com", "smtp": _SMTP})
    done = asyncio.Event()
    alone = asyncio.create_task(_asked(server, done))
    await asyncio.sleep(2)
    done.set()
    row("a request, p50 / p99 / longest", " / ".join(f"{ms:.0f}" for ms in _quantiles(await alone)) + " ms")
    assert server.process is not None
    before = pss_mb(server.process.pid)
    await _measured(server, "4 KB each", _body(), "small")
    await _measured(server, "the same request again", _body(), "small")
    content = base64.b64encode(os.urandom(100 * 1024)).decode()
    await _measured(server, "with an attachment of 100 KB", _body(attachments=[{"content": content}]), "large")
    row("memory (PSS) before, after", f"{before:.0f}, {pss_mb(server.process.pid):.0f} MB")


async def main() -> None:
    """Measure on a fresh server."""
    Path(".cache").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=".cache")).resolve()
    print(f"| a mail merge of {_ENTRIES:,} entries | |\n| --- | --- |")
    try:
        async with server_in(folder, "merge") as server:
            await _measure(server)
    finally:
        shutil.rmtree(folder)
