"""Encryption of fields at rest: AES-256-GCM with key ids, keys generated once and checked at every start.

A sealed field is: version (1 byte), key id (4 bytes), nonce (12 bytes), ciphertext with tag. The associated data names
table, column and row, so that a sealed value cannot be moved to another place.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailquay.errors import KeyMismatch, StorageError

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A 256-bit key. Its fingerprint may be stored in clear: it says which key, not what key."""

    secret: bytes

    @property
    def fingerprint(self) -> str:
        """32 hex digits that identify the key."""
        return hmac.new(self.secret, b"mailquay key fingerprint", hashlib.sha256).hexdigest()[:32]

    @property
    def key_id(self) -> bytes:
        """The first bytes of the fingerprint, as they stand in every sealed field."""
        return bytes.fromhex(self.fingerprint)[:_KEY_ID_BYTES]


def key_from_passphrase(passphrase: str, salt: bytes) -> Key:
    """Stretch a passphrase (scrypt, N=2^15: about 0.1 s) into a key; the salt is kept with the key's fingerprint."""
    return Key(hashlib.scrypt(passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=KEY_BYTES))


class Vault:
    """Seals with the current key, opens with any known one.

    `reload` is asked for the keys again when a field names an unknown one, because another node may have rotated.
    """

    def __init__(self, keys: Sequence[Key], reload: Callable[[], Sequence[Key]] | None = None) -> None:
        if not keys:
            raise KeyMismatch("no encryption key is configured")
        self._reload = reload
        self._ciphers: dict[bytes, AESGCM] = {}
        self._take(keys)

    @property
    def current(self) -> Key:
        """The key that new fields are sealed with."""
        return self._current

    def _take(self, keys: Sequence[Key]) -> None:
        self._current = keys[0]
        self._current_id = self._current.key_id
        self._ciphers = {key.key_id: AESGCM(key.secret) for key in keys}

    def seal(self, plain: bytes, *, table: str, column: str, row: str | int) -> bytes:
        """Encrypt one field."""
        nonce = os.urandom(_NONCE_BYTES)
        key_id = self._current_id
        sealed = self._ciphers[key_id].encrypt(nonce, plain, _associated(table, column, row))
        return _VERSION + key_id + nonce + sealed

    def open(self, sealed: bytes, *, table: str, column: str, row: str | int) -> bytes:
        """Decrypt one field.

        Raises KeyMismatch when its key is not known, StorageError when it was changed or moved.
        """
        if sealed[:1] != _VERSION or len(sealed) < 1 + _KEY_ID_BYTES + _NONCE_BYTES + 16:
            raise StorageError(f"{table}.{column} of {row} is not a sealed field")
        key_id = sealed[1 : 1 + _KEY_ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None and self._reload is not None:
            self._take(self._reload())
            cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMismatch(f"{table}.{column} of {row} was sealed with key {key_id.hex()}, which is not configured")
        nonce_end = 1 + _KEY_ID_BYTES + _NONCE_BYTES
        try:
            return cipher.decrypt(
                sealed[1 + _KEY_ID_BYTES : nonce_end], sealed[nonce_end:], _associated(table, column, row)
            )
        except InvalidTag:
            raise StorageError(f"{table}.{column} of {row} was changed or moved since it was sealed") from None

    def sealed_with_current(self, sealed: bytes) -> bool:
        """Whether a field needs no rotation."""
        return sealed[1 : 1 + _KEY_ID_BYTES] == self._current_id


def _associated(table: str, column: str, row: str | int) -> bytes:
    return f"{table}\0{column}\0{row}".encode()


def read_key_file(path: Path) -> list[Key]:
    """The keys of a key file, one per line in hex, the current one first.

    Raises KeyMismatch when the file cannot be read or holds something else.
    """
    try:
        lines = path.read_text(encoding="ascii").split()
        keys = [Key(bytes.fromhex(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise KeyMismatch(f"cannot read encryption keys from {path}: {error}") from error
    if not keys or any(len(key.secret) != KEY_BYTES for key in keys):
        raise KeyMismatch(f"{path} must hold one or more keys of {KEY_BYTES * 2} hex digits")
    return keys


def write_key_file(path: Path, keys: Sequence[Key]) -> None:
    """Replace a key file (mode 0600), so that a crash leaves either the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("".join(key.secret.hex() + "\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def generate_key() -> Key:
    """A new random key."""
    return Key(secrets.token_bytes(KEY_BYTES))
