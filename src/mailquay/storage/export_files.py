"""The files of exports on this machine: a folder for each export, in it sealed segments that never change.

A segment is written under a name that no other has, brought to disk, and only then noted in the database: what is not
noted there is nothing. The folder has an id of its own, its *place*: processes that share the folder share the files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailquay.errors import NotFound, StorageError
from mailquay.model.export import Export, Segment
from mailquay.storage.sealed_file import SealedWriter, read_sealed

_PLACE: Final = "place.id"
_EXPORT: Final = "exp_"
_CONTENT, _DIRECTORY = "content", "directory"
SPOOL_FRAME_BYTES: Final = 256 * 1024
_MOST_SPOOLED_BYTES: Final = 512 * 1024 * 1024
"""Far more than a batch has by what its server says of sizes, and than any message has."""

Write = Callable[[bytes], None]


class ExportFiles:
    """The exports' folder. Its methods block: they are for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place: str | None = None

    @property
    def place(self) -> str:
        """The id of the folder; `open` has been called."""
        assert self._place is not None
        return self._place

    def open(self) -> None:
        """Make the folder, readable for nobody else, and learn its id.

        Raises StorageError when that cannot be done.
        """
        try:
            self._place = self._known_place()
        except OSError as error:
            raise StorageError(f"cannot keep exports in {self._folder}: {error.strerror or error}") from error

    def _known_place(self) -> str:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self._folder / _PLACE
        if not known.exists():
            with tempfile.NamedTemporaryFile("w", dir=self._folder, encoding="ascii") as fresh:
                fresh.write(secrets.token_hex(16))
                fresh.flush()
                os.fsync(fresh.fileno())
                # Of two processes that start together one alone gets to say it.
                with contextlib.suppress(FileExistsError):
                    os.link(fresh.name, known)
            _sync_folder(self._folder)
        return known.read_text(encoding="ascii").strip()

    def write(self, export: Export, n: int, fill: Callable[[Write, Write], int]) -> Segment | None:
        """Write a segment: `fill` is given what writes its content and its part of the directory.

        It returns how many messages they hold; there is no segment when that is none. All of it is on disk afterwards.
        Raises OSError when the disk is full or broken.
        """
        folder = self._folder / export.id
        if not folder.exists():
            folder.mkdir(mode=0o700)
            _sync_folder(self._folder)
        name = f"{n:06d}-{secrets.token_hex(8)}"
        paths = [folder / f"{name}.{kind}" for kind in (_CONTENT, _DIRECTORY)]
        with paths[0].open("xb") as content_file, paths[1].open("xb") as directory_file:
            content = SealedWriter(content_file, export.key, _context(export, n, _CONTENT))
            directory = SealedWriter(directory_file, export.key, _context(export, n, _DIRECTORY))
            messages = fill(content.write, directory.write)
            if messages or content.plain_bytes:
                content.finish()
                directory.finish()
        if not messages and not content.plain_bytes:
            for path in paths:
                path.unlink()
            return None
        _sync_folder(folder)
        return Segment(n, name, messages, content.plain_bytes, directory.plain_bytes)

    def check(self, export: Export, segments: Sequence[Segment]) -> None:
        """Raise NotFound (FileNotFound) when one of the segments is not there."""
        folder = self._folder / export.id
        names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        for segment in segments:
            if f"{segment.name}.{_CONTENT}" not in names or f"{segment.name}.{_DIRECTORY}" not in names:
                raise NotFound("the file of the export is gone", code="FileNotFound")

    def content(self, export: Export, segment: Segment) -> Iterator[bytes]:
        """The content of a segment in chunks.

        Raises StorageError when it is damaged, OSError.
        """
        return self._read(export, segment, _CONTENT, segment.content_bytes)

    def directory(self, export: Export, segment: Segment) -> Iterator[bytes]:
        """Its part of the directory in chunks.

        Raises StorageError when it is damaged, OSError.
        """
        return self._read(export, segment, _DIRECTORY, segment.directory_bytes)

    def _read(self, export: Export, segment: Segment, kind: str, size_bytes: int) -> Iterator[bytes]:
        path = self._folder / export.id / f"{segment.name}.{kind}"
        left = size_bytes
        for chunk in read_sealed(path, export.key, _context(export, segment.n, kind)):
            left -= len(chunk)
            yield chunk
        if left:
            raise StorageError(f"{path.name} has another size than it was written with")

    def forget_unknown(self, export: Export, segments: Sequence[Segment]) -> None:
        """Remove segments that a former run wrote and could not note."""
        folder = self._folder / export.id
        known = {segment.name for segment in segments}
        for entry in list(os.scandir(folder)) if folder.is_dir() else []:
            if entry.name.partition(".")[0] not in known:
                Path(entry.path).unlink(missing_ok=True)

    def sweep(self, listed: Sequence[str], wanted: Mapping[str, str | None]) -> int:
        """Remove the folders of exports, among those `listed`, that are of no use any more; how many those were.

        `wanted` has the exports whose files are of use, with the places where they lie, None while that is open.
        """
        removed = 0
        for name in listed:
            if name not in wanted or wanted[name] not in (None, self.place):
                shutil.rmtree(self._folder / name, ignore_errors=True)
                removed += 1
        return removed

    def listed(self) -> list[str]:
        """The exports that have folders here."""
        return [entry.name for entry in os.scandir(self._folder) if entry.name.startswith(_EXPORT)]

    def spool(self) -> Spool:
        """A file for what is read from the mail server before it gets its place."""
        return Spool(tempfile.TemporaryFile(dir=self._folder))


class SpoolFull(Exception):
    """More was read than messages of the sizes that were told can have: no server may fill the disk."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A run of bytes in a spool."""

    first: int
    frames: int
    size_bytes: int


class Spool:
    """Bytes that need not be in memory, encrypted with a key that is: the file has no name and is gone with it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._frames: list[tuple[int, int]] = []
        self._end = 0

    def add(self, frame: bytes) -> int:
        """Append a frame; returns its number.

        Raises SpoolFull.
        """
        if self._end + len(frame) > _MOST_SPOOLED_BYTES:
            raise SpoolFull
        sealed = self._cipher.encrypt(len(self._frames).to_bytes(12, "big"), frame, None)
        self._file.seek(self._end)
        self._file.write(sealed)
        self._frames.append((self._end, len(sealed)))
        self._end += len(sealed)
        return len(self._frames) - 1

    def add_whole(self, data: bytes) -> Spooled:
        """Append data that is in memory."""
        first = len(self._frames)
        for start in range(0, len(data), SPOOL_FRAME_BYTES):
            self.add(data[start : start + SPOOL_FRAME_BYTES])
        return Spooled(first, len(self._frames) - first, len(data))

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self._frames)

    def read(self, spooled: Spooled) -> Iterator[bytes]:
        """A run of bytes, frame by frame."""
        for number in range(spooled.first, spooled.first + spooled.frames):
            offset, size = self._frames[number]
            self._file.seek(offset)
            yield self._cipher.decrypt(number.to_bytes(12, "big"), self._file.read(size), None)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def _context(export: Export, n: int, kind: str) -> bytes:
    return f"{export.id}/{n}/{kind}".encode()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
