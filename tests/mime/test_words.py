"""The words of texts and of queries."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailquay.mime.words import Sought, parse_query, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Hello, World_2!", ["hello", "world", "2"]),
        ("Ångström STRASSE Straße ﬁn", ["angstrom", "strasse", "strasse", "fin"]),
        ("don't re-use a@b.test", ["don", "t", "re", "use", "a", "b", "test"]),
        ("日本語 語", ["日本", "本語", "語", "語"]),
        ("東京2024年", ["東京", "京", "2024", "年"]),
        ("ﾊﾟﾝ", ["パン", "ン"]),
        ("ภาษา", ["ภา", "าษ", "ษา", "า"]),
        ("soft\u00adware co\u200bop", ["software", "coop"]),
        ("x" * 100, ["x" * 64]),
        ("a\0b", ["a", "b"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text, 1000) == words


@pytest.mark.parametrize("marks", ["\u0327\u0301", "\u0f72\u0f71", "\u0301\u0e38", "\u0344\u0316", "\u0301\uff9e"])
def test_letters_with_marks_without_end_take_no_time(marks: str) -> None:
    started = time.process_time()
    assert words_of(f"needle a{marks * 200_000} haystack", 1_000_000)[-1] == "haystack"
    assert time.process_time() - started < 3


def test_no_more_characters_than_are_wanted() -> None:
    assert words_of("one two three", 7) == ["one", "two"]
    # A letter that stands for eighteen counts as many.
    assert sum(map(len, words_of("\ufdfa" * 100, 100))) <= 100


@pytest.mark.parametrize(
    ("query", "sought"),
    [
        ("one TWO", [Sought(("one",)), Sought(("two",))]),
        ('"one two" thr*', [Sought(("one", "two")), Sought(("thr",), True)]),
        ('"one tw"*', [Sought(("one", "tw"), True)]),
        ('one"two three', [Sought(("one",)), Sought(("two", "three"))]),
        ("a@b.c", [Sought(("a", "b", "c"))]),
        ("one one", [Sought(("one",))]),
        ("日本語", [Sought(("日本", "本語"))]),
        ("語", [Sought(("語",), True)]),
        ('* "" - !', []),
    ],
)
def test_queries(query: str, sought: list[Sought]) -> None:
    assert parse_query(query) == sought


@given(st.text(max_size=300))
def test_words_hold_nothing_that_a_database_could_take_for_its_language(text: str) -> None:
    for word in words_of(text, 300):
        assert 0 < len(word) <= 64
        assert all(letter.isalnum() or letter > "\x7f" for letter in word) and word == "".join(word.split())
        assert "·" not in word and "\0" not in word
        word.encode()


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=60))
@example("", "¼00", "")
@example("", "\ufdfa9", "")
def test_what_stands_in_a_text_between_blanks_is_found(before: str, middle: str, after: str) -> None:
    indexed = words_of(f"{before} {middle} {after}", 1000)
    for sought in parse_query('"' + middle.replace('"', " ") + '"'):
        places = range(len(indexed) - len(sought.words) + 1)
        found = [indexed[place : place + len(sought.words)] for place in places]
        whole = [list(sought.words)]
        if sought.prefix:
            assert any(one[:-1] == whole[0][:-1] and one[-1].startswith(sought.words[-1]) for one in found)
        else:
            assert whole[0] in found
