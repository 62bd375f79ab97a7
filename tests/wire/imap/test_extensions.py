"""What extensions bring besides grammar: compression, capabilities with values, pages, UIDs alone, saved results."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.append import MessageForm
from mailquay.wire.imap.capability import capability_number, capability_values, quota_resources, speaks_only_rev2
from mailquay.wire.imap.client import ImapClient
from mailquay.wire.imap.command import Command, Enable, Noop
from mailquay.wire.imap.command_mailbox import List, Select
from mailquay.wire.imap.command_message import Copy, Fetch, Store, StoreMode
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.compress import Compress, Deflater, Inflater
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.listing import ListResponse
from mailquay.wire.imap.notify import EventGroup, MailboxFilter, Notify, NotifyEvent
from mailquay.wire.imap.partial import PartialRange, cut_page
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.response import LiteralChunk, LiteralEnd, LiteralStart
from mailquay.wire.imap.search import Simple
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.section import FetchAttribute
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.writer import Writer
from tests.wire.imap.test_round_trip import events

FLAGS = (FetchAttribute.FLAGS,)


def selected(*lines: bytes, limits: Limits | None = None) -> ImapClient:
    """A client with a mailbox selected, after the server has said `lines`."""
    client = ImapClient(limits) if limits else ImapClient()
    client.receive_data(b"* PREAUTH hi\r\n")
    events(client)
    client.send(Select("INBOX"))
    client.receive_data(b"".join(line + b"\r\n" for line in (*lines, b"A1 OK done")))
    events(client)
    client.data_to_send()
    return client


# Compression


@given(st.lists(st.binary(max_size=5000), max_size=5), st.integers(1, 100))
def test_what_is_compressed_expands_in_pieces_of_any_size(pieces: list[bytes], step: int) -> None:
    deflater, inflater = Deflater(), Inflater()
    wire = b"".join(deflater.compress(piece) for piece in pieces)
    expanded = b"".join(
        part for start in range(0, len(wire), step) for part in inflater.expand(wire[start : start + step])
    )
    assert expanded == b"".join(pieces)


def test_compressed_bytes_can_be_read_at_once() -> None:
    deflater, inflater = Deflater(), Inflater()
    for line in (b"A1 NOOP\r\n", b"A2 NOOP\r\n"):
        assert b"".join(inflater.expand(deflater.compress(line))) == line


def test_a_large_answer_expands_in_small_pieces() -> None:
    data = bytes(3_000_000)
    pieces = list(Inflater().expand(Deflater().compress(data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 64 * 1024


def test_a_bomb_is_not_expanded_to_its_end() -> None:
    bomb = Deflater().compress(bytes(20_000_000))
    inflater, taken = Inflater(max_surplus_bytes=1_000_000), 0
    with pytest.raises(RemoteProtocolError, match="beyond all measure"):
        for piece in inflater.expand(bomb):
            taken += len(piece)
    assert taken < 6_000_000


def test_a_usual_stream_never_becomes_a_bomb() -> None:
    deflater, inflater = Deflater(), Inflater(max_surplus_bytes=100_000)
    for number in range(3000):
        line = b"* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (%d))\r\n" % (number, number * 3, number * 7)
        assert b"".join(inflater.expand(deflater.compress(line * 20))) == line * 20


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"A1 OK plain\r\n" * 3, zlib.compress(b"with a header")])
def test_what_is_no_deflate_stream_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="broken"):
        list(Inflater().expand(data))


def test_a_stream_that_ends_is_refused() -> None:
    compressor = zlib.compressobj(wbits=-15)
    with pytest.raises(RemoteProtocolError, match="ended"):
        list(Inflater().expand(compressor.compress(b"x") + compressor.flush()))


# Capabilities


def test_capabilities_with_values() -> None:
    names = frozenset(
        {
            "APPENDLIMIT=100",
            "APPENDLIMIT",
            "MESSAGELIMIT=1000",
            "SAVELIMIT=x",
            "QUOTA",
            "QUOTA=RES-STORAGE",
            "AUTH=PLAIN",
        }
    )
    assert capability_number(names, "APPENDLIMIT") == 100
    assert capability_number(names, "MESSAGELIMIT") == 1000
    assert capability_number(names, "SAVELIMIT") is None
    assert capability_number(frozenset({"APPENDLIMIT=" + "9" * 5000}), "APPENDLIMIT") is None
    assert capability_values(names, "AUTH") == {"PLAIN"}
    assert quota_resources(names) == {"STORAGE"}


@pytest.mark.parametrize(
    ("names", "alone"), [("IMAP4rev2", True), ("IMAP4rev1 IMAP4rev2", False), ("IMAP4rev1", False)]
)
def test_a_server_of_rev2_alone_speaks_utf8_at_once(names: str, alone: bool) -> None:
    assert speaks_only_rev2(names.upper().split()) is alone
    client = ImapClient()
    client.receive_data(b"* PREAUTH [CAPABILITY " + names.encode() + b"] hi\r\n")
    events(client)
    client.send(List())
    client.receive_data('* LIST () "/" "Entwürfe"\r\n'.encode())
    [listed] = events(client)
    assert isinstance(listed, ListResponse)
    assert (listed.wire_name is None) is alone


# UIDONLY


def test_after_uidonly_only_uids_are_sent() -> None:
    client = selected()
    client.send(Enable(("UIDONLY",)))
    client.receive_data(b"* ENABLED UIDONLY\r\nA2 OK on\r\n")
    events(client)
    for command in (
        Fetch(SeqSet.of([1]), FLAGS),
        Search(Simple.ALL, uid=False),
        Copy(SavedResult(uid=False), "x"),
        Replace(SeqSet.of([1]), "x", b"m"),
    ):
        with pytest.raises(LocalProtocolError, match="UIDONLY"):
            client.send(command)
    command = Fetch(UidSet.of([7]), FLAGS)
    client.send(command)
    client.receive_data(b"* 7 UIDFETCH (FLAGS (\\Seen))\r\n")
    [row] = events(client)
    assert row == FetchResponse(0, 7, frozenset({"\\Seen"}))
    assert isinstance(row, FetchResponse) and command.claims(row)


def test_a_large_body_in_a_uidfetch_comes_in_pieces() -> None:
    client = selected(limits=Limits(stream_threshold_bytes=10))
    client.receive_data(b"* 7 UIDFETCH (BODY[] {12}\r\nhello world!)\r\n")
    start, *chunks, end, row = events(client)
    assert isinstance(start, LiteralStart) and (start.seq, start.uid) == (0, 7)
    assert b"".join(chunk.data for chunk in chunks if isinstance(chunk, LiteralChunk)) == b"hello world!"
    assert end == LiteralEnd(12)
    assert isinstance(row, FetchResponse) and row.uid == 7


# Saved results and pages


def test_commands_about_a_saved_result_travel_alone() -> None:
    saving = Search(Simple.SEEN, returns=frozenset({SearchReturn.SAVE}))
    using = Store(SavedResult(), StoreMode.ADD, frozenset({"a"}))
    client = selected()
    client.send(saving)
    assert not client.can_send(using)
    client.receive_data(b"A2 OK saved\r\n")
    events(client)
    client.send(using)
    assert not client.can_send(saving)
    assert not client.can_send(Noop())


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (PartialRange(1, 2), [1, 2]),
        (PartialRange(4, 9), [4, 5]),
        (PartialRange(6, 9), []),
        (PartialRange(1, 2, True), [4, 5]),
        (PartialRange(2, 2, True), [4]),
        (PartialRange(4, 9, True), [1, 2]),
        (PartialRange(6, 9, True), []),
    ],
)
def test_pages(page: PartialRange, found: list[int]) -> None:
    assert cut_page([1, 2, 3, 4, 5], page) == found


# What must not reach a server


@pytest.mark.parametrize(
    "command",
    [
        Fetch(SeqSet.of([1]), FLAGS, partial=PartialRange(1, 2)),
        Search(Simple.ALL, returns=frozenset({SearchReturn.ALL}), partial=PartialRange(1, 2)),
        Replace(UidSet.of([1, 2]), "x", b"m"),
        Replace(UidSet.span(1), "x", b"m"),
        Replace(UidSet.of([1]), "x", b"a\0b", form=MessageForm.PLAIN),
        Notify((EventGroup(MailboxFilter.MAILBOXES),)),
        Notify((EventGroup(MailboxFilter.PERSONAL, mailboxes=("x",)),)),
        Notify((EventGroup(MailboxFilter.PERSONAL, frozenset({NotifyEvent.MESSAGE_NEW}), fetch=FLAGS),)),
        Notify((EventGroup(MailboxFilter.SUBTREE, mailboxes=("x\r\nA2 DELETE x",)),)),
        Compress("DEF LATE"),
    ],
)
def test_nonsense_is_not_sent(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        command.write(Writer())


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 4), (1, 2**32)])
def test_pages_out_of_range_are_refused(first: int, last: int) -> None:
    with pytest.raises(LocalProtocolError):
        PartialRange(first, last)
