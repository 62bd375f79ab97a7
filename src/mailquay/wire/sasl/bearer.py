"""What the mechanisms that present a bearer token share: one message, then at most one report of an error."""

from __future__ import annotations

from mailquay.errors import LocalProtocolError, RemoteProtocolError


class BearerClient:
    """Client side of a bearer mechanism. `error` holds the server's JSON explanation after a refusal."""

    name: str
    _acknowledgement: bytes  # what answers an error report, so that the server can say NO

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._sent = False
        self.error: bytes | None = None

    @property
    def complete(self) -> bool:
        """See SaslClient."""
        return self._sent and self.error is None

    def initial_response(self) -> bytes:
        """See SaslClient."""
        self._sent = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Send the token, or acknowledge an error report. Raises RemoteProtocolError when asked once more."""
        if not self._sent:
            return self.initial_response()
        if self.error is not None:
            raise RemoteProtocolError(f"{self.name} has no step after its error report")
        self.error = challenge
        return self._acknowledgement


def require_clean(**values: str) -> None:
    """Refuse the control characters that separate the fields of a token message."""
    for name, value in values.items():
        if any(ord(character) < 32 for character in value):
            raise LocalProtocolError(f"{name} must not contain control characters")
