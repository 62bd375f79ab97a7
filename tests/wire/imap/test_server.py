"""The server core: commands in every state, literals, SASL, IDLE, limits."""

from __future__ import annotations

import pytest

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.append import Append, AppendMessage, MessageForm
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Authenticate, Capability, Login, Noop
from mailquay.wire.imap.command_mailbox import Check, Select
from mailquay.wire.imap.command_message import ExpungeCommand, Fetch, Store, StoreMode
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.notify import EventGroup, MailboxFilter, Notify, NotifyEvent
from mailquay.wire.imap.partial import PartialRange
from mailquay.wire.imap.quota import GetQuota, GetQuotaRoot, SetQuota
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.response import Continuation, EnabledResponse, Greeting, Status, TaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import Code, code_name
from mailquay.wire.imap.search import And, Not, Or, Simple, Text, TextField
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.section import FetchAttribute, FetchSection, Section, SectionText
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.server import BadCommand, CommandReceived, IdleDone, ImapServer, SaslResponse, ServerEvent
from mailquay.wire.imap.writer import StreamedMessage


def server_in(state: State, limits: Limits | None = None) -> ImapServer:
    """A server that has greeted and brought its client into this state."""
    server = ImapServer(limits) if limits else ImapServer()
    server.send(Greeting(Status.OK, None, "ready"))
    if state is not State.NOT_AUTHENTICATED:
        answer(server, b"x login a b\r\n")
    if state is State.SELECTED:
        answer(server, b"x select inbox\r\n")
    assert server.state is state
    output(server)
    return server


def answer(server: ImapServer, data: bytes) -> ServerEvent:
    """Receive one command and say OK to it."""
    event = receive(server, data)
    assert isinstance(event, CommandReceived)
    server.send(TaggedResponse(event.tag, Status.OK, None, "done"))
    return event


def receive(server: ImapServer, data: bytes) -> ServerEvent:
    server.receive_data(data)
    event = server.next_event()
    assert event is not NEED_DATA
    return event


