"""Commands about messages, said by imaplib and by hand; what imaplib reads is compared with the standard library."""

from __future__ import annotations

import email
import email.policy
import imaplib
from datetime import UTC, datetime

import pytest

from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import BareImap, imaplib_client, mail

_NESTED = (
    b"From: =?utf-8?Q?J=C3=B6rg?= <j@x.test>, b@x.test\r\nSender: s@x.test\r\nReply-To: r@x.test\r\nTo: nobody\r\n"
    b"Subject: nested\r\n  folded\r\nMessage-ID: <n@x.test>\r\nIn-Reply-To: <p@x.test>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\npreamble\r\n'
    b"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSMOkbGxv\r\n"
    b"--b1\r\nContent-Type: message/rfc822\r\nContent-Description: inner\r\n\r\n"
    b"From: in@x.test\r\nSubject: inside\r\n\r\nfirst\r\nsecond\r\n"
    b'--b1\r\nContent-Type: multipart/alternative; boundary="b2"\r\n\r\n'
    b"--b2\r\n\r\nplain\r\n--b2\r\nContent-Type: text/html\r\nContent-Language: de, en\r\n\r\n<p>x</p>\r\n--b2--\r\n"
    b'--b1\r\nContent-Type: image/png; name="a.png"\r\nContent-ID: <i@x>\r\nContent-MD5: abcd\r\n'
    b"Content-Disposition: attachment; filename*=utf-8''%C3%A4.png\r\nContent-Transfer-Encoding: x-odd\r\n\r\nraw\r\n"
    b"--b1--\r\n"
)


@pytest.fixture
async def nested(empty: SandboxWorld, ann: SandboxAccount) -> BareImap:
    """A client in a mailbox that holds one message with everything in it."""
    received = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    empty.store_of(ann.email).append("INBOX", _NESTED, ["\\Flagged", "Red"], received)
    return await BareImap.log_in(ann, "SELECT INBOX")


async def _fetch(bare: BareImap, what: str) -> bytes:
    """The data of a FETCH of message 1."""
    lines = await bare.ok(f"FETCH 1 {what}")
    assert len(lines) == 2, lines
    return lines[0].removeprefix(b"* 1 FETCH (").removesuffix(b")")


async def test_envelope_and_structure(nested: BareImap) -> None:
    assert await _fetch(nested, "ENVELOPE") == (
        b'ENVELOPE (NIL "nested  folded" (("=?UTF-8?B?SsO2cmc=?=" NIL "j" "x.test")(NIL NIL "b" "x.test")) '
        b'((NIL NIL "s" "x.test")) ((NIL NIL "r" "x.test")) ((NIL NIL "nobody" "MISSING_DOMAIN")) NIL NIL '
        b'"<p@x.test>" "<n@x.test>")'
    )
    inside = b'((NIL NIL "in" "x.test"))'
    inner = b'(NIL "inside" ' + b" ".join([inside] * 3) + b" NIL NIL NIL NIL NIL)"
    assert await _fetch(nested, "BODYSTRUCTURE") == (
        b'BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "base64" 8 0 NIL NIL NIL NIL)'
        b'("message" "rfc822" NIL NIL "inner" "7bit" 49 %s '
        b'("text" "plain" NIL NIL NIL "7bit" 13 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)'
        b'(("text" "plain" NIL NIL NIL "7bit" 5 0 NIL NIL NIL NIL)'
        b'("text" "html" NIL NIL NIL "7bit" 8 0 NIL NIL ("de" "en") NIL) '
        b'"alternative" ("boundary" "b2") NIL NIL NIL)'
        b'("image" "png" ("name" "a.png") "<i@x>" NIL "x-odd" 3 "abcd" ("attachment" '
        b'("filename*" "utf-8\'\'%%C3%%A4.png")) NIL NIL) '
        b'"mixed" ("boundary" "b1") NIL NIL NIL)' % inner
    )
    assert b'"boundary"' not in await _fetch(nested, "BODY")
    await nested.close()


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", _NESTED),
        ("HEADER", _NESTED[: _NESTED.index(b"\r\n\r\n") + 4]),
        ("TEXT", _NESTED[_NESTED.index(b"\r\n\r\n") + 4 :]),
        ("HEADER.FIELDS (SUBJECT X-NONE)", b"Subject: nested\r\n  folded\r\n\r\n"),
        ("1", b"SMOkbGxv"),
        ("1.MIME", b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
        ("2", b"From: in@x.test\r\nSubject: inside\r\n\r\nfirst\r\nsecond"),
        ("2.MIME", b"Content-Type: message/rfc822\r\nContent-Description: inner\r\n\r\n"),
        ("2.HEADER", b"From: in@x.test\r\nSubject: inside\r\n\r\n"),
        ("2.HEADER.FIELDS (SUBJECT)", b"Subject: inside\r\n\r\n"),
        ("2.HEADER.FIELDS.NOT (SUBJECT)", b"From: in@x.test\r\n\r\n"),
        ("2.TEXT", b"first\r\nsecond"),
        ("2.1", b"first\r\nsecond"),
        ("3.1", b"plain"),
        ("3.1.MIME", b"\r\n"),
        ("3.2.MIME", b"Content-Type: text/html\r\nContent-Language: de, en\r\n\r\n"),
        ("4", b"raw"),
    ],
)
async def test_sections(nested: BareImap, section: str, expected: bytes) -> None:
    answer = await _fetch(nested, f"BODY.PEEK[{section}]")
    name = f"BODY[{section}]".encode()
    quoted = b'"' + expected + b'"' if b"\r" not in expected else b""
    assert answer in (name + b" {%d}\r\n%s" % (len(expected), expected), name + b" " + quoted)
    partial = await _fetch(nested, f"BODY.PEEK[{section}]<2.3>")
    assert partial.startswith(name + b"<2> ")
    assert partial.endswith((expected[2:5], expected[2:5] + b'"'))
    await nested.close()


