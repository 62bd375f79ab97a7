"""The HTML of a message in the form that a caller asked for: web-safe, with its images embedded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from mailquay.backends.interface import MailSession
from mailquay.mime.inline_image import content_ids, embed_images
from mailquay.mime.transfer import decode_transfer
from mailquay.mime.websafe import MAX_CHARACTERS, web_safe_html
from mailquay.model.message import Attachment
from mailquay.services.message_content import MessageContent, fetch_attachments
from mailquay.services.message_request import ReadOptions

_OFF_LOOP_CHARACTERS = 32 * 1024
_MAX_IMAGES_BYTES = 25 * 1024 * 1024
_T = TypeVar("_T")


OpenSession = Callable[[], AbstractAsyncContextManager[MailSession]]
"""Gives a session that has the message's mailbox open."""


async def present_html(
    open_session: OpenSession, uid: int, content: MessageContent, text: dict[str, Any], options: ReadOptions
) -> None:
    """Change `text` ("plain", "html") in place as the options say; marks it `webSafe` when it is.

    A session is opened for images alone.
    """
    if options.web_safe_html or options.pre_process_html:
        source = text.get("html") or text.get("plain") or ""
        safe = await make_web_safe(text.get("html"), text.get("plain"))
        if safe is not None:
            text["html"] = safe
            text["webSafe"] = True
            text["hasMore"] = text.get("hasMore", False) or len(source) > MAX_CHARACTERS
    embed = options.web_safe_html if options.embed_attached_images is None else options.embed_attached_images
    if embed and "cid:" in text.get("html", "").lower():
        text["html"] = await _with_images(open_session, uid, content, text["html"])


async def make_web_safe(html: str | None, plain: str | None) -> str | None:
    """The web-safe form; long texts are worked on in a thread, so that the others need not wait."""
    return await off_loop(len(html or plain or ""), lambda: web_safe_html(html, plain))


async def off_loop(size: int, work: Callable[[], _T]) -> _T:
    """Do work on so many characters or bytes; in a thread when it would keep others waiting."""
    return await asyncio.to_thread(work) if size > _OFF_LOOP_CHARACTERS else work()


async def _with_images(open_session: OpenSession, uid: int, content: MessageContent, html: str) -> str:
    """The HTML with the attachments in it that it names by Content-ID, which are fetched in one go."""
    chosen = await off_loop(len(html), lambda: _named(content.structure.attachments, html))
    if not chosen:
        return html
    parts = [part for _, part in chosen]
    async with open_session() as session:
        bodies = await fetch_attachments(session, uid, content, parts, _MAX_IMAGES_BYTES)

    def embed() -> str:
        images = {
            name: (part.content_type, decode_transfer(*bodies[part.part]))
            for name, part in chosen
            if part.part in bodies
        }
        return embed_images(html, images)

    return await off_loop(len(html) + sum(len(body) for body, _ in bodies.values()), embed)


def _named(attachments: Sequence[Attachment], html: str) -> list[tuple[str, Attachment]]:
    references = set(content_ids(html))
    chosen, total = [], 0
    for part in attachments:
        name = (part.content_id or "").strip("<>")
        if name in references and total + part.encoded_size_bytes <= _MAX_IMAGES_BYTES:
            chosen.append((name, part))
            total += part.encoded_size_bytes
    return chosen
