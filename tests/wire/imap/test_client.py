"""The client core: states, literals, pipelining, streaming, limits, logging in, IDLE."""

from __future__ import annotations

import pytest

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.append import Append, MessageForm
from mailquay.wire.imap.client import ImapClient
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Authenticate, Capability, Command, Enable, Login, Logout, Noop, StartTls
from mailquay.wire.imap.command_mailbox import Create, List, Select, StatusCommand
from mailquay.wire.imap.command_message import Copy, Fetch, Store, StoreMode
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.response import Greeting, TaggedResponse
from mailquay.wire.imap.search import Keyword, Simple, Text, TextField
from mailquay.wire.imap.section import FetchAttribute, FetchSection
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.status import StatusItem
from mailquay.wire.imap.writer import StreamedMessage
from mailquay.wire.sasl import LoginClient, PlainClient, ScramSha256Client
from tests.wire.imap.clients import FLAGS, client_in, output, receive

# Greeting


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (b"* OK hi\r\n", State.NOT_AUTHENTICATED),
        (b"* PREAUTH hi\r\n", State.AUTHENTICATED),
        (b"* BYE busy\r\n", State.LOGOUT),
    ],
)
def test_greetings(line: bytes, state: State) -> None:
    client = ImapClient()
    events = receive(client, line)
    assert isinstance(events[0], Greeting)
    assert client.state is state


@pytest.mark.parametrize(
    "line",
    [
        b"* NO go away\r\n",
        b"* 5 EXISTS\r\n",
        b"A1 OK hi\r\n",
        b"220 smtp\r\n",
        b"+ hi\r\n",
        b"* 1 FETCH (FLAGS ())\r\n",
    ],
)
def test_what_is_no_greeting(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        receive(ImapClient(), line)


def test_nothing_is_sent_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError):
        ImapClient().send(Noop())


# States


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (State.NOT_AUTHENTICATED, Select("INBOX")),
        (State.NOT_AUTHENTICATED, Enable(("CONDSTORE",))),
        (State.AUTHENTICATED, Login("a", "b")),
        (State.AUTHENTICATED, StartTls()),
        (State.AUTHENTICATED, Fetch(UidSet.of([1]), FLAGS)),
        (State.SELECTED, Login("a", "b")),
    ],
)
def test_commands_out_of_state(state: State, command: Command) -> None:
    client = client_in(state)
    assert not client.can_send(command)
    with pytest.raises(LocalProtocolError):
        client.send(command)
    assert output(client) == b""


def test_the_life_of_a_session() -> None:
    client = client_in(State.NOT_AUTHENTICATED)
    client.send(Login("joe", "pw"))
    receive(client, b"A1 OK in\r\n")
    assert (client.state, client.capabilities) == (State.AUTHENTICATED, None)
    client.send(Select("INBOX"))
    receive(client, b"A2 OK selected\r\n")
    assert (client.state, client.selected) == (State.SELECTED, "INBOX")
    client.send(Select("Gone"))
    receive(client, b"A3 NO [NONEXISTENT] gone\r\n")
    assert (client.state, client.selected) == (State.AUTHENTICATED, None)
    client.send(Logout())
    receive(client, b"* BYE bye\r\nA4 OK done\r\n")
    assert client.state is State.LOGOUT
    with pytest.raises(LocalProtocolError):
        client.send(Noop())


def test_a_failed_login_changes_nothing() -> None:
    client = client_in(State.NOT_AUTHENTICATED)
    client.send(Login("joe", "pw"))
    receive(client, b"A1 NO [AUTHENTICATIONFAILED] no\r\n")
    assert client.state is State.NOT_AUTHENTICATED
    assert client.has_capability("IMAP4REV1")


