"""Who may log in, with what, from where, and how often it may be tried."""

from __future__ import annotations

import base64
import smtplib
from typing import Any

import pytest

from mailquay.model.token import Permissions, RateLimit, Restrictions
from mailquay.smtpd.admission import network_of
from mailquay.smtpd.limits import Limits
from tests.services.submitting import NOW_MS
from tests.smtpd.listening import LOGIN, PASSWORD, Listening, in_thread, mail


def b64(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


async def attempt(listener: Listening, username: str, password: str) -> int:
    """The code that a log-in is answered with."""
    async with await listener.talk() as talk:
        await talk.say("EHLO test")
        return int((await talk.say("AUTH PLAIN " + b64(f"\0{username}\0{password}")))[0][:3])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
async def test_each_mechanism(listener: Listening, mechanism: str, initial: bool) -> None:
    def log_in(password: str) -> int:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
            client.ehlo()
            client.user, client.password = "ann", password
            method = getattr(client, f"auth_{mechanism.lower()}")
            return client.auth(mechanism, method, initial_response_ok=initial)[0]

    assert await in_thread(lambda: log_in(PASSWORD)) == 235
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        await in_thread(lambda: log_in("wrong"))
    assert refused.value.smtp_code == 535


async def test_the_password_is_for_accounts_that_exist(listener: Listening) -> None:
    assert await attempt(listener, "bob", PASSWORD) == 235
    assert await attempt(listener, "nobody", PASSWORD) == 535
    await listener.change(smtpServerPassword=None)
    assert await attempt(listener, "bob", PASSWORD) == 535
    assert await attempt(listener, "bob", "None") == 535


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("AUTH PLAIN !!", 501),
        ("AUTH PLAIN " + b64("no nul"), 501),
        ("AUTH PLAIN " + b64(f"bob\0ann\0{PASSWORD}"), 535),
        ("AUTH PLAIN " + base64.b64encode(b"\0\xff\0\xff").decode(), 501),
        ("AUTH", 504),
    ],
)
async def test_credentials_that_cannot_be_read(listener: Listening, line: str, code: int) -> None:
    async with await listener.talk() as talk:
        assert [int(reply[:3]) for reply in await talk.say("EHLO test", line, "NOOP")] == [250, code, 250]


async def test_a_client_may_think_better_of_it(listener: Listening) -> None:
    async with await listener.talk() as talk:
        replies = await talk.say("EHLO test", "AUTH LOGIN", "*", "AUTH LOGIN " + b64("ann"), b64(PASSWORD))
        assert [int(reply[:3]) for reply in replies] == [250, 334, 501, 334, 235]
        assert base64.b64decode(replies[1][4:]) == b"Username:"


_GOOD: list[dict[str, Any]] = [
    {},
    {"scopes": ("*",)},
    {"scopes": None},
    {"scopes": ("api", "smtp"), "account": "ann"},
    {"permissions": Permissions(actions=("send",), groups=("submit",))},
    {"permissions": Permissions(groups=("submit", "message"))},
    {"restrictions": Restrictions(addresses=("127.0.0.0/8",))},
    {"expires_ms": NOW_MS + 1000},
]
_BAD: list[tuple[dict[str, Any], str | None]] = [
    ({"scopes": ("api", "imap-proxy")}, "scope"),
    ({"account": "bob"}, "username"),
    ({"permissions": Permissions(actions=("read",))}, "action"),
    ({"permissions": Permissions(groups=("message",))}, "group"),
    ({"permissions": Permissions()}, "malformed"),
    ({"restrictions": Restrictions(addresses=("192.0.2.0/24",))}, "ip"),
    ({"restrictions": Restrictions(referrers=("https://example.com/*",))}, "referrer"),
    ({"expires_ms": NOW_MS - 1}, None),
]


@pytest.mark.parametrize("token", _GOOD)
async def test_tokens_that_let_in(listener: Listening, token: dict[str, Any]) -> None:
    value = await listener.token(**token)
    assert (await listener.send(mail(), login=("ann", value)))[0] == 250
    assert len(await listener.queued()) == 1


