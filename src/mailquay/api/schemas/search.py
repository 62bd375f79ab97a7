"""Searches: what may be asked for, alone and to choose the messages of a change."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Absent, Flag, Given, Line256, Line1024, NoneHidden, Single, TimeMs
from mailquay.api.schemas.mailboxes import MailboxPath
from mailquay.api.schemas.messages import MessageEntry, MessagesQuery, MessageUpdate
from mailquay.api.validation import Model
from mailquay.backends.interface import SearchTerms

_RANGE = re.compile(r"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,100}")
_MOST_HEADERS = 20


def _number_set(value: str) -> str:
    compact = value.replace(" ", "")
    for item in compact.split(","):
        if not _RANGE.fullmatch(item) or any(int(end) >= 2**32 for end in item.split(":") if end != "*"):
            raise ValueError("must be message numbers as 1, 3:7 or 9:*, separated by commas")
    return compact


def _header(value: dict[str, str]) -> dict[str, str]:
    if len(value) > _MOST_HEADERS:
        raise ValueError(f"must name at most {_MOST_HEADERS} header fields")
    if not all(_FIELD_NAME.fullmatch(name) for name in value):
        raise ValueError("must have names of header fields as keys")
    return value


NumberSet = Annotated[str, StringConstraints(min_length=1, max_length=8192), AfterValidator(_number_set)]
_Size = Annotated[int, Field(ge=0, le=1_073_741_824)]
_Tristate = Annotated[Flag | None, Given]
_Text = Annotated[Line256 | None, Absent]
_Time = Annotated[TimeMs | None, Absent]
_Strings = Annotated[Annotated[list[Line256], Field(max_length=1000)] | None, Single, Given]
_Label = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Labels = Annotated[list[_Label], Field(max_length=20)]


class LabelTerms(Model):
    """Labels that a message must have, or must not have."""

    has: Annotated[_Labels | None, Single, Given] = None
    not_: Annotated[_Labels | None, Single, Given, Field(alias="not")] = None


class SearchQuery(Model):
    """What messages must be like; all that is given applies."""

    seq: Annotated[NumberSet | None, Absent, Field(description="Sequence numbers, as 1:10 or 7,9:*.")] = None
    uid: Annotated[NumberSet | None, Absent, Field(description="UIDs, as 1:10 or 7,9:*.")] = None
    modseq: Annotated[Annotated[int, Field(ge=0, lt=2**63)] | None, Given] = None
    answered: _Tristate = None
    deleted: _Tristate = None
    draft: _Tristate = None
    unseen: _Tristate = None
    seen: _Tristate = None
    flagged: _Tristate = None
    from_: Annotated[_Text, Field(alias="from")] = None
    to: _Text = None
    cc: _Text = None
    bcc: _Text = None
    body: _Text = None
    subject: Annotated[
        Annotated[str, StringConstraints(max_length=2560, pattern=r"^[^\x00-\x1f\x7f]*$")] | None, Absent
    ] = None
    larger: Annotated[_Size | None, Given, Field(description="Bytes.")] = None
    smaller: Annotated[_Size | None, Given, Field(description="Bytes.")] = None
    before: Annotated[_Time, Field(description="Received before this day.")] = None
    since: Annotated[_Time, Field(description="Received on this day or later.")] = None
    sent_before: Annotated[_Time, Field(alias="sentBefore", description="Dated before this day.")] = None
    sent_since: Annotated[_Time, Field(alias="sentSince", description="Dated on this day or later.")] = None
    email_id: Annotated[_Text, Field(alias="emailId")] = None
    thread_id: Annotated[_Text, Field(alias="threadId")] = None
    header: Annotated[
        Annotated[dict[str, Line1024], AfterValidator(_header)] | None,
        Given,
        Field(description="Texts in header fields by name; an empty one: the field is there."),
    ] = None
    gmail_raw: Annotated[
        Line1024 | None, Absent, Field(alias="gmailRaw", description="In Gmail's own search language.")
    ] = None
    labels: Annotated[LabelTerms | None, Given, Field(description="Where the server keeps labels.")] = None
    email_ids: Annotated[_Strings, Field(alias="emailIds", description="Ids that the server gives for good.")] = None

    def terms(self) -> SearchTerms:
        """As the services take it."""
        flags = {name: getattr(self, name) for name in ("seen", "unseen", "flagged", "answered", "deleted", "draft")}
        texts = {"from": self.from_, "to": self.to, "cc": self.cc, "bcc": self.bcc}
        texts |= {"subject": self.subject, "body": self.body}
        dates = {"before": self.before, "since": self.since}
        dates |= {"sentBefore": self.sent_before, "sentSince": self.sent_since}
        labels = self.labels or LabelTerms()
        return SearchTerms(
            seq=self.seq,
            uid=self.uid,
            modseq=self.modseq,
            flags={name: wanted for name, wanted in flags.items() if wanted is not None},
            text={name: text for name, text in texts.items() if text is not None},
            larger=self.larger,
            smaller=self.smaller,
            dates={name: _day(time_ms) for name, time_ms in dates.items() if time_ms is not None},
            headers=tuple((self.header or {}).items()),
            email_id=self.email_id,
            thread_id=self.thread_id,
            gmail_raw=self.gmail_raw,
            labels=tuple(labels.has or ()),
            without_labels=tuple(labels.not_ or ()),
            email_ids=None if self.email_ids is None else tuple(self.email_ids),
        )


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


class SearchPage(MessagesQuery):
    """Which part of the messages that were found to show. `cursor` wins over `page`."""

    use_outlook_search: Annotated[Flag, Field(alias="useOutlookSearch", description="Of Microsoft accounts only.")] = (
        False
    )


class Search(Model):
    """A search."""

    search: SearchQuery


class ChosenPath(Model):
    """The mailbox whose messages are meant."""

    path: Annotated[MailboxPath, Field(description="Path of the mailbox, or a special-use tag such as \\Sent.")]


class DeletedPath(ChosenPath):
    """The mailbox whose messages are meant, and how they go."""

    force: Annotated[Flag, Field(description="Delete for good instead of moving to the trash.")] = False


class MessagesUpdate(Search):
    """Changes of all messages that a search finds."""

    update: Annotated[MessageUpdate | None, Given] = None


class MessagesMove(Search):
    """Where all messages that a search finds go."""

    path: MailboxPath


class UnifiedSearchQuery(Search):
    """A search over many accounts."""

    accounts: Annotated[
        Annotated[list[Line256], Field(max_length=1000)] | None,
        Single,
        Given,
        Field(description="Ids of accounts; none: all that the token may see."),
    ] = None
    paths: Annotated[
        Annotated[list[MailboxPath], Field(max_length=1000)] | None,
        Single,
        Given,
        Field(description="Paths of mailboxes or special-use tags; none: all mailboxes that the accounts sync."),
    ] = None


# -- answers --------------------------------------------------------------------------------------

IdPair = Annotated[list[str], Field(min_length=2, max_length=2)]


class MessagesMoved(Shown):
    """Where messages are now; the former and the present id of each where the server tells."""

    path: str
    id_map: Annotated[list[IdPair] | NoneHidden, Field(alias="idMap")] = None


class MovedToTrash(Shown):
    """Where deleted messages are now."""

    destination: str
    id_map: Annotated[list[IdPair] | NoneHidden, Field(alias="idMap")] = None


class MessagesDeleted(Shown):
    """Whether messages are gone for good, or where they are."""

    deleted: bool
    moved: MovedToTrash | NoneHidden = None


class UnifiedMessage(MessageEntry):
    """A message, and in whose mailbox it stands."""

    account: str
    path: str


class AccountLeftOut(Shown):
    """An account of which not everything is searched, and why."""

    account: str
    reason: str


class UnifiedSearchAnswer(Shown):
    """A page of messages of many accounts, the last dated first."""

    total: int
    page: int
    pages: int
    accounts: list[str]
    paths: list[str]
    messages: list[UnifiedMessage]
    skipped: Annotated[list[AccountLeftOut], Field(description="Accounts that keep nothing of what is asked for.")]
    incomplete: Annotated[list[AccountLeftOut], Field(description="Accounts that are not wholly read, and why.")]
