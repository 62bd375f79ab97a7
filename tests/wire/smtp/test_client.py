from __future__ import annotations

import base64

import pytest

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.smtp.client import ChallengeReceived, Command, Phase, ReplyReceived, SmtpClient


def answer(client: SmtpClient, data: bytes) -> ReplyReceived:
    client.receive_data(data)
    event = client.next_event()
    assert isinstance(event, ReplyReceived)
    return event


def phase(client: SmtpClient) -> Phase:
    """Its phase, read anew: mypy takes what an assertion saw for lasting."""
    return client.phase


def ready(*keywords: str) -> SmtpClient:
    """A client after greeting and EHLO, with these extensions."""
    client = SmtpClient()
    answer(client, b"220 hi\r\n")
    client.ehlo("me.example")
    answer(
        client, "".join(f"250-{word}\r\n" for word in ("hello", *keywords)).encode() + b"250 ENHANCEDSTATUSCODES\r\n"
    )
    assert phase(client) is Phase.READY
    return client


def test_a_whole_session() -> None:
    client = ready("SIZE 1000", "8BITMIME", "DSN")
    assert client.mail("a@b.c", size_bytes=5, eight_bit=True, ret="FULL", envid="q1") == (
        b"MAIL FROM:<a@b.c> SIZE=5 BODY=8BITMIME RET=FULL ENVID=q1\r\n"
    )
    assert answer(client, b"250 ok\r\n").command is Command.MAIL
    assert client.rcpt("x@y.z", notify=["NEVER"]) == b"RCPT TO:<x@y.z> NOTIFY=NEVER\r\n"
    assert answer(client, b"250 ok\r\n").command is Command.RCPT
    assert client.data() == b"DATA\r\n"
    answer(client, b"354 go\r\n")
    assert client.body(b".x\n") == b"..x\r\n"
    assert client.end_of_data() == b".\r\n"
    assert phase(client) is Phase.END_OF_DATA
    assert answer(client, b"250 2.0.0 queued\r\n").reply.enhanced_code == "2.0.0"
    assert phase(client) is Phase.READY
    assert client.quit() == b"QUIT\r\n"
    answer(client, b"221 bye\r\n")
    assert phase(client) is Phase.CLOSED


def test_pipelined_recipients_are_answered_in_order() -> None:
    client = ready("PIPELINING")
    client.mail("a@b.c")
    for name in "xyz":
        client.rcpt(f"{name}@b.c")
    assert client.awaiting == 4
    with pytest.raises(LocalProtocolError):
        client.data()
    client.receive_data(b"250 ok\r\n250 x\r\n550 y\r\n250")
    codes = []
    while isinstance(event := client.next_event(), ReplyReceived):
        codes.append((event.command, event.reply.code))
    assert codes == [(Command.MAIL, 250), (Command.RCPT, 250), (Command.RCPT, 550)]
    answer(client, b" z\r\n")
    assert client.accepted_recipients == 2
    assert client.data() == b"DATA\r\n"


def test_nothing_is_pipelined_where_it_is_not_offered() -> None:
    client = ready()
    client.mail("a@b.c")
    with pytest.raises(LocalProtocolError):
        client.rcpt("x@y.z")


def test_data_needs_an_accepted_recipient() -> None:
    client = ready()
    client.mail("a@b.c")
    answer(client, b"250 ok\r\n")
    client.rcpt("x@y.z")
    answer(client, b"550 no\r\n")
    with pytest.raises(LocalProtocolError):
        client.data()
    client.rset()
    answer(client, b"250 ok\r\n")
    assert phase(client) is Phase.READY


def test_data_refused_leaves_no_body_phase() -> None:
    client = ready()
    client.mail("a@b.c")
    answer(client, b"250 ok\r\n")
    client.rcpt("x@y.z")
    answer(client, b"250 ok\r\n")
    client.data()
    answer(client, b"554 no\r\n")
    with pytest.raises(LocalProtocolError):
        client.body(b"x")
    client.rset()


