"""Writing FETCH responses (RFC 9051 §7.5.2)."""

from __future__ import annotations

from collections.abc import Callable

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.bodystructure import write_body_structure
from mailquay.wire.imap.date import format_date_time
from mailquay.wire.imap.envelope import write_envelope
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.flag import format_flags
from mailquay.wire.imap.gmail import write_labels
from mailquay.wire.imap.objectid import write_object_id
from mailquay.wire.imap.section import Section, write_section
from mailquay.wire.imap.writer import StreamedMessage, Writer


def write_fetch(w: Writer, response: FetchResponse) -> None:
    """Write `seq FETCH (...)`, or `uid UIDFETCH (...)` when there is no sequence number (RFC 9586 §3.3).

    A section without data but with a size is written as a streamed literal.
    """
    if response.seq:
        w.raw(b"%d FETCH " % response.seq)
    elif response.uid:
        w.number(response.uid, 2**32 - 1)
        w.raw(b" UIDFETCH ")
        response = response._replace(uid=None)
    else:
        raise LocalProtocolError("a FETCH response needs a sequence number or a UID")
    w.items(_writers(response), lambda writer, write: write(writer))


def _writers(response: FetchResponse) -> list[Callable[[Writer], None]]:
    writers: list[Callable[[Writer], None]] = []

    def add(name: bytes, write: Callable[[Writer], None]) -> None:
        def write_item(w: Writer) -> None:
            w.raw(name + b" ")
            write(w)

        writers.append(write_item)

    if (uid := response.uid) is not None:
        add(b"UID", lambda w: w.number(uid, 2**32 - 1))
    if (flags := response.flags) is not None:
        add(b"FLAGS", lambda w: w.raw(format_flags(flags)))
    if (modseq := response.modseq) is not None:
        add(b"MODSEQ", lambda w: w.raw(b"(%d)" % modseq))
    if (internal_date := response.internal_date) is not None:
        add(b"INTERNALDATE", lambda w: w.raw(b'"' + format_date_time(internal_date) + b'"'))
    if (size_bytes := response.size_bytes) is not None:
        add(b"RFC822.SIZE", lambda w: w.number(size_bytes))
    if (envelope := response.envelope) is not None:
        add(b"ENVELOPE", lambda w: write_envelope(w, envelope))
    if (body_structure := response.body_structure) is not None:
        add(b"BODYSTRUCTURE", lambda w: write_body_structure(w, body_structure))
    if (body := response.body) is not None:
        add(b"BODY", lambda w: write_body_structure(w, body, extended=False))
    if (save_date := response.save_date) is not None:
        add(b"SAVEDATE", lambda w: w.raw(b'"' + format_date_time(save_date) + b'"'))
    if (preview := response.preview) is not None:
        add(b"PREVIEW", lambda w: w.string(preview))
    _add_ids(response, add)
    for data in response.sections:
        writers.append(_section_writer(data))
    for section, size in response.binary_sizes:
        writers.append(_binary_size_writer(section, size))
    for name, raw in response.unknown:
        add(name.encode("ascii"), lambda w, raw=raw: w.raw(raw))  # type: ignore[misc]
    return writers


def _add_ids(response: FetchResponse, add: Callable[[bytes, Callable[[Writer], None]], None]) -> None:
    for name, object_id in ((b"EMAILID", response.email_id), (b"THREADID", response.thread_id)):
        if object_id is not None:
            add(name, lambda w, object_id=object_id: write_object_id(w, object_id))  # type: ignore[misc]
    for name, number in ((b"X-GM-MSGID", response.gmail_message_id), (b"X-GM-THRID", response.gmail_thread_id)):
        if number is not None:
            add(name, lambda w, number=number: w.number(number, 2**64 - 1))  # type: ignore[misc]
    if (labels := response.gmail_labels) is not None:
        add(b"X-GM-LABELS", lambda w: write_labels(w, labels))


def _section_writer(data: SectionData) -> Callable[[Writer], None]:
    def write(w: Writer) -> None:
        w.raw(data.item.encode("ascii"))
        if data.item in ("BODY", "BINARY"):
            write_section(w, data.section)
        if data.origin is not None:
            w.raw(b"<%d>" % data.origin)
        w.raw(b" ")
        if data.data is not None:
            w.literal(data.data, binary=data.item == "BINARY" and b"\0" in data.data)
        elif data.size_bytes:
            w.literal(StreamedMessage(data.size_bytes))
        else:
            w.raw(b"NIL")

    return write


def _binary_size_writer(section: Section, size: int) -> Callable[[Writer], None]:
    def write(w: Writer) -> None:
        w.raw(b"BINARY.SIZE")
        write_section(w, section)
        w.raw(b" %d" % size)

    return write
