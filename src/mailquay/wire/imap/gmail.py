"""X-GM-EXT-1: Gmail's labels in FETCH and STORE (Google's "IMAP extensions", no RFC). Ids are plain 64-bit numbers."""

from __future__ import annotations

import re

from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import decode_mailbox, encode_mailbox
from mailquay.wire.imap.writer import Writer

_LABEL_ATOM = re.compile(rb"\\?[^\x00-\x20\x7f(){%*\"\\]+")


def _read_label(r: Reader) -> str:
    if r.starts_string():
        raw = r.string()
    else:
        match = r.match(_LABEL_ATOM)
        if match is None:
            raise r.error("a label")
        raw = match.group()
    return decode_mailbox(raw, utf8=r.utf8)[0]


def read_labels(r: Reader) -> tuple[str, ...]:
    """Read a list of labels; system labels keep their backslash, as in `\\Inbox`."""
    return r.items(_read_label)


def write_labels(w: Writer, labels: tuple[str, ...]) -> None:
    """Write a list of labels. Raises LocalProtocolError for an empty label and for CR, LF and NUL."""
    w.items(labels, lambda writer, label: writer.astring(encode_mailbox(label, utf8=writer.utf8)))
