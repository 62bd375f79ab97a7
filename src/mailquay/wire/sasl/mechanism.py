"""What every client mechanism offers, and the base64 that carries it."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from mailquay.errors import LocalProtocolError, RemoteProtocolError


class SaslClient(Protocol):
    """The client's half of one authentication exchange (RFC 4422 §3). Used once and thrown away."""

    @property
    def name(self) -> str:
        """The registered mechanism name, upper case."""

    @property
    def complete(self) -> bool:
        """Whether the server has proved all it must, so that its final "OK" may be believed."""

    def initial_response(self) -> bytes | None:
        """The message the client may send unasked; None when the server must speak first."""

    def step(self, challenge: bytes) -> bytes:
        """Answer one challenge.

        Raises RemoteProtocolError when the challenge is malformed or proves that the server is an impostor.
        """


def encode_base64(message: bytes) -> bytes:
    """Wrap a SASL message for a line protocol; an empty message gives an empty string."""
    return base64.b64encode(message)


def decode_base64(text: bytes) -> bytes:
    """Unwrap what the peer sent. Raises RemoteProtocolError when it is not base64 (RFC 4648 §4)."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError("SASL message is not valid base64") from error


def require_no_nul(**values: str) -> None:
    """Refuse credentials with NUL, which separates fields in several mechanisms (RFC 4616 §2)."""
    for name, value in values.items():
        if "\0" in value:
            raise LocalProtocolError(f"{name} must not contain NUL")
