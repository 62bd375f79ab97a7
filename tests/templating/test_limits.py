"""Templates that are made to do harm: each ends in a refusal, soon, and the next one is rendered as if nothing was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from mailquay.errors import TemplateError
from mailquay.templating.engine import MAX_OUTPUT_CHARACTERS, Engine, Part, Source
from mailquay.templating.pool import RenderPool
from mailquay.templating.sandbox import LimitReached
from tests.templating.rendering import NOW_MS, refused, rendered

_LOOPS = "{{#each @root.params.a}}" * 4 + "x" + "{{/each}}" * 4
_HOSTILE = {
    "a loop without end": (_LOOPS, {"a": [0] * 1000}),
    "text without end": ("{{#each params.a}}{{@root.params.b}}{{/each}}", {"a": [0] * 1000, "b": "x" * 100_000}),
    "text beyond the limit": ("{{params}}{{params}}", "x" * (MAX_OUTPUT_CHARACTERS // 2 + 1)),
    "blocks in blocks": ("{{#if 1}}" * 3000 + "{{/if}}" * 3000, {}),
    "calls in calls": ("{{lookup params " + "(lookup params " * 3000 + "0" + ")" * 3000 + "}}", {}),
    "placeholders without end": ("{{a}}" * 100_000, {}),
    "brackets in a date": ("{{formatDate 0 params}}", "[" * 4_000_000),
    "tokens in a date": ("{{formatDate 0 params}}", "LLLL" * 1_000_000),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_templates_are_refused(name: str) -> None:
    engine = Engine()
    text, params = _HOSTILE[name]
    began = time.process_time()
    error = refused(engine, text, params)
    assert isinstance(error, LimitReached)
    assert time.process_time() - began < 10
    assert rendered(engine, "{{params}} is well", "all") == "all is well"


def test_a_limit_ends_what_is_done_at_once() -> None:
    engine = Engine()
    source = Source((Part("html", _LOOPS, True),))
    contexts = [b'{"params": {"a": []}}', b'{"params": {"a": [%b]}}' % b",".join([b"0"] * 1000)]
    results = engine.render(source, contexts * 20, NOW_MS)
    assert results[0] == [""]
    assert len(results) == 2 and isinstance(results[1], LimitReached)
    assert engine.render(source, contexts[:1] * 3, NOW_MS) == [[""]] * 3


def test_long_texts_are_made_a_few_at_a_time(engine: Engine) -> None:
    contexts = [b'{"params": "%b"}' % (b"x" * 1_000_000)] * 10
    results = engine.render(Source((Part("html", "{{params}}", True),)), contexts, NOW_MS)
    assert len(results) == 3
    assert results == [["x" * 1_000_000]] * 3


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 50_000,
        "{{!" + "a-" * 1_000_000,
        "{{!--" + "-" * 1_000_000,
        '{{"' + '\\"' * 300_000,
        "{{[" + "a" * 1_000_000,
        "{{" + " " * 1_000_000,
        "\\{{" * 20_000,
        "\n " * 500_000 + "{{#if 1}}{{/if}}",
        "{{{{a}}}}" + "{{{{" * 100_000,
    ],
)
def test_reading_a_template_takes_bounded_time(engine: Engine, text: str) -> None:
    began = time.process_time()
    [result] = engine.render(Source((Part("html", text, True),)), [b"{}"], NOW_MS)
    assert time.process_time() - began < 8
    assert isinstance(result, (list, TemplateError))


def test_templates_may_be_as_large_as_a_message(engine: Engine) -> None:
    half = "x" * (MAX_OUTPUT_CHARACTERS // 2 - 10)
    assert len(rendered(engine, f"{half}{{{{params}}}}{half}", "y")) == 2 * len(half) + 1
    lines = "<p>a line</p>\n" * 100_000
    assert rendered(engine, f"{lines}{{{{params}}}}", "y") == f"{lines}y"


def test_what_is_kept_is_bounded() -> None:
    engine = Engine()
    for n in range(200):
        assert rendered(engine, f"{n} {{{{params}}}}", "x") == f"{n} x"
    assert len(engine._kept) < 100
    rendered(engine, "x" * 3_000_000 + "{{params}}")
    assert len(engine._kept) == 1


@pytest.fixture
async def pool() -> AsyncIterator[RenderPool]:
    opened = RenderPool(2)
    yield opened
    await opened.close()


def _source(text: str) -> Source:
    return Source((Part("html", text, True),))


async def test_a_hostile_owner_holds_up_nobody_else(pool: RenderPool) -> None:
    """Two threads; one owner asks for many loops without end: the other thread stays free, and so does the loop."""
    context = b'{"params": {"a": [%b]}}' % b",".join([b"0"] * 1000)

    async def render(owner: int, text: str) -> object:
        [result] = await pool.render(owner, _source(text), [context], NOW_MS, timeout_seconds=60)
        return result

    hostile = [asyncio.create_task(render(1, f"{_LOOPS}{n}")) for n in range(4)]
    gaps, done = [0.0], asyncio.Event()

    async def beat() -> None:
        while not done.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - began)

    beating = asyncio.create_task(beat())
    for n in range(20):
        assert await render(2, f"{n} {{{{params.b}}}}") == [f"{n} "]
    assert not all(task.done() for task in hostile)
    assert all(isinstance(result, LimitReached) for result in await asyncio.gather(*hostile))
    done.set()
    await beating
    # A machine that is busy with something else stretches single gaps, not many.
    assert sorted(gaps)[int(len(gaps) * 0.999)] < 0.05


async def test_waiting_for_a_turn_has_a_deadline(pool: RenderPool) -> None:
    context = b'{"params": {"a": [%b]}}' % b",".join([b"0"] * 1000)
    slow = asyncio.create_task(pool.render(1, _source(_LOOPS), [context], NOW_MS, timeout_seconds=60))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await pool.render(1, _source("x{{y}}"), [b"{}"], NOW_MS, timeout_seconds=0.01)
    assert isinstance((await slow)[0], LimitReached)
    assert await pool.render(1, _source("x{{y}}"), [b"{}"], NOW_MS, timeout_seconds=60) == [["x"]]


async def test_many_at_once(pool: RenderPool) -> None:
    async def render(n: int) -> None:
        context = b'{"params": %d}' % n
        assert await pool.render(n % 7, _source("{{params}}"), [context], NOW_MS, timeout_seconds=60) == [[str(n)]]

    await asyncio.gather(*(render(n) for n in range(300)))
