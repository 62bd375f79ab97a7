"""Messages that are made of templates: what is filled in where, and that nothing is queued when it cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import NotFound, TemplateError
from mailquay.model.message import Address
from mailquay.model.template import TemplateChanges, TemplateContent, TemplateFormat
from mailquay.services.submit_request import RenderWish, SubmitRequest
from tests.services.submitting import Desk, desk_at, text_of

_TO = (Address("", "to@example.com"),)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:
        yield opened


def asked(*, dry: bool = True, params: dict[str, Any] | None = None, kind: str = "html", **more: Any) -> SubmitRequest:
    """A request that is to be rendered."""
    return SubmitRequest(to=_TO, render=RenderWish(TemplateFormat(kind), params or {}), dry_run=dry, **more)


async def test_every_text_is_filled_in_and_escaped_as_its_kind_asks(desk: Desk) -> None:
    placeholder = "{{params.v}} {{account.name}} {{account.email}}"
    message = await desk.preview(
        asked(
            params={"v": "<&>"},
            subject=placeholder,
            text=placeholder,
            html=f"<body><p>{placeholder}</p></body>",
            preview_text=f"{placeholder} {{{{{{params.v}}}}}}",
        )
    )
    assert message["Subject"] == "<&> Ann ann@example.com"
    assert text_of(message, "plain").strip() == "<&> Ann ann@example.com"
    html = text_of(message, "html")
    assert "<p>&lt;&amp;&gt; Ann ann@example.com</p>" in html
    assert ">&lt;&amp;&gt; Ann ann@example.com <&></div><p>" in html


async def test_without_rendering_texts_stay_as_they_are(desk: Desk) -> None:
    request = SubmitRequest(to=_TO, subject="{{a}}", text="{{b}}", html="{{c}}", preview_text="<d>", dry_run=True)
    message = await desk.preview(request)
    assert (message["Subject"], text_of(message, "plain").strip()) == ("{{a}}", "{{b}}")
    assert ">&lt;d&gt;</div>{{c}}" in text_of(message, "html")


async def test_a_preview_text_that_becomes_empty_is_left_out(desk: Desk) -> None:
    message = await desk.preview(asked(html="<p>x</p>", preview_text="{{params.v}}"))
    assert text_of(message, "html").strip() == "<p>x</p>"


async def test_markdown(desk: Desk) -> None:
    message = await desk.preview(asked(kind="markdown", params={"n": "<b>"}, html="# Hi *{{params.n}}*"))
    assert text_of(message, "html").strip() == "<h1>Hi <em>&lt;b&gt;</em></h1>"
    assert "Hi" in text_of(message, "plain")


async def test_the_address_of_the_service(desk: Desk) -> None:
    await desk.settings.write({"serviceUrl": "https://mail.example.com"})
    message = await desk.preview(asked(text="{{service.url}}"))
    assert text_of(message, "plain").strip() == "https://mail.example.com"


async def test_values_add_no_header(desk: Desk) -> None:
    message = await desk.preview(asked(params={"v": "a\r\nBcc: evil@example.com"}, subject="{{params.v}}", text="x"))
    assert message["Subject"] == "a Bcc: evil@example.com"
    assert message["Bcc"] is None


async def test_a_kept_template_takes_the_place_of_the_texts(desk: Desk) -> None:
    content = TemplateContent(subject="S {{params.n}}", html="*H {{params.n}}*")
    template = await desk.keep(desk.ann, content, "markdown")
    message = await desk.preview(
        asked(template=template, params={"n": "1"}, subject="given", text="T {{params.n}}", html="given")
    )
    assert message["Subject"] == "S 1"
    assert text_of(message, "plain").strip() == "T 1"
    assert text_of(message, "html").strip() == "<p><em>H 1</em></p>"
    bare = await desk.preview(SubmitRequest(to=_TO, template=template, dry_run=True))
    assert bare["Subject"].strip() == "S"


async def test_a_changed_template_is_used_at_once(desk: Desk) -> None:
    template = await desk.keep(None, TemplateContent(subject="one", text="x"))
    assert (await desk.preview(asked(template=template)))["Subject"] == "one"
    await desk.templates.update(template, TemplateChanges(content=TemplateContent(subject="two", text="x")))
    assert (await desk.preview(asked(template=template)))["Subject"] == "two"
    await desk.templates.delete(template)
    with pytest.raises(NotFound):
        await desk.preview(asked(template=template))


async def test_templates_of_others_are_unknown(desk: Desk) -> None:
    for template in (await desk.keep(desk.bob, TemplateContent(text="x")), "AAABoftuzz8AAAABY2FwMQ", "?"):
        with pytest.raises(NotFound) as caught:
            await desk.submit(asked(template=template, dry=False))
        assert caught.value.code == "TemplateNotFound"
    assert await desk.waiting() == 0


async def test_what_cannot_be_filled_in_is_not_queued(desk: Desk) -> None:
    with pytest.raises(TemplateError) as caught:
        await desk.submit(asked(subject="fine", html="<p>\n{{nosuch 1}}", dry=False), "key")
    assert str(caught.value) == 'html of the template, line 2: there is no helper "nosuch"'
    assert await desk.waiting() == 0
    answer = await desk.submit(asked(subject="fine", html="<p>{{params.n}}", dry=False, params={"n": "1"}), "key")
    assert answer["idempotency"]["status"] == "MISS"
    assert "<p>1" in text_of(await desk.queued(answer["queueId"]), "html")


async def test_rendering_happens_when_the_message_is_queued(desk: Desk) -> None:
    template = await desk.keep(desk.ann, TemplateContent(text="{{formatDate}} {{params.n}}"))
    later = desk.clock.ms + 86_400_000
    answer = await desk.submit(asked(template=template, params={"n": "1"}, send_at_ms=later, dry=False))
    await desk.templates.delete(template)
    text = text_of(await desk.queued(answer["queueId"]), "plain").strip()
    assert text == "2027-01-15T08:00:00+00:00 1"


async def test_of_a_raw_message_the_subject_is_filled_in(desk: Desk) -> None:
    raw = b"Subject: old\r\n\r\n{{params.n}}\r\n"
    message = await desk.preview(asked(raw=raw, subject="new {{params.n}}", params={"n": "1"}))
    assert message["Subject"] == "new 1"
    assert message.get_content().strip() == "{{params.n}}"