def test_capabilities_are_forgotten_when_they_may_have_changed() -> None:
    client = client_in(State.NOT_AUTHENTICATED, b"STARTTLS")
    client.send(StartTls())
    receive(client, b"A1 OK go\r\n")
    client.receive_data(b"* CAPABILITY AUTH=EVIL\r\n")
    assert client.tls_started() == len(b"* CAPABILITY AUTH=EVIL\r\n")
    assert client.next_event() is NEED_DATA
    assert client.capabilities is None
    client.send(Capability())
    receive(client, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2\r\nA2 OK\r\n")
    assert client.auth_mechanisms == frozenset({"PLAIN", "XOAUTH2"})


def test_enabling_utf8_changes_names_on_the_wire() -> None:
    client = client_in(State.AUTHENTICATED)
    client.send(Create("Entwürfe"))
    assert output(client) == b"A1 CREATE Entw&APw-rfe\r\n"
    receive(client, b"A1 OK\r\n")
    client.send(Enable(("UTF8=ACCEPT",)))
    receive(client, b"* ENABLED UTF8=ACCEPT\r\nA2 OK\r\n")
    output(client)
    client.send(Create("Entwürfe"))
    assert output(client) == 'A3 CREATE "Entwürfe"\r\n'.encode()


# What is written


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (List("", ("%",)), b'LIST "" %'),
        (StatusCommand("a b", (StatusItem.MESSAGES, StatusItem.SIZE)), b'STATUS "a b" (MESSAGES SIZE)'),
        (Fetch(SeqSet.of([1, 2]), FLAGS), b"FETCH 1:2 (FLAGS)"),
        (
            Fetch(UidSet.span(1), (FetchAttribute.UID, FetchSection(partial=(0, 9))), 7, True),
            b"UID FETCH 1:* (UID BODY.PEEK[]<0.9>) (CHANGEDSINCE 7 VANISHED)",
        ),
        (
            Store(UidSet.of([3]), StoreMode.REMOVE, frozenset({"\\Seen"}), silent=True, unchanged_since=9),
            b"UID STORE 3 (UNCHANGEDSINCE 9) -FLAGS.SILENT (\\Seen)",
        ),
        (
            Store(UidSet.of([3]), StoreMode.ADD, labels=("\\Inbox", "é")),
            b'UID STORE 3 +X-GM-LABELS ("\\\\Inbox" &AOk-)',
        ),
        (Search(Simple.UNSEEN, returns=frozenset({SearchReturn.ALL})), b"UID SEARCH RETURN (ALL) UNSEEN"),
        (Search(Text(TextField.FROM, 'a"b')), b'UID SEARCH FROM "a\\"b"'),
        (Copy(UidSet.of([1]), b"R & D"), b'UID COPY 1 "R & D"'),
    ],
)
def test_commands_on_the_wire(command: Command, line: bytes) -> None:
    client = client_in(State.SELECTED)
    tag = client.send(command)
    assert output(client) == tag.encode() + b" " + line + b"\r\n"


@pytest.mark.parametrize(
    "command",
    [
        Create("a\r\nA9 DELETE b"),
        Search(Keyword("a b")),
        Search(Text(TextField.BODY, "a\0b")),
        Store(UidSet.of([1]), StoreMode.ADD, frozenset({"x\r\n"})),
        Store(UidSet.of([1]), StoreMode.ADD),
        Fetch(UidSet.of([1]), ()),
        Fetch(UidSet.of([1]), FLAGS, None, True),
        Append("x", b"a\0b"),
        Authenticate("PLAIN"),
    ],
)
def test_nothing_unacceptable_reaches_the_wire(command: Command) -> None:
    client = client_in(State.SELECTED)
    with pytest.raises(LocalProtocolError):
        client.send(command)
    assert output(client) == b""
    assert client.in_flight == ()
    client.send(Noop())
    assert output(client) == b"A2 NOOP\r\n"


def test_line_breaks_in_search_texts_go_as_literals() -> None:
    client = client_in(State.SELECTED, b"LITERAL+")
    client.send(Search(Text(TextField.SUBJECT, "a\r\nA9 LOGOUT")))
    assert output(client) == b"A2 UID SEARCH SUBJECT {12+}\r\na\r\nA9 LOGOUT\r\n"


def test_login_is_refused_where_the_server_forbids_it() -> None:
    client = client_in(State.NOT_AUTHENTICATED, b"LOGINDISABLED")
    with pytest.raises(LocalProtocolError):
        client.send(Login("a", "b"))


# Literals


def test_synchronising_literals_wait_one_by_one_and_hold_back_what_follows() -> None:
    client = client_in(State.NOT_AUTHENTICATED)
    client.send(Login("jö", "pä"))
    assert output(client) == b"A1 LOGIN {3}\r\n"
    receive(client, b"+ go\r\n")
    assert output(client) == "jö {3}\r\n".encode()
    receive(client, b"+\r\n")
    assert output(client) == "pä\r\n".encode()


def test_commands_behind_a_literal_wait() -> None:
    client = client_in(State.AUTHENTICATED)
    client.send(Append("x", b"hello"))
    client.send(Noop())
    assert output(client) == b"A1 APPEND x {5}\r\n"
    receive(client, b"* 1 EXISTS\r\n+ go\r\n")
    assert output(client) == b"hello\r\nA2 NOOP\r\n"


def test_a_refused_literal_is_dropped() -> None:
    client = client_in(State.AUTHENTICATED)
    client.send(Append("x", b"hello"))
    client.send(Noop())
    output(client)
    receive(client, b"A1 NO [TRYCREATE] no\r\n")
    assert output(client) == b"A2 NOOP\r\n"
    with pytest.raises(RemoteProtocolError):
        receive(client, b"+ go\r\n")


@pytest.mark.parametrize(
    ("capability", "size", "line"),
    [
        (b"LITERAL+", 5000, b"A1 APPEND x {5000+}\r\n"),
        (b"LITERAL-", 4096, b"A1 APPEND x {4096+}\r\n"),
        (b"LITERAL-", 4097, b"A1 APPEND x {4097}\r\n"),
        (b"", 1, b"A1 APPEND x {1}\r\n"),
    ],
)
def test_literals_without_pause(capability: bytes, size: int, line: bytes) -> None:
    client = client_in(State.AUTHENTICATED, capability)
    client.send(Append("x", b"a" * size))
    assert output(client).startswith(line)


