"""Templates: compiled in one context, rendered in contexts of their own, all on one thread.

Compiling and rendering are kept apart so that nothing of a template ever runs where others are compiled, and so that a
template's context needs only the small runtime of Handlebars.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from mailquay.errors import TemplateError
from mailquay.templating.markdown import markdown_to_html
from mailquay.templating.sandbox import LimitReached, Mistake, Sandbox, script

OWN_HELPERS: Final = (
    "equals",
    "notEquals",
    "greaterThan",
    "lessThan",
    "and",
    "or",
    "insert",
    "length",
    "formatDate",
)
MAX_OUTPUT_CHARACTERS: Final = 5 * 1024 * 1024
_MUCH_CHARACTERS: Final = 2 * 1024 * 1024
_MEMORY_BYTES: Final = 64 * 1024 * 1024
_COMPILE_SECONDS: Final = 3.0
_RENDER_SECONDS: Final = 1.0
_CONTEXTS_WEIGHT: Final = 12 * 1024 * 1024
"""How much memory the contexts of a thread may hold while they wait, about."""
_CONTEXT_BYTES: Final = 550 * 1024
_BYTES_PER_CHARACTER: Final = 12


@dataclass(frozen=True)
class Part:
    """One text with its placeholders.

    `escaped`: values are escaped for HTML. `markdown`: what comes out is Markdown, and is turned into HTML.
    """

    name: str
    source: str
    escaped: bool
    markdown: bool = False


@dataclass(frozen=True)
class Source:
    """What is rendered together: the texts of one message."""

    parts: tuple[Part, ...]

    @cached_property
    def digest(self) -> bytes:
        """The same for the same texts."""
        found = hashlib.sha256()
        for part in self.parts:
            found.update(f"{part.name} {part.escaped} {len(part.source)} ".encode())
            found.update(part.source.encode("utf-8", "surrogatepass"))
        return found.digest()

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to fill in."""
        return all("{{" not in part.source for part in self.parts)

    @property
    def weight(self) -> int:
        """What a context for it takes, in bytes, about."""
        return _CONTEXT_BYTES + _BYTES_PER_CHARACTER * sum(len(part.source) for part in self.parts)


class Engine:
    """Renders on one thread, and keeps what it compiled for the next time, least recently used out first."""

    def __init__(self) -> None:
        self._compiler: Sandbox | None = None
        self._kept: OrderedDict[bytes, tuple[int, Sandbox | TemplateError]] = OrderedDict()
        self._weight = 0

    def render(self, source: Source, contexts: Sequence[bytes], now_ms: int) -> list[list[str] | TemplateError]:
        """The parts filled in with each context (JSON), or what is wrong with them.

        It ends early, but never before the first, where a limit was reached, or where the texts take much memory.
        """
        results: list[list[str] | TemplateError] = []
        characters = 0
        for context in contexts:
            try:
                texts = _finished(source, self._filled(source, context, now_ms))
            except LimitReached as error:
                self._forget(source.digest)
                return [*results, error]
            except TemplateError as error:
                results.append(error)
                continue
            results.append(texts)
            characters += sum(map(len, texts))
            if characters > _MUCH_CHARACTERS:
                break
        return results

    def _filled(self, source: Source, context: bytes, now_ms: int) -> list[str]:
        if source.is_plain:
            return [part.source for part in source.parts]
        kept = self._kept.get(source.digest)
        if kept is None:
            template = self._compiled(source)
            self._keep(source, template)
        else:
            template = kept[1]
            self._kept.move_to_end(source.digest)
        if isinstance(template, TemplateError):
            raise template
        try:
            texts: list[str] = template.call("render", context.decode("utf-8"), float(now_ms))
        except Mistake as error:
            part = None if error.part is None else source.parts[error.part].name
            raise TemplateError(error.sentence, part=part, line=error.line) from None
        return texts

    def _compiled(self, source: Source) -> Sandbox | TemplateError:
        """A context for a template, or what is wrong with it.

        Raises LimitReached, which may have to do with how busy the process is.
        """
        template = Sandbox(
            script("vendor/handlebars.runtime.min.js"),
            script("attempt.js"),
            script("dates.js"),
            f"const MAX_OUTPUT = {MAX_OUTPUT_CHARACTERS};",
            script("helpers.js"),
            memory_bytes=_MEMORY_BYTES,
            cpu_seconds=_RENDER_SECONDS,
        )
        for part in source.parts:
            try:
                template.eval(f"addPart({self._specification(part)})")
            except Mistake as error:
                return TemplateError(error.sentence, part=part.name, line=error.line)
            except LimitReached as error:
                raise LimitReached(error.message, part=part.name) from None
        return template

    def _specification(self, part: Part) -> str:
        if self._compiler is None:
            self._compiler = Sandbox(
                script("vendor/handlebars.min.js"),
                script("attempt.js"),
                f"const OWN_HELPERS = {list(OWN_HELPERS)!r};",
                script("compiler.js"),
                memory_bytes=_MEMORY_BYTES,
                cpu_seconds=_COMPILE_SECONDS,
            )
        try:
            specification: str = self._compiler.call("compileTemplate", part.source, part.escaped)
        except LimitReached:
            self._compiler = None
            raise
        return specification

    def _keep(self, source: Source, template: Sandbox | TemplateError) -> None:
        self._kept[source.digest] = (source.weight, template)
        self._weight += source.weight
        while self._weight > _CONTEXTS_WEIGHT and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, digest: bytes) -> None:
        kept = self._kept.pop(digest, None)
        if kept is not None:
            self._weight -= kept[0]


def _finished(source: Source, texts: list[str]) -> list[str]:
    finished = []
    for part, text in zip(source.parts, texts, strict=True):
        try:
            finished.append(markdown_to_html(text) if part.markdown else text)
        except TemplateError as error:
            raise TemplateError(error.message, part=part.name) from None
    return finished
