"""Events: facts that happened to an account, in the log exactly once, each with a position and a sequence number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from mailquay.model.account import AccountNumber


class EventName(Enum):
    """Every event of the public contract, and OWN_EVENTS; the values are the public names."""

    ACCOUNT_ADDED = "accountAdded"
    ACCOUNT_INITIALIZED = "accountInitialized"
    ACCOUNT_DELETED = "accountDeleted"
    AUTHENTICATION_SUCCESS = "authenticationSuccess"
    AUTHENTICATION_ERROR = "authenticationError"
    CONNECT_ERROR = "connectError"
    MESSAGE_NEW = "messageNew"
    MESSAGE_UPDATED = "messageUpdated"
    MESSAGE_DELETED = "messageDeleted"
    MESSAGE_MOVED = "messageMoved"
    MESSAGE_MISSING = "messageMissing"
    MESSAGE_UNPROCESSABLE = "messageUnprocessable"
    MESSAGE_SENT = "messageSent"
    MESSAGE_DELIVERY_ERROR = "messageDeliveryError"
    MESSAGE_FAILED = "messageFailed"
    MESSAGE_UNCERTAIN = "messageUncertain"
    MESSAGE_BOUNCE = "messageBounce"
    MESSAGE_COMPLAINT = "messageComplaint"
    MAILBOX_NEW = "mailboxNew"
    MAILBOX_DELETED = "mailboxDeleted"
    MAILBOX_RESET = "mailboxReset"
    TRACK_OPEN = "trackOpen"
    TRACK_CLICK = "trackClick"
    LIST_UNSUBSCRIBE = "listUnsubscribe"
    LIST_SUBSCRIBE = "listSubscribe"
    EXPORT_COMPLETED = "exportCompleted"
    EXPORT_FAILED = "exportFailed"


OWN_EVENTS = frozenset([EventName.MESSAGE_MOVED, EventName.MESSAGE_UNPROCESSABLE, EventName.MESSAGE_UNCERTAIN])
"""Events that the EmailEngine API does not have: a webhook gets them where they are named, not with all the others."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be logged.

    `facts` are kept and hold identifiers only; `content` is the whole payload data for webhooks (subject, addresses,
    text), kept encrypted until delivered, or None when the facts are all there is.
    """

    account: AccountNumber
    name: EventName
    date_ms: int
    facts: Mapping[str, object]
    content: Mapping[str, object] | None = None
    path: str | None = None
    special_use: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in the log. `position` orders the whole log, `sequence` the events of its account; both grow in commit
    order and never change. `account_id` is kept in the row, so that events outlive their account.
    """

    position: int
    sequence: int
    event_id: str
    account: AccountNumber
    account_id: str
    name: EventName
    date_ms: int
    facts: Mapping[str, object]
    content: Mapping[str, object] | None = None
    path: str | None = None
    special_use: str | None = None

    @property
    def data(self) -> Mapping[str, object]:
        """The payload: the content while it is kept, else the facts."""
        return self.facts if self.content is None else self.content
