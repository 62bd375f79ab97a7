"""Templates: texts with placeholders that are kept, to be filled in when a message is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TemplateFormat(Enum):
    """What the HTML text of a template is written in."""

    HTML = "html"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True)
class TemplateContent:
    """The texts of a template; None for one that it does not have."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    preview_text: str | None = None

    @property
    def size(self) -> int:
        """How many characters all of them have."""
        return sum(len(one or "") for one in (self.subject, self.text, self.html, self.preview_text))


@dataclass(frozen=True, slots=True)
class Template:
    """A template without its texts. `account` is the public id of the account that alone may use it, None for all.

    `revision` grows with each change; `updated_ms` None: it was never changed. Times are milliseconds since the epoch.
    """

    id: str
    account: str | None
    name: str
    description: str | None
    format: TemplateFormat
    created_ms: int
    updated_ms: int | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class TemplateChanges:
    """What to change of a template; None leaves it. An empty description removes it; `content` replaces all texts."""

    name: str | None = None
    description: str | None = None
    format: TemplateFormat | None = None
    content: TemplateContent | None = None
