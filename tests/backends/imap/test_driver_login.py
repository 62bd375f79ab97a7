"""The driver: logging in, and which refusals are told apart."""

from __future__ import annotations

import pytest

from mailquay.errors import (
    AuthenticationFailed,
    CommandRejected,
    MailquayError,
    RateLimited,
    Unavailable,
    Unsupported,
)
from mailquay.wire.imap.client_state import State
from mailquay.wire.sasl import Credentials
from tests.backends.imap.driving import PASSWORD, connected, logged_in
from tests.backends.imap.scripted_server import GREETING, LOGGED_IN, Expect, Send


async def test_login_takes_the_capabilities_of_the_answer() -> None:
    async with logged_in() as connection:
        assert connection.state is State.AUTHENTICATED
        assert connection.has_capability("LITERAL-")
        assert not connection.has_capability("AUTH=PLAIN")


async def test_login_command_when_no_mechanism_fits() -> None:
    steps = (
        Send(b"* OK [CAPABILITY IMAP4rev1] hi\r\n"),
        Expect(r'A1 LOGIN "u\\"" "p"'),
        Send(b"A1 OK in\r\n"),
        Expect("A2 CAPABILITY"),
        Send(b"* CAPABILITY IMAP4rev1 IDLE\r\nA2 OK done\r\n"),
    )
    async with connected(*steps) as connection:
        await connection.login(Credentials('u"', password="p"))
        assert connection.capabilities == frozenset({"IMAP4REV1", "IDLE"})


async def test_exchange_names_go_by_the_login_command() -> None:
    steps = (
        Send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n"),
        Expect(r'A1 LOGIN "dom\\\\user/shared" "p"'),
        Send(b"A1 OK [CAPABILITY IMAP4rev1] in\r\n"),
    )
    async with connected(*steps) as connection:
        await connection.login(Credentials("dom\\user/shared", password="p"))
        assert connection.state is State.AUTHENTICATED


async def test_logindisabled_is_respected() -> None:
    async with connected(Send(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n")) as connection:
        with pytest.raises(Unsupported):
            await connection.login(PASSWORD)


async def test_a_refused_token_tells_the_providers_reason() -> None:
    steps = (
        GREETING,
        Expect("A1 AUTHENTICATE XOAUTH2 [A-Za-z0-9+/=]+"),
        Send(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"),
        Expect(""),
        Send(b"A1 NO [AUTHENTICATIONFAILED] Invalid credentials\r\n"),
    )
    async with connected(*steps) as connection:
        with pytest.raises(AuthenticationFailed) as refused:
            await connection.login(Credentials("u", access_token="t"))
        assert refused.value.response_code == "AUTHENTICATIONFAILED"
        assert '{"status":"400"}' in str(refused.value)
        assert connection.usable


@pytest.mark.parametrize(
    ("answer", "error", "pause"),
    [
        (b"NO [AUTHENTICATIONFAILED] Authentication failed.", AuthenticationFailed, None),
        (b"NO AUTHENTICATE failed.", AuthenticationFailed, None),
        (b"NO [UNAVAILABLE] Temporary authentication failure", Unavailable, None),
        (b"NO [INUSE] Mailbox is in use", Unavailable, None),
        (b"NO [CONTACTADMIN] Ask your administrator", Unavailable, None),
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", RateLimited, 60.0),
        (b"NO [LIMIT] Rate limit hit", RateLimited, 60.0),
        (b"NO [THROTTLED] Slow down", RateLimited, 60.0),
        (b"NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", RateLimited, 60.0),
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", RateLimited, 60.0),
        (b"NO [OVERQUOTA] Account exceeded bandwidth limits. (Failure)", RateLimited, 60.0),
        (b"NO [THROTTLED] Busy. Suggested Backoff Time: 90 seconds", RateLimited, 90.0),
        (b"BAD User is authenticated but not connected.", RateLimited, 300.0),
        (b"BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds", RateLimited, 299.961),
        (b"BAD Command Argument Error. 12", CommandRejected, None),
    ],
)
async def test_refusals_of_a_login_are_told_apart(
    answer: bytes, error: type[MailquayError], pause: float | None
) -> None:
    """Only a real refusal of the credentials may stop an account."""
    async with connected(*LOGGED_IN[:2], Send(b"A1 " + answer + b"\r\n")) as connection:
        with pytest.raises(error) as refused:
            await connection.login(PASSWORD)
        assert type(refused.value) is error
        if isinstance(refused.value, RateLimited):
            assert refused.value.retry_after_seconds == pause


async def test_preauth_needs_no_login() -> None:
    async with connected(Send(b"* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n")) as connection:
        await connection.login(PASSWORD)
        assert connection.state is State.AUTHENTICATED


async def test_id_and_enable() -> None:
    steps = (
        Expect(r'A2 ID \("name" "mailquay"\)'),
        Send(b'* ID ("name" "dovecot" "empty" NIL )\r\nA2 OK\r\n'),
        Expect("A3 ENABLE CONDSTORE"),
        Send(b"* ENABLED CONDSTORE\r\nA3 OK enabled\r\n"),
    )
    async with logged_in(*steps) as connection:
        assert await connection.identify((("name", "mailquay"),)) == (("name", "dovecot"), ("empty", None))
        assert await connection.enable("CONDSTORE", "QRESYNC") == {"CONDSTORE"}
