"""Credentials that the operator's own server keeps: asked for at every connection and every send, never stored."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from typing import Literal, NoReturn, TypeVar
from urllib.parse import urlencode

import structlog

from mailquay.errors import AuthenticationFailed, MailquayError, RateLimited, Unavailable
from mailquay.model.account import ServerSettings
from mailquay.net.http import HttpClient, HttpResponse, take_userinfo
from mailquay.services.settings import SettingsService

_log = structlog.get_logger(__name__)
S = TypeVar("S", bound=ServerSettings)
Protocol = Literal["imap", "smtp", "api"]

REQUEST_FAILED = "HTTPRequestError"
"""The public code of an account whose credentials the server does not give."""

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_FAILURES_OF_AN_OUTAGE = 10
_OUTAGE_SECONDS = 5.0
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_LENGTH = {"user": 256, "pass": 1024, "accessToken": 16384}
# What may be over in a moment: no reason to think that anything is wrong with the account.
_TRANSIENT = frozenset({"ENOTFOUND", "EDNS", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ESOCKET"})


class AuthServer:
    """Asks the server of the setting `authServer`. Nothing that it answers is logged or repeated in an error.

    A server that is away for everybody is asked by one at a time, every `outage_seconds`; the others hear at once that
    it is away. Otherwise accounts that wait for it would take all turns to connect from those that do not need it.
    """

    def __init__(
        self,
        settings: SettingsService,
        http: HttpClient,
        *,
        timeout_seconds: float,
        outage_seconds: float = _OUTAGE_SECONDS,
    ) -> None:
        self._settings = settings
        self._http = http
        self._timeout_seconds = timeout_seconds
        self._outage_seconds = outage_seconds
        self._failures = 0
        self._ask_again_at = 0.0

    async def fill(self, server: S, account_id: str, protocol: Protocol) -> S:
        """Settings with the credentials of this moment; those that do not ask for it come back as they are.

        Raises AuthenticationFailed (HTTPRequestError) when the server gives none, Unavailable when it cannot be
        reached for now, RateLimited when it wants to be asked later.
        """
        if not server.use_auth_server:
            return server
        url = await self._settings.get("authServer")
        if not url:
            if server.password is None and server.access_token is None:
                _fail("useAuthServer is set, but the setting authServer is not")
            _log.warning("auth_server_not_set", account=account_id, protocol=protocol)
            return server
        login = _read_login(await self._ask_unless_away(str(url), {"account": account_id, "proto": protocol}))
        return dataclasses.replace(
            server, user=login["user"], password=login.get("pass"), access_token=login.get("accessToken")
        )

    async def _ask_unless_away(self, url: str, parameters: Mapping[str, str]) -> bytes:
        loop = asyncio.get_running_loop()
        if self._failures >= _FAILURES_OF_AN_OUTAGE:
            if loop.time() < self._ask_again_at:
                raise Unavailable("The authentication server could not be reached a moment ago", code="ECONNREFUSED")
            self._ask_again_at = loop.time() + self._timeout_seconds
        try:
            body = await self._ask(url, parameters)
        except RateLimited:
            raise
        except Unavailable:
            self._failures += 1
            self._ask_again_at = loop.time() + self._outage_seconds
            raise
        except MailquayError:
            # It answers, if not as we like it.
            self._failures = 0
            raise
        self._failures = 0
        return body

    async def _ask(self, url: str, parameters: Mapping[str, str]) -> bytes:
        """The answer's body; transient failures are tried again as long as the deadline allows."""
        plain, headers = take_userinfo(url)
        target = f"{plain}{'&' if '?' in plain else '?'}{urlencode(parameters)}"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._request(target, headers, deadline - loop.time())
            except Unavailable as error:
                if isinstance(error, RateLimited):
                    pause = max(pause, error.retry_after_seconds)
                if not tries_left or loop.time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def _request(self, target: str, headers: Mapping[str, str], timeout_seconds: float) -> bytes:
        try:
            answer = await self._http.request(
                "GET",
                target,
                headers={"Accept": "application/json", **headers},
                timeout_seconds=timeout_seconds,
                max_response_bytes=_MAX_ANSWER_BYTES,
                follow_redirects=True,
            )
        except MailquayError as error:
            if isinstance(error, Unavailable) and error.code in _TRANSIENT:
                raise Unavailable(
                    f"The authentication server cannot be reached: {error.message}", code=error.code
                ) from error
            _fail(f"The authentication server could not be asked: {error.message}", error)
        if answer.status == 429:
            raise RateLimited(
                "The authentication server asks for patience", retry_after_seconds=_retry_after_seconds(answer)
            )
        if not 200 <= answer.status < 300:
            _fail(f"The authentication server answered {answer.status}")
        return answer.body


def _fail(reason: str, cause: Exception | None = None) -> NoReturn:
    raise AuthenticationFailed(reason, response_code=REQUEST_FAILED) from cause


def _retry_after_seconds(answer: HttpResponse) -> float:
    """Only the form in seconds (RFC 9110 §10.2.3): whoever gives a date means a longer time than we wait here."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), 3600.0)
    return _LONGEST_PAUSE_SECONDS if text else 0.0


def _can_be_sent(text: str) -> bool:
    """Neither control characters, nor half a character, which JSON can write and nobody can send."""
    return not any(character < " " or "\ud800" <= character <= "\udfff" for character in text)


def _read_login(body: bytes) -> dict[str, str]:
    """`user` with one of `pass` and `accessToken`; whatever else the answer holds is left out."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        # Without its cause, which quotes what it could not read.
        raise AuthenticationFailed(
            "The authentication server did not answer with JSON", response_code=REQUEST_FAILED
        ) from None
    login: dict[str, str] = {}
    for name, longest in _MAX_LENGTH.items():
        value = answer.get(name) if isinstance(answer, dict) else None
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > longest or not _can_be_sent(value):
            _fail(f'The authentication server answered with a "{name}" that cannot be used')
        login[name] = value
    if "accessToken" in login:
        login.pop("pass", None)
    if "user" not in login or len(login) < 2:
        _fail('The authentication server did not answer with "user" and one of "pass" and "accessToken"')
    return login
