"""SASL mechanisms against the examples of their RFCs, and against hostile servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.sasl import (
    Credentials,
    LoginClient,
    OAuthBearerClient,
    PlainClient,
    PlainCredentials,
    ScramSha256Client,
    XOAuth2Client,
    choose_mechanism,
    decode_base64,
    encode_base64,
    parse_oauthbearer,
    parse_plain,
    parse_xoauth2,
)

CREDENTIAL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)


@given(CREDENTIAL, CREDENTIAL, CREDENTIAL | st.just(""))
def test_plain_round_trip(username: str, password: str, authzid: str) -> None:
    client = PlainClient(username, password, authzid)
    assert parse_plain(client.initial_response()) == PlainCredentials(authzid, username, password)
    assert client.complete


def test_plain_answers_an_empty_challenge_once() -> None:
    client = PlainClient("tim", "tanstaaftanstaaf")
    assert client.step(b"") == b"\0tim\0tanstaaftanstaaf"
    with pytest.raises(RemoteProtocolError):
        client.step(b"")


@pytest.mark.parametrize("message", [b"", b"tim\0pw", b"\0\0pw", b"\0tim\0", b"\0a\0b\0c", b"\0\xff\0pw"])
def test_malformed_plain_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_plain(message)


def test_nul_cannot_reach_the_wire() -> None:
    with pytest.raises(LocalProtocolError):
        PlainClient("a\0b", "pw")
    with pytest.raises(LocalProtocolError):
        LoginClient("a", "p\0w")
    with pytest.raises(LocalProtocolError):
        PlainClient("", "pw")


def test_login_answers_prompts_in_order() -> None:
    client = LoginClient("joe", "secret")
    assert client.step(b"Username:") == b"joe"
    assert not client.complete
    assert client.step(b"Mot de passe:") == b"secret"
    assert client.complete
    with pytest.raises(RemoteProtocolError):
        client.step(b"Again:")


@given(CREDENTIAL.filter(str.isprintable), TOKEN)
def test_xoauth2_round_trip(username: str, token: str) -> None:
    assert parse_xoauth2(XOAuth2Client(username, token).initial_response()) == (username, token)


def test_xoauth2_acknowledges_the_error_report() -> None:
    client = XOAuth2Client("someuser@example.com", "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==")
    assert client.step(b"") == (
        b"user=someuser@example.com\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert client.complete
    assert client.step(b'{"status":"401"}') == b""
    assert client.error == b'{"status":"401"}'
    assert not client.complete
    with pytest.raises(RemoteProtocolError):
        client.step(b"")


@pytest.mark.parametrize("message", [b"user=a\x01\x01", b"user=\x01auth=Bearer x\x01\x01", b"\xff", b"auth=Basic x"])
def test_malformed_xoauth2_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_xoauth2(message)


def test_oauthbearer_example() -> None:
    """RFC 7628 §4.1."""
    client = OAuthBearerClient(
        "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143
    )
    assert client.initial_response() == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert client.step(b'{"status":"invalid_token"}') == b"\x01"
    assert client.error == b'{"status":"invalid_token"}'


@given(CREDENTIAL.filter(str.isprintable), TOKEN)
def test_oauthbearer_round_trip(username: str, token: str) -> None:
    assert parse_oauthbearer(OAuthBearerClient(username, token).initial_response()) == (username, token)


@pytest.mark.parametrize(
    "message", [b"p=tls-unique,,\x01auth=Bearer x\x01\x01", b"n,,\x01auth=x\x01\x01", b"n", b"\xff"]
)
def test_malformed_oauthbearer_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_oauthbearer(message)


def test_tokens_cannot_carry_control_characters() -> None:
    with pytest.raises(LocalProtocolError):
        XOAuth2Client("a\x01auth=Bearer other", "x")
    with pytest.raises(LocalProtocolError):
        OAuthBearerClient("a", "x\r\n")


SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def scram() -> ScramSha256Client:
    return ScramSha256Client("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")


def test_scram_example() -> None:
    """RFC 7677 §3."""
    client = scram()
    assert client.initial_response() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert client.step(SERVER_FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert not client.complete
    assert client.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert client.complete
    with pytest.raises(RemoteProtocolError):
        client.step(b"")


@pytest.mark.parametrize(
    "server_first",
    [
        b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=9999999999999",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=%%%,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        b"\xff",
    ],
)
def test_scram_refuses_a_bad_first_message(server_first: bytes) -> None:
    client = scram()
    client.initial_response()
    with pytest.raises(RemoteProtocolError):
        client.step(server_first)


@pytest.mark.parametrize("final", [b"v=AAAA", b"e=invalid-proof", b"", b"v=%"])
def test_scram_refuses_an_impostor(final: bytes) -> None:
    client = scram()
    client.initial_response()
    client.step(SERVER_FIRST)
    with pytest.raises(RemoteProtocolError):
        client.step(final)
    assert not client.complete


def test_scram_prepares_credentials() -> None:
    assert ScramSha256Client("I\u00adX=,", "pw", nonce="n").step(b"") == b"n,,n=IX=3D=2C,r=n"
    with pytest.raises(LocalProtocolError):
        ScramSha256Client("user", "\u0007")
    with pytest.raises(LocalProtocolError):
        ScramSha256Client("user", "\u06271")


@given(st.binary(max_size=200))
def test_base64_round_trip(message: bytes) -> None:
    assert decode_base64(encode_base64(message)) == message


def test_bad_base64_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_base64(b"a=b!")


@pytest.mark.parametrize(
    ("credentials", "offered", "secure", "chosen"),
    [
        (Credentials("a", password="p"), {"PLAIN", "LOGIN", "SCRAM-SHA-256"}, True, "PLAIN"),
        (Credentials("a", password="p"), {"PLAIN", "SCRAM-SHA-256"}, False, "SCRAM-SHA-256"),
        (Credentials("dom/a", password="p"), {"PLAIN", "LOGIN"}, True, "LOGIN"),
        (Credentials("a", password="p", authzid="b"), {"LOGIN", "PLAIN"}, True, "PLAIN"),
        (Credentials("a", access_token="t"), {"PLAIN", "OAUTHBEARER", "XOAUTH2"}, True, "XOAUTH2"),
        (Credentials("a", access_token="t"), {"OAUTHBEARER"}, True, "OAUTHBEARER"),
        (Credentials("a", access_token="t"), {"PLAIN"}, True, None),
        (Credentials("a", password="p", mechanism="login"), {"PLAIN"}, True, "LOGIN"),
    ],
)
def test_choice(credentials: Credentials, offered: set[str], secure: bool, chosen: str | None) -> None:
    mechanism = choose_mechanism(credentials, offered, secure=secure)
    assert (mechanism.name if mechanism else None) == chosen


def test_unfit_credentials_are_refused() -> None:
    with pytest.raises(LocalProtocolError):
        Credentials("a")
    with pytest.raises(LocalProtocolError):
        choose_mechanism(Credentials("a", password="p", mechanism="XOAUTH2"), set())
