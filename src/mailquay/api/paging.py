"""Lists in pages."""

from __future__ import annotations


def paged(total: int, page: int, page_size: int) -> dict[str, int]:
    """What every list says of itself; there is always at least one page."""
    return {"total": total, "page": page, "pages": max(1, -(-total // page_size))}
