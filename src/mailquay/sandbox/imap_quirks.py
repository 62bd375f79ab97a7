"""The sandbox's IMAP server as the servers out there: each leniency of our parser can be made necessary by a switch.

world.imap_faults.quirks.add(Leniency.ENVELOPE_SHORT)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from mailquay.wire.imap.envelope import Envelope, write_envelope
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.listing import ListResponse
from mailquay.wire.imap.response import (
    Continuation,
    FlagsResponse,
    Response,
    TaggedResponse,
    UntaggedStatus,
)
from mailquay.wire.imap.response_code import PermanentFlags, UidValidity, format_code
from mailquay.wire.imap.status import StatusResponse
from mailquay.wire.imap.uidplus import CopyUid
from mailquay.wire.imap.writer import LiteralMode, Writer

Quirk = Callable[[Response, bytes], bytes]
"""Takes a response and its bytes with the last CRLF, and gives the bytes to send instead."""

_ENCODING = re.compile(rb'("(?:7bit|8bit|base64|quoted-printable|binary)") \d+', re.IGNORECASE)
_DISPOSITION = re.compile(rb'\("(inline|attachment)" (?:NIL|\((?:"[^"]*" ?)*\))\)')
_TEXT_PARAMETERS = re.compile(rb'("text" "[a-z]+") (?:NIL|\([^()]*\))')
_BOUNDARY = re.compile(rb'"boundary" "[^"]*"')
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_ADDRESS = re.compile(rb'\((NIL|"[^"]*") NIL ("[^"]*") ("[^"]*")\)')
_FIRST_CHILD = re.compile(rb'\(\("[a-z]+" "[a-z]+" ')
_OBJECT_ID = re.compile(rb"(EMAILID|THREADID) \(([^()]*)\)")


def rewrite(quirks: Collection[Leniency], response: Response, data: bytes) -> bytes:
    """The bytes of a response as a server with these quirks writes them."""
    for leniency in Leniency:
        if leniency in quirks:
            data = QUIRKS[leniency](response, data)
    return data


def _of_fetch(change: Callable[[bytes], bytes]) -> Quirk:
    return lambda response, data: change(data) if isinstance(response, FetchResponse) else data


def _pattern(pattern: re.Pattern[bytes], replacement: bytes) -> Quirk:
    return _of_fetch(lambda data: pattern.sub(replacement, data))


def _envelope(change: Callable[[Envelope, bytes], bytes]) -> Quirk:
    """Change the ENVELOPE of a FETCH response."""

    def play(response: Response, data: bytes) -> bytes:
        if not isinstance(response, FetchResponse) or response.envelope is None:
            return data
        written = _written(response.envelope)
        return data.replace(written, change(response.envelope, written))

    return play


def _written(envelope: Envelope) -> bytes:
    writer = Writer(LiteralMode.SERVER)
    write_envelope(writer, envelope)
    return writer.line()


def _structure(structure: bytes) -> Quirk:
    """Put another BODYSTRUCTURE into a FETCH response; it is the last item that the writer writes of those asked."""

    def play(response: Response, data: bytes) -> bytes:
        if not isinstance(response, FetchResponse) or response.body_structure is None:
            return data
        start = data.index(b"BODYSTRUCTURE (")
        depth, end = 0, start + len(b"BODYSTRUCTURE ")
        for match in re.finditer(rb'"(?:[^"\\]|\\.)*"|[()]', data[end:]):
            depth += {b"(": 1, b")": -1}.get(match.group(), 0)
            if not depth:
                return data[:start] + b"BODYSTRUCTURE " + structure + data[end + match.end() :]
        return data

    return play


def _code(kind: type, change: Callable[[bytes], bytes]) -> Quirk:
    """Change untagged statuses with this response code."""
    return lambda response, data: (
        change(data) if isinstance(response, UntaggedStatus) and isinstance(response.code, kind) else data
    )


def _text_missing(response: Response, data: bytes) -> bytes:
    if isinstance(response, UntaggedStatus) and response.code is not None:
        return b"* OK [" + format_code(response.code) + b"]\r\n"
    return data


def _copyuid_untagged(response: Response, data: bytes) -> bytes:
    if not isinstance(response, TaggedResponse) or not isinstance(response.code, CopyUid):
        return data
    code = format_code(response.code)
    return b"* OK [%s] copied\r\n%s" % (code, data.replace(b"[%s] " % code, b""))


def _code_after_text(response: Response, data: bytes) -> bytes:
    if not isinstance(response, TaggedResponse | UntaggedStatus) or not isinstance(response.code, CopyUid):
        return data
    code = b"[%s]" % format_code(response.code)
    return data.replace(code + b" ", b"").removesuffix(b"\r\n") + b" " + code + b"\r\n"


def _before_continuation(response: Response, data: bytes) -> bytes:
    return b"* FLAGS (\\Seen)\r\n" + data if isinstance(response, Continuation) else data


def _uidvalidity_zero(response: Response, data: bytes) -> bytes:
    if isinstance(response, StatusResponse) or (
        isinstance(response, UntaggedStatus) and isinstance(response.code, UidValidity)
    ):
        return re.sub(rb"UIDVALIDITY \d+", b"UIDVALIDITY 0", data)
    return data


def _extra_blank(response: Response, data: bytes) -> bytes:
    if isinstance(response, FetchResponse | StatusResponse | FlagsResponse):
        return data.removesuffix(b"\r\n") + b" \r\n"
    return data


def _broken_name(response: Response, data: bytes) -> bytes:
    """Write names that are not ASCII as they are, instead of in modified UTF-7."""
    if not isinstance(response, ListResponse) or response.mailbox.isascii():
        return data
    writer = Writer(LiteralMode.SERVER)
    writer.mailbox(response.mailbox)
    return data.replace(writer.line(), b'"' + response.mailbox.encode() + b'"')


def _shortened(_: Envelope, written: bytes) -> bytes:
    return re.sub(rb' (?:NIL|"[^"]*")\)\Z', b")", written)


def _subject(change: Callable[[bytes], bytes]) -> Callable[[Envelope, bytes], bytes]:
    def play(envelope: Envelope, written: bytes) -> bytes:
        quoted = b'"' + (envelope.subject or b"") + b'"'
        return written.replace(quoted, change(quoted), 1)

    return play


QUIRKS: Final[dict[Leniency, Quirk]] = {
    Leniency.TEXT_MISSING: _text_missing,
    Leniency.CODE_MALFORMED: _code(PermanentFlags, lambda data: b"* OK [PERMANENTFLAGS none] fixed\r\n"),
    Leniency.MULTIPART_WITHOUT_PARTS: _structure(b'("mixed" ("boundary" "b") NIL NIL NIL)'),
    Leniency.BODY_NUMBER_NIL: _pattern(_ENCODING, rb"\1 NIL"),
    Leniency.DISPOSITION_BARE: _pattern(_DISPOSITION, rb'"\1"'),
    Leniency.BODY_FIELD_MALFORMED: _pattern(_TEXT_PARAMETERS, rb'\1 "odd"'),
    Leniency.UNTAGGED_BEFORE_CONTINUATION: _before_continuation,
    Leniency.COPYUID_UNTAGGED: _copyuid_untagged,
    Leniency.CODE_AFTER_TEXT: _code_after_text,
    Leniency.OBJECTID_NIL: _pattern(_OBJECT_ID, rb"\1 NIL"),
    Leniency.OBJECTID_BARE: _pattern(_OBJECT_ID, rb"\1 \2"),
    Leniency.BODY_FIELDS_MISSING: _structure(b'("text" "html" NIL NIL)'),
    Leniency.NUMBER_FLOATING: _of_fetch(
        lambda data: _SIZE.sub(lambda match: b"RFC822.SIZE %s" % f"{int(match[1]):e}".encode(), data)
    ),
    Leniency.ENVELOPE_SENDER_NIL: _envelope(lambda envelope, _: _written(envelope._replace(sender=()))),
    Leniency.PARAMETER_NIL: _pattern(_BOUNDARY, b'"boundary" NIL'),
    Leniency.MULTIPART_AS_LEAF: _pattern(_FIRST_CHILD, b'(("multipart" "alternative" '),
    Leniency.ENVELOPE_WRAPPED: _envelope(lambda _, written: b"(" + written + b")"),
    Leniency.ENVELOPE_EMPTY: _envelope(lambda *_: b"()"),
    Leniency.BODY_EMPTY: _structure(b"()"),
    Leniency.ENVELOPE_SHORT: _envelope(_shortened),
    Leniency.ENVELOPE_LONG: _envelope(lambda _, written: written[:-1] + b' "extra")'),
    Leniency.ADDRESS_MALFORMED: _pattern(_ADDRESS, rb"(\1 \2 \3)"),
    Leniency.MESSAGE_ISOLATED: _envelope(_subject(lambda quoted: b'"a ' + quoted + b' word"')),
    Leniency.EXTRA_BLANK: _extra_blank,
    Leniency.CONTINUATION_BARE: lambda response, data: b"+\r\n" if isinstance(response, Continuation) else data,
    Leniency.UIDVALIDITY_ZERO: _uidvalidity_zero,
    Leniency.MAILBOX_NAME_INVALID: _broken_name,
    Leniency.QUOTED_LINE_BREAK: _envelope(_subject(lambda quoted: quoted[:-1] + b'\n more"')),
}
