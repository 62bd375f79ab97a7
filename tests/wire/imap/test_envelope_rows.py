"""The rows of a first sync are read in a faster way when they are as usual; what is read must be the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ImapClient
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.section import SectionText

_ITEM = b"BODY[HEADER.FIELDS (REFERENCES)]"
_BODY = b'BODYSTRUCTURE ("text" "plain" ("charset" %s) NIL NIL "7bit" 10 2)'


@dataclass(frozen=True)
class _Row:
    """A message with a subject and a charset, which go into quoted strings, and its References lines."""

    subject: bytes
    charset: bytes
    header: bytes

    def written(self, *, usual: bool) -> bytes:
        """The response, in the order in which we ask, or with the items that we ask for last in front."""
        envelope = b"ENVELOPE (NIL " + _quoted(self.subject) + b" NIL NIL NIL NIL NIL NIL NIL NIL)"
        items = [b"FLAGS (\\Seen)", envelope, _BODY % _quoted(self.charset), _ITEM + _literal(self.header)]
        return b"* 1 FETCH (UID 7 " + b" ".join(items if usual else items[::-1]) + b")\r\n"


def _quoted(raw: bytes) -> bytes:
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _literal(raw: bytes) -> bytes:
    return b" {%d}\r\n" % len(raw) + raw


def _read(raw: bytes) -> FetchResponse:
    client = ImapClient()
    client.state = State.SELECTED
    client.receive_data(raw + b"* 2 FETCH (UID 8)\r\n")
    response, following = client.next_event(), client.next_event()
    assert isinstance(response, FetchResponse) and following == FetchResponse(2, 8)
    assert client.next_event() is NEED_DATA
    return response


_SPOOFS = [
    b" " + _ITEM + b" {9}",
    b" " + _ITEM + b" {2}\r\n\r\n)",
    b'x" BODY[HEADER.FIELDS (REFERENCES)] {0}',
    b'\\" {3}',
    b")",
]
_STRINGS = st.text(alphabet='a"\\() []{}12', max_size=20).map(str.encode) | st.sampled_from(
    [spoof for spoof in _SPOOFS if b"\r" not in spoof]
)
_HEADERS = st.text(alphabet='a"\\()<>@ :\r\n', max_size=40).map(str.encode) | st.sampled_from(_SPOOFS)


@given(st.builds(_Row, _STRINGS, _STRINGS, _HEADERS))
@example(_Row(b"s", b"utf-8", b"References: <a@x>\r\n <b@x>\r\n\r\n"))
@example(_Row(_SPOOFS[0], b'a"b', b"\r\n"))
@example(_Row(b"s", b'a"b', b"References: <a>\r\n " + _ITEM + b" {2}\r\n\r\n"))
def test_the_usual_order_and_any_other_are_read_alike(row: _Row) -> None:
    usual = _read(row.written(usual=True))
    assert usual == _read(row.written(usual=False))
    assert usual.error is None
    assert usual.envelope is not None and usual.envelope.subject == row.subject
    [data] = usual.sections
    assert (data.data, data.size_bytes, data.section.text) == (row.header, len(row.header), SectionText.HEADER_FIELDS)


@pytest.mark.parametrize("name", [b'BODY[HEADER.FIELDS ("REFERENCES")]', b"BODY[HEADER.FIELDS (References)]"])
def test_servers_may_write_the_section_in_their_own_way(name: bytes) -> None:
    raw = _Row(b"s", b"utf-8", b"References: <a@x>\r\n\r\n").written(usual=True).replace(_ITEM, name)
    [data] = _read(raw).sections
    assert data.data == b"References: <a@x>\r\n\r\n"
    assert data.section.text is SectionText.HEADER_FIELDS
