"""The driver against a real Dovecot."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap.driver import ImapConnection, TlsUpgrade
from mailquay.errors import AuthenticationFailed, MailboxNotFound
from mailquay.net.connect import connect
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart
from mailquay.wire.imap.command_mailbox import Create, List, NamespaceCommand, Select, StatusCommand
from mailquay.wire.imap.command_message import Copy, ExpungeCommand, Fetch, Store, StoreMode
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.condstore import HighestModSeq, Modified, QresyncParameter, Vanished
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.listing import ListOptions, ListResponse, ListReturn
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.namespace import Namespace, NamespaceResponse
from mailquay.wire.imap.response import Exists, LiteralChunk
from mailquay.wire.imap.response_code import UidValidity
from mailquay.wire.imap.search import And, Simple, Text, TextField
from mailquay.wire.imap.section import FetchAttribute, FetchSection, Section, SectionText
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage
from mailquay.wire.sasl import Credentials
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server

MESSAGE = (
    b'From: "Ann (the \\"first\\")" <ann@example.test>\r\nTo: Bob <bob@example.test>, c@example.test\r\n'
    b"Subject: =?utf-8?q?h=C3=A9?=\r\nMessage-ID: <1@example.test>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b1"\r\n\r\n'
    b"--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello world\r\n"
    b'--b1\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="a b.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    b"--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: x@example.test\r\n\r\nbody\r\n"
    b"--b1--\r\n"
)


@contextlib.asynccontextmanager
async def session(dovecot: Dovecot, user: MailUser, *, starttls: bool = False) -> AsyncIterator[ImapConnection]:
    stream = await connect(dovecot.host, dovecot.imap_port, tls=None, timeout_seconds=10)
    settings = TlsSettings(ca=(dovecot.ca_path.read_text(),))
    tls = TlsUpgrade(client_context(settings), "localhost") if starttls else None
    connection = await ImapConnection.open(stream, tls=tls)
    try:
        await connection.login(Credentials(user.login, password=user.password))
        yield connection
    finally:
        await connection.logout()


async def append(connection: ImapConnection, mailbox: str = "INBOX") -> int:
    code = (await connection.execute(Append(mailbox, MESSAGE))).code(AppendUid)
    assert code is not None
    return code.uid


async def test_starttls(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user, starttls=True) as connection:
        assert str(connection.info("tls_version")).startswith("TLS")
        assert connection.has_capability("IDLE")


async def test_a_wrong_password_is_an_authentication_failure(dovecot: Dovecot, mail_user: MailUser) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        async with session(dovecot, MailUser(mail_user.login, "wrong")):
            pytest.fail("logged in with a wrong password")
    assert refused.value.response_code == "AUTHENTICATIONFAILED"


async def test_mailboxes(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user) as connection:
        await connection.execute(Create("Entwürfe & mehr/Δ"))
        options = ListOptions(
            returns=frozenset({ListReturn.SPECIAL_USE}), status=(StatusItem.MESSAGES, StatusItem.SIZE)
        )
        listing = await connection.execute(List("", ("*",), options))
        by_name = {row.mailbox: row for row in listing.all(ListResponse)}
        assert "\\Sent" in by_name["Sent"].attributes
        assert by_name["Entwürfe & mehr/Δ"].delimiter == "/"
        counted = {row.mailbox: row for row in listing.all(StatusResponse)}
        assert counted["INBOX"] == StatusResponse("INBOX", messages=0, size=0)
        namespaces = (await connection.execute(NamespaceCommand())).last(NamespaceResponse)
        assert namespaces == NamespaceResponse((Namespace("", "/"),))
        with pytest.raises(MailboxNotFound):
            await connection.execute(Select("Missing"))
        assert not connection.leniencies


async def test_messages(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user) as connection:
        uid = await append(connection)
        await connection.execute(Select("INBOX"))
        items = (
            FetchAttribute.UID,
            FetchAttribute.FLAGS,
            FetchAttribute.MODSEQ,
            FetchAttribute.INTERNALDATE,
            FetchAttribute.RFC822_SIZE,
            FetchAttribute.ENVELOPE,
            FetchAttribute.BODYSTRUCTURE,
            FetchSection(Section((1,))),
            FetchSection(Section((), SectionText.HEADER_FIELDS, ("SUBJECT",)), partial=(0, 10)),
        )
        row = (await connection.execute(Fetch(UidSet.of([uid]), items))).last(FetchResponse)
        assert row is not None and row.error is None and row.envelope is not None
        assert row.envelope.from_[0].name == b'Ann (the "first")'
        assert row.size_bytes == len(MESSAGE)
        structure = row.body_structure
        assert isinstance(structure, BodyMultipart)
        text, pdf, inner = structure.parts
        assert isinstance(text, BodyPart) and isinstance(pdf, BodyPart) and isinstance(inner, BodyPart)
        assert (text.media_type, text.parameters) == ("text", (("charset", b"utf-8"),))
        assert pdf.disposition is not None and pdf.disposition.parameters == (("filename", b"a b.pdf"),)
        assert inner.envelope is not None and inner.envelope.subject == b"inner"
        assert [section.data for section in row.sections] == [b"hello world", b"Subject: ="]
        assert not connection.leniencies


async def test_flags_copies_moves_and_expunges(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user) as connection:
        await connection.enable("CONDSTORE", "QRESYNC")
        uids = [await append(connection) for _ in range(4)]
        opened = await connection.execute(Select("INBOX"))
        modseq, validity = opened.code(HighestModSeq), opened.code(UidValidity)
        assert modseq is not None and validity is not None and opened.last(Exists) == Exists(4)
        flagged = await connection.execute(Store(UidSet.of(uids[:2]), StoreMode.ADD, frozenset({"\\Flagged", "$Work"})))
        assert [sorted(row.flags or ()) for row in flagged.all(FetchResponse)] == [
            ["$Work", "\\Flagged", "\\Recent"]
        ] * 2
        conditional = Store(
            UidSet.of(uids), StoreMode.ADD, frozenset({"\\Seen"}), silent=True, unchanged_since=modseq.value
        )
        modified = (await connection.execute(conditional)).code(Modified)
        assert modified is not None and modified.uids() == UidSet.of(uids[:2])
        copied = (await connection.execute(Copy(UidSet.of(uids[:1]), "Archive"))).code(CopyUid)
        assert copied is not None and [old for old, _ in copied.pairs()] == uids[:1]
        moved = await connection.execute(Move(UidSet.of(uids[1:3]), "Trash"))
        assert moved.code(CopyUid) is not None
        await connection.execute(Store(UidSet.of(uids[3:]), StoreMode.ADD, frozenset({"\\Deleted"})))
        gone = await connection.execute(ExpungeCommand(UidSet.of(uids[3:])))
        assert gone.all(Vanished) == [Vanished(UidSet.of(uids[3:]))]
        known = QresyncParameter(validity.value, modseq.value, UidSet.of(uids))
        again = await connection.execute(Select("INBOX", qresync=known))
        assert again.all(Vanished) == [Vanished(UidSet.of(uids[1:]), earlier=True)]
        assert [row.uid for row in again.all(FetchResponse)] == uids[:1]


async def test_searches(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user) as connection:
        uids = [await append(connection) for _ in range(3)]
        await connection.execute(Select("INBOX", read_only=True))
        key = And((Simple.UNSEEN, Text(TextField.SUBJECT, "hé")))
        assert (await connection.execute(Search(key))).last(SearchResponse) == SearchResponse(tuple(uids))
        returns = frozenset({SearchReturn.ALL, SearchReturn.COUNT})
        found = (await connection.execute(Search(key, returns=returns))).last(EsearchResponse)
        assert found is not None and (found.all, found.count) == (UidSet.of(uids), 3)
        status = await connection.execute(StatusCommand("INBOX", (StatusItem.UIDNEXT, StatusItem.UNSEEN)))
        assert status.untagged == [StatusResponse("INBOX", uidnext=uids[-1] + 1, unseen=3)]


async def test_a_large_message_streams_both_ways(dovecot: Dovecot, mail_user: MailUser) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    size = len(line) * 60_000

    async def body() -> AsyncIterator[bytes]:
        for _ in range(600):
            yield line * 100

    async with session(dovecot, mail_user) as connection:
        code = (await connection.execute(Append("INBOX", StreamedMessage(size)), body=body())).code(AppendUid)
        assert code is not None
        await connection.execute(Select("INBOX"))
        received = 0
        async for run in connection.execute_streaming(Fetch(UidSet.of([code.uid]), (FetchSection(),))):
            received += sum(len(event.data) for event in run if isinstance(event, LiteralChunk))
        assert received == size


async def test_idle_hears_of_a_delivery(dovecot: Dovecot, mail_user: MailUser) -> None:
    async with session(dovecot, mail_user) as connection:
        await connection.execute(Select("INBOX"))
        idle = await connection.idle(restart_seconds=1)
        await dovecot.deliver(mail_user.login, MESSAGE)
        assert await idle.next(10) == Exists(1)
        await idle.stop()
        await connection.noop()
