"""Submissions: messages on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from mailquay.model.account import AccountNumber


class Phase(Enum):
    """How far a submission got. Only DATA leaves doubt: the message may have been accepted without our knowing.

    A row found in DATA after a crash, or whose reply never came after the end of the message, becomes UNCERTAIN and is
    never sent again by itself. FILING: the server took it, and its copy, or the flags of the message that it answers,
    are still to be stored in the account; SENT: nothing is left to do.
    """

    QUEUED = "queued"
    DATA = "data"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    FILING = "filing"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class SubmissionEnvelope:
    """The SMTP envelope: reverse-path ("" for the null sender) and recipients (RFC 5321 §2.3.1)."""

    reverse_path: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipientDsn:
    """Delivery status notification wishes for one recipient (RFC 3461 §4.1, §4.2)."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class DsnRequest:
    """Delivery status notification wishes (RFC 3461 §4). `ret` is "full" or "headers", None leaves it to the server.

    `notify` and `orcpt` are for every recipient that does not stand in `recipients`.
    """

    ret: str | None
    notify: tuple[str, ...] = ()
    envid: str | None = None
    orcpt: str | None = None
    recipients: tuple[RecipientDsn, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferenceUpdate:
    """A message to flag once the submission is accepted: \\Answered, and $Forwarded for a forward."""

    message_id: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubmissionOptions:
    """How to send. `copy` None leaves it to the account; `gateway`, `proxy`, `local_address` override its routing.

    `draft` is the public id of the draft that the message was, which goes once it is sent.

    `eight_bit`: the message has bytes beyond ASCII; `utf8_header`: some of them stand in its header (RFC 6532).
    """

    subject: str | None = None
    dsn: DsnRequest | None = None
    copy: bool | None = None
    sent_mail_path: str | None = None
    gateway: str | None = None
    proxy: str | None = None
    local_address: str | None = None
    reference: ReferenceUpdate | None = None
    draft: str | None = None
    idempotency_key: str | None = None
    source: str = "api"
    eight_bit: bool = False
    utf8_header: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as stored, without its body. Times are milliseconds since the epoch.

    `next_attempt_ms` None: no further attempt (failed, uncertain). `progress` is the public progress object.
    """

    queue_id: str
    account: AccountNumber
    message_id: str
    envelope: SubmissionEnvelope
    options: SubmissionOptions
    phase: Phase
    created_ms: int
    scheduled_ms: int
    next_attempt_ms: int | None
    attempts_made: int
    attempts: int
    size_bytes: int
    progress: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filing:
    """What is left to do for a submission that was sent. `copy`: its body is kept, to be filed among the sent mail.

    `attempts_made` counts what was begun: with the first one nothing of it can be in the mailbox yet, afterwards nobody
    knows without looking.
    """

    submission: Submission
    attempts_made: int
    copy: bool
