"""What many operations share: path parameters, paging, the shapes of refusals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from mailquay.api.schemas.fields import Flag, Given, Hostname, NoneHidden
from mailquay.api.validation import Model

_ID64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", min_length=64, max_length=64)]
MAX_PAGE = 1_048_576
QueueName = Literal["notify", "submit", "documents"]

PATH_PARAMETERS: dict[str, TypeAdapter[Any]] = {
    "account": TypeAdapter(Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]),
    "message": TypeAdapter(Annotated[str, StringConstraints(max_length=256)]),
    "text": TypeAdapter(Annotated[str, StringConstraints(max_length=10240)]),
    "attachment": TypeAdapter(Annotated[str, StringConstraints(max_length=2048)]),
    "exportId": TypeAdapter(Annotated[str, StringConstraints(pattern=r"^exp_[a-f0-9]{24}$")]),
    "template": TypeAdapter(Annotated[str, StringConstraints(min_length=1, max_length=256)]),
    "listId": TypeAdapter(Hostname),
    "gateway": TypeAdapter(Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]),
    "thread": TypeAdapter(Annotated[str, StringConstraints(min_length=1, max_length=1024)]),
    "queueId": TypeAdapter(Annotated[str, StringConstraints(max_length=100)]),
    "queue": TypeAdapter(QueueName),
    "token": TypeAdapter(_ID64),
    "page": TypeAdapter(Annotated[str, StringConstraints(max_length=100)]),
    "asset": TypeAdapter(Annotated[str, StringConstraints(max_length=100)]),
}
"""The bounds of every name that stands in braces in a path."""

TimeoutHeader = TypeAdapter(Annotated[int, Field(ge=0, le=7_200_000)])
"""X-EE-Timeout, in milliseconds."""

IdempotencyKey = TypeAdapter(Annotated[str, StringConstraints(max_length=1024)])


class NoQuery(Model):
    """An operation without query parameters."""


class Paging(Model):
    """Which part of a list to show."""

    page: Annotated[int, Field(ge=0, le=MAX_PAGE, description="Page to show, from 0.")] = 0
    page_size: Annotated[int, Field(ge=1, le=1000, alias="pageSize", description="Entries of a page.")] = 20


class Shown(Model):
    """Base of answers; they may gain fields."""

    model_config = ConfigDict(extra="allow")


class Deleted(Shown):
    """Whether there was something to delete."""

    deleted: bool


class RefusedField(Shown):
    """One thing that is wrong with a request."""

    message: str
    key: str
    path: Annotated[str, Field(description="The whole path of the field.")]


class Refusal(Shown):
    """The envelope of every answer that is not a success."""

    status_code: Annotated[int, Field(alias="statusCode")]
    error: str
    message: str
    code: str | NoneHidden = None
    fields: list[RefusedField] | NoneHidden = None
    state: Annotated[str | NoneHidden, Field(description="The account's state, when it is the reason.")] = None
    ttl: Annotated[int | NoneHidden, Field(description="Seconds until a rate limit is reset.")] = None
    details: str | NoneHidden = None


OptionalFlag = Annotated[Flag | None, Given]
