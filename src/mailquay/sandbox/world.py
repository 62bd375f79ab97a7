"""The sandbox as a whole: its users with their mail, an IMAP and an SMTP server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailquay.backends.memory import DEFAULT_QUOTA_BYTES, MemoryMailStore
from mailquay.sandbox.faults import ImapFaults, SmtpFaults
from mailquay.sandbox.imap_capabilities import USUAL
from mailquay.sandbox.imap_gmail import arrange
from mailquay.sandbox.imap_server import LOOPBACK, ImapLimits, SandboxImapServer
from mailquay.sandbox.mail.mailboxes import fill_mailboxes
from mailquay.sandbox.mail.people import CATCH_ALL, PEOPLE, Person
from mailquay.sandbox.smtp_server import SandboxSmtpServer, SmtpLimits
from mailquay.sandbox.users import MailUser, UserDirectory

PASSWORD = "sandbox"  # noqa: S105 - it opens nothing but made-up mail on loopback
DEFAULT_SEED = 1
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SandboxAccount:
    """What one needs to register or log in to a mailbox of the sandbox. Both servers speak without TLS."""

    id: str
    name: str
    email: str
    user: str
    password: str = field(repr=False)
    imap_host: str
    imap_port: int
    smtp_host: str
    smtp_port: int


class SandboxWorld:
    """A small world of mail. `accounts` is known once it has started.

    The same `seed` and `clock` give the same mail. With `empty` the mailboxes are there and no mail is in them.
    Tests set `imap_faults` and `smtp_faults`, and reach the mailboxes by `store_of`. `imap_capabilities` is what the
    IMAP server offers; with X-GM-EXT-1 among it every user has an All Mail. `quota_bytes` is for each user.
    """

    def __init__(
        self,
        *,
        seed: int = DEFAULT_SEED,
        empty: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        imap_limits: ImapLimits | None = None,
        imap_capabilities: frozenset[str] = USUAL,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
        smtp_limits: SmtpLimits | None = None,
    ) -> None:
        now = clock()
        self.imap_faults = ImapFaults()
        self.smtp_faults = SmtpFaults()
        users = [_user(person, now, clock, quota_bytes) for person in PEOPLE]
        catch_all = _user(CATCH_ALL, now, clock, quota_bytes)
        self._users = UserDirectory(users, catch_all)
        fill_mailboxes({user.email: user.store for user in users}, now, seed, with_mail=not empty)
        if "X-GM-EXT-1" in imap_capabilities:
            for user in (*users, catch_all):
                arrange(user.store)
        self._imap = SandboxImapServer(self._users, self.imap_faults, imap_limits, imap_capabilities)
        self._smtp = SandboxSmtpServer(self._users, self.smtp_faults, clock, smtp_limits)

    async def start(self) -> None:
        """Open both servers on free ports."""
        await self._imap.start()
        await self._smtp.start()

    async def stop(self) -> None:
        """Close both; all mail is gone with the world."""
        await self._smtp.stop()
        await self._imap.stop()

    @property
    def accounts(self) -> list[SandboxAccount]:
        """The three mailboxes that are ready to use."""
        return [self._account(person) for person in PEOPLE]

    @property
    def catch_all(self) -> SandboxAccount:
        """The mailbox that takes what is sent to other domains."""
        return self._account(CATCH_ALL)

    def store_of(self, email: str) -> MemoryMailStore:
        """The mailboxes of the user with this address. Raises KeyError."""
        return {user.email: user.store for user in (*self._users.users, self._users.catch_all)}[email]

    def _account(self, person: Person) -> SandboxAccount:
        return SandboxAccount(
            id=person.id,
            name=person.name,
            email=person.email,
            user=person.email,
            password=PASSWORD,
            imap_host=LOOPBACK,
            imap_port=self._imap.port,
            smtp_host=LOOPBACK,
            smtp_port=self._smtp.port,
        )


def _user(person: Person, now: datetime, clock: Callable[[], datetime], quota_bytes: int) -> MailUser:
    # Mailboxes of an earlier life must not be taken for these (RFC 9051 §2.3.1.1): a number that grows 32
    # times a second, and comes back after two years.
    ticks = (now - _EPOCH) // timedelta(milliseconds=31)
    store = MemoryMailStore(first_uidvalidity=1 + ticks % 2**31, clock=clock, quota_bytes=quota_bytes)
    return MailUser(person.name, person.email, PASSWORD, store)
