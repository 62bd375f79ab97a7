"""Credentials from the operator's server, asked over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailquay.errors import AuthenticationFailed, RateLimited, Unavailable
from mailquay.model.account import ImapSettings, SmtpSettings
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.services.auth_server import REQUEST_FAILED, AuthServer
from mailquay.services.settings import SettingsService
from mailquay.storage.store import open_store
from tests.e2e.server import free_port
from tests.servers.introspection import CredentialServer
from tests.servers.webhook_sink import Answer, WebhookSink

ASKS = ImapSettings(host="imap.test", port=143, use_auth_server=True)
LOGIN = {"user": "u@x.test", "pass": "correct horse"}
_USELESS: tuple[object, ...] = (
    [],
    {},
    {"user": "u"},
    {"pass": "hush-hush"},
    {"user": "", "pass": "hush-hush"},
    {"user": "u", "pass": ["hush-hush"]},
    {"user": "u" * 257, "pass": "hush-hush"},
    {"user": "u", "accessToken": "hush-hush\r\nEHLO"},
    {"user": "u", "accessToken": "x" * 16385},
    {"user": "u", "pass": "hush-hush\ud800"},
)


def answer(login: object) -> Answer:
    return Answer(body=json.dumps(login).encode())


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[SettingsService]:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    service = SettingsService(store)
    yield service
    await store.close()


@pytest.fixture
async def asking(settings: SettingsService) -> AsyncIterator[Callable[..., Any]]:
    """Make an AuthServer for a URL."""
    async with AsyncExitStack() as stack:

        async def make(
            url: str | None, *, timeout_seconds: float = 5, policy: EgressPolicy = EgressPolicy.LINK_LOCAL
        ) -> AuthServer:
            http = HttpClient(policy=policy, user_agent="test")
            stack.push_async_callback(http.aclose)
            await settings.write(settings.check({"authServer": url or ""}))
            return AuthServer(settings, http, timeout_seconds=timeout_seconds)

        yield make


async def test_credentials_of_this_moment(asking: Callable[..., Any]) -> None:
    async with CredentialServer() as server:
        auth = await asking(server.url)
        server.logins["ann"] = {**LOGIN, "host": "elsewhere", "use_auth_server": False}
        filled = await auth.fill(ASKS, "ann", "imap")
        assert (filled.user, filled.password, filled.access_token) == ("u@x.test", "correct horse", None)
        assert (filled.host, filled.use_auth_server) == ("imap.test", True)
        server.logins["ann"] = {"user": "u", "accessToken": "t0ken"}
        stored = SmtpSettings(user="old", password="old", use_auth_server=True)
        filled = await auth.fill(stored, "ann", "smtp")
        assert (filled.user, filled.password, filled.access_token) == ("u", None, "t0ken")
        assert server.asked == [("ann", "imap"), ("ann", "smtp")]
        plain = SmtpSettings(user="old", password="old")
        assert await auth.fill(plain, "ann", "smtp") is plain


async def test_a_query_that_is_there_already_stays(asking: Callable[..., Any], webhook_sink: WebhookSink) -> None:
    webhook_sink.default = answer(LOGIN)
    auth = await asking(f"{webhook_sink.url}?key=1#part")
    await auth.fill(ASKS, "a&b ü", "imap")
    assert webhook_sink.requests[0].path == "/hook?key=1&account=a%26b+%C3%BC&proto=imap"


@pytest.mark.parametrize(
    "reply",
    [
        *(Answer(status) for status in (204, 301, 400, 401, 404, 500, 503)),
        Answer(body=b"hush-hush"),
        Answer(body=b"["),
        Answer(body=b"[" * 30_000),
        Answer(body=b"x" * 70_000),
        *(answer(login) for login in _USELESS),
    ],
)
async def test_what_gives_no_credentials(asking: Callable[..., Any], webhook_sink: WebhookSink, reply: Answer) -> None:
    webhook_sink.default = reply
    auth = await asking(webhook_sink.url.replace("http://", "http://me:hush-hush@"))
    with capture_logs() as logs, pytest.raises(AuthenticationFailed) as caught:
        await auth.fill(ASKS, "ann", "imap")
    assert caught.value.response_code == REQUEST_FAILED
    assert len(webhook_sink.requests) == 1
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "hush" not in str(seen)
        seen = seen.__cause__
    assert "hush" not in str(logs)


async def test_a_redirect_is_followed_without_the_password_elsewhere(
    asking: Callable[..., Any], webhook_sink: WebhookSink
) -> None:
    async with WebhookSink() as other:
        other.default = answer(LOGIN)
        webhook_sink.default = Answer(302, headers=(("Location", other.url),))
        auth = await asking(webhook_sink.url.replace("http://", "http://me:secret@"))
        assert (await auth.fill(ASKS, "ann", "imap")).user == "u@x.test"
        assert "Authorization" in webhook_sink.requests[0].headers
        assert "Authorization" not in other.requests[0].headers


async def test_the_egress_policy_holds(asking: Callable[..., Any], webhook_sink: WebhookSink) -> None:
    auth = await asking(webhook_sink.url, policy=EgressPolicy.PRIVATE)
    with pytest.raises(AuthenticationFailed, match="egress policy"):
        await auth.fill(ASKS, "ann", "imap")
    webhook_sink.default = Answer(302, headers=(("Location", "http://169.254.169.254/"),))
    auth = await asking(webhook_sink.url)
    with pytest.raises(AuthenticationFailed, match="egress policy"):
        await auth.fill(ASKS, "ann", "imap")


async def test_what_may_be_over_in_a_moment_is_tried_again(
    asking: Callable[..., Any], webhook_sink: WebhookSink
) -> None:
    webhook_sink.answer_next(Answer(429), Answer(drop=True))
    webhook_sink.default = answer(LOGIN)
    auth = await asking(webhook_sink.url)
    assert (await auth.fill(ASKS, "ann", "imap")).user == "u@x.test"
    assert len(webhook_sink.requests) >= 3


async def test_outages_are_no_fault_of_the_account(asking: Callable[..., Any], webhook_sink: WebhookSink) -> None:
    auth = await asking(f"http://127.0.0.1:{free_port()}/", timeout_seconds=0.5)
    with pytest.raises(Unavailable, match="authentication server") as caught:
        await auth.fill(ASKS, "ann", "imap")
    assert caught.value.code == "ECONNREFUSED"
    webhook_sink.default = Answer(delay_seconds=60)
    auth = await asking(webhook_sink.url, timeout_seconds=0.1)
    with pytest.raises(Unavailable) as caught:
        await auth.fill(ASKS, "ann", "imap")
    assert caught.value.code == "ETIMEDOUT"
    webhook_sink.default = Answer(429, headers=(("Retry-After", "30"),))
    auth = await asking(webhook_sink.url, timeout_seconds=1)
    with pytest.raises(RateLimited) as limited:
        await auth.fill(ASKS, "ann", "imap")
    assert limited.value.retry_after_seconds == 30


async def test_a_server_that_is_away_for_everybody_holds_nobody_up(
    settings: SettingsService, webhook_sink: WebhookSink
) -> None:
    http = HttpClient(policy=EgressPolicy.OFF, user_agent="test")
    await settings.write(settings.check({"authServer": webhook_sink.url}))
    auth = AuthServer(settings, http, timeout_seconds=0.5, outage_seconds=0.5)
    webhook_sink.default = Answer(delay_seconds=60)
    asks = (auth.fill(ASKS, str(number), "imap") for number in range(10))
    failures = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Unavailable] * 10
    asked = len(webhook_sink.requests)
    async with asyncio.timeout(0.3):
        for _ in range(100):
            with pytest.raises(Unavailable, match="a moment ago"):
                await auth.fill(ASKS, "ann", "imap")
    assert len(webhook_sink.requests) == asked
    webhook_sink.default = answer(LOGIN)
    async with asyncio.timeout(5):
        while True:
            try:
                filled = await auth.fill(ASKS, "ann", "imap")
                break
            except Unavailable:
                await asyncio.sleep(0.05)  # nothing but time ends an outage
    assert filled.user == "u@x.test" and len(webhook_sink.requests) == asked + 1
    await http.aclose()


async def test_one_account_that_it_is_slow_for_is_no_outage(
    settings: SettingsService, webhook_sink: WebhookSink
) -> None:
    http = HttpClient(policy=EgressPolicy.OFF, user_agent="test")
    await settings.write(settings.check({"authServer": webhook_sink.url}))
    auth = AuthServer(settings, http, timeout_seconds=0.1)
    webhook_sink.default = answer(LOGIN)
    webhook_sink.decide = lambda request: Answer(delay_seconds=60) if "account=slow" in request.path else None
    for _ in range(12):
        with pytest.raises(Unavailable, match="within"):
            await auth.fill(ASKS, "slow", "imap")
        await auth.fill(ASKS, "ann", "imap")
    await http.aclose()


async def test_without_a_server_stored_credentials_are_used(asking: Callable[..., Any]) -> None:
    auth = await asking(None)
    stored = ImapSettings(user="u", password="p", use_auth_server=True)
    with capture_logs() as logs:
        assert await auth.fill(stored, "ann", "imap") is stored
    assert [(line["event"], line["log_level"]) for line in logs] == [("auth_server_not_set", "warning")]
    with pytest.raises(AuthenticationFailed, match="authServer"):
        await auth.fill(ASKS, "ann", "imap")


async def test_the_address_of_the_server_is_sealed_and_shown_without_its_password(
    settings: SettingsService, tmp_path: Path
) -> None:
    await settings.write(settings.check({"authServer": "https://me:hush-hush@auth.test/login"}))
    assert await settings.get("authServer") == "https://me:hush-hush@auth.test/login"
    assert settings.check({"authServer": "https://******:******@auth.test/login"}) == {}
    assert not any(b"hush-hush" in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