def test_a_streamed_message_stands_where_its_bytes_go() -> None:
    client = client_in(State.AUTHENTICATED, b"LITERAL+")
    message = StreamedMessage(10)
    client.send(Append("x", message))
    assert client.data_to_send()[-2:] == [message, b"\r\n"]


def test_binary_messages_go_as_literal8() -> None:
    client = client_in(State.AUTHENTICATED, b"LITERAL+")
    client.send(Append("x", b"a\0b", form=MessageForm.BINARY))
    assert output(client) == b"A1 APPEND x ~{3+}\r\na\0b\r\n"


# Pipelining


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (Noop(), Noop(), True),
        (Fetch(UidSet.of([1]), FLAGS), Fetch(UidSet.of([2]), FLAGS), True),
        (Fetch(UidSet.of([1, 2]), FLAGS), Fetch(UidSet.of([2]), FLAGS), False),
        (Fetch(UidSet.span(5), FLAGS), Store(UidSet.of([7]), StoreMode.ADD, frozenset()), False),
        (Fetch(SeqSet.of([1]), FLAGS), Noop(), False),
        (Search(Simple.ALL), Search(Simple.SEEN), False),
        (Search(Simple.ALL), Fetch(UidSet.of([1]), FLAGS), True),
        (Search(Simple.ALL, uid=False), Noop(), False),
        (StatusCommand("a", ()), List(), False),
        (Append("a", b""), Append("b", b""), True),
        (Select("b"), Noop(), False),
        (Idle(), Noop(), False),
        (Noop(), Logout(), False),
    ],
)
def test_which_commands_may_be_in_flight_together(first: Command, second: Command, together: bool) -> None:
    for one, other in ((first, second), (second, first)):
        client = client_in(State.SELECTED)
        client.send(one)
        assert client.can_send(other) is together
        if not together:
            with pytest.raises(LocalProtocolError):
                client.send(other)


def test_commands_may_be_answered_in_any_order() -> None:
    client = client_in(State.SELECTED)
    client.send(Noop())
    client.send(Search(Simple.ALL))
    assert [tag for tag, _ in client.in_flight] == ["A2", "A3"]
    events = receive(client, b"A3 OK\r\nA2 OK\r\n")
    assert [event.tag for event in events if isinstance(event, TaggedResponse)] == ["A3", "A2"]
    with pytest.raises(RemoteProtocolError):
        receive(client, b"A2 OK again\r\n")


# AUTHENTICATE


def test_authenticate_with_initial_response() -> None:
    client = client_in(State.NOT_AUTHENTICATED, b"SASL-IR AUTH=PLAIN")
    client.authenticate(PlainClient("u", "p"))
    assert output(client) == b"A1 AUTHENTICATE PLAIN AHUAcA==\r\n"
    receive(client, b"A1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n")
    assert client.state is State.AUTHENTICATED
    assert client.has_capability("IDLE")


def test_authenticate_step_by_step() -> None:
    client = client_in(State.NOT_AUTHENTICATED, b"AUTH=LOGIN")
    client.authenticate(LoginClient("u", "p"))
    assert output(client) == b"A1 AUTHENTICATE LOGIN\r\n"
    receive(client, b"+ VXNlcm5hbWU6\r\n")
    assert output(client) == b"dQ==\r\n"
    receive(client, b"+ UGFzc3dvcmQ6\r\n")
    assert output(client) == b"cA==\r\n"
    receive(client, b"* CAPABILITY IMAP4rev1 MOVE\r\nA1 OK in\r\n")
    assert client.has_capability("MOVE")


def test_a_server_that_skips_its_proof_is_not_believed() -> None:
    client = client_in(State.NOT_AUTHENTICATED, b"SASL-IR")
    client.authenticate(ScramSha256Client("u", "p", nonce="n"))
    with pytest.raises(RemoteProtocolError):
        receive(client, b"A1 OK welcome\r\n")


def test_a_challenge_that_is_not_base64_is_refused() -> None:
    client = client_in(State.NOT_AUTHENTICATED)
    client.authenticate(PlainClient("u", "p"))
    with pytest.raises(RemoteProtocolError):
        receive(client, b"+ %%%\r\n")


# IDLE


def test_done_waits_for_the_confirmation() -> None:
    client = client_in(State.SELECTED)
    client.send(Idle())
    assert output(client) == b"A2 IDLE\r\n"
    client.end_idle()
    assert output(client) == b""
    assert not client.idle_confirmed
    receive(client, b"+ idling\r\n")
    assert output(client) == b"DONE\r\n"
    client.end_idle()
    assert output(client) == b""
    receive(client, b"* 3 EXISTS\r\nA2 OK\r\n")
    with pytest.raises(LocalProtocolError):
        client.end_idle()


def test_a_second_confirmation_does_no_harm() -> None:
    client = client_in(State.SELECTED)
    client.send(Idle())
    receive(client, b"+ idling\r\n+ still idling\r\n")
    assert client.idle_confirmed
