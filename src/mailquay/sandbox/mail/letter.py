"""Writing the sandbox's letters: one seed, one present, and from them every date, id and boundary."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from mailquay.mime.address import encode_addresses
from mailquay.mime.compose import AttachmentContent, Draft, compose_bytes, encode_field
from mailquay.mime.date import format_date
from mailquay.sandbox.mail.people import Person

SEEN, ANSWERED, FLAGGED, DRAFT = "\\Seen", "\\Answered", "\\Flagged", "\\Draft"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message where it shall lie: in whose mailbox, with which flags, received when."""

    owner: Person
    path: str
    raw: bytes
    received: datetime
    message_id: str
    flags: frozenset[str] = frozenset()

    def put(self, owner: Person, path: str, *flags: str) -> Letter:
        """The same message elsewhere, as in the sender's Sent."""
        return dataclasses.replace(self, owner=owner, path=path, flags=frozenset(flags))


class LetterWriter:
    """Makes letters; the same seed and present make the same."""

    def __init__(self, now: datetime, seed: int) -> None:
        self.now = now.replace(microsecond=0)
        self._random = Random(seed)  # noqa: S311 - made-up mail is no secret

    def ago(self, days: float) -> datetime:
        """A moment that many days back, give or take half an hour, never in the future."""
        return self.now - timedelta(days=days, seconds=self._random.randrange(1800))

    def new_id(self, sender: Person) -> str:
        """A message id of the sender's domain."""
        return f"<{self._random.getrandbits(80):020x}@{sender.email.rpartition('@')[2]}>"

    def boundary(self) -> str:
        """A boundary for multiparts."""
        return f"=_{self._random.getrandbits(96):024x}"

    def write(
        self,
        owner: Person,
        path: str,
        from_: Person,
        subject: str,
        days: float,
        *,
        to: Sequence[Person] = (),
        cc: Sequence[Person] = (),
        text: str | None = None,
        html: str | None = None,
        attachments: Sequence[AttachmentContent] = (),
        headers: Sequence[tuple[str, str]] = (),
        thread: Sequence[Letter] = (),
        flags: Sequence[str] = (),
    ) -> Letter:
        """A letter that answers the last of `thread`, if any; to the owner if nobody else is named."""
        moment, message_id = self.ago(days), self.new_id(from_)
        draft = Draft(
            date=moment,
            message_id=message_id,
            from_=(from_.address,),
            to=tuple(person.address for person in to or (owner,)),
            cc=tuple(person.address for person in cc),
            subject=subject,
            in_reply_to=thread[-1].message_id if thread else None,
            references=tuple(letter.message_id for letter in thread),
            text=text,
            html=html,
            attachments=tuple(attachments),
            headers=tuple(headers),
        )
        raw = compose_bytes(draft, make_boundary=self.boundary)
        return Letter(owner, path, raw, moment, message_id, frozenset(flags))

    def assemble(
        self,
        owner: Person,
        path: str,
        from_: Person,
        subject: str | bytes,
        days: float,
        content_type: str,
        body: bytes,
        *,
        headers: Sequence[tuple[str, str]] = (),
        flags: Sequence[str] = (),
    ) -> Letter:
        """A letter whose body is there already; a subject in bytes is written as it is."""
        moment, message_id = self.ago(days), self.new_id(from_)
        fields = [
            encode_addresses("From", [from_.address]),
            encode_addresses("To", [owner.address]),
            encode_field("Subject", subject) if isinstance(subject, str) else b"Subject: " + subject + b"\r\n",
            encode_field("Message-ID", message_id),
            f"Date: {format_date(moment)}\r\nMIME-Version: 1.0\r\n".encode("ascii"),
            *(encode_field(name, value) for name, value in headers),
            f"Content-Type: {content_type}\r\n".encode("ascii"),
        ]
        return Letter(owner, path, b"".join(fields) + body, moment, message_id, frozenset(flags))


def join_parts(boundary: str, parts: Sequence[tuple[str, bytes]]) -> bytes:
    """The body of a multipart, the blank line before it included; each part is its header lines and its body."""
    mark = boundary.encode("ascii")
    pieces = [b"--%s\r\n%s\r\n\r\n%s\r\n" % (mark, header.encode("ascii"), body) for header, body in parts]
    return b"\r\n" + b"".join(pieces) + b"--%s--\r\n" % mark
