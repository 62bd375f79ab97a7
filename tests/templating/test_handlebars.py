"""What templates can say: the language, escaping, and what is refused in it."""

from __future__ import annotations

import html
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.templating.engine import Engine, Part, Source
from tests.templating.rendering import NOW_MS, refused, rendered

_PARAMS = {
    "name": "Ann",
    "empty": "",
    "zero": 0,
    "no": False,
    "nothing": None,
    "none": [],
    "list": ["a", "b", "c"],
    "map": {"x": 1, "y": 2},
    "people": [{"name": "Bo", "tags": ["p", "q"]}, {"name": "Cy", "tags": []}],
    "markup": "<b>&\"'`=</b>",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {{params.name}}", "Hi Ann"),
        ("{{account.name}} {{account.email}} {{service.url}}", "Me me@example.com https://x.example.com"),
        ("[{{params.unknown}}{{unknown}}{{params.unknown.deeper}}{{params.nothing}}]", "[]"),
        ("a{{! gone }}b{{!-- {{gone}} --}}c", "abc"),
        ("a {{~params.name~}} b", "aAnnb"),
        ("{{params.list.[1]}}{{params.[name]}}", "bAnn"),
        ("{{#each params.list}}{{this}}{{@index}}{{#if @first}}F{{/if}}{{#if @last}}L{{/if}} {{/each}}", "a0F b1 c2L "),
        ("{{#each params.map}}{{@key}}={{this}};{{/each}}", "x=1;y=2;"),
        ("{{#each params.list as |item i|}}{{i}}{{item}}{{/each}}", "0a1b2c"),
        ("{{#each params.none}}x{{else}}empty{{/each}}", "empty"),
        ("{{#each params.people}}{{name}}{{#each tags}}{{../name}}{{this}}{{/each}}{{/each}}", "BoBopBoqCy"),
        ("{{#each params.list}}{{@root.params.name}}{{/each}}", "AnnAnnAnn"),
        ("{{#with params.map}}{{x}}{{../params.name}}{{/with}}", "1Ann"),
        ("{{#with params.nothing}}x{{else}}none{{/with}}", "none"),
        ("{{lookup params.list 2}}{{lookup params 'name'}}", "cAnn"),
        ("{{#if params.zero}}x{{else if params.name}}y{{else}}z{{/if}}", "y"),
        ("{{#if params.zero includeZero=true}}x{{/if}}", "x"),
        ("{{#unless params.no}}x{{/unless}}", "x"),
        ("{{#if (lookup params.list 0)}}x{{/if}}", "x"),
        ("{{lookup params.list (length params.unknown)}}", "a"),
        ("{{#params.map}}{{x}}{{/params.map}}{{^params.none}}inverse{{/params.none}}", "1inverse"),
        ("{{log params.name}}", ""),
        ("{{'text'}}{{12}}{{true}}", ""),
        (r"\{{params.name}} \\{{params.name}}", r"{{params.name}} \Ann"),
        ("no placeholder", "no placeholder"),
        ("", ""),
    ],
)
def test_the_language(engine: Engine, text: str, expected: str) -> None:
    account = {"name": "Me", "email": "me@example.com"}
    assert rendered(engine, text, _PARAMS, account=account, service={"url": "https://x.example.com"}) == expected


@pytest.mark.parametrize("value", ["no", "nothing", "empty", "zero", "none", "unknown"])
def test_what_is_false(engine: Engine, value: str) -> None:
    assert rendered(engine, f"{{{{#if params.{value}}}}}x{{{{else}}}}y{{{{/if}}}}", _PARAMS) == "y"
    assert rendered(engine, f"{{{{#unless params.{value}}}}}x{{{{else}}}}y{{{{/unless}}}}", _PARAMS) == "x"


def test_values_are_escaped_where_they_become_html(engine: Engine) -> None:
    text = "{{params.markup}}|{{{params.markup}}}|{{&params.markup}}"
    raw = _PARAMS["markup"]
    escaped = "&lt;b&gt;&amp;&quot;&#x27;&#x60;&#x3D;&lt;/b&gt;"
    assert rendered(engine, text, _PARAMS) == f"{escaped}|{raw}|{raw}"
    assert rendered(engine, text, _PARAMS, escaped=False) == f"{raw}|{raw}|{raw}"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_value_comes_through(value: str) -> None:
    assert rendered(_ENGINE, "{{params}}", value, escaped=False) == value
    escaped = rendered(_ENGINE, "{{params}}", value)
    assert html.unescape(escaped) == html.unescape(html.escape(value))
    assert not set("<>\"'`=") & set(escaped)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0{}\\")))
