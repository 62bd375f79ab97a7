"""The HTML of a message in the form that a caller asked for: web-safe, with its images embedded."""

from __future__ import annotations

import asyncio
from typing import Any

from mailquay.backends.interface import MailSession
from mailquay.mime.inline_image import embed_images
from mailquay.mime.transfer import decode_transfer
from mailquay.mime.websafe import web_safe_html
from mailquay.model.message import Structure
from mailquay.services.message_request import ReadOptions

_OFF_LOOP_CHARACTERS = 32 * 1024
_MAX_IMAGES_BYTES = 25 * 1024 * 1024


async def present_html(
    session: MailSession, uid: int, structure: Structure, text: dict[str, Any], options: ReadOptions
) -> None:
    """Change `text` ("plain", "html") in place as the options say; marks it `webSafe` when it is."""
    if options.web_safe_html or options.pre_process_html:
        safe = await make_web_safe(text.get("html"), text.get("plain"))
        if safe is not None:
            text["html"] = safe
            text["webSafe"] = True
    embed = options.web_safe_html if options.embed_attached_images is None else options.embed_attached_images
    if embed and "cid:" in text.get("html", "").lower():
        text["html"] = embed_images(text["html"], await _images(session, uid, structure, text["html"]))


async def make_web_safe(html: str | None, plain: str | None) -> str | None:
    """The web-safe form; long texts are worked on in a thread, so that the others need not wait."""
    if len(html or plain or "") > _OFF_LOOP_CHARACTERS:
        return await asyncio.to_thread(web_safe_html, html, plain)
    return web_safe_html(html, plain)


async def _images(
    session: MailSession, uid: int, structure: Structure, html: str
) -> dict[str, tuple[str | None, bytes]]:
    """The attachments that the HTML names by Content-ID, fetched in one go."""
    chosen = []
    total = 0
    for part in structure.attachments:
        name = (part.content_id or "").strip("<>")
        if name and name in html and total + part.encoded_size_bytes <= _MAX_IMAGES_BYTES:
            chosen.append((name, part))
            total += part.encoded_size_bytes
    if not chosen:
        return {}
    fetched = await session.fetch_sections(str(uid), [part.part for _, part in chosen])
    bodies = fetched[uid].bodies if uid in fetched else {}
    return {
        name: (part.content_type, decode_transfer(bodies[part.part], part.encoding))
        for name, part in chosen
        if part.part in bodies
    }
