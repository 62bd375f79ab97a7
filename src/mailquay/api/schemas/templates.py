"""Templates: what makes them, how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mailquay.api.schemas.common import Paging, Shown
from mailquay.api.schemas.fields import Absent, Content, Flag, Given, Line256, Lower, NoneHidden
from mailquay.api.validation import Model

Format = Annotated[Literal["html", "markdown"], Lower, Field(description="What the HTML text is written in.")]
_Name = Annotated[Line256, StringConstraints(min_length=1)]
_Description = Annotated[str, StringConstraints(max_length=1024)]
_Text = Annotated[Content | None, Given]


class TemplateTexts(Model):
    """Texts with placeholders; those that are not given are not there."""

    subject: Annotated[Annotated[str, StringConstraints(max_length=10240)] | None, Given] = None
    text: _Text = None
    html: _Text = None
    preview_text: Annotated[
        Annotated[str, StringConstraints(max_length=1024)] | None, Given, Field(alias="previewText")
    ] = None


class CreateTemplate(Model):
    """A template to keep."""

    account: Annotated[Line256 | None, Field(description="The account that may use it; null: every account.")]
    name: _Name
    description: Annotated[_Description | None, Absent] = None
    format: Format = "html"
    content: TemplateTexts


class UpdateTemplate(Model):
    """Changes of a template; what is not given stays, `content` is replaced as a whole."""

    name: Annotated[_Name | None, Given] = None
    description: Annotated[_Description | None, Given] = None
    format: Annotated[Format | None, Given] = None
    content: Annotated[TemplateTexts | None, Given] = None


class TemplatesQuery(Paging):
    """Which templates to list."""

    account: Annotated[
        Line256 | None, Absent, Field(description="Those of this account; without it those for every account.")
    ] = None


class FlushQuery(Model):
    """Whether it is meant."""

    force: Annotated[Flag, Field(description="Must be true.")] = False


# -- answers --------------------------------------------------------------------------------------


class TemplateCreated(Shown):
    """A new template."""

    created: bool
    account: str | None
    id: str


class TemplateUpdated(Shown):
    """A changed template."""

    updated: bool
    account: str | None
    id: str


class TemplateDeleted(Shown):
    """Whether there was a template to delete."""

    deleted: bool
    account: str | None
    id: str


class TemplatesFlushed(Shown):
    """All templates of an account are deleted."""

    flushed: bool
    account: str


class TemplateListed(Shown):
    """A template without its texts."""

    id: str
    name: str
    description: str | NoneHidden = None
    format: Literal["html", "markdown"]
    created: datetime
    updated: datetime | NoneHidden = None


class TemplateShown(TemplateListed):
    """A template."""

    account: str | None
    content: TemplateTexts


class TemplateList(Shown):
    """A page of templates, newest first."""

    account: str | None
    total: int
    page: int
    pages: int
    templates: list[TemplateListed]
