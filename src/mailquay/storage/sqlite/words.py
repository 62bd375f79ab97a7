"""How SQLite keeps the words of a message: packed, since its full-text index has to be told what it should forget.

The index holds no text of its own (FTS5, `content = ''`), and its words begin with the number of their account: what
one account looks for costs nothing by what others keep.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

_LEVEL = 6


def _packed(words: str) -> bytes:
    return zlib.compress(words.encode(), _LEVEL)


def _scoped(packed: bytes, account: int) -> str:
    words = zlib.decompress(packed).decode()
    scope = f"{account}·"
    return scope + words.replace(" ", f" {scope}")


WORD_FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("packed_words", 1, _packed),
    ("scoped_words", 2, _scoped),
)
"""What the triggers and statements call: name, number of arguments, function."""
