"""Messages as the index knows them: identifiers, envelope, structure; never their content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NewType

from mailquay.model.mailbox import MailboxNumber

Uid = NewType("Uid", int)
"""A message's UID (RFC 9051 §2.3.1.1), 1 to 2^32-1."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox address of a header; `name` is decoded and may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The decoded envelope (RFC 9051 §7.5.2); `date_ms` is the Date header."""

    date_ms: int | None = None
    subject: str | None = None
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    in_reply_to: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of a message, by its MIME part number (RFC 9051 §6.4.5). `encoded_size_bytes` as transferred."""

    part: str
    content_type: str
    encoded_size_bytes: int
    filename: str | None = None
    content_id: str | None = None
    embedded: bool = False
    inline: bool = False
    encoded_in_message: bool = False
    method: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part that holds text. Charset, encoding and flowed format tell how to read its bytes.

    `content_type` is given where it is neither text/plain nor text/html, or where nothing else tells it.
    """

    part: str
    encoded_size_bytes: int
    charset: str | None = None
    encoding: str | None = None
    flowed: bool = False
    delsp: bool = False
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """What BODYSTRUCTURE tells: the text parts by kind, and the attachments. `reliable` False: parse the source.

    `enclosed` are the texts of embedded messages, which are no text of the message itself.
    """

    plain: tuple[TextPart, ...] = ()
    html: tuple[TextPart, ...] = ()
    other: tuple[TextPart, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    reliable: bool = True
    enclosed: tuple[TextPart, ...] = ()

    def texts(self) -> Iterator[TextPart]:
        """Every part that is told apart from the attachments, embedded messages included."""
        yield from self.plain
        yield from self.html
        yield from self.other
        yield from self.enclosed


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A message in the index. `flags` are sorted; `envelope` and `structure` are None until filled.

    `internal_date_ms` is the server's received date; `error` marks a message that the server cannot render.
    `thread_id` is the server's, `thread` ours where it has none. `references` holds the first and the last ids of that
    field, bare; it is there when an envelope was fetched, and is not stored. `digested` tells of a stored entry that
    its envelope has been read, for thread and digest, whether or not it is kept.
    """

    uid: Uid
    flags: tuple[str, ...] = ()
    modseq: int | None = None
    internal_date_ms: int | None = None
    size_bytes: int | None = None
    envelope: Envelope | None = None
    structure: Structure | None = None
    email_id: str | None = None
    thread_id: str | None = None
    labels: tuple[str, ...] | None = None
    error: str | None = None
    thread: int | None = None
    references: tuple[str, ...] = ()
    digested: bool = False


@dataclass(frozen=True, slots=True)
class MessageMarks:
    """What of a message can change: its flags and, where there are any, its labels. `labels` None: not known."""

    flags: tuple[str, ...]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class DroppedMessage:
    """What is left to say of a message that has gone from the index.

    `email_id` is None where the server gives none, `digest` (of the Message-ID) also while the envelope is unread.
    """

    uid: int
    size_bytes: int | None
    email_id: str | None
    digest: int | None


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a message id points: our mailbox number and the UID."""

    mailbox: MailboxNumber
    uid: Uid
