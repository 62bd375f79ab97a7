"""An account: one mailbox owner, how to reach his servers, and what we know of their state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

AccountId = NewType("AccountId", str)
"""The public id, chosen by the caller or generated (1 to 256 characters)."""

AccountNumber = NewType("AccountNumber", int)
"""Our own small key of an account; never shown, never used again."""


class AccountState(Enum):
    """Where an account stands; the values are the public names."""

    INIT = "init"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    AUTHENTICATION_ERROR = "authenticationError"
    CONNECT_ERROR = "connectError"
    UNSET = "unset"
    PAUSED = "paused"

    @property
    def operational(self) -> bool:
        """Whether reads from the mail server may be tried."""
        return self in (AccountState.CONNECTED, AccountState.CONNECTING, AccountState.SYNCING)


USUAL_RESYNC_SECONDS = 900
"""What `resyncDelay` says when an account says nothing; mailboxes are then looked at as often as the node is set to."""

KEEPS_IDENTIFIERS = "identifiers"
"""The index keeps what finds a message again, and nothing that it says."""

HOLDS_UNCERTAIN, RETRIES_UNCERTAIN = "hold", "retry"
KEEPS_ENVELOPES = "envelopes"
"""The index keeps what a list of messages shows."""

KEEPS_TEXT = "text"
"""The index keeps that and the words of every message, for searches."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to reach one mail server. `secure` is TLS from the first byte; without it STARTTLS is used where offered."""

    host: str | None = None
    port: int | None = None
    secure: bool = False
    tls: Mapping[str, object] = field(default_factory=dict)
    user: str | None = None
    password: str | None = None
    access_token: str | None = None
    use_auth_server: bool = False


@dataclass(frozen=True, slots=True)
class ImapSettings(ServerSettings):
    """IMAP server settings, with the mailboxes that play a special part when the server does not say so."""

    disabled: bool = False
    disable_imap4rev2: bool = False
    resync_delay_seconds: int = USUAL_RESYNC_SECONDS
    sent_mail_path: str | None = None
    drafts_mail_path: str | None = None
    junk_mail_path: str | None = None
    trash_mail_path: str | None = None
    archive_mail_path: str | None = None


@dataclass(frozen=True, slots=True)
class SmtpSettings(ServerSettings):
    """Submission server settings."""


@dataclass(frozen=True, slots=True)
class CustomHeader:
    """A header that is added to webhook requests."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class AccountProfile:
    """What the caller decides about an account. Times are milliseconds since the epoch.

    `copy` None means the default for saving sent mail, `when_uncertain` what becomes of a submission of which nobody
    knows whether it was sent. `path` lists the mailboxes to sync, empty for all. `index` is
    how much of each message an index keeps; what was received before `sync_from_ms` is not read in advance.
    """

    name: str = ""
    email: str | None = None
    expected_email: str | None = None
    path: tuple[str, ...] = ()
    subconnections: tuple[str, ...] = ()
    webhooks: str | None = None
    webhooks_custom_headers: tuple[CustomHeader, ...] = ()
    copy: bool | None = None
    when_uncertain: str = HOLDS_UNCERTAIN
    logs: bool = False
    notify_from_ms: int | None = None
    sync_from_ms: int | None = None
    proxy: str | None = None
    smtp_ehlo_name: str | None = None
    imap_indexer: str | None = None
    index: str = KEEPS_ENVELOPES
    locale: str | None = None
    tz: str | None = None
    imap: ImapSettings | None = None
    smtp: SmtpSettings | None = None

    @property
    def has_imap(self) -> bool:
        """Whether there is a mailbox to sync."""
        return self.imap is not None and not self.imap.disabled

    @property
    def indexed(self) -> bool:
        """Whether an index is kept, so that changes and deletions are told and listings answered from it."""
        return self.imap_indexer != "fast"

    @property
    def keeps_envelopes(self) -> bool:
        """Whether envelopes stay in the index once they were read."""
        return self.index in (KEEPS_ENVELOPES, KEEPS_TEXT)

    @property
    def keeps_texts(self) -> bool:
        """Whether the words of messages are kept, to be searched for; without an index there are none."""
        return self.index == KEEPS_TEXT and self.indexed

    @property
    def account_type(self) -> str:
        """The public type: what kind of backend serves the account."""
        return "imap" if self.imap is not None else "sending"


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What we learnt about an account while serving it. `last_error` etc. hold public JSON values."""

    state: AccountState = AccountState.INIT
    last_error: Mapping[str, object] | None = None
    error_since_ms: int | None = None
    smtp_status: Mapping[str, object] | None = None
    sync_error: Mapping[str, object] | None = None
    sync_time_ms: int | None = None
    ever_connected: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """An account as stored. `revision` grows with every change of its profile."""

    number: AccountNumber
    id: AccountId
    profile: AccountProfile
    status: AccountStatus
    revision: int
    created_ms: int
