"""The stored message as it leaves: to the submission server without Bcc, to the mailbox as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mailquay.errors import StorageError
from mailquay.mime.raw import RawMessage

_HEADER_END = b"\r\n\r\n"


async def whole(body: AsyncIterator[bytes], size_bytes: int) -> AsyncIterator[bytes]:
    """The stored body; raises StorageError instead of ending before its size (its account was deleted meanwhile)."""
    left = size_bytes
    async for chunk in body:
        left -= len(chunk)
        yield chunk
    if left:
        raise StorageError("the stored message is not complete")


async def wire_body(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stored message as it goes out: without Bcc, which recipients must never see (RFC 5322 §3.6.3)."""
    head, in_header = b"", True
    async for chunk in body:
        if not in_header:
            yield chunk
            continue
        head += chunk
        end = head.find(_HEADER_END)
        if end >= 0:
            in_header = False
            yield _without_bcc(head[: end + 2]) + head[end + 2 :]
    if in_header and head:
        yield _without_bcc(head)


def _without_bcc(header: bytes) -> bytes:
    message = RawMessage.read(header)
    message.remove("Bcc", "Resent-Bcc")
    return b"".join(segment for _, segment in message.fields)
