"""Images inside HTML: `data:` URIs to related parts on the way out, `cid:` references to `data:` URIs on the way in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, unquote_to_bytes

from mailquay.mime.compose import AttachmentContent

CID_DOMAIN = "inline.mailquay"
_MAX_EMBEDDED_BYTES = 48 * 1024 * 1024
_EXTENSIONS = {"image/jpeg": "jpg", "image/svg+xml": "svg", "image/x-icon": "ico", "image/vnd.microsoft.icon": "ico"}
_DATA_IMAGE = re.compile(
    r"""(<img\b[^<>]*?\bsrc\s*=\s*)(["'])\s*data:([^"',;]{0,100})((?:;[^"',;]{0,100}){0,4}),([^"']*)\2""",
    re.IGNORECASE,
)
_CID = re.compile(r"""\bcid:([^"'\s()<>]{1,998})""", re.IGNORECASE)
_IMAGE_TYPE = re.compile(r"image/[a-z0-9.+-]{1,60}")


def extract_data_images(
    markup: str, make_id: Callable[[], str], *, mark: str | None = None
) -> tuple[str, list[AttachmentContent]]:
    """Turn each `<img src="data:…">` into a reference to a related part; equal images become one part.

    `make_id` gives a unique left side for the Content-ID. What is no readable image stays as it is, and so does what
    holds `mark`, because it is not what it will be.
    """
    parts: dict[str, AttachmentContent] = {}

    def replace(found: re.Match[str]) -> str:
        content_type = found[3].strip().lower() or "text/plain"
        is_final = mark is None or mark not in found[0]
        content = _data_bytes(found[5], "base64" in found[4].lower()) if is_final else None
        if content is None or not _IMAGE_TYPE.fullmatch(content_type):
            return found[0]
        digest = hashlib.sha256(content_type.encode() + b"\0" + content).hexdigest()
        if digest not in parts:
            extension = _EXTENSIONS.get(content_type) or content_type.partition("/")[2].partition("+")[0]
            parts[digest] = AttachmentContent(
                content=content,
                filename=f"image-{len(parts) + 1}.{extension}",
                content_type=content_type,
                disposition="inline",
                content_id=f"{make_id()}@{CID_DOMAIN}",
            )
        return f'{found[1]}"cid:{parts[digest].content_id}"'

    return _DATA_IMAGE.sub(replace, markup), list(parts.values())


def _data_bytes(text: str, is_base64: bool) -> bytes | None:
    if not is_base64:
        return unquote_to_bytes(text)
    try:
        return base64.b64decode(re.sub(r"\s+", "", unquote(text)), validate=True)
    except (binascii.Error, ValueError):
        return None


def content_ids(markup: str) -> list[str]:
    """The Content-IDs that `markup` refers to, without brackets, each once (RFC 2392 §2)."""
    return list(dict.fromkeys(_reference(found[1]) for found in _CID.finditer(markup)))


def embed_images(markup: str, contents: Mapping[str, tuple[str | None, bytes]]) -> str:
    """Replace `cid:` references by data URIs; `contents` maps Content-IDs without brackets to type and bytes.

    References that are not in `contents` stay, and so do those that would make the result grow by more than 64 MB: a
    short text may name one large image a million times.
    """
    uris: dict[str, str] = {}
    added = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal added
        reference = _reference(found[1])
        content = contents.get(reference)
        if content is None or added + len(content[1]) > _MAX_EMBEDDED_BYTES:
            return found[0]
        added += len(content[1])
        if reference not in uris:
            content_type = content[0] or "application/octet-stream"
            safe = content_type if re.fullmatch(r"[A-Za-z0-9!#$&^_.+/-]{1,200}", content_type) else ""
            encoded = base64.b64encode(content[1]).decode("ascii")
            uris[reference] = f"data:{safe or 'application/octet-stream'};base64,{encoded}"
        return uris[reference]

    return _CID.sub(replace, markup)


def _reference(text: str) -> str:
    return unquote(html.unescape(text)).strip("<>")
