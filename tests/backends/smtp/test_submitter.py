from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mailquay.backends.smtp.mapping import is_certificate_problem
from mailquay.backends.smtp.pool import SmtpPool
from mailquay.backends.smtp.server import SmtpServer
from mailquay.backends.smtp.submitter import DeliveryReceipt, SmtpSubmitter
from mailquay.errors import SubmissionRejected, SubmissionUncertain
from mailquay.model.submission import DsnRequest, RecipientDsn, SubmissionEnvelope
from mailquay.net.local_address import LocalAddresses
from mailquay.net.tls import TlsSettings
from mailquay.wire.sasl import Credentials
from tests.backends.smtp.scripted import CLOSE, IMPATIENT, SILENT, Scripted, scripted
from tests.net.certificate import Certificate, make_certificate
from tests.net.peer import serve
from tests.net.test_connect import unused_port
from tests.servers.smtp_sink import Phase, Reply, SmtpSink

ENVELOPE = SubmissionEnvelope("me@example.com", ("a@example.net",))
BODY = b"Subject: x\r\n\r\n.dot\r\nbody\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


class Before:
    """Counts how often a message was about to go out."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1


@asynccontextmanager
async def pooled() -> AsyncIterator[SmtpPool]:
    pool = SmtpPool()
    try:
        yield pool
    finally:
        await pool.aclose()


async def submit(
    server: SmtpServer,
    envelope: SubmissionEnvelope = ENVELOPE,
    body: bytes | AsyncIterator[bytes] = BODY,
    before: Before | None = None,
    **options: object,
) -> DeliveryReceipt:
    async with pooled() as pool:
        return await SmtpSubmitter(pool, "account", server).submit(
            envelope,
            body,
            before_data=before or Before(),
            **options,  # type: ignore[arg-type]
        )


def sink_server(sink: SmtpSink, **options: object) -> SmtpServer:
    return SmtpServer(host=sink.host, port=sink.port, secure=False, timeouts=IMPATIENT, **options)  # type: ignore[arg-type]


async def test_a_message_arrives_as_it_was(smtp_sink: SmtpSink) -> None:
    before = Before()
    receipt = await submit(sink_server(smtp_sink), before=before)
    (received,) = await smtp_sink.wait_for()
    assert (received.sender, received.recipients, received.content) == ("me@example.com", ("a@example.net",), BODY)
    assert (receipt.reply_code, receipt.enhanced_code, receipt.response) == (250, "2.0.0", "250 2.0.0 accepted")
    assert receipt.accepted == ("a@example.net",)
    assert receipt.network_routing is None
    assert before.calls == 1


async def test_a_body_in_pieces_with_any_line_ends(smtp_sink: SmtpSink) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"Subject: x\r", b"\n\r\n", b".", b"a\n.\n", b"caf\xc3\xa9\r"):
            yield piece

    await submit(sink_server(smtp_sink), body=pieces(), eight_bit=True)
    (received,) = await smtp_sink.wait_for()
    assert received.content == "Subject: x\r\n\r\n.a\r\n.\r\ncafé\r\n".encode()
    assert "BODY=8BITMIME" in received.mail_options


async def test_large_messages_stream(smtp_sink: SmtpSink) -> None:
    body = b"Subject: x\r\n\r\n" + (b"." * 70 + b"\r\n") * 200_000
    await submit(sink_server(smtp_sink), body=body)
    (received,) = await smtp_sink.wait_for()
    assert received.content == body


async def test_the_null_sender(smtp_sink: SmtpSink) -> None:
    await submit(sink_server(smtp_sink), SubmissionEnvelope("", ("a@example.net",)))
    (received,) = await smtp_sink.wait_for()
    assert received.sender in ("", "<>")


async def test_the_login_goes_first() -> None:
    async with SmtpSink(credentials={"me": "secret"}) as sink:
        credentials = Credentials(username="me", password="secret")
        await submit(sink_server(sink, user="me", credentials=credentials))
        (received,) = await sink.wait_for()
        assert received.login == "me"
        with pytest.raises(SubmissionRejected) as caught:
            await submit(sink_server(sink, credentials=Credentials(username="me", password="wrong")))
    assert (caught.value.code, caught.value.command, caught.value.reply_code) == ("EAUTH", "AUTH", 535)
    assert caught.value.permanent


async def test_starttls_is_used_where_it_is_offered(certificate: Certificate) -> None:
    async with SmtpSink(ssl_context=certificate.context) as sink:
        await submit(sink_server(sink, tls=TlsSettings(ca=(certificate.pem,))))
        (received,) = await sink.wait_for()
        assert received.tls
        with pytest.raises(SubmissionRejected) as caught:
            await submit(sink_server(sink))
    assert caught.value.code == "ESOCKET"
    assert is_certificate_problem(caught.value)
    assert not caught.value.permanent


async def test_implicit_tls(certificate: Certificate) -> None:
    async with SmtpSink(ssl_context=certificate.context, implicit_tls=True) as sink:
        await submit(replace(sink_server(sink, tls=TlsSettings(ca=(certificate.pem,))), secure=True))
        (received,) = await sink.wait_for()
        assert received.tls


async def test_some_recipients_refused(smtp_sink: SmtpSink) -> None:
    smtp_sink.script(Phase.RCPT, "550 5.1.1 no such user", argument="bad@")
    receipt = await submit(
        sink_server(smtp_sink), SubmissionEnvelope("me@example.com", ("bad@example.net", "good@example.net"))
    )
    assert receipt.accepted == ("good@example.net",)
    (refused,) = receipt.rejected
    assert (refused.address, refused.reply_code, refused.response) == (
        *("bad@example.net", 550, "550 5.1.1 no such user"),
    )


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("replies", "code", "reply_code", "permanent", "command", "words"),
    [
        (
            {"MAIL": "550 5.7.1 no"},
            "EENVELOPE",
            550,
            True,
            "MAIL FROM",
            "The sender was refused: 550 5.7.1 no",
        ),
        (
            {"RCPT": "550 5.1.1 User unknown"},
            *("EENVELOPE", 550, True, "RCPT TO"),
            "Can't send mail - all recipients were rejected: 550 5.1.1 User unknown",
        ),
        (
            {"RCPT": "451 4.3.0 Try again later"},
            *("EENVELOPE", 451, False, "RCPT TO"),
            "Can't send mail - all recipients were rejected: 451 4.3.0 Try again later",
        ),
        ({"RCPT": "503 5.5.1 bad sequence"}, "EENVELOPE", 503, False, "RCPT TO", "503"),
        ({"DATA": "554 5.7.1 spam"}, "EMESSAGE", 554, True, "DATA", "554"),
        ({"END": "552 5.3.4 too big"}, "EMESSAGE", 552, True, "DATA END", "552"),
        ({"END": "450 4.7.1 greylisted"}, "EMESSAGE", 450, False, "DATA END", "450"),
        ({"END": "421 4.3.2 going down"}, "ECONNECTION", 421, False, "DATA END", "421"),
        ({"MAIL": "421 4.3.2 going down"}, "ECONNECTION", 421, False, "MAIL FROM", "421"),
        ({"EHLO": "550 not here", "HELO": "550 not here"}, "EPROTOCOL", 550, True, "HELO", "550"),
    ],
)
async def test_refusals(
    replies: dict[str, str], code: str, reply_code: int, permanent: bool, command: str, words: str, pipelining: bool
) -> None:
    extensions = ("PIPELINING",) if pipelining else ()
    async with scripted(replies=dict(replies), extensions=extensions) as script:
        with pytest.raises(SubmissionRejected, match=words.replace("(", r"\(")) as caught:
            await submit(script.server())
    error = caught.value
    assert (error.code, error.reply_code, error.permanent, error.command) == (code, reply_code, permanent, command)
    assert error.response is not None
    assert error.response.startswith(str(reply_code))


@pytest.mark.parametrize(
    ("greeting", "code", "permanent"),
    [
        ("554 no service\r\n", "EPROTOCOL", True),
        ("421 busy\r\n", "ECONNECTION", False),
        ("SSH-2.0-x\r\n", "EPROTOCOL", True),
        ("", "ETIMEDOUT", False),
    ],
)
async def test_greetings(greeting: str, code: str, permanent: bool) -> None:
    async with scripted(greeting=greeting) as script:
        server = script.server(timeouts=replace(IMPATIENT, greeting_seconds=0.1))
        with pytest.raises(SubmissionRejected) as caught:
            await submit(server)
    assert (caught.value.code, caught.value.permanent) == (code, permanent)


@pytest.mark.parametrize("behaviour", [CLOSE, SILENT])
@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_end_of_data_is_no_doubt(verb: str, behaviour: str) -> None:
    async with scripted(replies={verb: behaviour}, extensions=("PIPELINING",)) as script:
        server = script.server(timeouts=replace(IMPATIENT, command_seconds=0.1))
        with pytest.raises(SubmissionRejected) as caught:
            await submit(server)
    assert caught.value.code == ("ECONNECTION" if behaviour == CLOSE else "ETIMEDOUT")
    assert not caught.value.permanent
    assert caught.value.reply_code is None


@pytest.mark.parametrize("behaviour", [CLOSE, SILENT, "garbage"])
async def test_a_connection_lost_after_the_end_of_data_is_uncertain(behaviour: str) -> None:
    before = Before()
    async with scripted(replies={"END": behaviour}) as script:
        server = script.server(timeouts=replace(IMPATIENT, end_of_data_seconds=0.1))
        with pytest.raises(SubmissionUncertain):
            await submit(server, before=before)
        assert len(script.messages) == 1
    assert before.calls == 1


async def test_accepted_all_the_same(smtp_sink: SmtpSink) -> None:
    smtp_sink.script(Phase.BODY, Reply(drop=True, keep=True))
    with pytest.raises(SubmissionUncertain):
        await submit(sink_server(smtp_sink))
    assert len(smtp_sink.received) == 1


async def test_before_data_runs_between_the_last_recipient_and_data() -> None:
    async with scripted(extensions=("PIPELINING",)) as script:
        seen: list[list[str]] = []

        async def before() -> None:
            seen.append(script.verbs())

        async with pooled() as pool:
            await SmtpSubmitter(pool, "account", script.server()).submit(ENVELOPE, BODY, before_data=before)
        assert seen == [["EHLO", "MAIL", "RCPT"]]


async def test_a_failure_in_before_data_sends_nothing() -> None:
    async def fail() -> None:
        raise RuntimeError("database gone")

    async with scripted() as script:
        async with pooled() as pool:
            with pytest.raises(RuntimeError, match="database gone"):
                await SmtpSubmitter(pool, "account", script.server()).submit(ENVELOPE, BODY, before_data=fail)
        assert "DATA" not in script.verbs()
        assert script.messages == []


async def test_no_data_without_a_recipient() -> None:
    before = Before()
    async with scripted(replies={"RCPT": "550 no"}) as script:
        with pytest.raises(SubmissionRejected):
            await submit(script.server(), before=before)
        assert "DATA" not in script.verbs()
    assert before.calls == 0


async def test_a_body_that_fails_is_never_ended() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"Subject: half\r\n\r\n"
        raise RuntimeError("disk gone")

    async with scripted() as script:
        async with pooled() as pool:
            submitter = SmtpSubmitter(pool, "account", script.server())
            with pytest.raises(RuntimeError, match="disk gone"):
                await submitter.submit(ENVELOPE, broken(), before_data=Before())
            assert script.messages == []
            await submitter.submit(ENVELOPE, BODY, before_data=Before())
        assert len(script.messages) == 1
        assert script.connections == 2


async def test_a_server_that_breaks_off_a_large_message() -> None:
    async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        writer.write(b"552 5.3.4 too large\r\n")
        await asyncio.Event().wait()

    async with serve(refuse_early) as port:
        server = Scripted(port=port).server(timeouts=replace(IMPATIENT, data_block_seconds=0.2))
        with pytest.raises(SubmissionRejected) as caught:
            await submit(server, body=b"x" * 20_000_000)
    assert (caught.value.reply_code, caught.value.permanent) == (552, True)


async def test_size_is_checked_before_anything_is_sent() -> None:
    async with scripted(extensions=("SIZE 10",)) as script:
        with pytest.raises(SubmissionRejected, match="10") as caught:
            await submit(script.server())
        assert caught.value.code == "EMESSAGE"
        assert caught.value.permanent
        assert "MAIL" not in script.verbs()


async def test_parameters_of_extensions() -> None:
    async with scripted(extensions=("SIZE", "8BITMIME", "SMTPUTF8", "DSN")) as script:
        dsn = DsnRequest(ret="headers", notify=("success", "failure"), envid="q 1", orcpt="o@example.org")
        envelope = SubmissionEnvelope("jörg@bücher.example", ("a@bücher.example",))
        await submit(script.server(), envelope, body="Subject: é\r\n\r\n".encode(), dsn=dsn)
        mail, rcpt = script.seen[1:3]
    assert mail == "MAIL FROM:<jörg@bücher.example> SIZE=15 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+201"
    assert rcpt == "RCPT TO:<a@xn--bcher-kva.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@example.org"


@pytest.mark.parametrize("extensions", [("DSN",), ("DSN", "PIPELINING")])
async def test_wishes_of_single_recipients(extensions: tuple[str, ...]) -> None:
    own = (RecipientDsn("A@example.net", ("never",)), RecipientDsn("b@example.net", (), "o@example.org"))
    dsn = DsnRequest(None, notify=("delay",), recipients=own)
    envelope = SubmissionEnvelope("me@example.com", ("a@example.net", "b@example.net", "c@example.net"))
    async with scripted(extensions=extensions) as script:
        await submit(script.server(), envelope, dsn=dsn)
        assert script.seen[1:5] == [
            "MAIL FROM:<me@example.com>",
            "RCPT TO:<a@example.net> NOTIFY=NEVER",
            "RCPT TO:<b@example.net> ORCPT=rfc822;o@example.org",
            "RCPT TO:<c@example.net> NOTIFY=DELAY",
        ]


async def test_smtputf8_missing() -> None:
    async with scripted() as script:
        with pytest.raises(SubmissionRejected, match="SMTPUTF8") as caught:
            await submit(script.server(), SubmissionEnvelope("me@example.com", ("jörg@example.net",)))
    assert caught.value.permanent


@pytest.mark.parametrize(
    "envelope",
    [
        SubmissionEnvelope("me@example.com", ()),
        SubmissionEnvelope("me@example.com\r\nRCPT TO:<x@y.z>", ("a@example.net",)),
        SubmissionEnvelope("me@example.com", ("a@example.net>\r\nDATA",)),
        SubmissionEnvelope("me@example.com", ("nobody",)),
    ],
)
async def test_envelopes_that_cannot_be_sent(envelope: SubmissionEnvelope) -> None:
    async with scripted() as script:
        with pytest.raises(SubmissionRejected) as caught:
            await submit(script.server(), envelope)
        assert (caught.value.code, caught.value.permanent) == ("EENVELOPE", True)
        assert script.connections == 0


async def test_network_failures(certificate: Certificate) -> None:
    async def error(server: SmtpServer) -> tuple[str, bool]:
        with pytest.raises(SubmissionRejected) as caught:
            await submit(server)
        return caught.value.code, caught.value.permanent

    base = SmtpServer(host="127.0.0.1", port=1, secure=False, timeouts=IMPATIENT)
    with unused_port() as port:
        assert await error(replace(base, port=port)) == ("ESOCKET", False)
    assert await error(replace(base, host="host.invalid")) == ("EDNS", False)
    assert await error(replace(base, host="")) == ("ENOSERVER", True)
    async with scripted() as script:
        assert await error(script.server(secure=True)) == ("ETLS", True)
        assert await error(script.server(require_tls=True)) == ("ETLS", True)
        assert await error(script.server(user="me")) == ("ENOAUTH", True)
        assert await error(script.server(credentials=Credentials(username="me", password="x"))) == ("EAUTH", True)
    async with scripted(extensions=("STARTTLS",), replies={"STARTTLS": "454 not now"}) as script:
        assert await error(script.server()) == ("ETLS", False)
    async with scripted(extensions=("STARTTLS",), replies={"STARTTLS": "220 go\r\n250 injected"}) as script:
        assert await error(script.server()) == ("EPROTOCOL", True)


async def test_ignore_tls() -> None:
    async with scripted(extensions=("STARTTLS",)) as script:
        await submit(script.server(ignore_tls=True))
        assert "STARTTLS" not in script.verbs()


async def test_starttls_then_ehlo_again(certificate: Certificate) -> None:
    async with scripted(extensions=("STARTTLS",), context=certificate.context) as script:
        await submit(script.server(tls=TlsSettings(ca=(certificate.pem,))))
        assert script.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


async def test_helo_where_ehlo_is_unknown() -> None:
    async with scripted(replies={"EHLO": "502 what"}) as script:
        await submit(script.server())
        assert script.verbs()[:3] == ["EHLO", "HELO", "MAIL"]


async def test_many_recipients_are_pipelined_in_groups() -> None:
    async with scripted(extensions=("PIPELINING",)) as script:
        recipients = tuple(f"r{n}@example.net" for n in range(250))
        receipt = await submit(script.server(), SubmissionEnvelope("me@example.com", recipients))
    assert receipt.accepted == recipients


async def test_network_routing_is_told() -> None:
    async with scripted() as script:
        named = script.server(local=LocalAddresses("127.0.0.2", "::1"), local_names=(("127.0.0.2", "out.example"),))
        receipt = await submit(named)
        assert script.seen[0] == "EHLO out.example"
        assert receipt.network_routing == {"localAddress": "127.0.0.2", "name": "out.example"}
    async with scripted() as script:
        kept = replace(named, port=script.port, keep_ehlo_name=True, requested_local_address="192.0.2.1")
        receipt = await submit(kept)
        assert script.seen[0] == "EHLO client.example"
        assert receipt.network_routing == {
            "localAddress": "127.0.0.2",
            "name": "out.example",
            "requestedLocalAddress": "192.0.2.1",
        }
    async with scripted() as script:
        assert (await submit(script.server(local=LocalAddresses.only("::1")))).network_routing is None
