"""Rendering a text in tests."""

from __future__ import annotations

import json
from typing import Any

from mailquay.errors import TemplateError
from mailquay.templating.engine import Engine, Part, Source

NOW_MS = 1_600_000_000_123
"""2020-09-13T12:26:40.123Z, a Sunday."""


def attempt(
    engine: Engine, text: str, params: Any = None, *, escaped: bool = True, **context: Any
) -> str | TemplateError:
    """What comes of a text with these params, and with what else is in its context."""
    source = Source((Part("html", text, escaped),))
    [result] = engine.render(source, [json.dumps({"params": params, **context}).encode()], NOW_MS)
    return result if isinstance(result, TemplateError) else result[0]


def rendered(engine: Engine, text: str, params: Any = None, *, escaped: bool = True, **context: Any) -> str:
    """The text that comes out."""
    result = attempt(engine, text, params, escaped=escaped, **context)
    assert isinstance(result, str), result
    return result


def refused(engine: Engine, text: str, params: Any = None, **context: Any) -> TemplateError:
    """What is wrong with a text."""
    result = attempt(engine, text, params, **context)
    assert isinstance(result, TemplateError), result
    return result