def output(server: ImapServer) -> bytes:
    return b"".join(piece for piece in server.data_to_send() if isinstance(piece, bytes))


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"select inbox", Select("INBOX")),
        (b'examine "R & D"', Select(b"R & D", read_only=True)),
        (b"fetch 1,3:* all", Fetch(SeqSet.parse(b"1,3:*"), (FetchAttribute.FLAGS, FetchAttribute.INTERNALDATE,
                                                          FetchAttribute.RFC822_SIZE, FetchAttribute.ENVELOPE))),
        (b"fetch 1 envelope", Fetch(SeqSet.of([1]), (FetchAttribute.ENVELOPE,))),
        (
            b"uid fetch 7 (body[2.1.text] body.peek[header.fields.not (a b)])",
            Fetch(
                UidSet.of([7]),
                (
                    FetchSection(Section((2, 1), SectionText.TEXT), peek=False),
                    FetchSection(Section((), SectionText.HEADER_FIELDS_NOT, ("a", "b"))),
                ),
            ),
        ),
        (b"store 1 flags \\seen a", Store(SeqSet.of([1]), StoreMode.REPLACE, frozenset({"\\Seen", "a"}))),
        (
            b"search or (seen 1:2) not text foo",
            Search(
                Or(And((Simple.SEEN, SeqSet.span(1, 2))), Not(Text(TextField.TEXT, "foo"))),
                uid=False,
            ),
        ),
        (b"append x {3+}\r\nabc", Append("x", b"abc")),
        (
            b"append x (\\seen) {3+}\r\nabc ~{1+}\r\n\0 UTF8 (~{2+}\r\nab)",
            Append(
                "x",
                b"abc",
                frozenset({"\\Seen"}),
                more=(
                    AppendMessage(b"\0", form=MessageForm.BINARY),
                    AppendMessage(b"ab", form=MessageForm.UTF8),
                ),
            ),
        ),
        (b"uid replace 7 Drafts {3+}\r\nabc", Replace(UidSet.of([7]), "Drafts", b"abc")),
        (b"check", Check()),
        (b"compress deflate", Compress()),
        (b"store $ +flags (a)", Store(SavedResult(uid=False), StoreMode.ADD, frozenset({"a"}))),
        (b"uid expunge $", ExpungeCommand(SavedResult())),
        (
            b"uid search return (save partial 5:3) or uid $ $",
            Search(
                Or(SavedResult(), SavedResult(uid=False)),
                returns=frozenset({SearchReturn.SAVE}),
                partial=PartialRange(3, 5),
            ),
        ),
        (
            b"uid fetch 1:* preview (lazy) (partial -1:-30 changedsince 4 vanished)",
            Fetch(UidSet.span(1), (FetchAttribute.PREVIEW_LAZY,), 4, True, PartialRange(1, 30, True)),
        ),
        (b"uid fetch 1 preview (changedsince 4)", Fetch(UidSet.of([1]), (FetchAttribute.PREVIEW,), 4)),
        (b'getquota ""', GetQuota("")),
        (b"getquotaroot inbox", GetQuotaRoot("INBOX")),
        (b'setquota "" (storage 512)', SetQuota("", (("STORAGE", 512),))),
        (b"notify none", Notify()),
        (
            b"notify set status (selected-delayed (messagenew (uid flags) messageexpunge)) (personal (mailboxname))"
            b" (subtree (Lists a) none) (mailboxes misc (MessageNew MessageExpunge))",
            Notify(
                (
                    EventGroup(
                        MailboxFilter.SELECTED_DELAYED,
                        frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}),
                        fetch=(FetchAttribute.UID, FetchAttribute.FLAGS),
                    ),
                    EventGroup(MailboxFilter.PERSONAL, frozenset({NotifyEvent.MAILBOX_NAME})),
                    EventGroup(MailboxFilter.SUBTREE, frozenset(), ("Lists", "a")),
                    EventGroup(
                        MailboxFilter.MAILBOXES,
                        frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}),
                        ("misc",),
                    ),
                ),
                status=True,
            ),
        ),
    ],
)  # fmt: skip
def test_commands(line: bytes, command: object) -> None:
    event = receive(server_in(State.SELECTED), b"a1 " + line + b"\r\n")
    assert event == CommandReceived("a1", command)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"a1 frobnicate", None),
        (b"a1 uid frobnicate", None),
        (b"a1 noop extra", None),
        (b"a1 select", None),
        (b"a1 login a b", None),
        (b"a1 fetch 0 flags", None),
        (b"a1 fetch 1 ()", None),
        (b"a1 fetch 1 body[0]", None),
        (b"a1 fetch 1 body[mime]", None),
        (b"a1 fetch 1 body[]<5.0>", None),
        (b"a1 fetch 1 flags (vanished)", None),
        (b"a1 uid fetch 1 flags (vanished)", None),
        (b"a1 store 1 size 5", None),
        (b"a1 search", None),
        (b"a1 search ()", None),
        (b"a1 search frob", None),
        (b"a1 search " + b"not " * 100 + b"seen", None),
        (b"a1 search charset x-odd seen", "BADCHARSET"),
        (b"a1 search from {1+}\r\n\xff", None),
        (b"a1 append x abc", None),
        (b"a1 status x (foo)", None),
        (b'a1 list (odd) "" *', None),
        (b"a1 create x (use (junk))", None),
        (b"a1 uid expunge", None),
        (b"a1 select x (odd)", None),
        (b"a1 notify", None),
        (b"a1 notify set", None),
        (b"a1 notify set (everything (MessageNew))", None),
        (b"a1 notify set (selected ())", None),
        (b"a1 notify set (selected (Odd))", None),
        (b"a1 notify set (subtree () (MessageNew))", None),
        (b"a1 notify set (personal (MessageNew (uid)))", None),
        (b"a1 notify set (selected (MessageNew ()))", None),
        (b"a1 setquota x", None),
        (b"a1 uid replace 0 x {1+}\r\na", None),
        (b"a1 uid replace 1:2 x {1+}\r\na", None),
        (b"a1 append x UTF8 ({1+}\r\na)", None),
        (b"a1 append x {1+}\r\na abc", None),
        (b"a1 fetch 1 flags (partial 1:5)", None),
        (b"a1 uid fetch 1 flags (partial 1:5 partial 1:5)", None),
        (b"a1 uid search return (partial 1:*) all", None),
        (b"a1 uid search return (partial 1:5 all) all", None),
        (b"a1 uid search return (partial -1:5) all", None),
    ],
)
def test_bad_commands_are_answered_and_forgotten(line: bytes, code: str | None) -> None:
    server = server_in(State.SELECTED)
    event = receive(server, line + b"\r\n")
    assert isinstance(event, BadCommand) and isinstance(event.response, TaggedResponse)
    assert (event.response.tag, code_name(event.response.code)) == ("a1", code)
    assert event.response.status is (Status.BAD if code is None else Status.NO)
    assert server.bad_commands == 1
    assert event.reason
    assert receive(server, b"a2 noop\r\n") == CommandReceived("a2", Noop())


