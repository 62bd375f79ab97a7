from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.subject import MAX_BASE_CHARACTERS, base_subject


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        (None, ""),
        ("", ""),
        ("Hello", "hello"),
        ("  two\t words\u00a0here ", "two words here"),
        # RFC 5256 §2.1
        ("Re: Hello", "hello"),
        ("re:re: Fwd : FW:Hello", "hello"),
        ("Re[2]: Hello", "hello"),
        ("Re [list]: Hello", "hello"),
        ("[list] Re: [list] Hello", "hello"),
        ("Re: Hello (fwd) (fwd)", "hello"),
        ("[Fwd: Re: Hello (fwd)]", "hello"),
        ("Re: [fwd: [FWD: Hello]] (fwd)", "hello"),
        ("[one] [two]", "[two]"),
        ("Re: [two]", "[two]"),
        ("[two] (fwd)", "[two]"),
        ("Re:", ""),
        ("Hello [list]", "hello [list]"),
        # other languages
        ("AW: WG: Hallo", "hallo"),
        ("SV: VB: Hej", "hej"),
        ("R: I: Ciao", "ciao"),
        ("RIF: Ciao", "ciao"),
        ("Rép : TR : Salut", "salut"),
        ("RES: ENC: Olá", "olá"),
        ("YNT: İLT: Selam", "selam"),
        ("回复：答复: 转发：你好", "你好"),
        ("Trả lời: Chuyển tiếp: Chào", "chào"),
        ("Ответ: Привет", "привет"),
        ("رد: إعادة توجيه: مرحبا", "مرحبا"),
        ("RE^3: Hello", "hello"),
        ("RE(2): Hello", "hello"),
        # no marks
        ("Report: Hello", "report: hello"),
        ("Re Hello", "re hello"),
        ("[open Hello", "[open hello"),
        ("[fwd: open", "[fwd: open"),
        ("Straße", "strasse"),
    ],
)
def test_what_is_left_of_a_subject(subject: str | None, base: str) -> None:
    assert base_subject(subject) == base


def test_composed_and_decomposed_letters_are_the_same() -> None:
    text = "Ré: Überraschung"
    assert base_subject(unicodedata.normalize("NFD", text)) == base_subject(text)


_WORDS = st.text(alphabet="aRe[]() :fwd2\u4e00é", max_size=40)


@given(st.lists(st.sampled_from(["Re: ", "AW:", "Fwd : ", "re[7]: ", "[list] Re: ", "回复："]), max_size=9), _WORDS)
def test_marks_in_front_change_nothing(marks: list[str], subject: str) -> None:
    assert base_subject("".join(marks) + subject) == base_subject(subject)


@given(st.text(max_size=200))
def test_any_subject_has_a_short_base_without_blanks_around_it(subject: str) -> None:
    base = base_subject(subject)
    assert base == base.strip() and "\n" not in base
    assert len(base) <= MAX_BASE_CHARACTERS


def test_answers_to_a_long_subject_have_the_same_base() -> None:
    subject = "x" * 900
    assert base_subject("Re: " * 50 + subject) == base_subject(subject) == "x" * MAX_BASE_CHARACTERS


@pytest.mark.parametrize(
    "piece", ["re:", "[a]", "[", "[fwd: ", "(fwd)", "re [", "\u0323\u0301", "re 1", " ", "]", "\ufdfa"]
)
def test_no_subject_takes_long(piece: str) -> None:
    began = time.process_time()
    base_subject(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 1
