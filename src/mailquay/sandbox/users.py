"""Who has a mailbox in the sandbox, and where mail for whom goes."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from mailquay.backends.memory import MemoryMailStore


@dataclass(frozen=True, slots=True, eq=False)
class MailUser:
    """One mailbox owner. The login name is the address."""

    name: str
    email: str
    password: str = field(repr=False)
    store: MemoryMailStore = field(repr=False)

    @property
    def domain(self) -> str:
        """The domain of the address."""
        return self.email.rpartition("@")[2]


class UserDirectory:
    """The users of one world. `catch_all` takes the mail for every domain that no user lives at."""

    def __init__(self, users: list[MailUser], catch_all: MailUser) -> None:
        self.users = tuple(users)
        self.catch_all = catch_all
        self._by_email = {user.email.lower(): user for user in (*users, catch_all)}
        self._domains = {user.domain.lower() for user in users}

    def authenticate(self, login: str, password: str) -> MailUser | None:
        """The user with this login and password."""
        user = self._by_email.get(login.lower())
        expected = "" if user is None else user.password
        same = hmac.compare_digest(password.encode("utf-8", "replace"), expected.encode())
        return user if user is not None and same else None

    def recipient(self, address: str) -> MailUser | None:
        """Whose mailbox an address means; None when its domain is ours and the user unknown. `a+tag@` means `a@`."""
        local, _, domain = address.lower().rpartition("@")
        known = self._by_email.get(f"{local.partition('+')[0]}@{domain}") or self._by_email.get(f"{local}@{domain}")
        if known is not None:
            return known
        return None if domain in self._domains else self.catch_all