@pytest.mark.parametrize("line", [b"", b"noop", b"* noop", b"(a) noop", b"\xff noop", b" noop"])
def test_commands_without_tag(line: bytes) -> None:
    event = receive(server_in(State.SELECTED), line + b"\r\n")
    assert isinstance(event, BadCommand)
    assert isinstance(event.response, UntaggedStatus)


def test_states_are_kept() -> None:
    server = ImapServer()
    server.receive_data(b"a1 noop\r\n")
    assert server.next_event() is NEED_DATA
    server.send(Greeting(Status.OK, None, "ready"))
    assert isinstance(server.next_event(), CommandReceived)
    server.send(TaggedResponse("a1", Status.OK, None, "done"))
    assert isinstance(receive(server, b"a2 select inbox\r\n"), BadCommand)
    assert isinstance(receive(server, b"a3 login a b\r\n"), CommandReceived)
    server.send(TaggedResponse("a3", Status.NO, Code("AUTHENTICATIONFAILED"), "no"))
    assert server.state is State.NOT_AUTHENTICATED
    answer(server, b"a4 login a b\r\n")
    answer(server, b"a5 select x\r\n")
    states = [server.state]
    assert isinstance(receive(server, b"a6 select gone\r\n"), CommandReceived)
    server.send(TaggedResponse("a6", Status.NO, Code("NONEXISTENT"), "gone"))
    states.append(server.state)
    answer(server, b"a7 logout\r\n")
    states.append(server.state)
    assert states == [State.SELECTED, State.AUTHENTICATED, State.LOGOUT]
    server.receive_data(b"a8 noop\r\n")
    assert server.next_event() is NEED_DATA
    with pytest.raises(LocalProtocolError):
        server.send(Greeting(Status.OK, None, "again"))


# Literals


def test_synchronising_literals_are_invited() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    server.receive_data(b"a1 login {1}\r\n")
    assert server.next_event() is NEED_DATA
    assert output(server) == b"+ go ahead\r\n"
    server.receive_data(b"u {2}\r\n")
    assert server.next_event() is NEED_DATA
    assert output(server) == b"+ go ahead\r\n"
    assert receive(server, b"pw\r\n") == CommandReceived("a1", Login("u", "pw"))


def test_literals_without_pause_are_not_invited() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    assert receive(server, b"a1 login {1+}\r\nu {2+}\r\npw\r\n") == CommandReceived("a1", Login("u", "pw"))
    assert output(server) == b""


def test_literals_too_large_are_refused_before_they_come() -> None:
    server = server_in(State.AUTHENTICATED, Limits(max_line_bytes=100, max_buffered_literal_bytes=500))
    event = receive(server, b"a1 append x {501}\r\n")
    assert isinstance(event, BadCommand)
    assert event.response.code == Code("TOOBIG")
    assert isinstance(receive(server, b"a2 select {101}\r\n"), BadCommand)
    with pytest.raises(RemoteProtocolError):
        receive(server, b"a3 append x {501+}\r\n")


def test_before_login_only_short_literals_are_taken() -> None:
    server = server_in(State.NOT_AUTHENTICATED, Limits(max_line_bytes=100, max_buffered_literal_bytes=500))
    assert isinstance(receive(server, b"a1 append x {101}\r\n"), BadCommand)
    with pytest.raises(RemoteProtocolError):
        receive(server, b"a2 login {101+}\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"a1 notify set" + b" (selected none)" * 6,
        b"a1 notify set (mailboxes (a b c d e f) none)",
        b"a1 append x" + b" {1+}\r\na" * 7,
        b"a1 setquota x (a 1 b 1 c 1 d 1 e 1 f 1)",
        b"a1 uid search return (min max count all save min) all",
    ],
)
def test_lists_have_a_limit(line: bytes) -> None:
    server = server_in(State.SELECTED, Limits(max_list_items=5))
    assert isinstance(receive(server, line + b"\r\n"), BadCommand)
    assert isinstance(receive(server, b"a2 noop\r\n"), CommandReceived)


def test_after_uidonly_sequence_numbers_are_refused() -> None:
    server = server_in(State.SELECTED)
    server.send(EnabledResponse(frozenset({"UIDONLY"})))
    for line in (b"fetch 1 flags", b"search all", b"store $ flags ()", b"copy 1 x"):
        event = receive(server, b"a1 " + line + b"\r\n")
        assert isinstance(event, BadCommand)
        assert event.response.code == Code("UIDREQUIRED")
    assert isinstance(receive(server, b"a2 uid fetch 1 flags\r\n"), CommandReceived)


