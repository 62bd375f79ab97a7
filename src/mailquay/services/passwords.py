"""The admin's password: hashed with Argon2id; PBKDF2 hashes of the EmailEngine API are taken as they are."""

from __future__ import annotations

import re

from argon2 import PasswordHasher

from mailquay.errors import InvalidRequest
from mailquay.services.identifiers import b64u, from_b64u
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService

_PHC = re.compile(r"\$(argon2id|pbkdf2-sha256)\$[A-Za-z0-9+/=,.$-]{10,500}")
_ADMIN = "admin"


def hash_password(password: str) -> str:
    """The hash of a password, in the form that `prepared_password` takes: base64url of a PHC string."""
    return b64u(PasswordHasher().hash(password).encode("ascii"))


def read_prepared(prepared: str) -> str:
    """The PHC string of a prepared password.

    Raises InvalidRequest when it is none that we could check a password against.
    """
    try:
        phc = from_b64u(prepared).decode("ascii")
    except ValueError as error:
        raise InvalidRequest("the prepared password is not base64url") from error
    if not _PHC.fullmatch(phc):
        raise InvalidRequest("the prepared password holds no Argon2id or PBKDF2-SHA256 hash")
    return phc


async def store_password(settings: SettingsService, prepared: str, clock: Clock) -> None:
    """Make this the admin's password; sessions that were begun with another one end by its version."""
    phc = read_prepared(prepared)
    stored = await settings.stored("authData") or {}
    if stored.get("password") == phc:
        return
    await settings.write({"authData": {"user": _ADMIN, **stored, "password": phc, "passwordVersion": clock.now_ms()}})
