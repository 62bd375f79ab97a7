"""Commands about the session and about mailboxes, said by imaplib and by hand."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from mailquay.sandbox.imap_capabilities import MAX_LITERAL_BYTES
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import BareImap, Imaplib, imaplib_client, mail


async def test_capability_id_and_namespace_by_imaplib(ann: SandboxAccount) -> None:
    client = await Imaplib.open(ann)
    assert "AUTH=PLAIN" in client.client.capabilities
    assert "IDLE" not in client.client.capabilities
    await client("login", ann.user, ann.password)
    capabilities = (await client("capability"))[-1]
    assert {b"IMAP4rev1", b"IDLE", b"CONDSTORE", b"UIDPLUS", b"MOVE", b"SPECIAL-USE"} <= set(capabilities.split())
    assert await client("namespace") == [b'(("" "/")) NIL NIL']
    assert await client("xatom", "ENABLE", "CONDSTORE", "X-NOTHING") == [b"done"]
    assert client.response("ENABLED") == [b"CONDSTORE"]
    assert await client("noop") == [b"done"]
    assert await client("xatom", "ID", "NIL") == [b"done"]
    assert client.response("ID")[-1].startswith(b'("name" "Mailquay sandbox"')
    await client("logout")


async def test_authenticate_plain(ann: SandboxAccount) -> None:
    client = await Imaplib.open(ann)
    await client("authenticate", "PLAIN", lambda _: f"\0{ann.user}\0{ann.password}".encode())
    await client("logout")
    bare = await BareImap.open(ann)
    good = base64.b64encode(f"{ann.user}\0{ann.user}\0{ann.password}".encode()).decode()
    other = base64.b64encode(f"bruno\0{ann.user}\0{ann.password}".encode()).decode()
    wrong = base64.b64encode(f"\0{ann.user}\0wrong".encode()).decode()
    assert (await bare.command(f"AUTHENTICATE PLAIN {wrong}"))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    assert (await bare.command(f"AUTHENTICATE PLAIN {other}"))[-1].startswith(b"NO [AUTHORIZATIONFAILED]")
    assert (await bare.command("AUTHENTICATE PLAIN ="))[-1].startswith(b"BAD")
    assert (await bare.command("AUTHENTICATE PLAIN !!!"))[-1].startswith(b"BAD")
    assert (await bare.command("AUTHENTICATE XOAUTH2 abcd"))[-1].startswith(b"NO [CANNOT]")
    tag = await bare.send("AUTHENTICATE PLAIN")
    assert (await bare.line()).startswith(b"+")
    await bare.raw(b"*\r\n")
    assert (await bare.finish(tag))[-1].startswith(f"{tag} BAD".encode())
    await bare.ok(f"AUTHENTICATE PLAIN {good}")
    await bare.close()


async def test_wrong_logins_end_the_connection(ann: SandboxAccount) -> None:
    bare = await BareImap.open(ann)
    for _ in range(5):
        assert (await bare.command(f"LOGIN {ann.user} wrong"))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    assert (await bare.line()).startswith(b"* BYE")
    assert await bare.line() == b""
    await bare.close()


async def test_list_and_lsub_by_imaplib(ann: SandboxAccount) -> None:
    async with imaplib_client(ann) as client:
        assert await client("list") == [
            b'(\\HasNoChildren) "/" INBOX',
            b'(\\Archive \\HasNoChildren) "/" Archive',
            b'(\\Drafts \\HasNoChildren) "/" Drafts',
            b'(\\HasNoChildren \\Junk) "/" Junk',
            b'(\\HasChildren) "/" Projects',
            b'(\\HasNoChildren) "/" Projects/Lighthouse',
            b'(\\HasNoChildren \\Sent) "/" Sent',
            b'(\\HasNoChildren \\Trash) "/" Trash',
        ]
        assert await client("list", '""', '""') == [b'(\\Noselect) "/" ""']
        assert await client("list", '""', "%/%") == [b'(\\HasNoChildren) "/" Projects/Lighthouse']
        assert await client("list", "Projects/", "*") == [b'(\\HasNoChildren) "/" Projects/Lighthouse']
        assert await client("list", '""', "inbox") == [b'(\\HasNoChildren) "/" INBOX']
        assert await client("list", '""', "nothing*") == [None]
        await client("unsubscribe", "Projects")
        assert await client("lsub", '""', "Proj%") == [b'(\\Noselect) "/" Projects']
        assert await client("lsub", '""', "Proj*") == [b'() "/" Projects/Lighthouse']


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('LIST "" % RETURN (SPECIAL-USE)', [b'* LIST (\\HasNoChildren \\Junk) "/" Junk']),
        ('LIST (SPECIAL-USE) "" "*"', [b'* LIST (\\HasNoChildren \\Sent) "/" Sent']),
        ('LIST (SUBSCRIBED) "" ("Tr*" "gone")', [b'* LIST (\\HasNoChildren \\Subscribed \\Trash) "/" Trash']),
        ('LIST (SUBSCRIBED) "" gone', [b'* LIST (\\HasNoChildren \\NonExistent \\Subscribed) "/" gone']),
        ('LIST "" Sent RETURN (SUBSCRIBED)', [b'* LIST (\\HasNoChildren \\Sent \\Subscribed) "/" Sent']),
        (
            'LIST (SUBSCRIBED RECURSIVEMATCH) "" %',
            [b'* LIST (\\HasChildren) "/" Projects ("CHILDINFO" ("SUBSCRIBED"))'],
        ),
        (
            'LIST "" (Sent) RETURN (STATUS (MESSAGES UIDNEXT))',
            [b'* LIST (\\HasNoChildren \\Sent) "/" Sent', b"* STATUS Sent (MESSAGES 0 UIDNEXT 1)"],
        ),
    ],
)
async def test_extended_list(ann: SandboxAccount, command: str, expected: list[bytes]) -> None:
    bare = await BareImap.log_in(ann, "CREATE gone", "SUBSCRIBE gone", "DELETE gone", "UNSUBSCRIBE Projects")
    lines = await bare.ok(command)
    assert [line for line in lines if line in expected] == expected
    await bare.close()


async def test_a_pattern_of_many_wildcards_takes_no_longer(ann: SandboxAccount) -> None:
    bare = await BareImap.log_in(ann, f"CREATE {'a' * 400}")
    assert await bare.ok(f'LIST "" "{"*a%a" * 200}b"') == [b"OK done"]
    assert await bare.ok(f'LIST "" "{"x" * 2000}"') == [b"OK done"]
    await bare.close()


async def test_create_rename_delete_by_imaplib(empty: SandboxWorld, ann: SandboxAccount) -> None:
    async with imaplib_client(ann) as client:
        await client("create", "One/Two/Three")
        await client("append", "One/Two", None, None, mail("kept"))
        assert "exists" in await client.refused("create", "One")
        assert "below" in await client.refused("delete", "One")
        assert "INBOX" in await client.refused("delete", "INBOX")
        assert "no mailbox" in await client.refused("delete", "Nowhere")
        assert "no mailbox" in await client.refused("rename", "Nowhere", "Somewhere")
        assert "itself" in await client.refused("rename", "One", "One/Deep")
        assert "exists" in await client.refused("rename", "One", "Sent")
        before = empty.store_of(ann.email).mailbox("One/Two")
        await client("rename", "One", "Uno/Nested")
        after = empty.store_of(ann.email).mailbox("Uno/Nested/Two")
        assert after is before
        assert {box.path for box in empty.store_of(ann.email).mailboxes() if "no" in box.path} == {
            "Uno",
            "Uno/Nested",
            "Uno/Nested/Two",
            "Uno/Nested/Two/Three",
        }
        await client("append", "INBOX", None, None, mail("moved away"))
        await client("rename", "INBOX", "Old")
        assert await client("select", "INBOX") == [b"0"]
        assert await client("select", "Old") == [b"1"]
        await client("delete", "Uno/Nested/Two/Three")
        assert "cannot be" in await client.refused("create", "a//b")


async def test_create_with_a_special_use(ann: SandboxAccount) -> None:
    bare = await BareImap.log_in(ann)
    assert (await bare.ok("CREATE Everything (USE (\\All))"))[-1].startswith(b"OK [MAILBOXID (F")
    assert b'* LIST (\\All \\HasNoChildren) "/" Everything' in await bare.ok('LIST "" *')
    assert (await bare.command("CREATE More (USE (\\Sent))"))[-1].startswith(b"NO [USEATTR]")
    assert (await bare.command("CREATE More (USE (\\Nonsense))"))[-1].startswith(b"NO [USEATTR]")
    await bare.close()


async def test_select_and_examine_by_imaplib(world: SandboxWorld) -> None:
    ann = world.accounts[0]
    inbox = world.store_of(ann.email).mailbox("INBOX")
    async with imaplib_client(ann) as client:
        assert await client("select") == [str(len(inbox)).encode()]
        assert client.response("UIDVALIDITY") == [str(inbox.uidvalidity).encode()]
        assert client.response("UIDNEXT") == [str(len(inbox) + 1).encode()]
        assert client.response("HIGHESTMODSEQ") == [str(inbox.highestmodseq).encode()]
        assert client.response("RECENT") == [b"0"]
        assert set(client.response("PERMANENTFLAGS")[0].strip(b"()").split()) >= {b"\\*", b"\\Seen", b"\\Deleted"}
        assert client.response("READ-WRITE") == [b""]
        await client("select", "INBOX", True)
        assert client.response("READ-ONLY") == [b""]
        assert "reading only" in await client.refused("store", "1", "+FLAGS", "(\\Seen)")
        await client("unselect")
        assert "no mailbox" in await client.refused("select", "Nowhere")


async def test_status_by_imaplib(world: SandboxWorld) -> None:
    ann = world.accounts[0]
    inbox = world.store_of(ann.email).mailbox("INBOX")
    unseen = sum("\\Seen" not in message.flags for message in inbox)
    size = sum(len(message.raw) for message in inbox)
    async with imaplib_client(ann) as client:
        [status] = await client("status", "INBOX", "(MESSAGES UNSEEN DELETED SIZE RECENT APPENDLIMIT MAILBOXID)")
        assert (
            status
            == (
                f"INBOX (MESSAGES {len(inbox)} RECENT 0 UNSEEN {unseen} DELETED 0 SIZE {size} "
                f"APPENDLIMIT {MAX_LITERAL_BYTES} MAILBOXID ({inbox.mailbox_id}))"
            ).encode()
        )
        [status] = await client("status", "INBOX", "(UIDNEXT UIDVALIDITY HIGHESTMODSEQ)")
        expected = f"UIDNEXT {inbox.uidnext} UIDVALIDITY {inbox.uidvalidity} HIGHESTMODSEQ {inbox.highestmodseq}"
        assert status == f"INBOX ({expected})".encode()
        assert "no mailbox" in await client.refused("status", "Nowhere", "(MESSAGES)")


async def test_close_expunges_and_unselect_does_not(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in ("a", "b"):
        store.append("INBOX", mail(subject), ["\\Deleted"])
    async with imaplib_client(ann) as client:
        await client("select")
        await client("unselect")
        await client("select", "INBOX", True)
        await client("close")
        assert len(store.mailbox("INBOX")) == 2
        await client("select")
        await client("close")
        assert len(store.mailbox("INBOX")) == 0


def test_a_new_life_has_new_uidvalidities() -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    lives = [
        SandboxWorld(empty=True, clock=lambda: moment),
        SandboxWorld(empty=True, clock=lambda: moment + timedelta(milliseconds=300)),
    ]
    first, second = ({box.path: box for box in world.store_of("ann@sandbox.test").mailboxes()} for world in lives)
    assert first.keys() == second.keys()
    assert all(first[path].uidvalidity < second[path].uidvalidity for path in first)
    ids = [box.mailbox_id for boxes in (first, second) for box in boxes.values()]
    assert len(set(ids)) == len(ids)


async def test_names_in_broken_encoding_do_not_exist(ann: SandboxAccount) -> None:
    bare = await BareImap.log_in(ann)
    assert (await bare.command('SELECT "&broken"'))[-1].startswith(b"NO [NONEXISTENT]")
    assert (await bare.command('CREATE "&broken"'))[-1].startswith(b"NO [CANNOT]")
    assert (await bare.command("STARTTLS"))[-1].startswith(b"BAD")
    assert (await bare.command('XLIST "" *'))[-1].startswith(b"BAD")
    assert (await bare.command("SELECT INBOX (QRESYNC (1 1))"))[-1].startswith(b"BAD")
    await bare.close()