def test_extensions_that_are_not_offered_are_not_used() -> None:
    client = ready()
    assert client.mail("a@b.c", size_bytes=5, eight_bit=True, ret="FULL", envid="q1") == b"MAIL FROM:<a@b.c>\r\n"
    answer(client, b"250 ok\r\n")
    assert client.rcpt("x@y.z", notify=["NEVER"], orcpt="o@y.z") == b"RCPT TO:<x@y.z>\r\n"
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        ready().mail("jörg@b.c", smtputf8=True)


def test_starttls_forgets_what_was_learnt() -> None:
    client = ready("STARTTLS", "AUTH PLAIN")
    assert client.starttls() == b"STARTTLS\r\n"
    answer(client, b"220 go\r\n")
    assert phase(client) is Phase.TLS
    client.tls_established()
    assert client.extensions.auth_mechanisms == frozenset()
    with pytest.raises(LocalProtocolError):
        client.auth("PLAIN", b"")


def test_starttls_injection_is_detected() -> None:
    client = ready("STARTTLS")
    client.starttls()
    client.receive_data(b"220 go\r\n250 injected\r\n")
    with pytest.raises(RemoteProtocolError, match="plaintext"):
        client.next_event()


def test_auth_with_challenges() -> None:
    client = ready("AUTH LOGIN")
    assert client.auth("LOGIN", None) == b"AUTH LOGIN\r\n"
    client.receive_data(b"334 " + base64.b64encode(b"Username:") + b"\r\n")
    assert client.next_event() == ChallengeReceived(b"Username:")
    assert client.respond(b"me") == b"bWU=\r\n"
    client.receive_data(b"334 Password:\r\n")
    assert client.next_event() == ChallengeReceived(b"Password:")
    client.respond(b"secret")
    answer(client, b"235 ok\r\n")
    assert client.authenticated
    assert phase(client) is Phase.READY


def test_auth_can_be_cancelled() -> None:
    client = ready("AUTH SCRAM-SHA-256")
    client.auth("SCRAM-SHA-256", b"n,,")
    client.receive_data(b"334 \r\n")
    assert client.next_event() == ChallengeReceived(b"")
    assert client.cancel_auth() == b"*\r\n"
    answer(client, b"501 cancelled\r\n")
    assert not client.authenticated
    assert phase(client) is Phase.READY


def test_helo_after_a_refused_ehlo() -> None:
    client = SmtpClient()
    answer(client, b"220 old\r\n")
    client.ehlo("me.example")
    answer(client, b"502 what\r\n")
    assert client.helo("me.example") == b"HELO me.example\r\n"
    answer(client, b"250 fine\r\n")
    assert phase(client) is Phase.READY


def test_a_greeting_that_is_no_welcome_closes() -> None:
    client = SmtpClient()
    answer(client, b"554 go away\r\n")
    assert phase(client) is Phase.CLOSED


def test_421_closes_at_any_time() -> None:
    client = ready()
    client.mail("a@b.c")
    assert answer(client, b"421 shutting down\r\n").command is Command.MAIL
    assert phase(client) is Phase.CLOSED
    idle = ready()
    assert answer(idle, b"421 idle too long\r\n").command is None
    assert phase(idle) is Phase.CLOSED


def test_a_reply_too_many_is_an_error() -> None:
    client = ready()
    client.receive_data(b"250 surprise\r\n")
    with pytest.raises(RemoteProtocolError, match="nothing asked"):
        client.next_event()


def test_the_end_of_the_stream() -> None:
    client = ready()
    assert client.next_event() is NEED_DATA
    client.receive_data(b"")
    assert phase(client) is Phase.CLOSED
    waiting = ready()
    waiting.noop()
    with pytest.raises(RemoteProtocolError, match="closed"):
        waiting.receive_data(b"")
    leaving = ready()
    leaving.quit()
    leaving.receive_data(b"")
    half = ready()
    half.receive_data(b"42")
    with pytest.raises(RemoteProtocolError):
        half.receive_data(b"")


@pytest.mark.parametrize("method", ["starttls", "data", "end_of_data", "rset", "noop", "quit", "cancel_auth"])
def test_nothing_goes_out_before_the_greeting(method: str) -> None:
    with pytest.raises(LocalProtocolError):
        getattr(SmtpClient(), method)()
