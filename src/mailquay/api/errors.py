"""The one table from errors to answers, and the envelope that every refusal has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mailquay.errors import (
    AuthenticationFailed,
    BackendError,
    CommandRejected,
    ConfigError,
    EgressBlocked,
    Fenced,
    Forbidden,
    InvalidRequest,
    MailboxNotFound,
    MailquayError,
    MessageNotFound,
    MessageTooLarge,
    NotFound,
    NotOperational,
    RateLimited,
    RemoteProtocolError,
    TemplateError,
    Unavailable,
    Unsupported,
)
from mailquay.services.settings import InvalidSettings

_MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where (dotted, arrays by index), and a sentence about it."""

    path: str
    message: str

    def shown(self) -> dict[str, str]:
        """As the API tells it: `key` is the last name of the path."""
        names = [part for part in self.path.split(".") if not part.isdigit()]
        return {"message": self.message, "key": names[-1] if names else self.path, "path": self.path}


class HttpError(Exception):
    """An answer other than success, as it goes out. `close` ends the connection, because its rest is not read."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if close:
            self.headers["connection"] = "close"

    def body(self) -> dict[str, Any]:
        """The envelope."""
        body: dict[str, Any] = {
            "statusCode": self.status,
            "error": HTTPStatus(self.status).phrase,
            "message": self.message,
        }
        if self.code is not None:
            body["code"] = self.code
        return {**body, **self.extra}


def invalid_input(faults: Sequence[Fault]) -> HttpError:
    """The refusal of a request with everything that is wrong with it, as far as anybody reads."""
    return HttpError(400, "Invalid input", extra={"fields": [fault.shown() for fault in faults[:_MAX_FAULTS]]})


def account_missing() -> HttpError:
    """There is no account with the id of the request."""
    return HttpError(404, "there is no account with this id")


_STATUS: tuple[tuple[type[MailquayError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (MessageTooLarge, 413),
    (TemplateError, 422),
    (InvalidRequest, 400),
    (ConfigError, 400),
    (EgressBlocked, 400),
    (MailboxNotFound, 404),
    (MessageNotFound, 404),
    (Unsupported, 422),
    (CommandRejected, 400),
    (AuthenticationFailed, 503),
    (Unavailable, 503),
    (NotOperational, 503),
    (Fenced, 503),
    (RemoteProtocolError, 502),
    (BackendError, 502),
)
_CODE_STATUS = {"Timeout": 504, "LockFail": 429, "UploadFail": 502, "TooManyExports": 429, "RangeNotSatisfiable": 416}


def to_http_error(error: MailquayError) -> HttpError | None:
    """How an expected error is answered; None when it is ours alone and nothing of it may be told."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        return None
    if isinstance(error, InvalidSettings):
        return invalid_input([Fault(key, sentence) for key, sentence in error.faults])
    extra: dict[str, Any] = {}
    headers: dict[str, str] = {}
    code: str = error.code
    if isinstance(error, Fenced):
        return HttpError(503, "the account is being handed to another node; try again", code="WorkerNotAvailable")
    if isinstance(error, NotOperational) and error.state is not None:
        extra["state"] = error.state
    if isinstance(error, CommandRejected):
        code = error.response_code or code
        extra["info"] = {"response": error.message}
    if isinstance(error, TemplateError):
        extra["info"] = {"part": error.part, "line": error.line}
    if isinstance(error, RateLimited):
        headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
    return HttpError(_CODE_STATUS.get(error.code, status), error.message, code=code, extra=extra, headers=headers)


def timed_out(timeout_seconds: float) -> HttpError:
    """The mail server did not answer within the time that the caller allows."""
    return HttpError(504, f"Timeout waiting for command response ({timeout_seconds:g} s)", code="Timeout")


def internal_error(request_id: str) -> HttpError:
    """A defect of ours: nothing is told but where to look."""
    return HttpError(500, f"Something failed on the server; its log tells more under {request_id}", code="ServerBug")
