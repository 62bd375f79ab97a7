"""Messages whose texts are templates: found, filled in, checked, before anything of them is queued."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from mailquay.errors import TemplateError
from mailquay.mime.header import one_line
from mailquay.mime.inline_image import extract_data_images
from mailquay.model.account import Account
from mailquay.model.template import TemplateContent, TemplateFormat
from mailquay.services.composition import own_address
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import RenderWish, SubmitAttachment, SubmitRequest
from mailquay.services.templates import TemplateService
from mailquay.templating.engine import Part, Source
from mailquay.templating.pool import RenderPool

_OFF_LOOP_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Rendering:
    """A message whose texts are to be filled in: `common` is what placeholders stand for whatever the params are."""

    request: SubmitRequest
    source: Source
    common: Mapping[str, Any]


class RenderingService:
    """Fills in the texts of submissions."""

    def __init__(self, templates: TemplateService, settings: SettingsService, pool: RenderPool, clock: Clock) -> None:
        self._templates = templates
        self._settings = settings
        self._pool = pool
        self._clock = clock

    async def rendered(self, account: Account, request: SubmitRequest, *, timeout_seconds: float) -> SubmitRequest:
        """The message with its texts filled in; itself where it asks for nothing of the kind.

        Raises NotFound (TemplateNotFound), TemplateError, TimeoutError.
        """
        if request.template is None and request.render is None:
            return request
        rendering = await self.prepared(account, request)
        own = {"params": {} if request.render is None else request.render.params}
        [result] = await self.filled(account, rendering, [own], timeout_seconds=timeout_seconds)
        if isinstance(result, TemplateError):
            raise result
        return result

    async def prepared(self, account: Account, request: SubmitRequest, *, many: bool = False) -> Rendering:
        """A message with the texts of its template, ready to be filled in, once or for many.

        What is the same in each of many is taken out of the texts: images, which would be read again and again.
        Raises NotFound (TemplateNotFound).
        """
        written_in = (request.render or RenderWish()).format
        if request.template is not None:
            template, content = await self._templates.usable(account, request.template)
            request, written_in = _with_texts(request, content), template.format
        if many and written_in is TemplateFormat.HTML:
            request = await _images_apart(request)
        sender = own_address(account)
        common = {
            "account": {"name": account.profile.name, "email": "" if sender is None else sender.address},
            "service": {"url": request.base_url or await self._settings.get("serviceUrl")},
        }
        return Rendering(request, _source(request, written_in), common)

    async def filled(
        self, account: Account, rendering: Rendering, own: Sequence[Mapping[str, Any]], *, timeout_seconds: float
    ) -> list[SubmitRequest | TemplateError]:
        """The message with what each has of its `own` (params, rcpt), or what is wrong.

        For as many of the first as were done at once. Raises TimeoutError.
        """
        contexts = [msgspec.json.encode({**rendering.common, **one}) for one in own]
        results = await self._pool.render(
            account.number, rendering.source, contexts, self._clock.now_ms(), timeout_seconds=timeout_seconds
        )
        return [
            _told(result) if isinstance(result, TemplateError) else _with_results(rendering, result)
            for result in results
        ]


def _with_texts(request: SubmitRequest, content: TemplateContent) -> SubmitRequest:
    """Each text that the template has takes the place of the one in the request."""
    texts = {"subject": content.subject, "text": content.text, "html": content.html}
    texts["preview_text"] = content.preview_text
    return replace(request, **{name: text for name, text in texts.items() if text is not None})  # type: ignore[arg-type]


async def _images_apart(request: SubmitRequest) -> SubmitRequest:
    """The message with the images of its HTML text as attachments, but for those that placeholders are part of."""
    if "data:" not in (request.html or ""):
        return request

    def extract() -> SubmitRequest:
        html, images = extract_data_images(request.html or "", lambda: str(uuid.uuid4()), mark="{{")
        found = [
            SubmitAttachment(image.filename, image.content, image.content_type, image.disposition, image.content_id)
            for image in images
        ]
        return replace(request, html=html, attachments=(*found, *request.attachments))

    return await asyncio.to_thread(extract) if len(request.html or "") > _OFF_LOOP_CHARACTERS else extract()


def _source(request: SubmitRequest, written_in: TemplateFormat) -> Source:
    parts = []
    if request.subject is not None:
        parts.append(Part("subject", request.subject, escaped=False))
    if request.text is not None:
        parts.append(Part("text", request.text, escaped=False))
    if request.html is not None:
        parts.append(Part("html", request.html, escaped=True, markdown=written_in is TemplateFormat.MARKDOWN))
    if request.preview_text is not None:
        parts.append(Part("previewText", request.preview_text, escaped=True))
    return Source(tuple(parts))


def _with_results(rendering: Rendering, results: Sequence[str]) -> SubmitRequest:
    found = dict(zip((part.name for part in rendering.source.parts), results, strict=True))
    subject = found.get("subject")
    return replace(
        rendering.request,
        subject=None if subject is None else one_line(subject),
        text=found.get("text"),
        html=found.get("html"),
        preview_text=None,
        preview_markup=found.get("previewText"),
    )


def _told(error: TemplateError) -> TemplateError:
    """The same with everything that is known of its place in the sentence, which may be all that somebody reads."""
    place = "the template" if error.part is None else f"{error.part} of the template"
    line = "" if error.line is None else f", line {error.line}"
    return type(error)(f"{place}{line}: {error.message}", part=error.part, line=error.line)
