"""OAUTHBEARER: the standard way to present a bearer token (RFC 7628)."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.sasl.bearer import BearerClient, require_clean


def _quote_saslname(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _unquote_saslname(name: str) -> str:
    return name.replace("=2C", ",").replace("=3D", "=")


class OAuthBearerClient(BearerClient):
    """Client side of OAUTHBEARER (RFC 7628 §3.1); an error report is answered with a lone %x01 (§3.2.3)."""

    name = "OAUTHBEARER"
    _acknowledgement = b"\x01"

    def __init__(self, username: str, access_token: str, host: str = "", port: int = 0) -> None:
        require_clean(username=username, access_token=access_token, host=host)
        fields = [f"n,a={_quote_saslname(username)},"]
        if host:
            fields.append(f"host={host}")
        if port:
            fields.append(f"port={port}")
        fields.append(f"auth=Bearer {access_token}")
        super().__init__(("\x01".join(fields) + "\x01\x01").encode())


def parse_oauthbearer(message: bytes) -> tuple[str, str]:
    """Read a client's first message into (user name, token); RFC 7628 §3.1.

    Raises RemoteProtocolError when it is malformed or asks for channel binding.
    """
    try:
        header, *fields = message.decode().split("\x01")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("OAUTHBEARER message is not UTF-8") from error
    flag, _, rest = header.partition(",")
    pairs = dict(field.partition("=")[::2] for field in fields if field)
    scheme, _, token = pairs.get("auth", "").partition(" ")
    if flag not in ("n", "y") or not rest.endswith(",") or scheme.lower() != "bearer" or not token:
        raise RemoteProtocolError("malformed OAUTHBEARER message")
    identity = rest[:-1]
    return (_unquote_saslname(identity[2:]) if identity.startswith("a=") else ""), token