@pytest.mark.parametrize(("token", "reason"), _BAD)
async def test_tokens_that_do_not(listener: Listening, token: dict[str, Any], reason: str | None) -> None:
    """The client hears nothing but that it failed; the audit log has the reason."""
    await listener.desk.settings.write({"tokenAuditLog": True})
    value = await listener.token(**token)
    assert await attempt(listener, "ann", value) == 535
    if reason is not None:
        [(stored, _)] = (await listener.tokens.page(limit=10, offset=0))[1]
        _, [entry] = await listener.tokens.log_page(stored.id, limit=10, offset=0)
        assert (entry.allowed, entry.reason, entry.account, entry.ip) == (False, reason, "ann", "127.0.0.1")
        assert (entry.action, entry.group, entry.method, entry.path) == ("send", "submit", "AUTH", "smtp")


async def test_each_message_of_a_token_is_audited(listener: Listening) -> None:
    await listener.desk.settings.write({"tokenAuditLog": True})
    value = await listener.token()
    assert (await listener.send(mail(), login=("bob", value)))[0] == 250
    [(stored, use)] = (await listener.tokens.page(limit=10, offset=0))[1]
    _, entries = await listener.tokens.log_page(stored.id, limit=10, offset=0)
    assert [(entry.method, entry.allowed, entry.account) for entry in entries] == [
        ("MAIL", True, "bob"),
        ("AUTH", True, "bob"),
    ]
    assert use.ip == "127.0.0.1"
    assert await attempt(listener, "nobody", value) == 535


async def test_a_token_that_is_revoked_sends_no_further_message(listener: Listening) -> None:
    value = await listener.token()
    async with await listener.talk() as talk:
        replies = await talk.say("EHLO test", "AUTH PLAIN " + b64(f"\0ann\0{value}"), "MAIL FROM:<>", "RSET")
        assert [reply[:3] for reply in replies] == ["250", "235", "250", "250"]
        await listener.tokens.revoke(value)
        assert (await talk.say("MAIL FROM:<>"))[0].startswith("535 ")


async def test_the_rate_of_a_token_counts_messages(listener: Listening) -> None:
    value = await listener.token(restrictions=Restrictions(rate_limit=RateLimit(2, 60)))
    async with await listener.talk() as talk:
        await talk.say("EHLO test", "AUTH PLAIN " + b64(f"\0ann\0{value}"))
        replies = await talk.say("MAIL FROM:<>", "RSET", "MAIL FROM:<>", "RSET", "MAIL FROM:<>")
        assert [reply[:3] for reply in replies] == ["250"] * 4 + ["450"]
        assert "try again in" in replies[-1]
        listener.desk.clock.ms += 60_000
        assert (await talk.say("MAIL FROM:<>"))[0].startswith("250 ")


async def test_three_attempts_for_a_connection(listener: Listening) -> None:
    async with await listener.talk() as talk:
        await talk.say("EHLO test")
        wrong = "AUTH PLAIN " + b64("\0ann\0wrong")
        assert [reply[:3] for reply in await talk.say(wrong, wrong, wrong, LOGIN)] == ["535", "535", "535", ""]


class TestFewFailures:
    """With few failures that are borne."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(login_delay=0.01, failures=6, failures_of_user=2)

    async def test_refused_log_ins_are_remembered_by_address(self, listener: Listening) -> None:
        """One user after two, the address after six; whoever knows the password has to wait too."""
        assert [await attempt(listener, "ann", "wrong") for _ in range(3)] == [535, 535, 421]
        assert await attempt(listener, "ann", PASSWORD) == 421
        assert await attempt(listener, "bob", PASSWORD) == 235
        assert [await attempt(listener, f"user-{n}", "wrong") for n in range(4)] == [535] * 4
        assert await attempt(listener, "bob", PASSWORD) == 421


def test_what_counts_as_one_address() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
