"""What we write we read again, whole or in pieces: every response and every command."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ClientEvent, ImapClient
from mailquay.wire.imap.client_state import ALLOWED_STATES
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.response import Response, UntaggedResponse, read_response, write_response
from mailquay.wire.imap.server import BadCommand, CommandReceived, ImapServer
from mailquay.wire.imap.writer import LiteralMode, Segment, Writer
from tests import strategies

GREETING = b"* OK ready\r\n"
thorough = settings(suppress_health_check=[HealthCheck.too_slow])


def joined(segments: list[Segment]) -> bytes:
    return b"".join(piece for segment in segments for piece in segment if isinstance(piece, bytes))


def written(response: Response, *, utf8: bool = False) -> bytes:
    writer = Writer(LiteralMode.SERVER, utf8=utf8)
    write_response(writer, response)
    return joined(writer.finish())


def events(client: ImapClient) -> list[ClientEvent]:
    found = []
    while (event := client.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def heard(*pieces: bytes) -> list[ClientEvent]:
    """The events of a client that receives these pieces after a greeting."""
    client = ImapClient()
    client.receive_data(GREETING)
    found = events(client)[1:]
    for piece in pieces:
        client.receive_data(piece)
        found.extend(events(client))
    return found


@thorough
@given(strategies.untagged_responses)
def test_untagged_responses(response: UntaggedResponse) -> None:
    data = written(response)
    assert heard(data) == [response]


@thorough
@given(strategies.fetch_responses)
def test_fetch_responses(response: UntaggedResponse) -> None:
    assert heard(written(response)) == [response]


@given(strategies.list_responses | strategies.status_responses)
def test_mailbox_names_in_utf8(response: UntaggedResponse) -> None:
    data = written(response, utf8=True)
    assert read_response(Reader(data.removesuffix(b"\r\n"), utf8=True)) == response


@given(strategies.tagged_responses | strategies.continuations)
def test_other_responses(response: Response) -> None:
    assert read_response(Reader(written(response).removesuffix(b"\r\n"))) == response


@thorough
@given(st.lists(strategies.untagged_responses, min_size=1, max_size=4), st.data())
def test_pieces_do_not_matter(values: list[UntaggedResponse], data: st.DataObject) -> None:
    stream = b"".join(written(value) for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert heard(*pieces) == values


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.untagged_responses)
def test_byte_by_byte(value: UntaggedResponse) -> None:
    stream = written(value)
    assert heard(*(stream[index : index + 1] for index in range(len(stream)))) == [value]


@given(strategies.untagged_responses)
def test_a_tail_is_left_alone(value: UntaggedResponse) -> None:
    assert heard(written(value) + b"* 12 EXI") == [value]


def received(command: Command, data: bytes, pieces: int, *, utf8: bool = False) -> Command:
    server = ImapServer()
    server.state = next(iter(sorted(ALLOWED_STATES[type(command)], key=lambda state: state.value, reverse=True)))
    server.enabled = frozenset({"UTF8=ACCEPT"}) if utf8 else frozenset()
    step = max(1, len(data) // pieces)
    for start in range(0, len(data), step):
        server.receive_data(data[start : start + step])
        while (event := server.next_event()) is not NEED_DATA:
            assert not isinstance(event, BadCommand), (event.reason, data)
            assert isinstance(event, CommandReceived)
            assert event.tag == "A1"
            return event.command
    raise AssertionError(f"no command in {data!r}")


@thorough
@given(strategies.commands, st.sampled_from(list(LiteralMode)), st.booleans(), st.integers(1, 5))
def test_commands(command: Command, mode: LiteralMode, utf8: bool, pieces: int) -> None:
    if mode is LiteralMode.SERVER:
        mode = LiteralMode.WITHOUT_PAUSE
    writer = Writer(mode, utf8=utf8)
    writer.raw(b"A1 ")
    command.write(writer)
    assert received(command, joined(writer.finish()), pieces, utf8=utf8) == command
