"""Encryption of files at rest: AES-256-GCM in chunks, each with its number, the last one marked.

A sealed file is: magic (4 bytes), salt (16 bytes), chunks. Its key is derived (HKDF-SHA256, RFC 5869) from the key of
what it belongs to, the salt and a context, so that no two files share one and none passes for another. A chunk holds up
to 64 KiB and a tag; its nonce is its number and whether it is the last, so that a chunk that was changed, moved or
dropped, and an end that is missing, are noticed (the STREAM construction).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailquay.errors import StorageError

_MAGIC: Final = b"MQF1"
_SALT_BYTES: Final = 16
_TAG_BYTES: Final = 16
CHUNK_BYTES: Final = 64 * 1024


class SealedWriter:
    """Writes a sealed file; without `finish` it is not whole."""

    def __init__(self, file: BinaryIO, key: bytes, context: bytes) -> None:
        salt = os.urandom(_SALT_BYTES)
        self._file = file
        self._cipher = _cipher(key, salt, context)
        self._buffer = bytearray()
        self._chunks = 0
        self.plain_bytes = 0
        file.write(_MAGIC + salt)

    def write(self, data: bytes) -> None:
        """Add to the content."""
        self._buffer += data
        self.plain_bytes += len(data)
        # What could be the last chunk waits: only the end tells.
        while len(self._buffer) > CHUNK_BYTES:
            self._seal(bytes(self._buffer[:CHUNK_BYTES]), last=False)
            del self._buffer[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk, and have all of it on disk."""
        self._seal(bytes(self._buffer), last=True)
        self._buffer.clear()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _seal(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._chunks, last=last), plain, None))
        self._chunks += 1


def read_sealed(path: Path, key: bytes, context: bytes) -> Iterator[bytes]:
    """The content of a sealed file, chunk by chunk.

    Raises StorageError when it was changed, cut off or is another file, in the place of the first chunk that is wrong;
    OSError when it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(_MAGIC) + _SALT_BYTES)
        if head[: len(_MAGIC)] != _MAGIC or len(head) < len(_MAGIC) + _SALT_BYTES:
            raise StorageError(f"{path.name} is not a sealed file")
        cipher = _cipher(key, head[len(_MAGIC) :], context)
        chunk, number = file.read(CHUNK_BYTES + _TAG_BYTES), 0
        while True:
            following = file.read(CHUNK_BYTES + _TAG_BYTES)
            try:
                plain = cipher.decrypt(_nonce(number, last=not following), chunk, None)
            except InvalidTag:
                raise StorageError(f"{path.name} is damaged in chunk {number}, or not whole") from None
            if plain:
                yield plain
            if not following:
                return
            chunk, number = following, number + 1


def _cipher(key: bytes, salt: bytes, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"mailquay sealed file\0" + context).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")
