"""How much a peer may send before we stop listening to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one connection; crossing one raises RemoteProtocolError.

    The defaults suit a client. `max_line_bytes` bounds one line without its literals: a SEARCH answer for a million
    messages fits. `max_buffered_bytes` bounds one whole response or command, `max_buffered_literal_bytes` one
    literal in it that is kept in memory. Message bodies of `stream_threshold_bytes` and more are handed
    out in pieces, up to `max_streamed_literal_bytes`.
    """

    max_line_bytes: int = 8 * 1024 * 1024
    max_buffered_bytes: int = 16 * 1024 * 1024
    max_buffered_literal_bytes: int = 1024 * 1024
    max_streamed_literal_bytes: int = 1024 * 1024 * 1024
    stream_threshold_bytes: int = 64 * 1024
    max_nesting_depth: int = 64
    max_list_items: int = 1_000_000
    max_untagged_responses_per_command: int = 5_000_000


CLIENT_LIMITS = Limits()
SERVER_LIMITS = Limits(
    max_line_bytes=64 * 1024,
    max_buffered_bytes=65 * 1024 * 1024,
    max_buffered_literal_bytes=64 * 1024 * 1024,
    max_nesting_depth=32,
    max_list_items=10_000,
)
"""For the server side: short lines, and literals large enough for an APPEND."""