async def test_sections_that_are_not_there(nested: BareImap) -> None:
    for section in ("5", "1.1", "1.HEADER", "9.MIME"):
        assert await _fetch(nested, f"BODY.PEEK[{section}]") == f"BODY[{section}] NIL".encode()
    assert (await nested.command("FETCH 1 BODY[0]"))[-1].startswith(b"BAD")
    assert (await nested.command("FETCH 1 X-GM-MSGID"))[-1].startswith(b"BAD")
    assert (await nested.command("UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)"))[-1].startswith(b"BAD")
    await nested.close()


async def test_binary(nested: BareImap) -> None:
    assert await _fetch(nested, "(BINARY.PEEK[1] BINARY.SIZE[1])") == b"BINARY[1] {6}\r\nH\xc3\xa4llo BINARY.SIZE[1] 6"
    assert await _fetch(nested, "BINARY.PEEK[1]<1.2>") == b"BINARY[1]<1> {2}\r\n\xc3\xa4"
    assert (await nested.command("FETCH 1 BINARY.PEEK[4]"))[-1].startswith(b"NO [UNKNOWN-CTE]")
    assert (await nested.command("FETCH 1 BINARY.PEEK[1.MIME]"))[-1].startswith(b"BAD")
    await nested.close()


async def test_attributes(nested: BareImap, empty: SandboxWorld, ann: SandboxAccount) -> None:
    [stored] = empty.store_of(ann.email).mailbox("INBOX")
    fixed = f'FLAGS (Red \\Flagged) INTERNALDATE " 4-Mar-2026 05:06:07 +0000" RFC822.SIZE {len(_NESTED)}'
    assert await _fetch(nested, "FAST") == fixed.encode()
    assert (await _fetch(nested, "(UID MODSEQ)")).startswith(f"UID 1 MODSEQ ({stored.modseq})".encode())
    ids = f"EMAILID ({stored.email_id}) THREADID ({stored.thread_id})".encode()
    assert await _fetch(nested, "(EMAILID THREADID)") == ids
    assert await _fetch(nested, "PREVIEW") == "PREVIEW {12}\r\nHällo plain".encode()
    assert await _fetch(nested, "SAVEDATE") == f'SAVEDATE "{stored.saved:%e-%b-%Y %H:%M:%S} +0000"'.encode()
    assert (await _fetch(nested, "RFC822.HEADER")).startswith(b"RFC822.HEADER {")
    await nested.close()


