"""Downloads as streams: their beginning awaited, their transfer encoding undone, whole or an error."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mailquay.errors import InvalidRequest
from mailquay.mime.transfer import decoder_for

MAX_DOWNLOAD_BYTES = 250 * 1024 * 1024
"""As transferred by the mail server."""


def check_size(size_bytes: int | None) -> None:
    """Raise InvalidRequest (DownloadTooLarge) for what is known to be larger than what we hand out."""
    if size_bytes is not None and size_bytes > MAX_DOWNLOAD_BYTES:
        raise InvalidRequest(
            f"there are {size_bytes} bytes to download, the limit is {MAX_DOWNLOAD_BYTES}", code="DownloadTooLarge"
        )


async def limited(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes; raises InvalidRequest (DownloadTooLarge) rather than to pass off a part as the whole."""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        check_size(received)
        yield chunk


async def first_bytes(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """So many bytes of a stream, and no more."""
    left = count
    async for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


async def started(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream once its first bytes are there, so that a missing part is an error and not a broken download."""
    first = await anext(chunks, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return rest()


async def decoded(chunks: AsyncIterator[bytes], encoding: str | None) -> AsyncIterator[bytes]:
    """The content behind a transfer encoding."""
    decoder = decoder_for(encoding)
    async for chunk in chunks:
        if content := decoder.feed(chunk):
            yield content
    if tail := decoder.finish():
        yield tail


async def once(content: bytes) -> AsyncIterator[bytes]:
    """What is there already, as a stream."""
    yield content
