"""XOAUTH2: Google's and Microsoft's way to present a bearer token (published by Google, no RFC)."""

from __future__ import annotations

from mailquay.errors import LocalProtocolError, RemoteProtocolError


def require_clean(**values: str) -> None:
    """Refuse the control characters that separate the fields of a token message."""
    for name, value in values.items():
        if any(ord(character) < 32 for character in value):
            raise LocalProtocolError(f"{name} must not contain control characters")


class XOAuth2Client:
    """Client side of XOAUTH2. `error` holds the server's JSON explanation after a refusal."""

    name = "XOAUTH2"

    def __init__(self, username: str, access_token: str) -> None:
        require_clean(username=username, access_token=access_token)
        self._message = f"user={username}\x01auth=Bearer {access_token}\x01\x01".encode()
        self._sent = False
        self.error: bytes | None = None

    @property
    def complete(self) -> bool:
        return self._sent and self.error is None

    def initial_response(self) -> bytes:
        self._sent = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Send the token, or acknowledge an error report with an empty message so that the server can say NO."""
        if not self._sent:
            self._sent = True
            return self._message
        if self.error is not None:
            raise RemoteProtocolError("XOAUTH2 has no step after its error report")
        self.error = challenge
        return b""


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