async def test_reading_sets_seen_unless_one_peeks(nested: BareImap) -> None:
    assert b"Seen" not in await _fetch(nested, "(BODY.PEEK[] FLAGS)")
    assert b"FLAGS (Red \\Flagged \\Seen)" in await _fetch(nested, "BODY[1]")
    await nested.ok("STORE 1 -FLAGS.SILENT (\\Seen)")
    assert b"\\Seen" in await _fetch(nested, "RFC822.TEXT")
    await nested.ok("STORE 1 -FLAGS.SILENT (\\Seen)")
    await nested.ok("EXAMINE INBOX")
    assert b"FLAGS" not in await _fetch(nested, "BODY[1]")
    await nested.close()


async def test_fetch_by_imaplib_gives_whole_messages(world: SandboxWorld) -> None:
    ann = world.accounts[0]
    stored = list(world.store_of(ann.email).mailbox("INBOX"))
    async with imaplib_client(ann) as client:
        await client("select", "INBOX", True)
        data = await client("fetch", "1:*", "(UID FLAGS RFC822)")
        messages = [item for item in data if isinstance(item, tuple)]
        assert [body for _, body in messages] == [message.raw for message in stored]
        for (_, body), message in zip(messages, stored, strict=True):
            parsed = email.message_from_bytes(body, policy=email.policy.default)
            assert parsed["message-id"] is not None
            assert not [defect for part in parsed.walk() for defect in part.defects], message.raw
        numbers = [item for item in await client("uid", "FETCH", "1:3", "FLAGS") if isinstance(item, bytes)]
        assert [number.partition(b" ")[0] for number in numbers] == [b"1", b"2", b"3"]
        assert await client("uid", "FETCH", "1000", "FLAGS") == [None]


async def test_changed_since(world: SandboxWorld) -> None:
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    inbox = store.mailbox("INBOX")
    since = inbox.highestmodseq
    message = inbox.get(2)
    assert message is not None
    store.set_flags(inbox, [(message, frozenset(["\\Answered"]))])
    bare = await BareImap.log_in(ann, "SELECT INBOX (CONDSTORE)")
    lines = await bare.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since})")
    assert lines[:-1] == [f"* 2 FETCH (UID 2 FLAGS (\\Answered) MODSEQ ({message.modseq}))".encode()]
    assert await bare.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {message.modseq})") == [b"OK done"]
    await bare.close()


