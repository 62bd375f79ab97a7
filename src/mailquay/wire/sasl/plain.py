"""PLAIN: authorisation identity, user name and password in one message (RFC 4616)."""

from __future__ import annotations

from typing import NamedTuple

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.sasl.mechanism import require_no_nul


class PlainCredentials(NamedTuple):
    """What a PLAIN message carries; an empty `authzid` means "act as myself"."""

    authzid: str
    username: str
    password: str


class PlainClient:
    """Client side of PLAIN (RFC 4616 §2)."""

    name = "PLAIN"

    def __init__(self, username: str, password: str, authzid: str = "") -> None:
        require_no_nul(username=username, password=password, authzid=authzid)
        if not username:
            raise LocalProtocolError("PLAIN needs a user name")
        self._message = f"{authzid}\0{username}\0{password}".encode()
        self.complete = False

    def initial_response(self) -> bytes:
        self.complete = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Answer the server's empty challenge. Raises RemoteProtocolError when asked a second time."""
        if self.complete:
            raise RemoteProtocolError("PLAIN has only one step, the server asked for another")
        self.complete = True
        return self._message


def parse_plain(message: bytes) -> PlainCredentials:
    """Read a PLAIN message (RFC 4616 §2).

    Raises RemoteProtocolError when it has not exactly three fields, is not UTF-8, or lacks user name or password.
    """
    fields = message.split(b"\0")
    if len(fields) != 3 or not fields[1] or not fields[2]:
        raise RemoteProtocolError("malformed PLAIN message")
    try:
        authzid, username, password = (field.decode() for field in fields)
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("PLAIN message is not UTF-8") from error
    return PlainCredentials(authzid, username, password)
