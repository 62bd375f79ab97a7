"""What the services ask of a mail provider: a session for commands, a watch for news."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mailquay.model.account import Account
from mailquay.model.gateway import Gateway
from mailquay.model.mailbox import ListedMailbox, MailboxEvidence
from mailquay.model.mailbox_state import KnownState, MailboxQuota, UidRanges
from mailquay.model.message import IndexEntry
from mailquay.model.submission import Submission


@dataclass(frozen=True, slots=True)
class MailboxChanges:
    """What changed since a known state: flags of messages old and new, and UIDs that are gone.

    `vanished` may hold UIDs that we never knew, and some that were named before.
    """

    changed: tuple[FlagState, ...]
    vanished: UidRanges


@dataclass(frozen=True, slots=True)
class OpenedMailbox:
    """What the server said when it opened a mailbox (RFC 9051 §6.3.2). `uidvalidity` None: absent, or given as 0.

    `highestmodseq` is None when the mailbox keeps no mod-sequences (RFC 7162 §3.1.2.2), `mailbox_id` when the server
    gives none (RFC 8474 §4). `changes` is None when no known state was given, when it is of another UIDVALIDITY, and
    when the server cannot tell the difference.
    """

    path: str
    uidvalidity: int | None
    uidnext: int | None
    messages: int
    highestmodseq: int | None
    permanent_flags: frozenset[str] | None = None
    mailbox_id: str | None = None
    changes: MailboxChanges | None = None


@dataclass(frozen=True, slots=True)
class FlagState:
    """The flags of one message as the server has them now."""

    uid: int
    flags: tuple[str, ...]
    modseq: int | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class FetchedSections:
    """Body sections of one message by their names, raw, and the flags it has now."""

    flags: tuple[str, ...]
    bodies: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class UidMap:
    """Where messages went (COPYUID, RFC 4315 §3): source to destination UIDs under the target's UIDVALIDITY."""

    uidvalidity: int
    uids: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an appended message stands (APPENDUID, RFC 4315 §3); None where the server does not say."""

    uidvalidity: int | None = None
    uid: int | None = None


class FlagChange(Enum):
    """How STORE combines the given flags with those a message has."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """What to look for; all given terms must match. Dates are ISO days (YYYY-MM-DD), `seq` and `uid` IMAP sets.

    A header with an empty text has to be there. Of `email_ids` any may match; None does not ask for them.
    """

    seq: str | None = None
    uid: str | None = None
    modseq: int | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)
    larger: int | None = None
    smaller: int | None = None
    dates: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[tuple[str, str]] = ()
    email_id: str | None = None
    thread_id: str | None = None
    gmail_raw: str | None = None
    labels: Sequence[str] = ()
    without_labels: Sequence[str] = ()
    email_ids: Sequence[str] | None = None


Survey = tuple[list[ListedMailbox], dict[str, MailboxEvidence] | None]
"""All mailboxes, and their counters by path where the server tells both in one breath."""


class MailSession(Protocol):
    """One logged-in connection for commands, used by one task at a time. Never sets \\Seen by reading.

    Every method raises Unavailable when the connection is lost or too slow (the session is unusable then),
    CommandRejected for NO and BAD, PartUnavailable for NO with UNAVAILABLE (it stays usable), MailboxNotFound where a
    path does not exist.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server offers, upper case."""
        ...

    @property
    def selected(self) -> str | None:
        """The path of the mailbox that is open, as it was when it was opened: another may stand there by now."""
        ...

    @property
    def selected_uidvalidity(self) -> int | None:
        """UIDVALIDITY of the mailbox that is open; None when none is, or the server gave none."""
        ...

    def forget_selected(self) -> None:
        """Have the mailbox that is open opened anew before it is used again."""
        ...

    @property
    def selected_writable(self) -> bool:
        """Whether the mailbox that is open may be changed, as far as that was asked for."""
        ...

    @property
    def usable(self) -> bool:
        """Whether the connection is still good, as far as one can know without asking."""
        ...

    async def prove(self) -> None:
        """Return when the server has given a sign of life; raises Unavailable when it gives none in half a minute."""
        ...

    async def list_mailboxes(self) -> list[ListedMailbox]:
        """All mailboxes, with special use from the server or by name, and their ids where one LIST brings them."""
        ...

    async def survey(self) -> Survey:
        """What `list_mailboxes` says, and the counters of all of them where the same LIST brings both (RFC 5819)."""
        ...

    async def status(self, paths: Sequence[str]) -> dict[str, MailboxEvidence]:
        """Counters of mailboxes, pipelined or by LIST-STATUS; those that fail are left out."""
        ...

    async def still_selected(self) -> bool:
        """Whether the mailbox that is open is still the one at its path; in passing, what others changed is heard.

        One round trip. Raises what ends the connection; what the server refuses means no.
        """
        ...

    async def open_mailbox(
        self, path: str, *, writable: bool = False, since: KnownState | None = None
    ) -> OpenedMailbox:
        """SELECT or EXAMINE; always asks the server, also when the mailbox is open already.

        With `since` the answer holds what changed since then, in the same round trip, where the server can tell
        (QRESYNC, RFC 7162 §3.2.5); it is collected in memory.
        """
        ...

    def fetch_identifiers(self, uids: str, *, changed_since: int | None = None) -> AsyncIterator[list[IndexEntry]]:
        """UID, flags, received date, size (and MODSEQ, provider ids) of the open mailbox's messages, in batches."""
        ...

    def fetch_envelopes(self, uids: str) -> AsyncGenerator[list[IndexEntry], None]:
        """The same and envelope, structure and, where the server may have no threads of its own, references.

        A message that the server cannot render comes with `error` set.
        """
        ...

    def fetch_flags(self, uids: str, *, changed_since: int | None = None) -> AsyncIterator[list[FlagState]]:
        """Flags only, in batches."""
        ...

    def fetch_changes(self, uids: str, *, changed_since: int) -> AsyncIterator[MailboxChanges]:
        """Flags changed, and UIDs among `uids` gone, since a mod-sequence, in batches (RFC 7162 §3.2.6).

        Raises Unsupported unless the mailbox was opened with `since` on a server that can tell.
        """
        ...

    async def fetch_sections(
        self, uids: str, sections: Sequence[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        """Body sections ("HEADER", "1.2", "") by UID, each but the header cut at `limit_bytes`; raw, not decoded."""
        ...

    def stream_section(self, uid: int, section: str, *, resume_at: int | None = None) -> AsyncGenerator[bytes, None]:
        """One body section piece by piece, never whole in memory.

        With `resume_at` what follows behind so many bytes, in blocks. Raises MessageNotFound when there is no such
        message or section.
        """
        ...

    async def uids(self) -> list[int]:
        """The UIDs that exist in the open mailbox, ascending."""
        ...

    async def page(self, skip: int, count: int) -> list[int]:
        """The UIDs of up to `count` messages below the `skip` newest, ascending; right after the mailbox was opened.

        No others are transferred where the server can help it. What was expunged meanwhile may be missing on the page.
        """
        ...

    async def search(self, terms: SearchTerms) -> list[int]:
        """UIDs of matching messages of the open mailbox, ascending.

        Raises Unsupported when a term needs an extension that the server lacks, and when it refuses to search for
        texts where more messages would have to be read than is reasonable.
        """
        ...

    async def store_flags(
        self, uids: str, change: FlagChange, flags: Sequence[str], *, labels: bool = False
    ) -> list[FlagState]:
        """Change flags (or Gmail labels) and learn what they are now, as far as the server tells."""
        ...

    async def move(self, uids: str, path: str) -> UidMap | None:
        """MOVE, or COPY and then expunge exactly those (RFC 6851)."""
        ...

    async def copy(self, uids: str, path: str) -> UidMap | None:
        """COPY."""
        ...

    async def expunge(self, uids: str) -> None:
        """Delete messages for good: UID EXPUNGE where offered; verified, never others than these."""
        ...

    async def append(
        self,
        path: str,
        body: AsyncIterator[bytes],
        size_bytes: int,
        *,
        flags: Sequence[str] = (),
        internal_date_ms: int | None = None,
    ) -> Appended:
        """Add a message to a mailbox, streaming it.

        Raises MessageTooLarge, before any of the body is read where the server tells its limit (RFC 7889).
        """
        ...

    async def create_mailbox(self, path: str) -> bool:
        """Create and subscribe a mailbox; False when it exists."""
        ...

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """Rename a mailbox."""
        ...

    async def delete_mailbox(self, path: str) -> bool:
        """Delete a mailbox; False when there is none."""
        ...

    async def subscribe(self, path: str, subscribed: bool) -> None:
        """Subscribe or unsubscribe a mailbox."""
        ...

    async def namespace(self) -> tuple[str, str | None]:
        """The personal namespace: prefix and delimiter (RFC 9051 §6.3.10)."""
        ...

    async def quota(self, path: str = "INBOX") -> MailboxQuota | None:
        """How full the store is that holds a mailbox; None when the server does not say (RFC 9208).

        Of several limits on the same thing the one that is reached first counts.
        """
        ...

    async def noop(self) -> None:
        """Prove that the connection is alive."""
        ...

    async def close(self) -> None:
        """Log out if that is possible at once, and disconnect."""
        ...


class MailboxNewsKind(Enum):
    """What happened to a mailbox. LOST is about none: the server has dropped news, look at everything."""

    MESSAGES = "messages"
    APPEARED = "appeared"
    REMOVED = "removed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class MailboxNews:
    """News of one mailbox.

    MESSAGES: some came, went or have other flags; `evidence` holds what the server said of it. APPEARED: it was made,
    or renamed from `old_path`, or subscribed; some servers tell of all mailboxes in this way at first.
    """

    kind: MailboxNewsKind
    path: str = ""
    evidence: MailboxEvidence | None = None
    old_path: str | None = None


class MailWatch(Protocol):
    """A connection that does nothing but listen: to all mailboxes (NOTIFY, RFC 5465), or to one (IDLE, RFC 2177).

    Where not even IDLE is offered it looks at intervals. Servers miss some things, such as a mailbox renamed right
    after it was made: look at everything now and then.
    """

    @property
    def path(self) -> str:
        """The mailbox that it looks at, in any case."""
        ...

    @property
    def everywhere(self) -> bool:
        """Whether it listens to all the others too."""
        ...

    async def start(self, *, survey: bool = False) -> Survey | None:
        """Begin to listen; look at everything afterwards, since what happened before is not told.

        With `survey` that is done over the same connection, where it can be: see MailSession.survey. Raises Unsupported
        when the server refuses to tell of all mailboxes, although it offers that.
        """
        ...

    async def next_news(self) -> list[MailboxNews]:
        """Wait for news; several that arrive together are one answer, one entry for each mailbox and kind.

        Raises Unavailable when the connection is lost or proves dead.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class MailBackend(Protocol):
    """How to reach the mailbox of one account."""

    async def open_session(self) -> MailSession:
        """Connect and log in, for commands.

        Raises Unavailable, AuthenticationFailed, RateLimited.
        """
        ...

    async def open_watch(self, path: str | None, *, everywhere: bool = False) -> MailWatch:
        """Connect and log in, for watching one mailbox; with `everywhere` all of them, where the server offers that.

        None watches where new mail arrives: INBOX, or the mailbox that holds the messages of all labels.
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """The submission server took the message: its final reply, and the recipients that it refused before.

    `message_id` is set when the provider replaced ours; `network_routing` when not the system alone decided the way.
    """

    response: str
    refused: tuple[str, ...] = ()
    message_id: str | None = None
    network_routing: Mapping[str, str | None] | None = None


class Submitter(Protocol):
    """Hands messages to an account's submission server, or to a gateway."""

    async def submit(
        self,
        account: Account,
        submission: Submission,
        body: AsyncIterator[bytes],
        before_data: Callable[[], Awaitable[None]],
        gateway: Gateway | None = None,
    ) -> Receipt:
        """Send one message, through a gateway where one is given.

        `before_data` is awaited after the recipients were accepted, before DATA goes out. Raises SubmissionRejected
        (permanent or not), SubmissionUncertain when the outcome cannot be known, Unavailable, InvalidRequest when there
        is no way to send, and whatever `before_data` raises: then the message was not sent.
        """
        ...