async def test_store_by_imaplib(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("INBOX", mail("a"), ["\\Seen"])
    async with imaplib_client(ann) as client:
        await client("select")
        assert await client("store", "1", "+FLAGS", "(\\Flagged Blue)") == [b"1 (UID 1 FLAGS (Blue \\Flagged \\Seen))"]
        assert await client("store", "1", "-FLAGS", "(\\Seen BLUE)") == [b"1 (UID 1 FLAGS (\\Flagged))"]
        assert await client("store", "1", "FLAGS", "(blue \\Recent)") == [b"1 (UID 1 FLAGS (Blue))"]
        assert await client("store", "1", "FLAGS.SILENT", "(\\Draft)") == [None]
        assert await client("uid", "STORE", "1", "+FLAGS", "\\Answered") == [b"1 (UID 1 FLAGS (\\Answered \\Draft))"]
        with pytest.raises(imaplib.IMAP4.error, match="no message has that number"):
            await client("store", "2", "+FLAGS", "(\\Seen)")
        many = " ".join(f"k{number}" for number in range(200))
        assert "keywords" in await client.refused("store", "1", "+FLAGS", f"({many})")


async def test_conditional_store(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    first, second = (store.append("INBOX", mail(subject)) for subject in ("a", "b"))
    since = second.modseq
    bare = await BareImap.log_in(ann, "SELECT INBOX")
    store.set_flags(store.mailbox("INBOX"), [(first, frozenset(["\\Seen"]))])
    lines = await bare.ok(f"UID STORE 1:2 (UNCHANGEDSINCE {since}) +FLAGS.SILENT (\\Flagged)")
    assert lines[-1].startswith(b"OK [MODIFIED 1]")
    assert f"* 2 FETCH (UID 2 MODSEQ ({second.modseq}))".encode() in lines
    assert f"* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ({first.modseq}))".encode() in lines
    assert (first.flags, second.flags) == (frozenset(["\\Seen"]), frozenset(["\\Flagged"]))
    lines = await bare.ok(f"STORE 2 (UNCHANGEDSINCE {second.modseq}) FLAGS (\\Answered)")
    assert lines[:-1] == [f"* 2 FETCH (UID 2 FLAGS (\\Answered) MODSEQ ({second.modseq}))".encode()]
    await bare.close()


async def test_append_copy_move_expunge_by_imaplib(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    sent, trash = store.mailbox("Sent"), store.mailbox("Trash")
    async with imaplib_client(ann) as client:
        date = '"17-Jul-2026 02:44:25 -0700"'
        [done] = await client("append", "Sent", "(\\Seen Green)", date, mail("a"))
        assert done.startswith(f"[APPENDUID {sent.uidvalidity} 1]".encode())
        [message] = sent
        assert (message.raw, message.flags) == (mail("a"), frozenset(["\\Seen", "Green"]))
        assert message.received == datetime(2026, 7, 17, 9, 44, 25, tzinfo=UTC)
        for subject in ("b", "c", "d"):
            await client("append", "Sent", None, None, mail(subject))
        await client("select", "Sent")
        [done] = await client("copy", "1,3", "Trash")
        assert done.startswith(f"[COPYUID {trash.uidvalidity} 1,3 1:2]".encode())
        assert client.response("COPYUID") == [f"{trash.uidvalidity} 1,3 1:2".encode()]
        assert [one.flags for one in trash] == [frozenset(["\\Seen", "Green"]), frozenset()]
        await client("uid", "MOVE", "2:3", "Trash")
        assert client.response("COPYUID") == [f"{trash.uidvalidity} 2:3 3:4".encode()]
        assert client.response("EXPUNGE") == [b"3", b"2"]
        assert [one.uid for one in sent] == [1, 4]
        await client("store", "1:2", "+FLAGS.SILENT", "(\\Deleted)")
        await client("uid", "EXPUNGE", "4")
        assert client.response("EXPUNGE") == [b"2"]
        assert await client("expunge") == [b"1"]
        assert "no mailbox" in await client.refused("append", "Nowhere", None, None, mail("x"))
        await client("append", "Sent", None, None, mail("y"))
        await client("noop")
        assert "no mailbox" in await client.refused("copy", "1", "Nowhere")
        assert client.response("TRYCREATE") == [b""] or client.response("NO")


async def test_target_that_is_missing_may_be_created(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("INBOX", mail("a"))
    bare = await BareImap.log_in(ann, "SELECT INBOX")
    assert (await bare.command("COPY 1 Nowhere"))[-1].startswith(b"NO [TRYCREATE]")
    assert (await bare.command("UID MOVE 1 Nowhere"))[-1].startswith(b"NO [TRYCREATE]")
    assert await bare.ok("UID COPY 77 Sent") == [b"OK copied"]
    assert (await bare.command("APPEND Nowhere {3+}\r\nabc"))[-1].startswith(b"NO [TRYCREATE]")
    assert (await bare.command("APPEND INBOX {0+}\r\n"))[-1].startswith(b"NO")
    assert (await bare.command("APPEND INBOX {99999999}"))[-1].startswith(b"NO [TOOBIG]")
    await bare.close()


_MESSAGES = 4


@pytest.fixture
async def searched(empty: SandboxWorld, ann: SandboxAccount) -> BareImap:
    """Four messages to look for."""
    store = empty.store_of(ann.email)
    old = datetime(2025, 5, 5, tzinfo=UTC)
    store.append("INBOX", mail("alpha", "needle\r\n"), ["\\Seen"], old)
    store.append("INBOX", mail("beta", extra="Cc: carl@x.test\r\nX-Tag: one\r\n"), ["\\Flagged", "Blue"])
    store.append("INBOX", mail("=?utf-8?Q?Gr=C3=BC=C3=9Fe?="), ["\\Answered", "\\Deleted"])
    store.append("INBOX", mail("delta", "x" * 3000), ["\\Draft"])
    return await BareImap.log_in(ann, "SELECT INBOX")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("ALL", "1 2 3 4"),
        ("SEEN", "1"),
        ("UNSEEN UNFLAGGED", "3 4"),
        ("OR FLAGGED DRAFT", "2 4"),
        ("NOT (ANSWERED)", "1 2 4"),
        ("DELETED", "3"),
        ("NEW", ""),
        ("OLD UNDELETED", "1 2 4"),
        ("KEYWORD BLUE", "2"),
        ("UNKEYWORD blue", "1 3 4"),
        ("2:3", "2 3"),
        ("*", "4"),
        ("UID 3:*", "3 4"),
        ("UID 99", ""),
        ("SUBJECT ALPHA", "1"),
        ('FROM "ann archer"', "1 2 3 4"),
        ("CC carl", "2"),
        ("BCC carl", ""),
        ("TO bruno@sandbox.test", "1 2 3 4"),
        ("BODY needle", "1"),
        ("TEXT carl", "2"),
        ("HEADER X-Tag one", "2"),
        ('HEADER X-Tag ""', "2"),
        ("LARGER 2000", "4"),
        ("SMALLER 2000", "1 2 3"),
        ("BEFORE 6-May-2025", "1"),
        ("ON 5-May-2025", "1"),
        ("SINCE 6-May-2025", "2 3 4"),
        ("SENTON 1-Jan-2026", "1 2 3 4"),
        ("SENTBEFORE 1-Jan-2026", ""),
        ("SENTSINCE 1-Jan-2026", "1 2 3 4"),
        ("SAVEDBEFORE 1-Jan-2020", ""),
        ("SAVEDSINCE 1-Jan-2020", "1 2 3 4"),
        ("YOUNGER 3600", "2 3 4"),
        ("OLDER 9223372036854775807", ""),
        ("THREADID Tnone", ""),
    ],
)
async def test_search(searched: BareImap, key: str, found: str) -> None:
    assert await searched.ok(f"SEARCH {key}") == [f"* SEARCH {found}".strip().encode(), b"OK done"]
    await searched.close()


async def test_search_beyond_ascii_and_extended(searched: BareImap) -> None:
    grüße = "GRÜSSE".encode()
    assert (await searched.ok(b"UID SEARCH CHARSET UTF-8 SUBJECT {%d+}\r\n%s" % (len(grüße), grüße)))[
        0
    ] == b"* SEARCH 3"
    lines = await searched.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) 2:4")
    assert lines[0].endswith(b" UID MIN 2 MAX 4 COUNT 3 ALL 2:4")
    lines = await searched.ok("SEARCH RETURN () SEEN")
    assert lines[0].endswith(b") ALL 1")
    lines = await searched.ok("SEARCH RETURN (MIN ALL COUNT) KEYWORD none")
    assert lines[0].endswith(b") COUNT 0")
    lines = await searched.ok("SEARCH MODSEQ 3")
    assert lines[0] == b"* SEARCH 2 3 4 (MODSEQ 5)"
    assert (await searched.command("SEARCH CHARSET KOI8-R ALL"))[-1].startswith(b"NO [BADCHARSET")
    assert (await searched.command("SEARCH X-GM-RAW x"))[-1].startswith(b"BAD")
    assert (await searched.command("SEARCH X-GM-MSGID 1"))[-1].startswith(b"BAD")
    await searched.close()


async def test_search_by_imaplib(world: SandboxWorld) -> None:
    async with imaplib_client(world.accounts[0]) as client:
        await client("select")
        [found] = await client("search", None, "SUBJECT", '"Lighthouse: plan"')
        assert len(found.split()) == 3
        [uids] = await client("uid", "SEARCH", "FROM", "forge", "UNSEEN")
        assert len(uids.split()) == 2


async def test_a_mailbox_that_is_full() -> None:
    from mailquay.backends.memory import MemoryMailStore
    from mailquay.errors import CommandRejected

    store = MemoryMailStore(quota_bytes=1000)
    message = store.append("INBOX", b"x" * 600)
    with pytest.raises(CommandRejected) as full:
        store.copy([message], "INBOX")
    assert full.value.response_code == "OVERQUOTA"
    store.expunge(store.mailbox("INBOX"), [message])
    assert store.append("INBOX", b"x" * 1000).uid == 2