def test_text_without_placeholders_stays_as_it_is(text: str) -> None:
    assert rendered(_ENGINE, f"{{{{!}}}}{text}{{{{params}}}}", "", escaped=False).strip() == text.strip()


@given(st.text(alphabet="{}#/^!>~&*@.|\\ \n\"'=()[]ifeachelsparam01", max_size=60))
def test_any_template_ends_in_a_text_or_a_refusal(text: str) -> None:
    [result] = _ENGINE.render(Source((Part("html", text, True),)), [b'{"params": {"a": [1]}}'], NOW_MS)
    assert isinstance(result, list) or result.message


@pytest.mark.parametrize(
    "path",
    [
        "params.constructor",
        "params.constructor.name",
        "params.toString",
        "params.__proto__",
        "params.__proto__.constructor",
        "params.list.concat",
        "params.name.big",
        "constructor",
        "__defineGetter__",
        "lookup params 'constructor'",
        "lookup (lookup params 'list') 'push'",
        "lookup params '__proto__'",
        "@root.constructor",
    ],
)
def test_nothing_is_inherited(engine: Engine, path: str) -> None:
    assert rendered(engine, f"{{{{{path}}}}}", _PARAMS) == ""


def test_own_properties_with_special_names_are_only_values(engine: Engine) -> None:
    params = {"__proto__": {"admin": "x"}, "constructor": "c", "hasOwnProperty": 1, "toString": "t"}
    assert rendered(engine, "{{params.constructor}}{{params.hasOwnProperty}}{{params.toString}}", params) == "c1t"
    assert rendered(engine, "[{{params.admin}}]", params) == "[]"
    assert rendered(engine, "[{{params.admin}}{{params.polluted}}]", {}) == "[]"


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a\nb\n{{nosuch 1}}", 3, "nosuch"),
        ("{{#nosuch 1}}x{{/nosuch}}", 1, "nosuch"),
        ("\n{{#if (nosuch params)}}x{{/if}}", 2, "nosuch"),
        ("a\n{{#if x}}", 2, "syntax"),
        ("a\n{{", 2, "syntax"),
        ("{{#if x}}\n{{/each}}", 1, "match"),
        ("\n\n{{else}}", 3, "syntax"),
        ("\n{{> other}}", 2, "partials"),
        ("{{#> other}}x{{/other}}", 1, "partials"),
        ("{{> (lookup params 'name')}}", 1, "partials"),
        ("\n{{* deco}}", 2, "decorators"),
        ('{{#*inline "x"}}y{{/inline}}', 1, "decorators"),
        ("{{#if}}x{{/if}}", None, "argument"),
        ("{{params.name 1}}", None, "helper"),
        ("{{helperMissing 1}}", None, "helper"),
        ("{{blockHelperMissing 1}}", None, "helper"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(engine: Engine, text: str, line: int | None, word: str) -> None:
    error = refused(engine, text, _PARAMS)
    assert (error.part, error.line) == ("html", line)
    assert word in error.message


def test_an_unknown_helper_in_a_branch_that_is_not_taken_is_no_error(engine: Engine) -> None:
    assert rendered(engine, "{{#if params.no}}{{nosuch 1}}{{/if}}", _PARAMS) == ""


def test_the_parts_of_a_message_are_filled_in_together(engine: Engine) -> None:
    source = Source(
        (Part("subject", "{{params}}", False), Part("html", "{{params}}", True), Part("text", "plain", False))
    )
    results = engine.render(source, [b'{"params": "<1>"}', b'{"params": "<2>"}'], NOW_MS)
    assert results == [["<1>", "&lt;1&gt;", "plain"], ["<2>", "&lt;2&gt;", "plain"]]


def test_the_part_that_is_wrong_is_named(engine: Engine) -> None:
    parts = (Part("subject", "{{#each params}}{{length this}}{{/each}}", False), Part("text", "\n{{", False))
    [error] = engine.render(Source(parts), [b"{}"], NOW_MS)
    assert not isinstance(error, list) and (error.part, error.line) == ("text", 2)
    results = engine.render(Source(parts[:1]), [b'{"params": [1]}', b'{"params": [[]]}'], NOW_MS)
    assert not isinstance(results[0], list) and (results[0].part, results[0].line) == ("subject", 1)
    assert results[1] == ["0"]


def test_half_of_a_character_is_no_text(engine: Engine) -> None:
    assert rendered(engine, "{{lookup params 0}}", "😀") == "\ufffd"


def test_numbers_and_other_values_are_written_as_javascript_does(engine: Engine) -> None:
    values: list[tuple[Any, str]] = [(1.5, "1.5"), (1e21, "1e+21"), (True, "true"), (0, "0"), ([1, 2], "1,2")]
    for value, expected in values:
        assert rendered(engine, "{{params}}", value) == expected


_ENGINE = Engine()
