"""FETCH: from what a client asks for to the response about one message (RFC 9051 §6.4.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mailquay.backends.memory_mailbox import StoredMessage
from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.mime.content import find_texts
from mailquay.sandbox.imap_gmail import gmail_number, labels_by_message
from mailquay.sandbox.imap_sections import find_part, section_bytes
from mailquay.sandbox.imap_session import SandboxSession
from mailquay.sandbox.imap_structure import body_structure, envelope
from mailquay.sandbox.imap_view import Numbered
from mailquay.wire.imap.command_message import Fetch, names_uids
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.section import FetchAttribute, FetchSection, Section, SectionKind, SectionText

_PREVIEW_CHARACTERS = 200
_RFC822: Final = {
    FetchAttribute.RFC822: Section(),
    FetchAttribute.RFC822_HEADER: Section(text=SectionText.HEADER),
    FetchAttribute.RFC822_TEXT: Section(text=SectionText.TEXT),
}
_NEEDS: Final = {
    FetchAttribute.EMAILID: "OBJECTID",
    FetchAttribute.THREADID: "OBJECTID",
    FetchAttribute.SAVEDATE: "SAVEDATE",
    FetchAttribute.PREVIEW: "PREVIEW",
    FetchAttribute.PREVIEW_LAZY: "PREVIEW",
    FetchAttribute.GMAIL_MESSAGE_ID: "X-GM-EXT-1",
    FetchAttribute.GMAIL_THREAD_ID: "X-GM-EXT-1",
    FetchAttribute.GMAIL_LABELS: "X-GM-EXT-1",
}
_TRANSFER_ENCODINGS = frozenset(["", "7bit", "8bit", "binary", "base64", "quoted-printable"])


class FetchPlan:
    """One FETCH command. Raises RemoteProtocolError when it asks for what is not offered."""

    def __init__(self, command: Fetch, session: SandboxSession) -> None:
        self._attributes = {item for item in command.items if isinstance(item, FetchAttribute)}
        self._sections = [item for item in command.items if isinstance(item, FetchSection)]
        for attribute, capability in _NEEDS.items():
            if attribute in self._attributes:
                session.require(capability)
        if any(item.kind is not SectionKind.BODY for item in self._sections):
            session.require("BINARY")
        if names_uids(command.messages):
            self._attributes.add(FetchAttribute.UID)
        if command.changed_since is not None:
            self._attributes.add(FetchAttribute.MODSEQ)
        self._modseqs = session.condstore
        self._labels: dict[str, set[str]] = {}
        if FetchAttribute.GMAIL_LABELS in self._attributes:
            self._labels = labels_by_message(session.owner.store, session.selected.mailbox)

    @property
    def sets_seen(self) -> bool:
        """Whether reading what is asked for sets \\Seen."""
        return not self._attributes.isdisjoint({FetchAttribute.RFC822, FetchAttribute.RFC822_TEXT}) or any(
            not item.peek for item in self._sections
        )

    def response(self, one: Numbered, *, with_flags: bool) -> FetchResponse:
        """The response about one message; `with_flags` also when they were not asked for.

        Raises CommandRejected (UNKNOWN-CTE) for BINARY of a part in an encoding we cannot undo.
        """
        message, asked = one.message, self._attributes
        values: dict[str, Any] = {}
        if FetchAttribute.FLAGS in asked or with_flags:
            values["flags"] = message.flags
            one.entry.told_modseq = message.modseq
        if FetchAttribute.MODSEQ in asked or (with_flags and self._modseqs):
            values["modseq"] = message.modseq
        readers: dict[FetchAttribute, tuple[str, Callable[[], object]]] = {
            FetchAttribute.UID: ("uid", lambda: message.uid),
            FetchAttribute.INTERNALDATE: ("internal_date", lambda: message.received),
            FetchAttribute.RFC822_SIZE: ("size_bytes", lambda: len(message.raw)),
            FetchAttribute.ENVELOPE: ("envelope", lambda: envelope(message.part)),
            FetchAttribute.BODYSTRUCTURE: ("body_structure", lambda: body_structure(message.part)),
            FetchAttribute.BODY: ("body", lambda: body_structure(message.part)),
            FetchAttribute.EMAILID: ("email_id", lambda: message.email_id),
            FetchAttribute.THREADID: ("thread_id", lambda: message.thread_id),
            FetchAttribute.SAVEDATE: ("save_date", lambda: message.saved),
            FetchAttribute.PREVIEW: ("preview", lambda: _preview(message)),
            FetchAttribute.PREVIEW_LAZY: ("preview", lambda: _preview(message)),
            FetchAttribute.GMAIL_MESSAGE_ID: ("gmail_message_id", lambda: gmail_number(message.email_id)),
            FetchAttribute.GMAIL_THREAD_ID: ("gmail_thread_id", lambda: gmail_number(message.thread_id)),
            FetchAttribute.GMAIL_LABELS: (
                "gmail_labels",
                lambda: tuple(sorted(self._labels.get(message.email_id, ()))),
            ),
        }
        values |= {name: read() for attribute, (name, read) in readers.items() if attribute in asked}
        sections = [_section(message, item) for item in self._sections if item.kind is not SectionKind.BINARY_SIZE]
        sections += [_whole(message, attribute) for attribute in _RFC822 if attribute in asked]
        sizes = [
            (item.section, len(_decoded(message, item.section) or b""))
            for item in self._sections
            if item.kind is SectionKind.BINARY_SIZE
        ]
        return FetchResponse(one.seq, sections=tuple(sections), binary_sizes=tuple(sizes), **values)


def _section(message: StoredMessage, item: FetchSection) -> SectionData:
    if item.kind is SectionKind.BINARY:
        data = _decoded(message, item.section)
    else:
        data = section_bytes(message.part, message.raw, item.section)
    origin = None
    if item.partial is not None and data is not None:
        origin, count = item.partial
        data = data[origin : origin + count]
    return SectionData(item.section, origin, data, 0, item.kind.value)


def _whole(message: StoredMessage, attribute: FetchAttribute) -> SectionData:
    data = section_bytes(message.part, message.raw, _RFC822[attribute])
    return SectionData(_RFC822[attribute], None, data, 0, attribute.value)


def _decoded(message: StoredMessage, section: Section) -> bytes | None:
    """A part with its transfer encoding undone (RFC 3516 §4.2)."""
    if section.text is not SectionText.ALL:
        raise RemoteProtocolError("BINARY takes part numbers alone")
    if not section.part:
        return message.raw
    part = find_part(message.part, section.part)
    if part is None:
        return None
    if part.encoding not in _TRANSFER_ENCODINGS:
        raise CommandRejected("that transfer encoding is unknown", response_code="UNKNOWN-CTE")
    return part.encoded if part.is_multipart else part.content


def _preview(message: StoredMessage) -> bytes:
    """The beginning of the text, in one line."""
    text = find_texts(message.part).plain_text()
    return " ".join(text[: _PREVIEW_CHARACTERS * 4].split())[:_PREVIEW_CHARACTERS].encode("utf-8", "replace")
