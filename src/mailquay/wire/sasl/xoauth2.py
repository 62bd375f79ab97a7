"""XOAUTH2: Google's and Microsoft's way to present a bearer token (published by Google, no RFC)."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.sasl.bearer import BearerClient, require_clean


class XOAuth2Client(BearerClient):
    """Client side of XOAUTH2; an error report is answered with an empty message."""

    name = "XOAUTH2"
    _acknowledgement = b""

    def __init__(self, username: str, access_token: str) -> None:
        require_clean(username=username, access_token=access_token)
        super().__init__(f"user={username}\x01auth=Bearer {access_token}\x01\x01".encode())


def parse_xoauth2(message: bytes) -> tuple[str, str]:
    """Read a client's XOAUTH2 message into (user name, token). Raises RemoteProtocolError when malformed."""
    try:
        fields = dict(field.partition("=")[::2] for field in message.decode().strip("\x01").split("\x01"))
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("XOAUTH2 message is not UTF-8") from error
    scheme, _, token = fields.get("auth", "").partition(" ")
    if not fields.get("user") or scheme.lower() != "bearer" or not token:
        raise RemoteProtocolError("malformed XOAUTH2 message")
    return fields["user"], token
