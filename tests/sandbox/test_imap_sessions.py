"""Several sessions at once: who hears what, and when; IDLE; limits."""

from __future__ import annotations

import asyncio
import time

from mailquay.sandbox.imap_server import ImapLimits
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import BareImap, in_thread, mail, send_mail

_AT_ONCE_SECONDS = 1.0
"""News by IDLE take a few milliseconds; a loaded machine may take longer."""


async def test_idle_hears_of_mail_flags_and_expunges_at_once(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    store.append("INBOX", mail("old"))
    watcher = await BareImap.log_in(ann, "SELECT INBOX")
    tag = await watcher.send("IDLE")
    assert await watcher.line() == b"+ idling"
    began = time.perf_counter()
    assert await in_thread(send_mail, empty.accounts[1], [ann.email], mail("new")) == {}
    assert await watcher.line() == b"* 2 EXISTS"
    assert time.perf_counter() - began < _AT_ONCE_SECONDS
    other = await BareImap.log_in(ann, "SELECT INBOX")
    await other.ok("STORE 1 +FLAGS (\\Seen)")
    assert await watcher.line() == b"* 1 FETCH (UID 1 FLAGS (\\Seen))"
    await other.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    assert [await watcher.line(), await watcher.line()] == [
        b"* 1 FETCH (UID 1 FLAGS (\\Deleted \\Seen))",
        b"* 2 FETCH (UID 2 FLAGS (\\Deleted))",
    ]
    await other.ok("EXPUNGE")
    assert [await watcher.line(), await watcher.line()] == [b"* 2 EXPUNGE", b"* 1 EXPUNGE"]
    await watcher.raw(b"DONE\r\n")
    assert await watcher.finish(tag) == [f"{tag} OK done".encode()]
    store.append("INBOX", mail("later"))
    assert await watcher.ok("NOOP") == [b"* 1 EXISTS", b"OK done"]
    await watcher.close()
    await other.close()


async def test_idle_ends_with_done_alone(ann: SandboxAccount) -> None:
    client = await BareImap.log_in(ann)
    tag = await client.send("IDLE")
    assert await client.line() == b"+ idling"
    await client.raw(b"NOOP\r\n")
    assert (await client.finish(tag))[-1].startswith(f"{tag} BAD".encode())
    assert await client.ok("NOOP") == [b"OK done"]
    await client.close()


async def test_numbers_stand_while_a_command_uses_them(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abc":
        store.append("INBOX", mail(subject))
    one, two = [await BareImap.log_in(ann, "SELECT INBOX") for _ in range(2)]
    await two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await two.ok("EXPUNGE") == [b"* 1 EXPUNGE", b"OK done"]
    # By sequence number: the first message is readable as it was, and no EXPUNGE comes in between.
    lines = await one.ok("FETCH 1:3 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert [line[:19] for line in lines[:-1]] == [
        b"* 1 FETCH (UID 1 BO",
        b"* 2 FETCH (UID 2 BO",
        b"* 3 FETCH (UID 3 BO",
    ]
    assert (await one.command("STORE 1 +FLAGS (\\Seen)"))[-1].startswith(b"NO [EXPUNGEISSUED]")
    assert await one.ok("SEARCH ALL") == [b"* SEARCH 2 3", b"OK done"]
    # Still no EXPUNGE after new mail, which may be told; the count includes the message that is gone.
    store.append("INBOX", mail("d"))
    assert await one.ok("SEARCH UID 4") == [b"* SEARCH", b"* 4 EXISTS", b"OK done"]
    # By UID: messages that are gone are passed over, and then one hears of it.
    assert await one.ok("UID FETCH 1:2 FLAGS") == [b"* 2 FETCH (UID 2 FLAGS ())", b"* 1 EXPUNGE", b"OK done"]
    assert await one.ok("FETCH 1 UID") == [b"* 1 FETCH (UID 2)", b"OK done"]
    await one.close()
    await two.close()


async def test_own_silent_changes_are_no_news_and_those_of_others_are(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("INBOX", mail("a"))
    one, two = [await BareImap.log_in(ann, "SELECT INBOX") for _ in range(2)]
    assert await one.ok("STORE 1 +FLAGS.SILENT (\\Seen)") == [b"OK done"]
    assert await one.ok("NOOP") == [b"OK done"]
    assert await two.ok("NOOP") == [b"* 1 FETCH (UID 1 FLAGS (\\Seen))", b"OK done"]
    assert await two.ok("NOOP") == [b"OK done"]
    await two.ok("ENABLE CONDSTORE")
    await one.ok("STORE 1 -FLAGS (\\Seen)")
    assert await two.ok("NOOP") == [b"* 1 FETCH (UID 1 FLAGS () MODSEQ (4))", b"OK done"]
    await one.close()
    await two.close()


async def test_moves_between_sessions(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abcd":
        store.append("INBOX", mail(subject))
    one, two = await BareImap.log_in(ann, "SELECT INBOX"), await BareImap.log_in(ann, "SELECT Archive")
    lines = await one.ok("MOVE 2:3 Archive")
    validity = store.mailbox("Archive").uidvalidity
    assert lines[0].startswith(f"* OK [COPYUID {validity} 2:3 1:2]".encode())
    assert lines[1:] == [b"* 3 EXPUNGE", b"* 2 EXPUNGE", b"OK moved"]
    assert await two.ok("NOOP") == [b"* 2 EXISTS", b"OK done"]
    await one.close()
    await two.close()


async def test_a_mailbox_deleted_under_a_session_runs_empty(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("Archive", mail("a"))
    one, two = await BareImap.log_in(ann, "SELECT Archive"), await BareImap.log_in(ann)
    await two.ok("DELETE Archive")
    assert await one.ok("NOOP") == [b"* 1 EXPUNGE", b"OK done"]
    lines = await one.command("SELECT Archive")
    assert lines[0].startswith(b"* OK [CLOSED]")
    assert lines[-1].startswith(b"NO [NONEXISTENT]")
    await two.ok("CREATE Archive")
    await one.ok("SELECT Archive")
    await one.close()
    await two.close()


async def test_pipelined_commands_are_answered_in_order(world: SandboxWorld) -> None:
    ann = world.accounts[0]
    client = await BareImap.log_in(ann)
    await client.raw(b"x1 SELECT INBOX\r\nx2 UID FETCH 1:* (FLAGS BODY.PEEK[])\r\nx3 NOOP\r\nx4 LOGOUT\r\n")
    lines = await client.finish("x4")
    ends = [line[:5] for line in lines if line[:1] == b"x"]
    assert ends == [b"x1 OK", b"x2 OK", b"x3 OK", b"x4 OK"]
    assert sum(b" FETCH (" in line for line in lines) == len(world.store_of(ann.email).mailbox("INBOX"))
    assert await client.line() == b""
    await client.close()


async def test_limits() -> None:
    limits = ImapLimits(sessions=1, login_seconds=0.2, idle_seconds=0.3, bad_commands=2)
    world = SandboxWorld(empty=True, imap_limits=limits)
    await world.start()
    ann = world.accounts[0]
    stranger = await BareImap.open(ann)
    reader, writer = await asyncio.open_connection(ann.imap_host, ann.imap_port)
    assert (await reader.read()).startswith(b"* BYE [LIMIT]")
    writer.close()
    assert (await stranger.line()).startswith(b"* BYE")
    await stranger.close()
    fool = await BareImap.open(ann)
    for _ in range(3):
        await fool.command("NONSENSE")
    assert (await fool.line()).startswith(b"* BYE")
    await fool.close()
    sleeper = await BareImap.log_in(ann)
    await sleeper.send("IDLE")
    assert await sleeper.line() == b"+ idling"
    assert (await sleeper.line()).startswith(b"* BYE")
    await sleeper.close()
    flood = await BareImap.log_in(ann)
    await flood.raw(b"x" * 70_000)
    assert (await flood.line()).startswith(b"* BYE")
    await flood.close()
    await world.stop()


async def test_stopping_says_good_bye(ann: SandboxAccount, empty: SandboxWorld) -> None:
    idle = await BareImap.log_in(ann, "SELECT INBOX")
    await idle.send("IDLE")
    assert await idle.line() == b"+ idling"
    await empty.stop()
    assert (await idle.line()).startswith(b"* BYE [UNAVAILABLE]")
    assert await idle.line() == b""
    await idle.close()
