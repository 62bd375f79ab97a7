"""Digests in place of texts: what recognises a message, and tells nothing of it."""

from __future__ import annotations

import hashlib

from mailquay.model.account import AccountNumber


def digest_of(key: str) -> int:
    """A text as 64 bits, signed."""
    return int.from_bytes(
        hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big", signed=True
    )


def message_digest(account: AccountNumber, message_id: str) -> int:
    """64 bits that stand for a Message-ID; in another account it has others."""
    return digest_of(f"{account} message {message_id}")