def test_long_lines_end_the_connection() -> None:
    server = server_in(State.NOT_AUTHENTICATED, Limits(max_line_bytes=100))
    with pytest.raises(RemoteProtocolError):
        receive(server, b"a1 login " + b"x" * 200)


# AUTHENTICATE, IDLE, STARTTLS


def test_authenticate_with_initial_response() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    assert receive(server, b"a1 authenticate plain AHUAcA==\r\n") == CommandReceived(
        "a1", Authenticate("PLAIN", b"AHUAcA==")
    )
    server.receive_data(b"a2 noop\r\n")
    assert server.next_event() is NEED_DATA
    server.send(TaggedResponse("a1", Status.OK, None, "in"))
    assert server.state is State.AUTHENTICATED
    assert server.next_event() == CommandReceived("a2", Noop())


def test_authenticate_step_by_step() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    receive(server, b"a1 authenticate plain\r\n")
    server.send(Continuation(""))
    assert output(server) == b"+ \r\n"
    assert receive(server, b"AHUAcA==\r\n") == SaslResponse("a1", b"\0u\0p")
    server.send(TaggedResponse("a1", Status.NO, Code("AUTHENTICATIONFAILED"), "no"))
    assert receive(server, b"a2 capability\r\n") == CommandReceived("a2", Capability())


def test_authenticate_can_be_cancelled_and_spoiled() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    receive(server, b"a1 authenticate plain\r\n")
    server.send(Continuation(""))
    assert receive(server, b"*\r\n") == SaslResponse("a1", None)
    server.send(TaggedResponse("a1", Status.BAD, None, "cancelled"))
    receive(server, b"a2 authenticate plain =\r\n")
    server.send(Continuation(""))
    event = receive(server, b"%%\r\n")
    assert isinstance(event, BadCommand)
    server.send(event.response)
    assert isinstance(receive(server, b"a3 noop\r\n"), CommandReceived)


def test_idle() -> None:
    server = server_in(State.SELECTED)
    receive(server, b"a1 idle\r\n")
    server.receive_data(b"done\r\na2 noop\r\n")
    assert server.next_event() is NEED_DATA
    server.send(Continuation("idling"))
    assert server.next_event() == IdleDone("a1")
    assert server.next_event() is NEED_DATA
    server.send(TaggedResponse("a1", Status.OK, None, "done"))
    assert server.next_event() == CommandReceived("a2", Noop())


def test_idle_ends_with_anything_but_done() -> None:
    server = server_in(State.SELECTED)
    receive(server, b"a1 idle\r\n")
    server.send(Continuation("idling"))
    event = receive(server, b"a2 noop\r\n")
    assert isinstance(event, BadCommand)
    assert event.response == TaggedResponse("a1", Status.BAD, None, "expected DONE")


def test_a_continuation_needs_something_to_continue() -> None:
    with pytest.raises(LocalProtocolError):
        server_in(State.SELECTED).send(Continuation(""))


def test_starttls_forgets_what_was_sent_ahead() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    receive(server, b"a1 starttls\r\na2 login evil evil\r\n")
    assert server.next_event() is NEED_DATA
    server.send(TaggedResponse("a1", Status.OK, None, "go"))
    assert server.tls_started() == len(b"a2 login evil evil\r\n")
    assert server.next_event() is NEED_DATA


def test_release_hands_over_what_is_not_parsed() -> None:
    server = server_in(State.NOT_AUTHENTICATED)
    answer(server, b"a1 login a b\r\na2 select x\r\na3 no")
    assert server.release() == b"a2 select x\r\na3 no"


# What is sent


def test_utf8_is_spoken_once_enabled() -> None:
    server = server_in(State.AUTHENTICATED)
    server.send(EnabledResponse(frozenset({"UTF8=ACCEPT"})))
    assert receive(server, 'a1 select "Entwürfe"\r\n'.encode()) == CommandReceived("a1", Select("Entwürfe"))


def test_bodies_are_literals_and_may_be_streamed() -> None:
    server = server_in(State.SELECTED)
    server.send(FetchResponse(1, 5, sections=(SectionData(Section(), None, b"a\0b", 3),)))
    assert output(server) == b"* 1 FETCH (UID 5 BODY[] {3}\r\na\0b)\r\n"
    server.send(FetchResponse(1, 5, sections=(SectionData(Section(), 10, None, 70_000),)))
    pieces = server.data_to_send()
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == (
        b"* 1 FETCH (UID 5 BODY[]<10> {70000}\r\n)\r\n"
    )
    assert [piece.size_bytes for piece in pieces if isinstance(piece, StreamedMessage)] == [70_000]
