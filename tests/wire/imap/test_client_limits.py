"""The client core: large sections, limits, and what ends a connection."""

from __future__ import annotations

import pytest

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.lexer import FramingLost
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.response import Exists, LiteralChunk, LiteralEnd, LiteralStart, Status, TaggedResponse
from mailquay.wire.imap.section import FetchAttribute, FetchSection
from mailquay.wire.imap.sequence_set import UidSet
from tests.wire.imap.clients import client_in, receive


def test_large_sections_come_in_pieces() -> None:
    client = client_in(State.SELECTED, limits=Limits(stream_threshold_bytes=10))
    client.send(Fetch(UidSet.of([5]), (FetchSection(),)))
    events = receive(client, b"* 1 FETCH (UID 5 BODY[] {12}\r\nhel")
    events += receive(client, b"lo wor")
    events += receive(client, b"ld! BODY[1] {3}\r\nabc RFC822.TEXT {10}\r\n0123456789 FLAGS ())\r\n* 2 EXISTS\r\n")
    kinds = [type(event) for event in events]
    assert kinds == [
        LiteralStart, LiteralChunk, LiteralChunk, LiteralChunk, LiteralEnd, LiteralStart, LiteralChunk, LiteralEnd,
        FetchResponse, Exists,
    ]  # fmt: skip
    assert b"".join(event.data for event in events if isinstance(event, LiteralChunk)) == b"hello world!0123456789"
    start, row = events[0], events[-2]
    assert isinstance(start, LiteralStart) and isinstance(row, FetchResponse)
    assert (start.seq, start.uid, start.section.size_bytes) == (1, 5, 12)
    assert [(section.item, section.data, section.size_bytes) for section in row.sections] == [
        ("BODY", None, 12),
        ("BODY", b"abc", 3),
        ("RFC822.TEXT", None, 10),
    ]


def test_only_sections_stream() -> None:
    client = client_in(State.SELECTED, limits=Limits(stream_threshold_bytes=10))
    client.send(Fetch(UidSet.of([5]), (FetchAttribute.ENVELOPE,)))
    events = receive(
        client, b"* 1 FETCH (ENVELOPE (NIL {12}\r\nhello world! NIL NIL NIL NIL NIL NIL NIL NIL) UID 5)\r\n"
    )
    assert isinstance(events[0], FetchResponse)
    assert events[0].envelope is not None and events[0].envelope.subject == b"hello world!"


def test_a_section_streams_although_something_before_it_is_broken() -> None:
    client = client_in(State.SELECTED, limits=Limits(stream_threshold_bytes=4))
    client.send(Fetch(UidSet.of([5]), (FetchSection(),)))
    events = receive(client, b'* 1 FETCH (ENVELOPE ("x BODY[TEXT]<3> {5}\r\nhello UID 5)\r\n')
    start, chunk, _, row = events
    assert isinstance(start, LiteralStart) and isinstance(chunk, LiteralChunk) and isinstance(row, FetchResponse)
    assert (start.uid, start.section.origin, chunk.data) == (None, 3, b"hello")
    assert (row.uid, row.error is None) == (5, False)


def test_a_cut_literal_is_lost_framing() -> None:
    """Row 43: another response in the middle of a literal."""
    client = client_in(State.SELECTED)
    client.send(Fetch(UidSet.of([5]), (FetchSection(),)))
    with pytest.raises(FramingLost):
        receive(client, b"* 1 FETCH (UID 5 BODY[] {30}\r\nhello\r\n* 2 FETCH (UID 6 FLAGS ())\r\nA2 OK\r\n")


# Limits

SMALL = Limits(
    max_line_bytes=200,
    max_buffered_bytes=400,
    max_buffered_literal_bytes=100,
    max_streamed_literal_bytes=1000,
    stream_threshold_bytes=300,
    max_nesting_depth=5,
    max_list_items=20,
    max_untagged_responses_per_command=10,
)


@pytest.mark.parametrize(
    "data",
    [
        b"* OK " + b"x" * 300,
        b"* OK " + b"x" * 300 + b"\r\n",
        b"* 1 FETCH (ENVELOPE ({101}\r\n",
        b"* 1 FETCH (BODY[] {2000}\r\n",
        b'* 1 FETCH (ENVELOPE ("'
        + b"x" * 150
        + b'" {90}\r\n'
        + b"x" * 90
        + b" {90}\r\n"
        + b"x" * 90
        + b" {90}\r\n"
        + b"x" * 90,
        b"* 1 EXISTS\r\n" * 11,
        b"* LIST () {9999999999}\r\n",
    ],
)
def test_limits_end_the_connection(data: bytes) -> None:
    client = client_in(State.SELECTED, limits=SMALL)
    client.send(Noop())
    with pytest.raises(RemoteProtocolError):
        receive(client, data)


@pytest.mark.parametrize(
    "data",
    [
        b"* 1 FETCH (BODYSTRUCTURE " + b"(" * 10 + b'"text" "plain" NIL NIL NIL "7bit" 1 1',
        b"* 1 FETCH (X-NEW " + b"(" * 10 + b")" * 10 + b")",
        b"* 1 FETCH (X-NEW (" + b"a " * 30 + b"a))",
        b"* 1 FETCH (X-GM-LABELS (" + b"a " * 30 + b"a))",
    ],
)
def test_limits_within_a_message_cost_that_message(data: bytes) -> None:
    client = client_in(State.SELECTED, limits=SMALL)
    events = receive(client, data + b"\r\n* 2 EXISTS\r\n")
    assert isinstance(events[0], FetchResponse) and events[0].error
    assert events[1] == Exists(2)


def test_untagged_responses_are_counted_per_command() -> None:
    client = client_in(State.SELECTED, limits=SMALL)
    for _ in range(5):
        tag = client.send(Noop())
        receive(client, b"* 1 EXISTS\r\n" * 9 + tag.encode() + b" OK\r\n")
    client.send(Idle())
    assert len(receive(client, b"+ idling\r\n" + b"* 1 EXISTS\r\n" * 50)) == 51


def test_deep_structures_within_the_limit_are_read() -> None:
    leaf = b'("text" "plain" NIL NIL NIL "7bit" 1 1)'
    structure = leaf
    for _ in range(60):
        structure = b"(" + structure + leaf + b' "mixed")'
    client = client_in(State.SELECTED)
    (row,) = receive(client, b"* 1 FETCH (BODYSTRUCTURE " + structure + b")\r\n")
    assert isinstance(row, FetchResponse) and row.error is None and row.body_structure is not None
    deeper = structure
    for _ in range(10):
        deeper = b"(" + deeper + leaf + b' "mixed")'
    (row,) = receive(client, b"* 1 FETCH (BODYSTRUCTURE " + deeper + b")\r\n")
    assert isinstance(row, FetchResponse) and row.error is not None


def test_nonsense_ends_the_connection() -> None:
    client = client_in(State.SELECTED)
    with pytest.raises(RemoteProtocolError):
        receive(client, b"\x16\x03\x01 garbage\r\n")


def test_status_words_ending_in_braces_are_no_literals() -> None:
    client = client_in(State.SELECTED)
    client.send(Noop())
    events = receive(client, b"* OK see {5}\r\nA2 OK see {7}\r\n* 1 EXISTS\r\n")
    assert [type(event).__name__ for event in events] == ["UntaggedStatus", "TaggedResponse", "Exists"]
    assert isinstance(events[1], TaggedResponse) and events[1].status is Status.OK
