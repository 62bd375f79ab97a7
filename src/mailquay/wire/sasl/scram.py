"""SCRAM-SHA-256: proves the password without sending it, and the server proves that it knows it (RFC 5802, 7677)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from enum import Enum

from mailquay.errors import LocalProtocolError, RemoteProtocolError

MIN_ITERATIONS = 4096
MAX_ITERATIONS = 1_000_000
"""A hostile server may ask for billions of rounds; a million takes about half a second."""


class _Stage(Enum):
    FIRST = 1
    PROOF = 2
    VERIFY = 3
    DONE = 4


def saslprep(text: str) -> str:
    """Prepare a user name or password for comparison (RFC 4013 §2).

    Raises LocalProtocolError when it holds prohibited characters or mixes writing directions.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if _is_prohibited(char):
            raise LocalProtocolError("credential contains a character that SASL prohibits")
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise LocalProtocolError("credential mixes writing directions")
    return prepared


def _is_prohibited(char: str) -> bool:
    return (
        stringprep.in_table_a1(char)
        or stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


def _attributes(message: bytes) -> dict[str, str]:
    try:
        text = message.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("SCRAM message is not UTF-8") from error
    return {part[0]: part[2:] for part in text.split(",") if len(part) >= 2 and part[1] == "="}


def _decode(value: str, what: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError(f"SCRAM {what} is not base64") from error


class ScramSha256Client:
    """Client side of SCRAM-SHA-256 without channel binding (RFC 5802 §5, RFC 7677 §3)."""

    name = "SCRAM-SHA-256"

    def __init__(self, username: str, password: str, *, nonce: str | None = None) -> None:
        escaped = saslprep(username).replace("=", "=3D").replace(",", "=2C")
        self._password = saslprep(password).encode()
        self._nonce = nonce if nonce is not None else secrets.token_urlsafe(24)
        self._first_bare = f"n={escaped},r={self._nonce}"
        self._server_signature = b""
        self._stage = _Stage.FIRST

    @property
    def complete(self) -> bool:
        return self._stage is _Stage.DONE

    def initial_response(self) -> bytes:
        self._stage = _Stage.PROOF
        return f"n,,{self._first_bare}".encode()

    def step(self, challenge: bytes) -> bytes:
        """Answer the server-first message with our proof, then check the server's signature.

        Raises RemoteProtocolError when the nonce, salt or iteration count is unacceptable, when the server
        reports an error, or when its signature shows that it does not know the password.
        """
        if self._stage is _Stage.FIRST:
            return self.initial_response()
        if self._stage is _Stage.PROOF:
            return self._prove(challenge)
        if self._stage is _Stage.VERIFY:
            return self._verify(challenge)
        raise RemoteProtocolError("SCRAM is over, the server sent another challenge")

    def _prove(self, challenge: bytes) -> bytes:
        attributes = _attributes(challenge)
        nonce = attributes.get("r", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise RemoteProtocolError("SCRAM server nonce does not extend ours")
        salt = _decode(attributes.get("s", ""), "salt")
        count = attributes.get("i", "")
        if not (count.isascii() and count.isdigit() and len(count) < 10 and salt):
            raise RemoteProtocolError("SCRAM server-first message is malformed")
        iterations = int(count)
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise RemoteProtocolError(f"SCRAM iteration count {iterations} is out of bounds")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={nonce}"
        auth_message = b",".join([self._first_bare.encode(), challenge, without_proof.encode()])
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth_message, "sha256")
        self._stage = _Stage.VERIFY
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def _verify(self, challenge: bytes) -> bytes:
        attributes = _attributes(challenge)
        if "e" in attributes:
            raise RemoteProtocolError(f"SCRAM refused by the server: {attributes['e']}")
        signature = _decode(attributes.get("v", ""), "signature")
        if not hmac.compare_digest(signature, self._server_signature):
            raise RemoteProtocolError("SCRAM server signature is wrong: the server does not know the password")
        self._stage = _Stage.DONE
        return b""
