"""Gateways: what makes and changes them, how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mailquay.api.schemas.accounts import TlsOptions
from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Absent, Flag, Given, Hostname, Line256, Line1024, NoneHidden, Port
from mailquay.api.validation import Model

_Name = Annotated[Line256, StringConstraints(min_length=1)]


class GatewayTlsOptions(TlsOptions):
    """TLS of a gateway: as a whole, or with `partial` only what is given; null removes."""

    partial: Flag = False


class CreateGateway(Model):
    """A gateway to keep, or to replace when its id is known."""

    gateway: Annotated[Line256 | None, Field(description="The id; null has one made.")]
    name: _Name
    user: Annotated[Line1024 | None, Field(description="Without one nobody logs in.")] = None
    password: Annotated[Line1024 | None, Field(alias="pass")] = None
    host: Hostname
    port: Port
    secure: Annotated[Flag, Field(description="TLS from the start; otherwise STARTTLS where offered.")] = False
    tls: GatewayTlsOptions | None = None


class UpdateGateway(Model):
    """Changes of a gateway; what is not given, or empty, stays. A user or password that is null goes."""

    name: Annotated[_Name | None, Absent] = None
    user: Line1024 | None = None
    password: Annotated[Line1024 | None, Field(alias="pass")] = None
    host: Annotated[Hostname | None, Absent] = None
    port: Annotated[Port | None, Given] = None
    secure: Annotated[Flag | None, Given] = None
    tls: GatewayTlsOptions | None = None


# -- answers --------------------------------------------------------------------------------------


class GatewayCreated(Shown):
    """What became of a gateway."""

    gateway: str
    state: Literal["existing", "new"]


class GatewayUpdated(Shown):
    """The gateway that was changed."""

    gateway: str


class GatewayDeleted(Shown):
    """Whether there was a gateway to delete."""

    gateway: str
    deleted: bool


class GatewayError(Shown):
    """Why the last message could not be handed over."""

    created: datetime
    status: Literal["error"]
    description: str | NoneHidden = None
    response: str | NoneHidden = None
    response_code: Annotated[int | NoneHidden, Field(alias="responseCode")] = None
    code: str | NoneHidden = None
    command: str | NoneHidden = None
    network_routing: Annotated[dict[str, Any] | None, Field(alias="networkRouting")] = None


class GatewayListed(Shown):
    """A gateway without its server."""

    gateway: str
    name: str
    deliveries: Annotated[int, Field(description="How many messages it took.")]
    last_use: Annotated[datetime | None, Field(alias="lastUse")] = None
    last_error: Annotated[
        GatewayError | None, Field(alias="lastError", description="null once a message could be handed over again.")
    ] = None


class GatewayShown(GatewayListed):
    """A gateway, its password masked."""

    user: str | None = None
    password: Annotated[str | NoneHidden, Field(alias="pass")] = None
    host: str
    port: int
    secure: bool
    tls: TlsOptions | NoneHidden = None


class GatewayList(Shown):
    """A page of gateways, ordered by id."""

    total: int
    page: int
    pages: int
    gateways: list[GatewayListed]
