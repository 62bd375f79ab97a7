from __future__ import annotations

import pytest

from mailquay.mime.autoreply import is_auto_reply


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ({}, "Automatic reply: Hello"),
        ({}, "AutoReply: x"),
        ({}, "auto response"),
        ({}, "Out of Office: x"),
        ({}, "out of the office until Monday"),
        ({}, "OOF: x"),
        ({}, "OOO: x"),
        ({"in-reply-to": ["<a@b>"]}, "Auto: x"),
        ({"precedence": ["Auto_Reply"]}, None),
        ({"auto-submitted": ["auto-replied (vacation)"]}, "Re: x"),
        ({"auto-submitted": ["AUTO_REPLIED"]}, "Re: x"),
        ({"x-auto-response-suppress": ["All"]}, "x"),
        ({"x-autoreply": ["yes"]}, "x"),
    ],
)
def test_auto_replies(headers: dict[str, list[str]], subject: str | None) -> None:
    assert is_auto_reply(headers, subject)


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ({}, None),
        ({}, "Re: Automatic reply"),
        ({}, "Auto: no reply to anything"),
        ({}, "OOF without colon"),
        ({"auto-submitted": ["auto-generated"]}, "x"),
        ({"auto-submitted": ["no"]}, "x"),
        ({"precedence": ["bulk"], "list-id": ["<l.example>"]}, "x"),
        ({}, "Automobile replies"),
    ],
)
def test_people_and_lists(headers: dict[str, list[str]], subject: str | None) -> None:
    assert not is_auto_reply(headers, subject)
