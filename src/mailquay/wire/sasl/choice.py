"""Which mechanism to use with the credentials at hand and what the server offers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mailquay.errors import LocalProtocolError
from mailquay.wire.sasl.login import LoginClient
from mailquay.wire.sasl.mechanism import SaslClient
from mailquay.wire.sasl.oauthbearer import OAuthBearerClient
from mailquay.wire.sasl.plain import PlainClient
from mailquay.wire.sasl.scram import ScramSha256Client
from mailquay.wire.sasl.xoauth2 import XOAuth2Client


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with a password or an access token; exactly one of the two.

    `mechanism` forces one mechanism, whatever the server offers. `authzid` acts for another user (PLAIN only).
    """

    username: str
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    authzid: str = ""
    mechanism: str | None = None

    def __post_init__(self) -> None:
        if (self.password is None) == (self.access_token is None):
            raise LocalProtocolError("credentials need either a password or an access token")


def choose_mechanism(
    credentials: Credentials, offered: Collection[str], *, host: str = "", port: int = 0, secure: bool = True
) -> SaslClient | None:
    """Pick the best mechanism for `credentials` among the `offered` names (upper case).

    Tokens go by XOAUTH2 first, since every provider that takes tokens knows it. Passwords go by PLAIN or LOGIN on
    a `secure` channel (SCRAM servers with unusable stored keys are common there) and by SCRAM-SHA-256 first
    on a plain one. Returns None when nothing fits. A user name with a slash or backslash, which Exchange
    uses for domains and shared mailboxes, is kept from PLAIN as long as LOGIN is offered.
    """
    if credentials.mechanism is not None:
        return _make(credentials.mechanism.upper(), credentials, host, port)
    for name in _preference(credentials, secure):
        if name in offered:
            return _make(name, credentials, host, port)
    return None


def _preference(credentials: Credentials, secure: bool) -> tuple[str, ...]:
    if credentials.access_token is not None:
        return ("XOAUTH2", "OAUTHBEARER")
    if credentials.authzid:
        return ("PLAIN",)
    if not secure:
        return ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    if "/" in credentials.username or "\\" in credentials.username:
        return ("LOGIN", "PLAIN", "SCRAM-SHA-256")
    return ("PLAIN", "LOGIN", "SCRAM-SHA-256")


def _make(name: str, credentials: Credentials, host: str, port: int) -> SaslClient:
    if credentials.access_token is not None:
        if name == "XOAUTH2":
            return XOAuth2Client(credentials.username, credentials.access_token)
        if name == "OAUTHBEARER":
            return OAuthBearerClient(credentials.username, credentials.access_token, host, port)
    elif credentials.password is not None:
        if name == "PLAIN":
            return PlainClient(credentials.username, credentials.password, credentials.authzid)
        if name == "LOGIN":
            return LoginClient(credentials.username, credentials.password)
        if name == "SCRAM-SHA-256":
            return ScramSha256Client(credentials.username, credentials.password)
    raise LocalProtocolError(f"mechanism {name} does not fit these credentials")
