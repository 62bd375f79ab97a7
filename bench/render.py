"""What filling in templates costs: the first time, again and again, and many values in one request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from mailquay.templating.engine import Part, Source
from mailquay.templating.pool import RenderPool

_TEXT = """Hi {{insert params.name "default=there"}},

thank you for order {{params.order}} of {{formatDate params.date "D MMMM YYYY"}}:
{{#each params.items}}
- {{name}}: {{count}} at {{price}}
{{/each}}
{{#greaterThan params.total 100}}Nothing to pay for delivery.{{else}}Delivery is 5.{{/greaterThan}}

{{account.name}}
"""
_HTML = (
    "<html><body><p>Hi {{params.name}}</p><table>{{#each params.items}}"
    "<tr><td>{{name}}</td><td>{{count}}</td><td>{{price}}</td></tr>{{/each}}</table>"
    + "<p>A sentence that stays as it is, as most of a newsletter does.</p>\n" * 100
    + "<p>{{account.name}}, {{service.url}}</p></body></html>"
)
_RENDERS = 5000
_BATCH = 50


def _source(name: str) -> Source:
    return Source(
        (
            Part("subject", f"{name}: order {{{{params.order}}}}", escaped=False),
            Part("text", _TEXT, escaped=False),
            Part("html", _HTML, escaped=True),
        )
    )


def _context(n: int) -> bytes:
    items = [{"name": f"Thing <{i}>", "count": i, "price": f"{i}.50"} for i in range(5)]
    params = {"name": f"Person {n}", "order": n, "date": "2026-11-21", "items": items, "total": n}
    account = {"name": "Shop", "email": "shop@example.com"}
    return json.dumps({"account": account, "service": {"url": "https://example.com"}, "params": params}).encode()


async def _timed(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    began, used = time.perf_counter(), time.process_time()
    await work()
    seconds = time.perf_counter() - began
    print(f"| {name} | {count / seconds:,.0f}/s ({(time.process_time() - used) / count * 1e3:.2f} ms of processor) |")


async def _measure(pool: RenderPool) -> None:
    async def one(source: Source, n: int, owner: int = 1) -> None:
        [result] = await pool.render(owner, source, [_context(n)], 0, timeout_seconds=60)
        assert isinstance(result, list), result

    async def fresh() -> None:
        for n in range(100):
            await one(_source(f"new {n}"), n)

    async def again() -> None:
        for n in range(_RENDERS):
            await one(source, n)

    async def by_many() -> None:
        await asyncio.gather(*(one(source, n, n % 50) for n in range(_RENDERS)))

    async def merge() -> None:
        for start in range(0, _RENDERS, _BATCH):
            contexts = [_context(n) for n in range(start, start + _BATCH)]
            await pool.render(1, source, contexts, 0, timeout_seconds=60)

    source = _source("kept")
    await _timed("100 templates, each for the first time", 100, fresh)
    await _timed(f"a template of three texts ({len(_HTML):,} characters), one after another", _RENDERS, again)
    await _timed("… for 50 accounts at once", _RENDERS, by_many)
    await _timed(f"… {_BATCH} contexts at a time, as a mail merge does", _RENDERS, merge)


async def main() -> None:
    """Measure with two threads."""
    print("| filling in templates | |\n| --- | --- |")
    pool = RenderPool(2)
    try:
        await _measure(pool)
    finally:
        await pool.close()
