"""The formats of an export's file. Each segment stands for itself; all of them, one behind the other, are the file."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from mailquay.mime.address import parse_addresses
from mailquay.mime.header import parse_header
from mailquay.mime.mbox import MboxEncoder, separator
from mailquay.model.export import Export, ExportFormat, PlannedMessage
from mailquay.model.mailbox import ListedMailbox
from mailquay.services.identifiers import message_id
from mailquay.storage.export_files import Spool, Spooled, Write
from mailquay.wire.zip_archive import ZipEntry, archive_end

_UNSAFE: Final = re.compile(r"[^\w .()@+=,&-]")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""Names that mean no file on Windows."""
_MAX_NAME_PART: Final = 80
_GZIP: Final = 31  # window and header of a gzip member (RFC 1952)
_HEADER_BYTES: Final = 64 * 1024

CONTENT_TYPES: Final = {
    ExportFormat.NDJSON: "application/gzip",
    ExportFormat.MBOX: "application/mbox",
    ExportFormat.EML_ZIP: "application/zip",
}
EXTENSIONS: Final = {ExportFormat.NDJSON: "ndjson.gz", ExportFormat.MBOX: "mbox", ExportFormat.EML_ZIP: "zip"}


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message as it was read: its line of JSON, or its source, in pieces that are in memory or in the spool."""

    planned: PlannedMessage
    listing: ListedMailbox
    pieces: Sequence[bytes | Spooled]

    def chunks(self, spool: Spool) -> Iterator[bytes]:
        """All of it, in order."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from spool.read(piece)


class SegmentFormat(Protocol):
    """Writes the messages of one segment."""

    def add(self, message: ReadMessage, spool: Spool) -> None:
        """Write a message."""
        ...

    def finish(self) -> None:
        """Write what ends the segment."""
        ...


class NdjsonSegment:
    """Lines of JSON as one gzip member; members may follow each other (RFC 1952 §2.2)."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _GZIP)

    def add(self, message: ReadMessage, spool: Spool) -> None:
        """See SegmentFormat.add."""
        for chunk in message.chunks(spool):
            self._write(self._gzip.compress(chunk))
        # What was held back counts too when the size of the file is compared with its limit.
        self._write(self._gzip.flush(zlib.Z_SYNC_FLUSH))

    def finish(self) -> None:
        """See SegmentFormat.finish."""
        self._write(self._gzip.flush())


class MboxSegment:
    """Entries of an mbox (RFC 4155)."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, message: ReadMessage, spool: Spool) -> None:
        """See SegmentFormat.add."""
        encoder, first = MboxEncoder(), True
        for chunk in message.chunks(spool):
            if first:
                self._write(separator(_sender(chunk), message.planned.date_ms))
                first = False
            self._write(encoder.feed(chunk))
        if first:
            self._write(separator(None, message.planned.date_ms))
        self._write(encoder.finish())

    def finish(self) -> None:
        """See SegmentFormat.finish: nothing ends an mbox."""


class ZipSegment:
    """Entries of a zip; `offset` is where in the file the segment begins."""

    def __init__(self, write: Write, write_directory: Write, offset: int) -> None:
        self._write_content = write
        self._write_directory = write_directory
        self._offset = offset

    def add(self, message: ReadMessage, spool: Spool) -> None:
        """See SegmentFormat.add."""
        entry = ZipEntry(eml_name(message), message.planned.date_ms, self._offset)
        self._write(entry.begin())
        for chunk in message.chunks(spool):
            self._write(entry.feed(chunk))
        self._write(entry.finish())
        self._write_directory(entry.directory_record())

    def finish(self) -> None:
        """See SegmentFormat.finish: the end of the file is written when all of its size is known."""

    def _write(self, data: bytes) -> None:
        self._offset += len(data)
        self._write_content(data)


def segment_format(export: Export, write: Write, write_directory: Write) -> SegmentFormat:
    """What writes the next segment of an export."""
    if export.request.format is ExportFormat.MBOX:
        return MboxSegment(write)
    if export.request.format is ExportFormat.EML_ZIP:
        return ZipSegment(write, write_directory, export.progress.content_bytes)
    return NdjsonSegment(write)


def file_end(export: Export) -> bytes:
    """What stands behind all segments."""
    if export.request.format is not ExportFormat.EML_ZIP:
        return b""
    progress = export.progress
    return archive_end(progress.exported, progress.content_bytes, progress.directory_bytes)


def write_messages(
    export: Export, messages: Sequence[ReadMessage], spool: Spool, *, limit_bytes: int
) -> tuple[Callable[[Write, Write], int], list[ReadMessage]]:
    """What fills a segment, and a list that holds the messages written when it is done.

    It ends early, behind the message with which the file gets as long as `limit_bytes`.
    """
    written: list[ReadMessage] = []

    def fill(write: Write, write_directory: Write) -> int:
        size = export.progress.content_bytes + export.progress.directory_bytes

        def count(target: Write) -> Write:
            def counted(data: bytes) -> None:
                nonlocal size
                size += len(data)
                target(data)

            return counted

        segment = segment_format(export, count(write), count(write_directory))
        for message in messages:
            segment.add(message, spool)
            written.append(message)
            if size >= limit_bytes:
                break
        segment.finish()
        return len(written)

    return fill, written


def eml_name(message: ReadMessage) -> str:
    """Where a message stands in a zip: mailbox, time, UID and id, of letters that every file system takes.

    Ids may differ by capitals alone, which many file systems do not tell from small letters; UIDs do not.
    """
    listing, planned = message.listing, message.planned
    parts = listing.path.split(listing.delimiter) if listing.delimiter else [listing.path]
    folder = "/".join(_folder_name(part) for part in parts)
    at = datetime.fromtimestamp(planned.date_ms // 1000, UTC)
    return f"{folder}/{at:%Y%m%dT%H%M%SZ}-{planned.uid}-{message_id(planned.mailbox, planned.uid)}.eml"


def _folder_name(level: str) -> str:
    name = _UNSAFE.sub("_", level).strip(". ")[:_MAX_NAME_PART].rstrip(". ") or "_"
    return f"_{name}" if _DEVICE.fullmatch(name) else name


def _sender(start: bytes) -> str | None:
    """Who sent a message, by the beginning of its source."""
    headers = parse_header(start[:_HEADER_BYTES]).decoded()
    for name in ("return-path", "sender", "from"):
        for value in headers.get(name, ()):
            for found in parse_addresses(value):
                if found.address:
                    return found.address
    return None
