"""The preview text that mail clients show beside the subject."""

from __future__ import annotations

import re

_BODY = re.compile(r"<body\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
_HIDDEN = (
    "display:none;font-size:1px;line-height:1px;color:transparent;max-height:0;max-width:0;opacity:0;overflow:hidden;"
    "mso-hide:all"
)


def inject_preview(markup: str, preview: str) -> str:
    """Put `preview`, which is HTML too, as a hidden block behind the body tag, or first where there is none."""
    block = f'<div style="{_HIDDEN}">{preview}</div>'
    body = _BODY.search(markup)
    position = body.end() if body is not None else 0
    return f"{markup[:position]}{block}{markup[position:]}"
