"""Markdown as templates have it."""

from __future__ import annotations

import time

import pytest

from mailquay.errors import TemplateError
from mailquay.templating.engine import Engine, Part, Source
from mailquay.templating.markdown import MAX_CHARACTERS, markdown_to_html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Hi\n\nthere *you*", "<h1>Hi</h1>\n<p>there <em>you</em></p>\n"),
        ("[a](https://example.com)", '<p><a href="https://example.com">a</a></p>\n'),
        ("<div class=x>raw</div>", "<div class=x>raw</div>"),
        ("a <b>raw</b>", "<p>a <b>raw</b></p>\n"),
        ("&lt;b&gt; &#x3D;", "<p>&lt;b&gt; =</p>\n"),
        ("~~old~~", "<p><s>old</s></p>\n"),
        ("", ""),
    ],
)
def test_markdown(text: str, expected: str) -> None:
    assert markdown_to_html(text) == expected


def test_values_are_escaped_before_the_text_becomes_html(engine: Engine) -> None:
    source = Source((Part("html", "**{{params.a}}** {{{params.a}}}", True, markdown=True),))
    [result] = engine.render(source, [b'{"params": {"a": "<i>&x</i>"}}'], 0)
    assert result == ["<p><strong>&lt;i&gt;&amp;x&lt;/i&gt;</strong> <i>&amp;x</i></p>\n"]


def test_markdown_that_is_too_long_is_refused(engine: Engine) -> None:
    source = Source((Part("html", "x" * (MAX_CHARACTERS + 1), True, markdown=True),))
    [result] = engine.render(source, [b"{}"], 0)
    assert isinstance(result, TemplateError) and result.part == "html"


def test_tables() -> None:
    assert "<td>1</td>" in markdown_to_html("| a |\n| - |\n| 1 |\n")


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "[a](",
        "*a **b ",
        "`",
        "> ",
        "- ",
        "<",
        "&",
        "![",
        "a](",
        "_",
        "\\",
        "|a",
        "~~a ",
        "1. ",
        "<!--",
        "[a]: b\n",
        "\t",
    ],
)
def test_no_pattern_takes_long(piece: str) -> None:
    text = (piece * MAX_CHARACTERS)[: MAX_CHARACTERS // 8]
    began = time.process_time()
    markdown_to_html(text)
    assert time.process_time() - began < 5
