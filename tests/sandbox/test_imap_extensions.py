"""QRESYNC, NOTIFY, QUOTA, UIDONLY, COMPRESS and the rest, each as a client sees it and each to be switched off."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator

import pytest

from mailquay.sandbox.imap_capabilities import EVERYTHING, GMAIL, PLAIN, USUAL
from mailquay.sandbox.imap_notify import MAX_PENDING
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import BareImap, imaplib_client, in_thread, mail, send_mail


@contextlib.asynccontextmanager
async def world_of(capabilities: frozenset[str], **options: int) -> AsyncIterator[SandboxWorld]:
    """A world without mail whose IMAP server offers just this."""
    world = SandboxWorld(empty=True, imap_capabilities=capabilities, **options)  # type: ignore[arg-type]
    await world.start()
    yield world
    await world.stop()


def told(lines: list[bytes], start: bytes) -> list[bytes]:
    """The lines that begin so."""
    return [line for line in lines if line.startswith(b"* " + start)]


# Which capabilities


@pytest.mark.parametrize("capabilities", [PLAIN, USUAL, EVERYTHING, GMAIL], ids=["plain", "usual", "all", "gmail"])
async def test_a_server_offers_what_was_chosen_for_it(capabilities: frozenset[str]) -> None:
    async with world_of(capabilities) as world, imaplib_client(world.accounts[0]) as client:
        *_, names = await client("capability")
        assert frozenset(names.decode().split()) == capabilities


@pytest.mark.parametrize(
    ("capability", "command"),
    [
        ("NOTIFY", "NOTIFY NONE"),
        ("QUOTA", 'GETQUOTA ""'),
        ("QUOTA", "GETQUOTAROOT INBOX"),
        ("SEARCHRES", "UID SEARCH RETURN (SAVE) ALL"),
        ("PARTIAL", "UID SEARCH RETURN (PARTIAL 1:5) ALL"),
        ("PARTIAL", "UID FETCH 1:* FLAGS (PARTIAL 1:5)"),
        ("MULTIAPPEND", "APPEND INBOX {1+}\r\na {1+}\r\nb"),
        ("REPLACE", "UID REPLACE 1 INBOX {1+}\r\na"),
        ("QUOTA=RES-STORAGE", "STATUS INBOX (DELETED-STORAGE)"),
        ("COMPRESS=DEFLATE", "COMPRESS DEFLATE"),
        ("X-GM-EXT-1", "UID FETCH 1:* X-GM-LABELS"),
        ("X-GM-EXT-1", "UID STORE 1 +X-GM-LABELS (a)"),
        ("X-GM-EXT-1", "UID SEARCH X-GM-RAW hello"),
        ("X-GM-EXT-1", "UID SEARCH X-GM-LABELS hello"),
        ("X-GM-EXT-1", "UID SEARCH X-GM-MSGID 7"),
        ("QRESYNC", "SELECT INBOX (QRESYNC (1 1))"),
    ],
)
async def test_what_is_not_offered_is_not_understood(capability: str, command: str) -> None:
    async with world_of(EVERYTHING - {capability}) as world:
        client = await BareImap.log_in(world.accounts[0], "SELECT INBOX")
        assert (await client.command(command))[-1].startswith(b"BAD")
        assert await client.ok("ENABLE X-NOTHING") == [b"* ENABLED", b"OK done"]
        await client.close()


# QRESYNC


async def test_qresync_tells_what_changed_and_what_vanished(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    inbox = store.mailbox("INBOX")
    first, *_, fifth = [store.append("INBOX", mail(subject)) for subject in "abcde"]
    client = await BareImap.log_in(ann)
    assert (await client.command(f"SELECT INBOX (QRESYNC ({inbox.uidvalidity} 1))"))[-1].startswith(b"BAD")
    assert await client.ok("ENABLE QRESYNC") == [b"* ENABLED QRESYNC", b"OK done"]
    await client.ok("SELECT INBOX")
    known = inbox.highestmodseq
    await client.ok("UNSELECT")
    store.set_flags(inbox, [(fifth, frozenset({"\\Seen"}))])
    store.expunge(inbox, [first, *[one for one in inbox if one.uid == 3]])
    parameter = f"QRESYNC ({inbox.uidvalidity} {known})"
    lines = await client.ok(f"SELECT INBOX ({parameter})")
    assert told(lines, b"VANISHED") == [b"* VANISHED (EARLIER) 1,3"]
    assert told(lines, b"3 FETCH") == [b"* 3 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (%d))" % fifth.modseq]
    lines = await client.ok(f"SELECT INBOX (QRESYNC ({inbox.uidvalidity} {known} 2:4))")
    assert told(lines, b"VANISHED") == [b"* VANISHED (EARLIER) 3"]
    assert told(lines, b"3 FETCH") == []
    lines = await client.ok(f"SELECT INBOX (QRESYNC ({inbox.uidvalidity + 1} {known}))")
    assert told(lines, b"VANISHED") == []
    lines = await client.ok(f"UID FETCH 1:5 (FLAGS) (CHANGEDSINCE {known} VANISHED)")
    assert lines[0] == b"* VANISHED (EARLIER) 1,3"
    assert len(lines) == 3
    await client.close()


async def test_expunges_are_told_by_uid_once_qresync_is_on(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abc":
        store.append("INBOX", mail(subject))
    client = await BareImap.log_in(ann, "ENABLE QRESYNC", "SELECT INBOX", "UID STORE 1:2 +FLAGS (\\Deleted)")
    assert await client.ok("UID EXPUNGE 1:3") == [
        b"* VANISHED 1:2",
        b"OK [HIGHESTMODSEQ %d] done" % store.mailbox("INBOX").highestmodseq,
    ]
    await client.close()


async def test_expunges_too_long_ago_to_remember_are_worked_out(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    inbox = store.mailbox("INBOX")
    kept = store.append("INBOX", mail("kept"))
    for _ in range(101):
        store.expunge(inbox, [store.append("INBOX", b"x") for _ in range(100)])
    client = await BareImap.log_in(ann, "ENABLE QRESYNC")
    lines = await client.ok(f"SELECT INBOX (QRESYNC ({inbox.uidvalidity} {kept.modseq}))")
    assert told(lines, b"VANISHED") == [b"* VANISHED (EARLIER) 2:10101"]
    await client.close()


# NOTIFY


async def test_notify_tells_of_mailboxes_that_are_not_selected(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    client = await BareImap.log_in(ann, "SELECT Archive")
    events = "(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)"
    lines = await client.ok(f"NOTIFY SET STATUS (selected-delayed (MessageNew MessageExpunge)) (personal {events})")
    assert len(told(lines, b"STATUS")) == len(store.mailboxes()) - 1
    arrived = store.append("INBOX", mail("a"))
    validity = store.mailbox("INBOX").uidvalidity
    counters = f"MESSAGES 1 UIDNEXT 2 UIDVALIDITY {validity} UNSEEN"
    assert await client.line() == f"* STATUS INBOX ({counters} 1)".encode()
    store.set_flags(store.mailbox("INBOX"), [(arrived, frozenset({"\\Seen"}))])
    assert await client.line() == f"* STATUS INBOX ({counters} 0)".encode()
    store.append("Archive", mail("selected"))
    assert await client.line() == b"* 1 EXISTS"
    store.create("New/Deep")
    assert [await client.line(), await client.line()] == [
        b'* LIST (\\HasChildren) "/" New',
        b'* LIST (\\HasNoChildren) "/" New/Deep',
    ]
    store.rename("New/Deep", "Newer")
    assert await client.line() == b'* LIST (\\HasNoChildren) "/" Newer ("OLDNAME" (New/Deep))'
    store.subscribe("Newer")
    assert await client.line() == b'* LIST (\\HasNoChildren \\Subscribed) "/" Newer'
    store.unsubscribe("Newer")
    assert await client.line() == b'* LIST (\\HasNoChildren) "/" Newer'
    store.delete("Newer")
    assert await client.line() == b'* LIST (\\HasNoChildren \\NonExistent) "/" Newer'
    await client.ok("NOTIFY NONE")
    store.append("INBOX", mail("unheard"))
    assert await client.ok("NOOP") == [b"OK done"]
    await client.close()


async def test_notify_goes_on_during_idle(empty: SandboxWorld, ann: SandboxAccount) -> None:
    client = await BareImap.log_in(ann, "SELECT Archive", "NOTIFY SET (inboxes (MessageNew MessageExpunge))")
    await client.send("IDLE")
    assert await client.line() == b"+ idling"
    assert await in_thread(send_mail, empty.accounts[1], [ann.email], mail("new")) == {}
    assert (await client.line()).startswith(b"* STATUS INBOX (MESSAGES 1")
    await client.close()


async def test_selected_means_at_once_also_for_expunges(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    first = store.append("INBOX", mail("a"))
    client = await BareImap.log_in(
        ann, "SELECT INBOX", "NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))"
    )
    store.set_flags(store.mailbox("INBOX"), [(first, frozenset({"\\Seen"}))])
    assert await client.line() == b"* 1 FETCH (UID 1 FLAGS (\\Seen))"
    store.append("INBOX", mail("b"), ["\\Draft"])
    assert [await client.line(), await client.line()] == [b"* 2 EXISTS", b"* 2 FETCH (UID 2 FLAGS (\\Draft))"]
    store.expunge(store.mailbox("INBOX"), [first])
    assert await client.line() == b"* 1 EXPUNGE"
    await client.close()


@pytest.mark.parametrize(
    ("groups", "path", "heard"),
    [
        ("(mailboxes (Archive Sent) (MessageNew MessageExpunge))", "Archive", True),
        ("(mailboxes (Archive Sent) (MessageNew MessageExpunge))", "Drafts", False),
        ("(subtree Lists (MessageNew MessageExpunge))", "Lists/dev", True),
        ("(subtree Lists (MessageNew MessageExpunge))", "Lists2", False),
        ("(subscribed (MessageNew MessageExpunge))", "Lists2", False),
        ("(mailboxes Archive NONE) (personal (MessageNew MessageExpunge))", "Archive", False),
        ("(personal (MailboxName))", "Archive", False),
    ],
)
async def test_filters_of_notify(empty: SandboxWorld, ann: SandboxAccount, groups: str, path: str, heard: bool) -> None:
    store = empty.store_of(ann.email)
    for new in ("Lists/dev", "Lists2"):
        store.create(new)
    client = await BareImap.log_in(ann, "SELECT INBOX", f"NOTIFY SET {groups}")
    store.append(path, mail("a"))
    store.append("INBOX", mail("b"))
    lines = await client.ok("NOOP")
    assert bool(told(lines, b"STATUS " + path.encode())) is heard
    await client.close()


async def test_events_that_cannot_be_told_are_refused(ann: SandboxAccount) -> None:
    client = await BareImap.log_in(ann)
    [answer] = await client.command("NOTIFY SET (personal (MailboxMetadataChange))")
    known = b"MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"
    assert answer.startswith(b"NO [BADEVENT (" + known + b")]")
    for alone in ("(personal (MessageNew))", "(personal (FlagChange))", "(selected (MailboxName))"):
        assert (await client.command(f"NOTIFY SET {alone}"))[-1].startswith(b"BAD")
    await client.close()


async def test_too_much_news_ends_notify(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    client = await BareImap.log_in(ann, "NOTIFY SET (personal (SubscriptionChange))")
    for number in range(MAX_PENDING + 1):
        store.unsubscribe(f"gone{number}")
    assert (await client.line()).startswith(b"* OK [NOTIFICATIONOVERFLOW]")
    store.unsubscribe("another")
    assert await client.ok("NOOP") == [b"OK done"]
    await client.close()


# QUOTA


async def test_quota_with_imaplib() -> None:
    async with world_of(USUAL, quota_bytes=20 * 1024) as world, imaplib_client(world.accounts[0]) as client:
        await client("append", "INBOX", None, None, mail("a", "x" * 5000))
        roots, quotas = await client("getquotaroot", "INBOX")
        assert (roots, quotas) == ([b'INBOX ""'], [b'"" (STORAGE 6 20)'])
        assert await client("getquota", '""') == [b'"" (STORAGE 6 20)']
        assert "no such" in await client.refused("getquota", "other")
        assert "not yours" in await client.refused("setquota", '""', "(STORAGE 99)")
        assert "full" in await client.refused("append", "INBOX", None, None, mail("b", "x" * 20_000))
        await client("select", "INBOX")
        await client("store", "1", "+FLAGS", "\\Deleted")
        [status] = await client("status", "INBOX", "(DELETED DELETED-STORAGE)")
        assert status.startswith(b"INBOX (DELETED 1 DELETED-STORAGE 5")


# ESEARCH, SEARCHRES, PARTIAL


async def test_extended_searches_with_imaplib(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abcde":
        store.append("INBOX", mail(subject))
    async with imaplib_client(ann) as client:
        await client("select", "INBOX")
        await client("uid", "SEARCH", "RETURN (MIN MAX COUNT)", "UID 2:4")
        assert client.response("ESEARCH")[-1].endswith(b"UID MIN 2 MAX 4 COUNT 3")
        await client("uid", "SEARCH", "RETURN (PARTIAL -1:-2)", "ALL")
        assert client.response("ESEARCH")[-1].endswith(b"UID PARTIAL (-1:-2 4:5)")
        await client("uid", "SEARCH", "RETURN (PARTIAL 9:10)", "ALL")
        assert client.response("ESEARCH")[-1].endswith(b"UID PARTIAL (9:10 NIL)")


async def test_a_saved_result_stands_for_its_messages(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abcde":
        store.append("INBOX", mail(subject))
    client = await BareImap.log_in(ann, "SELECT INBOX")
    assert await client.ok("UID FETCH $ (UID)") == [b"OK done"]
    assert await client.ok("UID SEARCH RETURN (SAVE) UID 2:4") == [b"OK done"]
    assert len(await client.ok("FETCH $ (UID)")) == 4
    assert await client.ok("UID SEARCH NOT $") == [b"* SEARCH 1 5", b"OK done"]
    await client.ok("UID SEARCH RETURN (SAVE MIN MAX) ALL")
    assert await client.ok("UID SEARCH $") == [b"* SEARCH 1 5", b"OK done"]
    await client.ok("UID SEARCH RETURN (SAVE PARTIAL -1:-2) ALL")
    await client.ok("UID STORE $ +FLAGS.SILENT (\\Deleted)")
    await client.ok("UID EXPUNGE $")
    assert [message.uid for message in store.mailbox("INBOX")] == [1, 2, 3]
    assert len(await client.ok("UID FETCH 1:* (FLAGS) (PARTIAL -1:-1)")) == 2
    await client.close()


# MULTIAPPEND, REPLACE


async def test_several_messages_are_appended_all_or_none() -> None:
    async with world_of(USUAL, quota_bytes=1000) as world:
        ann = world.accounts[0]
        inbox = world.store_of(ann.email).mailbox("INBOX")
        client = await BareImap.log_in(ann)
        [answer] = await client.ok("APPEND INBOX (\\Seen) {3+}\r\nabc (\\Draft) {2+}\r\nde")
        assert answer.startswith(f"OK [APPENDUID {inbox.uidvalidity} 1:2]".encode())
        assert [(one.raw, one.flags) for one in inbox] == [
            (b"abc", frozenset({"\\Seen"})),
            (b"de", frozenset({"\\Draft"})),
        ]
        body = "x" * 600
        [answer] = await client.command(f"APPEND INBOX {{600+}}\r\n{body} {{600+}}\r\n{body}")
        assert answer.startswith(b"NO [OVERQUOTA]")
        assert len(inbox) == 2
        await client.close()


async def test_replace_appends_and_expunges(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    store.append("Drafts", mail("a"))
    client = await BareImap.log_in(ann, "SELECT Drafts")
    lines = await client.ok("UID REPLACE 1 Drafts (\\Draft) {3+}\r\nnew")
    validity = store.mailbox("Drafts").uidvalidity
    assert lines[0].startswith(f"* OK [APPENDUID {validity} 2]".encode())
    assert lines[1:] == [b"* 1 EXPUNGE", b"* 1 EXISTS", b"OK done"]
    assert (await client.command("UID REPLACE 1 Drafts {1+}\r\nx"))[-1].startswith(b"NO")
    await client.close()


# UIDONLY, COMPRESS


async def test_uidonly_knows_no_sequence_numbers() -> None:
    async with world_of(EVERYTHING) as world:
        ann = world.accounts[0]
        store = world.store_of(ann.email)
        for subject in "abc":
            store.append("INBOX", mail(subject))
        store.expunge(store.mailbox("INBOX"), [next(iter(store.mailbox("INBOX")))])
        client = await BareImap.log_in(ann, "SELECT INBOX", "ENABLE UIDONLY")
        assert await client.ok("UID FETCH 2 FLAGS") == [b"* 2 UIDFETCH (FLAGS ())", b"OK done"]
        assert (await client.command("FETCH 1 FLAGS"))[-1].startswith(b"BAD [UIDREQUIRED]")
        store.expunge(store.mailbox("INBOX"), [next(iter(store.mailbox("INBOX")))])
        assert await client.ok("NOOP") == [b"* VANISHED 2", b"OK done"]
        await client.close()


async def test_everything_behind_compress_is_compressed() -> None:
    async with world_of(EVERYTHING) as world:
        client = await BareImap.log_in(world.accounts[0])
        await client.ok("COMPRESS DEFLATE")
        out, incoming = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        await client.raw(out.compress(b"x1 NOOP\r\nx2 COMPRESS DEFLATE\r\n") + out.flush(zlib.Z_SYNC_FLUSH))
        heard = b""
        while heard.count(b"\r\n") < 2:
            heard += incoming.decompress(await client.read_some())
        assert heard.startswith(b"x1 OK done\r\nx2 NO [COMPRESSIONACTIVE]")
        await client.close()


# Gmail


async def test_labels_are_mailboxes_and_all_mail_holds_everything() -> None:
    async with world_of(GMAIL) as world:
        ann = world.accounts[0]
        store = world.store_of(ann.email)
        message = store.append("INBOX", mail("a"))
        client = await BareImap.log_in(ann, 'SELECT "[Gmail]/All Mail"')
        assert await client.ok("UID FETCH 1 (X-GM-LABELS)") == [
            b'* 1 FETCH (UID 1 X-GM-LABELS ("\\\\Inbox"))',
            b"OK done",
        ]
        number = int(message.email_id[1:16], 16)
        assert (await client.ok("UID FETCH 1 (X-GM-MSGID)"))[0] == f"* 1 FETCH (UID 1 X-GM-MSGID {number})".encode()
        assert (await client.ok(f"UID SEARCH X-GM-MSGID {number}"))[0] == b"* SEARCH 1"
        assert (await client.ok('UID SEARCH X-GM-LABELS "\\\\Inbox"'))[0] == b"* SEARCH 1"
        assert (await client.ok("UID SEARCH X-GM-RAW hello"))[0] == b"* SEARCH 1"
        await client.ok("UID STORE 1 +X-GM-LABELS (Work)")
        assert [one.email_id for one in store.mailbox("Work")] == [message.email_id]
        await client.ok('UID STORE 1 -X-GM-LABELS ("\\\\Inbox")')
        assert len(store.mailbox("INBOX")) == 0
        await client.ok("UID STORE 1 X-GM-LABELS (Home)")
        assert (len(store.mailbox("Work")), len(store.mailbox("Home"))) == (0, 1)
        await client.ok("UID STORE 1 +FLAGS (\\Seen)")
        assert [one.flags for one in store.mailbox("Home")] == [frozenset({"\\Seen"})]
        assert len(store.mailbox("[Gmail]/All Mail")) == 1
        store.append("Trash", mail("thrown away"))
        assert len(store.mailbox("[Gmail]/All Mail")) == 1
        await client.close()


async def test_one_looks_from_a_label_at_the_others() -> None:
    async with world_of(GMAIL) as world:
        ann = world.accounts[0]
        store = world.store_of(ann.email)
        store.copy([store.append("INBOX", mail("a"))], "Sent")
        client = await BareImap.log_in(ann, "SELECT INBOX")
        assert (await client.ok("UID FETCH 1 (X-GM-LABELS)"))[0] == b'* 1 FETCH (UID 1 X-GM-LABELS ("\\\\Sent"))'
        await client.close()
