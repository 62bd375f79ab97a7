"""The switches that make the servers misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib

import pytest

from mailquay.sandbox.faults import ImapAction, SmtpAction, SmtpPhase
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import BareImap, in_thread, mail, send_mail


@pytest.mark.parametrize(
    ("capability", "commands"),
    [
        ("IDLE", ["IDLE"]),
        (
            "CONDSTORE",
            ["STATUS INBOX (HIGHESTMODSEQ)", "FETCH 1 MODSEQ", "SELECT INBOX (CONDSTORE)", "SEARCH MODSEQ 1"],
        ),
        ("CONDSTORE", ["FETCH 1 FLAGS (CHANGEDSINCE 1)", "STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)"]),
        ("UIDPLUS", ["UID EXPUNGE 1"]),
        ("MOVE", ["MOVE 1 Sent", "UID MOVE 1 Sent"]),
        ("SPECIAL-USE", ['LIST "" * RETURN (SPECIAL-USE)', "CREATE New (USE (\\All))"]),
        ("ESEARCH", ["SEARCH RETURN (ALL) ALL"]),
        ("LIST-STATUS", ['LIST "" * RETURN (STATUS (MESSAGES))']),
        ("LIST-EXTENDED", ['LIST "" * RETURN (SUBSCRIBED)']),
        ("OBJECTID", ["FETCH 1 EMAILID", "STATUS INBOX (MAILBOXID)"]),
        ("BINARY", ["FETCH 1 BINARY.PEEK[1]"]),
        ("NAMESPACE", ["NAMESPACE"]),
        ("UNSELECT", ["UNSELECT"]),
    ],
)
async def test_a_missing_capability_is_neither_offered_nor_understood(
    world: SandboxWorld, capability: str, commands: list[str]
) -> None:
    world.imap_faults.missing.add(capability)
    client = await BareImap.log_in(world.accounts[0], "SELECT INBOX")
    assert capability.encode() not in (await client.ok("CAPABILITY"))[0].split()
    for command in commands:
        assert (await client.command(command))[-1].startswith(b"BAD"), command
    await client.close()


async def test_without_them_nothing_is_said_of_it(world: SandboxWorld) -> None:
    world.imap_faults.missing |= {"CONDSTORE", "UIDPLUS", "SPECIAL-USE", "OBJECTID"}
    client = await BareImap.log_in(world.accounts[0])
    said = b"\n".join(
        [
            *await client.ok('LIST "" *'),
            *await client.ok("SELECT INBOX"),
            *await client.ok("COPY 1 Sent"),
            *await client.ok("MOVE 1 Sent"),
            *await client.ok("APPEND Sent {3+}\r\nabc"),
            *await client.ok("CREATE New"),
            *await client.ok("STORE 1 FLAGS (\\Seen)"),
        ]
    )
    assert b"[NOMODSEQ]" in said
    for word in (b"MODSEQ (", b"HIGHESTMODSEQ", b"COPYUID", b"APPENDUID", b"\\Sent", b"MAILBOXID"):
        assert word not in said
    await client.close()


async def test_refusals_and_their_times(empty: SandboxWorld, ann: SandboxAccount) -> None:
    faults = empty.imap_faults
    faults.on("SELECT", ImapAction.NO, code="INUSE", text="later")
    faults.on("*", ImapAction.BAD, times=2)
    faults.on("LIST", ImapAction.NO, times=None)
    client = await BareImap.open(ann)
    assert await client.command("NOOP") == [b"BAD fault"]
    assert await client.command(f"LOGIN {ann.user} {ann.password}") == [b"BAD fault"]
    await client.ok(f"LOGIN {ann.user} {ann.password}")
    assert await client.command("SELECT INBOX") == [b"NO [INUSE] later"]
    await client.ok("SELECT INBOX")
    for _ in range(3):
        assert await client.command('LIST "" *') == [b"NO fault"]
    faults.clear()
    await client.ok('LIST "" *')
    faults.refuse_login = True
    other = await BareImap.open(ann)
    assert (await other.command(f"LOGIN {ann.user} {ann.password}"))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    await other.close()
    await client.close()


async def test_connections_that_end(empty: SandboxWorld, ann: SandboxAccount) -> None:
    faults, store = empty.imap_faults, empty.store_of(ann.email)
    client = await BareImap.log_in(ann)
    faults.on("NOOP", ImapAction.BYE, code="UNAVAILABLE", text="down for a while")
    await client.send("NOOP")
    assert await client.line() == b"* BYE [UNAVAILABLE] down for a while"
    assert await client.line() == b""
    await client.close()
    for action, appended in ((ImapAction.DROP, 0), (ImapAction.DROP_ANSWER, 1)):
        client = await BareImap.log_in(ann)
        faults.on("APPEND", action)
        await client.send("APPEND Sent {3+}\r\nabc")
        with contextlib.suppress(ConnectionError):
            assert await client.line() == b""
        assert len(store.mailbox("Sent")) == appended
        with contextlib.suppress(ConnectionError):
            await client.close()


async def test_a_connection_that_ends_after_so_many_bytes(world: SandboxWorld) -> None:
    world.imap_faults.drop_after_bytes = 5000
    ann = world.accounts[0]
    reader, writer = await asyncio.open_connection(ann.imap_host, ann.imap_port)
    writer.write(f"a LOGIN {ann.user} {ann.password}\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n".encode())
    async with asyncio.timeout(10):
        received = await reader.read(-1)
    assert len(received) == 5000
    writer.close()


async def test_an_answer_that_is_kept_back(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    client, other = await BareImap.log_in(ann), await BareImap.log_in(ann)
    empty.imap_faults.on("CREATE", ImapAction.STALL)
    tag = await client.send("CREATE Slow")
    answer = asyncio.create_task(client.finish(tag))
    while not any(box.path == "Slow" for box in store.mailboxes()):
        await other.ok("NOOP")
    assert not answer.done()
    empty.imap_faults.release()
    assert (await answer)[-1].startswith(f"{tag} OK".encode())
    empty.imap_faults.on("NOOP", ImapAction.STALL)
    await client.send("NOOP")
    await other.ok("NOOP")
    await empty.stop()
    assert await client.line() == b""
    await client.close()
    await other.close()


def _submit(account: SandboxAccount, *recipients: str) -> dict[str, tuple[int, bytes]]:
    return send_mail(account, list(recipients), mail("faulty"))


async def test_replies_per_recipient_and_command(empty: SandboxWorld, ann: SandboxAccount) -> None:
    faults = empty.smtp_faults
    bruno, chiyo = empty.accounts[1].email, empty.accounts[2].email
    faults.on(SmtpPhase.RCPT, SmtpAction.REPLY, reply="450 4.2.1 busy", argument=bruno)
    assert await in_thread(_submit, ann, bruno, chiyo) == {bruno: (450, b"4.2.1 busy")}
    faults.on(SmtpPhase.MAIL, SmtpAction.REPLY, reply="550 5.7.1 not you")
    with pytest.raises(smtplib.SMTPSenderRefused) as sender:
        await in_thread(_submit, ann, bruno)
    assert sender.value.smtp_code == 550
    for phase in (SmtpPhase.DATA, SmtpPhase.BODY):
        faults.on(phase, SmtpAction.REPLY)
        with pytest.raises(smtplib.SMTPDataError) as data:
            await in_thread(_submit, ann, bruno)
        assert data.value.smtp_code == 451
    faults.on(SmtpPhase.AUTH, SmtpAction.REPLY, reply="454 4.7.0 later", times=None)
    with pytest.raises(smtplib.SMTPAuthenticationError) as temporary:
        await in_thread(_submit, ann, bruno)
    assert temporary.value.smtp_code == 454
    faults.clear()
    faults.refuse_login = True
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        await in_thread(_submit, ann, bruno)
    assert refused.value.smtp_code == 535
    faults.clear()
    faults.on(SmtpPhase.CONNECT, SmtpAction.REPLY, reply="421 4.3.2 closed")
    with pytest.raises(smtplib.SMTPConnectError):
        await in_thread(_submit, ann, bruno)
    faults.on(SmtpPhase.EHLO, SmtpAction.REPLY, reply="502 5.5.1 what?", times=1)
    with pytest.raises(smtplib.SMTPNotSupportedError):
        await in_thread(_submit, ann, bruno)
    assert len(empty.store_of(bruno).mailbox("INBOX")) == 0
    assert len(empty.store_of(chiyo).mailbox("INBOX")) == 1


@pytest.mark.parametrize(
    ("phase", "action", "delivered"),
    [
        (SmtpPhase.CONNECT, SmtpAction.DROP, 0),
        (SmtpPhase.RCPT, SmtpAction.DROP, 0),
        (SmtpPhase.DATA, SmtpAction.DROP, 0),
        (SmtpPhase.BODY, SmtpAction.DROP, 0),
        (SmtpPhase.BODY, SmtpAction.DROP_REPLY, 1),
    ],
)
async def test_cut_connections(
    empty: SandboxWorld, ann: SandboxAccount, phase: SmtpPhase, action: SmtpAction, delivered: int
) -> None:
    bruno = empty.accounts[1].email
    empty.smtp_faults.on(phase, action)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        await in_thread(_submit, ann, bruno)
    assert len(empty.store_of(bruno).mailbox("INBOX")) == delivered
    assert await in_thread(_submit, ann, bruno) == {}


async def test_a_connection_cut_behind_the_last_reply(empty: SandboxWorld, ann: SandboxAccount) -> None:
    bruno = empty.accounts[1].email
    empty.smtp_faults.on(SmtpPhase.BODY, SmtpAction.DROP_AFTER)

    def submit() -> int:
        client = smtplib.SMTP(ann.smtp_host, ann.smtp_port, timeout=10)
        client.login(ann.user, ann.password)
        assert client.sendmail(ann.email, [bruno], mail("last")) == {}
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
        return 1

    assert await in_thread(submit) == len(empty.store_of(bruno).mailbox("INBOX"))


async def test_a_stalled_reply_comes_when_released(empty: SandboxWorld, ann: SandboxAccount) -> None:
    bruno = empty.accounts[1].email
    store = empty.store_of(bruno)
    arrived = asyncio.Event()
    store.mailbox("INBOX").listen(arrived.set)
    for phase in (SmtpPhase.CONNECT, SmtpPhase.EHLO, SmtpPhase.BODY):
        empty.smtp_faults.on(phase, SmtpAction.STALL)
        submission = asyncio.create_task(in_thread(_submit, ann, bruno))
        while not empty.smtp_faults.stalled:
            await asyncio.wait([submission], timeout=0.01)
        assert not submission.done()
        assert not arrived.is_set()
        empty.smtp_faults.release()
        assert await submission == {}
        assert arrived.is_set()
        arrived.clear()
