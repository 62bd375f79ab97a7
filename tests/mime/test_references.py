from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailquay.mime.address import Address
from mailquay.mime.preview import inject_preview
from mailquay.mime.references import (
    MAX_REFERENCES,
    Original,
    ReferenceAction,
    answer_recipients,
    derived_subject,
    in_reply_to,
    message_ids,
    quote_original,
    thread_references,
)

A, B, C, ME = (Address(name, f"{name}@example.com") for name in ("a", "b", "c", "me"))
ORIGINAL = Original(
    message_id="<m3@x>",
    in_reply_to="<m2@x>",
    references=("<m1@x>", "<m2@x>"),
    subject="Topic",
    date=datetime(2026, 1, 1, 22, 5, tzinfo=UTC),
    from_=(A,),
    to=(ME, B),
    cc=(C,),
    plain="one\n> two\n",
    html="<html><head><title>t</title><style>p{}</style></head><body><p>one</p><script>x</script></body></html>",
)
REPLY, REPLY_ALL, FORWARD = ReferenceAction


def test_threading() -> None:
    assert thread_references(ORIGINAL) == ("<m1@x>", "<m2@x>", "<m3@x>")
    assert in_reply_to(ORIGINAL, REPLY) == "<m3@x>"
    assert in_reply_to(ORIGINAL, FORWARD) is None
    assert thread_references(Original(message_id="bare@x")) == ("<bare@x>",)
    assert thread_references(Original()) == ()
    looping = Original(message_id="<m1@x>", references=("<m1@x>", "<m2@x>"))
    assert thread_references(looping) == ("<m2@x>", "<m1@x>")
    long = Original(message_id="<last@x>", references=tuple(f"<m{n}@x>" for n in range(500)))
    kept = thread_references(long)
    assert (len(kept), kept[0], kept[-1]) == (MAX_REFERENCES, "<m0@x>", "<last@x>")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("<a@b> <c@d>", ("<a@b>", "<c@d>")),
        ("a@b", ("<a@b>",)),
        ("junk", ()),
        (None, ()),
        ("<a@b><c@d>", ("<a@b>", "<c@d>")),
    ],
)
def test_message_ids(text: str | None, ids: tuple[str, ...]) -> None:
    assert message_ids(text) == ids


@pytest.mark.parametrize(
    ("subject", "action", "derived"),
    [
        ("Topic", REPLY, "Re: Topic"),
        ("RE: Topic", REPLY, "RE: Topic"),
        ("re : Topic", REPLY_ALL, "re : Topic"),
        ("Fwd: Topic", REPLY, "Re: Fwd: Topic"),
        ("Topic", FORWARD, "Fwd: Topic"),
        ("FW: Topic", FORWARD, "FW: Topic"),
        ("Regarding", REPLY, "Re: Regarding"),
        (None, REPLY, "Re:"),
    ],
)
def test_subjects(subject: str | None, action: ReferenceAction, derived: str) -> None:
    assert derived_subject(subject, action) == derived


def test_recipients() -> None:
    own = ["ME@example.com"]
    assert answer_recipients(ORIGINAL, REPLY, own=own, to=None, cc=None) == ([A], [])
    assert answer_recipients(ORIGINAL, REPLY, own=own, to=[B], cc=None) == ([B], [])
    with_reply_to = Original(from_=(A,), reply_to=(C,))
    assert answer_recipients(with_reply_to, REPLY, own=own, to=None, cc=None) == ([C], [])
    assert answer_recipients(ORIGINAL, REPLY_ALL, own=own, to=None, cc=None) == ([A, B], [C])
    extra = Address("", "x@example.com")
    assert answer_recipients(ORIGINAL, REPLY_ALL, own=own, to=[extra, A], cc=[extra]) == ([A, B, extra], [C])
    to_myself = Original(from_=(ME,), to=(ME,))
    assert answer_recipients(to_myself, REPLY_ALL, own=own, to=None, cc=None) == ([ME], [])
    assert answer_recipients(ORIGINAL, FORWARD, own=own, to=[B], cc=None) == ([B], [])


def test_answers_quote() -> None:
    text, markup = quote_original(
        ORIGINAL, REPLY, text="My answer\n", markup="<body><p>My answer</p></body>", locale="de-AT", zone=None
    )
    assert text is not None
    assert text.splitlines()[:6] == [
        "My answer",
        "",
        "> Von: a <a@example.com>",
        "> An: me <me@example.com>, b <b@example.com>",
        "> Kopie: c <c@example.com>",
        "> Datum: Donnerstag, 1. Januar 2026 um 22:05",
    ]
    assert text.splitlines()[-2:] == ["> one", ">> two"]
    assert markup is not None
    assert markup.startswith('<body><p>My answer</p><br /><div class="ee-quoted-message"><blockquote type="cite">')
    assert markup.endswith("<style>p{}</style><p>one</p></blockquote></div></body>")
    assert "script" not in markup
    assert "<b>Von:</b> a &lt;a@example.com&gt;" in markup


def test_forwards_do_not_indent() -> None:
    zone = timezone(timedelta(hours=2))
    text, markup = quote_original(ORIGINAL, FORWARD, text=None, markup=None, locale=None, zone=zone)
    assert text is not None
    assert markup is not None
    assert text.splitlines()[0] == "---------- Forwarded message ----------"
    assert "Date: Friday, January 2, 2026, 12:05 AM" in text
    assert text.splitlines()[-2:] == ["one", "> two"]
    assert "blockquote" not in markup


def test_only_what_is_sent_gets_a_quote() -> None:
    text, markup = quote_original(ORIGINAL, REPLY, text="x", markup=None, locale="en", zone=None)
    assert markup is None
    only_html = Original(html="<p>words</p>")
    text, _ = quote_original(only_html, REPLY, text="x", markup=None, locale="en", zone=None)
    assert text is not None
    assert text.rstrip().endswith("> words")
    only_plain = Original(plain="a < b")
    _, markup = quote_original(only_plain, REPLY, text=None, markup="x", locale="en", zone=None)
    assert markup is not None
    assert "a &lt; b" in markup


@pytest.mark.parametrize(
    ("locale", "date"),
    [
        ("en", "Thursday, January 1, 2026, 10:05 PM"),
        ("et", "neljapäev, 1. jaanuar 2026 22:05"),
        ("fr", "jeudi 1 janvier 2026 à 22:05"),
        ("pl", "czwartek, 1 stycznia 2026 22:05"),
        ("ja_JP", "2026年1月1日(木) 22:05"),
        ("nl", "donderdag 1 januari 2026 om 22:05"),
        ("tlh", "Thursday, January 1, 2026, 10:05 PM"),
    ],
)
def test_dates_of_every_language(locale: str, date: str) -> None:
    text, _ = quote_original(ORIGINAL, REPLY, text="", markup=None, locale=locale, zone=None)
    assert text is not None
    assert date in text


@pytest.mark.parametrize(
    ("markup", "start"),
    [
        ('<html><body class="a>b"><p>x</p>', '<html><body class="a>b"><div style="display:none'),
        ("<p>x</p>", '<div style="display:none'),
    ],
)
def test_preview(markup: str, start: str) -> None:
    result = inject_preview(markup, "a &lt; b")
    assert result.startswith(start)
    assert ">a &lt; b</div><p>x</p>" in result
