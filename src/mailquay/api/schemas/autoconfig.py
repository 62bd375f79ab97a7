"""Finding the mail servers of an address."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Email, NoneHidden
from mailquay.api.validation import Model


class AutoconfigQuery(Model):
    """Whose servers to find."""

    email: Email


class ServerLogin(Shown):
    """Whom to log in as."""

    user: str


class DiscoveredServer(Shown):
    """A server, ready to be registered with a password."""

    auth: ServerLogin | NoneHidden = None
    host: str
    port: int
    secure: bool


class AppPasswordHint(Shown):
    """The user's own password does not do: where to make one for this application."""

    required: bool
    provider: str
    instructions: str
    warning: str | NoneHidden = None


class DiscoveredServers(Shown):
    """What was found; false where nothing was."""

    imap: Literal[False] | DiscoveredServer
    smtp: Literal[False] | DiscoveredServer
    app_password: Annotated[AppPasswordHint | NoneHidden, Field(alias="appPassword")] = None
    source: Annotated[
        Literal["mx", "srv", "well-known", "autoconfig", "mozilla", "autodiscover", "unknown"],
        Field(alias="_source", description="Who said so."),
    ]
