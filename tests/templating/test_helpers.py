"""The helpers beside those of Handlebars, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from mailquay.templating.engine import Engine
from tests.templating.rendering import refused, rendered


def _block(engine: Engine, call: str, params: Any = None) -> str:
    name = call.split()[0]
    return rendered(engine, f"{{{{#{call}}}}}yes{{{{else}}}}no{{{{/{name}}}}}", params)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("equals 1 1", "yes"),
        ("equals '1' 1", "yes"),
        ("equals params.text params.number", "yes"),
        ("equals null undefined", "yes"),
        ("equals params.nothing params.unknown", "yes"),
        ("equals params.nothing 0", "no"),
        ("equals '' 0", "yes"),
        ("equals 'a' 'b'", "no"),
        ("equals true 1", "yes"),
        ("notEquals '1' 1", "no"),
        ("notEquals 'a' 'b'", "yes"),
        ("notEquals null undefined", "no"),
        ("greaterThan 2 1", "yes"),
        ("greaterThan 1 1", "no"),
        ("greaterThan '10' '9'", "yes"),
        ("greaterThan 1 ''", "yes"),
        ("greaterThan 1 params.nothing", "yes"),
        ("greaterThan 1 params.unknown", "no"),
        ("greaterThan 'x' 1", "no"),
        ("greaterThan params.list 0", "no"),
        ("lessThan 1 2", "yes"),
        ("lessThan '' 1", "yes"),
        ("lessThan null 1", "yes"),
        ("lessThan params.unknown 1", "no"),
        ("lessThan 1 'x'", "no"),
        ("lessThan 2 1", "no"),
        ("and", "no"),
        ("and 1", "yes"),
        ("and params.list '0' 1", "yes"),
        ("and 1 ''", "no"),
        ("and 1 0 1", "no"),
        ("or", "no"),
        ("or 0 ''", "no"),
        ("or 0 params.list", "yes"),
        ("or '0'", "yes"),
        ("or params.unknown params.nothing", "no"),
    ],
)
def test_comparisons(engine: Engine, call: str, expected: str) -> None:
    params = {"text": "1", "number": 1, "nothing": None, "list": []}
    assert _block(engine, call, params) == expected


def test_blocks_need_no_else(engine: Engine) -> None:
    for call in ("equals 1 2", "notEquals 1 1", "greaterThan 1 2", "lessThan 2 1", "and 0", "or 0"):
        name = call.split()[0]
        assert rendered(engine, f"[{{{{#{call}}}}}x{{{{/{name}}}}}]") == "[]"


def test_blocks_keep_the_context(engine: Engine) -> None:
    assert (
        rendered(engine, "{{#each params}}{{#equals this 'b'}}{{this}}{{@index}}{{/equals}}{{/each}}", ["a", "b"])
        == "b1"
    )
    assert rendered(engine, "{{#equals (length params) 2}}{{params.[0]}}{{/equals}}", ["a", "b"]) == "a"


@pytest.mark.parametrize(
    "text",
    [
        "\n{{equals 1 1}}",
        "\n{{#equals 1}}x{{/equals}}",
        "\n{{#equals}}x{{/equals}}",
        "\n{{#lessThan 1 2 3}}x{{/lessThan}}",
        "\n{{#notEquals 1}}x{{/notEquals}}",
        "\n{{#greaterThan 1}}x{{/greaterThan}}",
        "\n{{and 1}}",
        "\n{{insert params}}",
        "\n{{insert}}",
        "\n{{length 'text'}}",
        "\n{{length 5}}",
        "\n{{length params}}",
    ],
)
def test_wrong_uses_are_refused_with_their_line(engine: Engine, text: str) -> None:
    assert refused(engine, text, {"a": 1}).line == 2


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("insert params.name 'default=you'", "Ann"),
        ("insert params.unknown 'default=you'", "you"),
        ("insert params.zero 'default=some'", "some"),
        ("insert params.empty 'default=a=b'", "a&#x3D;b"),
        ("insert params.empty 'you'", "you"),
        ("insert params.empty 'other=you'", ""),
        ("insert params.empty 'default='", ""),
        ("insert params.empty 5", "5"),
        ("insert params.empty 'default=<b>'", "&lt;b&gt;"),
    ],
)
def test_insert(engine: Engine, call: str, expected: str) -> None:
    assert rendered(engine, f"{{{{{call}}}}}", {"name": "Ann", "zero": 0, "empty": ""}) == expected


def test_length(engine: Engine) -> None:
    text = (
        "{{length params.list}} {{length params.none}} {{length params.unknown}} {{length params.nothing}} {{length}}"
    )
    assert rendered(engine, text, {"list": [1, 2], "none": [], "nothing": None}) == "2 0 0 0 0"
    assert rendered(engine, "{{#if (length params)}}x{{else}}y{{/if}}", []) == "y"
