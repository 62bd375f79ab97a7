"""A JavaScript context with limits: scripts of ours are loaded into it, and functions of theirs called."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import _quickjs  # the wrapper around it, `quickjs`, would start a thread when it is imported
import msgspec

from mailquay.errors import TemplateError

_STACK_BYTES = 512 * 1024


class Mistake(Exception):
    """What is wrong with a template: a sentence, the index of its part when one was being rendered, and the line."""

    def __init__(self, sentence: str, part: int | None, line: int | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.part = part
        self.line = line


class LimitReached(TemplateError):
    """A template takes more time, memory or depth than it may; its context is of no use any more."""


class Sandbox:
    """One context. It belongs to the thread that makes it.

    `cpu_seconds` bounds each call, in seconds of processor that the whole process takes meanwhile: a busy process makes
    it shorter, never longer.
    """

    def __init__(self, *scripts: str, memory_bytes: int, cpu_seconds: float) -> None:
        self._context = _quickjs.Context()
        self._context.set_memory_limit(memory_bytes)
        self._context.set_max_stack_size(_STACK_BYTES)
        for script in scripts:
            self._context.eval(script)
        self._context.set_time_limit(cpu_seconds)

    def eval(self, script: str) -> None:
        """Run a script of our own making.

        Raises LimitReached.
        """
        try:
            self._context.eval(script)
        except _quickjs.JSException as error:
            raise _limit_reached(error) from None

    def call(self, function: str, *arguments: str | float | bool) -> Any:
        """What a function answers that was made with `attempt` (see attempt.js).

        Raises Mistake, LimitReached.
        """
        try:
            answer = msgspec.json.decode(self._context.get(function)(*arguments))
        except _quickjs.JSException as error:
            raise _limit_reached(error) from None
        if "error" in answer:
            raise Mistake(answer["error"], answer["part"], answer["line"])
        return answer["ok"]


def _limit_reached(error: Exception) -> LimitReached:
    told = str(error)
    if "interrupted" in told:
        return LimitReached("the template takes too much time")
    if "out of memory" in told or "too long" in told:
        return LimitReached("the template makes too much text")
    return LimitReached("the template is nested too deeply, or has too many placeholders")


@cache
def script(name: str) -> str:
    """A script that lies beside this module."""
    return (resources.files("mailquay.templating") / name).read_text(encoding="utf-8")
