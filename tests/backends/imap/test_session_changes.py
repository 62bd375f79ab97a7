"""What a session can learn of changes: QRESYNC, NOTIFY, quota, mailbox ids; on the sandbox's server and on Dovecot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from mailquay.backends.imap import session_opening
from mailquay.backends.imap.account_watch import ImapAccountWatch
from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import FlagChange, FlagState, MailboxNews, MailboxNewsKind, OpenedMailbox
from mailquay.errors import MessageTooLarge, Unsupported
from mailquay.model.account import ImapSettings
from mailquay.model.mailbox_state import KnownState, MailboxQuota, UidRanges
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.imap_capabilities import EVERYTHING, GMAIL, PLAIN, USUAL
from mailquay.sandbox.imap_notify import MAX_PENDING
from mailquay.sandbox.world import SandboxWorld
from tests.backends.imap.scripted_server import Expect, Hang, ScriptedServer, Send, Step
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import MAX_MESSAGE_BYTES, Cyrus
from tests.servers.dovecot import Dovecot

OPTIONS = ImapOptions(
    connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={"name": "mailquay"}
)
WAIT_SECONDS = 20.0


def message(subject: str, body: str = "x") -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\n{body}\r\n".encode()


@dataclass
class Place:
    """A mailbox owner on some server, and how to reach it."""

    backend: ImapBackend

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[ImapSession]:
        session = await self.backend.open_session()
        try:
            yield session
        finally:
            await session.close()

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[ImapAccountWatch]:
        watch = await self.backend.open_watch("INBOX", everywhere=True)
        assert isinstance(watch, ImapAccountWatch)
        try:
            await watch.start()
            yield watch
        finally:
            await watch.close()


def place(host: str, port: int, user: str, password: str, options: ImapOptions = OPTIONS) -> Place:
    settings = ImapSettings(host=host, port=port, user=user, password=password, tls={"disabled": True})
    return Place(ImapBackend(settings, options))


@contextlib.asynccontextmanager
async def sandbox(
    capabilities: frozenset[str] = USUAL, options: ImapOptions = OPTIONS, **more: int
) -> AsyncIterator[tuple[SandboxWorld, Place]]:
    """A world without mail, and its first user."""
    world = SandboxWorld(empty=True, imap_capabilities=capabilities, **more)  # type: ignore[arg-type]
    await world.start()
    ann = world.accounts[0]
    yield world, place(ann.imap_host, ann.imap_port, ann.user, ann.password, options)
    await world.stop()


@pytest.fixture(params=["sandbox", pytest.param("dovecot", marks=pytest.mark.server)])
async def anywhere(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """The same owner on the sandbox's server and on a real one."""
    if request.param == "sandbox":
        async with sandbox() as (_, there):
            yield there
    else:
        server: Dovecot = request.getfixturevalue("dovecot")
        user = server.new_user()
        yield place(server.host, server.imap_port, user.login, user.password)


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def append(session: ImapSession, path: str, *subjects: str) -> list[int]:
    uids = []
    for subject in subjects:
        appended = await session.append(path, body(message(subject)), len(message(subject)))
        assert appended.uid is not None
        uids.append(appended.uid)
    return uids


def known(opened: OpenedMailbox, uids: str | None = None) -> KnownState:
    assert opened.uidvalidity is not None and opened.highestmodseq is not None
    return KnownState(opened.uidvalidity, opened.highestmodseq, uids)


async def news_of(watch: ImapAccountWatch, kind: MailboxNewsKind, path: str) -> MailboxNews:
    """The next news of that kind about that mailbox."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            for news in await watch.next_news():
                if (news.kind, news.path) == (kind, path):
                    return news


# QRESYNC


async def test_opening_with_a_known_state_tells_the_difference(anywhere: Place) -> None:
    async with anywhere.session() as session, anywhere.session() as other:
        uids = await append(session, "INBOX", *"abcde")
        opened = await session.open_mailbox("INBOX")
        assert opened.changes is None
        before = known(opened)
        await other.open_mailbox("INBOX", writable=True)
        await other.store_flags(str(uids[3]), FlagChange.ADD, ["\\Flagged"])
        await other.expunge(f"{uids[0]},{uids[2]}")
        [new] = await append(other, "INBOX", "f")
        after = await session.open_mailbox("INBOX", since=before)
        assert after.changes is not None
        changed = {state.uid: state for state in after.changes.changed}
        assert set(changed) == {uids[3], new}
        assert changed[uids[3]].flags == ("\\Flagged",)
        assert (changed[new].modseq or 0) > before.highestmodseq
        assert after.changes.vanished.among(uids) == [uids[0], uids[2]]
        again = await session.open_mailbox("INBOX", since=known(after))
        assert again.changes is not None
        assert not again.changes.changed
        assert again.changes.vanished.among([*uids, new]) == []


async def test_only_known_uids_are_told_of(anywhere: Place) -> None:
    async with anywhere.session() as session:
        uids = await append(session, "INBOX", *"abc")
        before = known(await session.open_mailbox("INBOX", writable=True), f"{uids[1]}:{uids[2]}")
        await session.store_flags(f"{uids[0]}:{uids[1]}", FlagChange.ADD, ["\\Seen"])
        await session.expunge(str(uids[2]))
        changes = (await session.open_mailbox("INBOX", since=before)).changes
        assert changes is not None
        assert [state.uid for state in changes.changed] == [uids[1]]
        assert changes.vanished.among(uids) == [uids[2]]


async def test_a_state_of_another_uidvalidity_is_of_no_use(anywhere: Place) -> None:
    async with anywhere.session() as session:
        await append(session, "INBOX", "a")
        before = known(await session.open_mailbox("INBOX"))
        old = KnownState(before.uidvalidity - 1, before.highestmodseq)
        assert (await session.open_mailbox("INBOX", since=old)).changes is None


async def test_changes_of_the_open_mailbox_come_in_batches(anywhere: Place) -> None:
    async with anywhere.session() as session, anywhere.session() as other:
        uids = await append(session, "INBOX", *"abcd")
        before = known(await session.open_mailbox("INBOX"))
        with pytest.raises(Unsupported):
            await anext(aiter(session.fetch_changes("1:*", changed_since=before.highestmodseq)))
        await session.open_mailbox("INBOX", since=before)
        await other.open_mailbox("INBOX", writable=True)
        await other.store_flags(str(uids[1]), FlagChange.SET, ["\\Seen"])
        await other.expunge(str(uids[3]))
        batches = [batch async for batch in session.fetch_changes("1:*", changed_since=before.highestmodseq)]
        changed = [state for batch in batches for state in batch.changed]
        assert [(state.uid, state.flags) for state in changed] == [(uids[1], ("\\Seen",))]
        assert any(uids[3] in batch.vanished for batch in batches)


async def test_commands_go_on_as_before_once_qresync_is_enabled(anywhere: Place) -> None:
    async with anywhere.session() as session:
        uids = await append(session, "INBOX", *"abcd")
        before = known(await session.open_mailbox("INBOX"))
        await session.open_mailbox("INBOX", writable=True, since=before)
        moved = await session.move(str(uids[0]), "Archive")
        assert moved is not None and list(moved.uids) == [uids[0]]
        await session.expunge(str(uids[1]))
        assert await session.uids() == uids[2:]
        assert [state.uid for batch in [b async for b in session.fetch_flags("1:*")] for state in batch] == uids[2:]


async def test_more_changes_than_fit_are_left_to_be_asked_for(anywhere: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_opening, "_MOST_TOLD", 12)
    async with anywhere.session() as session:
        before = known(await session.open_mailbox("INBOX"))
        await append(session, "INBOX", *"abcdefghijkl")
        told = await session.open_mailbox("INBOX", since=before)
        assert told.changes is not None and len(told.changes.changed) == 12
        await append(session, "INBOX", "m")
        opened = await session.open_mailbox("INBOX", since=before)
        assert (opened.messages, opened.uidvalidity, opened.changes) == (13, told.uidvalidity, None)
        assert len(await session.uids()) == 13


@pytest.mark.parametrize("trouble", ["not offered", "refused", "silently off"])
async def test_without_qresync_the_mailbox_is_opened_all_the_same(trouble: str) -> None:
    async with sandbox(USUAL - {"QRESYNC"} if trouble == "not offered" else USUAL) as (world, there):
        if trouble == "refused":
            world.imap_faults.on("ENABLE", ImapAction.BAD)
        async with there.session() as session:
            if trouble == "silently off":
                world.imap_faults.missing.add("QRESYNC")
            opened = await session.open_mailbox("INBOX")
            opened = await session.open_mailbox("INBOX", since=known(opened))
            assert (opened.path, opened.changes) == ("INBOX", None)


# NOTIFY


async def test_a_watch_hears_of_every_mailbox(anywhere: Place) -> None:
    async with anywhere.watch() as watch, anywhere.session() as session:
        [uid] = await append(session, "INBOX", "a")
        news = await news_of(watch, MailboxNewsKind.MESSAGES, "INBOX")
        assert news.evidence is not None
        assert (news.evidence.messages, news.evidence.uidnext) == (1, uid + 1)
        await session.open_mailbox("INBOX", writable=True)
        await session.store_flags(str(uid), FlagChange.ADD, ["\\Flagged"])
        news = await news_of(watch, MailboxNewsKind.MESSAGES, "INBOX")
        assert news.evidence is not None and news.evidence.highestmodseq is not None
        await session.create_mailbox("Entwürfe & mehr")
        await news_of(watch, MailboxNewsKind.APPEARED, "Entwürfe & mehr")
        await append(session, "Entwürfe & mehr", "b")
        await news_of(watch, MailboxNewsKind.MESSAGES, "Entwürfe & mehr")
        await session.delete_mailbox("Entwürfe & mehr")
        await news_of(watch, MailboxNewsKind.REMOVED, "Entwürfe & mehr")


async def test_a_rename_names_both_paths() -> None:
    async with sandbox() as (_, there), there.watch() as watch, there.session() as session:
        await session.rename_mailbox("Archive", "Old")
        news = await news_of(watch, MailboxNewsKind.APPEARED, "Old")
        assert news.old_path == "Archive"


async def test_news_goes_on_when_idle_is_renewed() -> None:
    options = ImapOptions(
        connect_seconds=10, command_seconds=20, idle_restart_seconds=0.05, poll_seconds=1, client_id={"name": "x"}
    )
    async with sandbox(options=options) as (world, there), there.watch() as watch:
        store = world.store_of(world.accounts[0].email)
        for number in range(20):
            store.append("INBOX", message(str(number)))
            news = await news_of(watch, MailboxNewsKind.MESSAGES, "INBOX")
            assert news.evidence is not None and news.evidence.messages == number + 1


async def test_after_too_much_news_the_watch_says_so_and_listens_again() -> None:
    async with sandbox() as (world, there), there.watch() as watch:
        store = world.store_of(world.accounts[0].email)
        for number in range(MAX_PENDING + 1):
            store.unsubscribe(f"gone{number}")
        await news_of(watch, MailboxNewsKind.LOST, "")
        store.append("INBOX", message("a"))
        await news_of(watch, MailboxNewsKind.MESSAGES, "INBOX")


async def test_a_server_that_knows_fewer_events_is_asked_for_fewer() -> None:
    async with sandbox() as (world, there):
        world.imap_faults.on("NOTIFY", ImapAction.NO, times=2, code="BADEVENT")
        async with there.watch() as watch:
            world.store_of(world.accounts[0].email).append("INBOX", message("a"))
            await news_of(watch, MailboxNewsKind.MESSAGES, "INBOX")


@pytest.mark.parametrize("capabilities", [PLAIN, USUAL - {"IDLE"}], ids=["without NOTIFY", "without IDLE"])
async def test_where_nobody_tells_one_mailbox_is_watched(capabilities: frozenset[str]) -> None:
    async with sandbox(capabilities) as (_, there):
        watch = await there.backend.open_watch("INBOX", everywhere=True)
        assert (watch.path, watch.everywhere) == ("INBOX", False)
        await watch.close()


async def test_a_refused_notify_is_told_as_unsupported() -> None:
    async with sandbox() as (world, there):
        world.imap_faults.on("NOTIFY", ImapAction.NO)
        with pytest.raises(Unsupported, match="refuses NOTIFY"):
            async with there.watch():
                pass


# Quota, ids, labels


async def test_quota() -> None:
    async with sandbox(quota_bytes=100 * 1024) as (_, there), there.session() as session:
        await append(session, "INBOX", "a")
        assert await session.quota() == MailboxQuota(used_bytes=1024, limit_bytes=100 * 1024)
    async with sandbox(USUAL - {"QUOTA"}) as (_, there), there.session() as session:
        assert await session.quota() is None


@pytest.mark.server
async def test_quota_of_dovecot(authority: Authority) -> None:
    require_server("dovecot")
    with Dovecot(authority, user_count=1, quota="100K") as server:
        user = server.new_user()
        await server.deliver(user.login, message("a", "x" * 20_000))
        async with place(server.host, server.imap_port, user.login, user.password).session() as session:
            quota = await session.quota()
    assert quota is not None and quota.limit_bytes == 100 * 1024
    assert quota.used_bytes is not None and 20_000 <= quota.used_bytes <= 30_000


async def test_mailboxes_keep_their_ids_when_renamed() -> None:
    async with sandbox() as (_, there), there.session() as session:
        ids = {box.path: box.mailbox_id for box in await session.list_mailboxes()}
        assert all(ids.values()) and len(set(ids.values())) == len(ids)
        assert (await session.open_mailbox("Archive")).mailbox_id == ids["Archive"]
        await session.rename_mailbox("Archive", "Old")
        assert {box.path: box.mailbox_id for box in await session.list_mailboxes()}["Old"] == ids["Archive"]


async def test_where_no_list_brings_ids_there_are_none() -> None:
    async with sandbox() as (world, there), there.session() as session:
        world.imap_faults.on("LIST", ImapAction.BAD)
        assert {box.mailbox_id for box in await session.list_mailboxes()} == {None}
    async with sandbox(PLAIN) as (_, there), there.session() as session:
        assert {box.mailbox_id for box in await session.list_mailboxes()} == {None}


_COUNTERS = r"\(MESSAGES UIDNEXT UIDVALIDITY UNSEEN\)"


@pytest.mark.parametrize("refused", [False, True])
async def test_counters_that_no_list_brings_are_asked_for_one_by_one_from_then_on(refused: bool) -> None:
    listed = b'* LIST () "/" INBOX\r\n* LIST () "/" Work\r\n'
    script: list[Step] = [
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1 LIST-EXTENDED LIST-STATUS] ready\r\n"),
        Expect(rf'A1 LIST "" \* RETURN \(STATUS {_COUNTERS}\)'),
        Send(b"A1 BAD what is STATUS?\r\n" if refused else listed + b"A1 OK done\r\n"),
    ]
    for number, path in enumerate(["INBOX", "Work", "INBOX", "Work"], start=2):
        script.append(Expect(f"A{number} STATUS {path} {_COUNTERS}"))
        answer = f"* STATUS {path} (MESSAGES {number} UIDNEXT 9 UIDVALIDITY 7 UNSEEN 0)\r\nA{number} OK done\r\n"
        script.append(Send(answer.encode()))
    script += [Expect(r'A6 LIST "" \* RETURN \(SUBSCRIBED\)'), Send(listed + b"A6 OK done\r\n"), Hang()]
    async with ScriptedServer(*script) as server:
        connection = await ImapConnection.open(await server.connect())
        session = ImapSession(connection)
        for first in (2, 4):
            counted = await session.status(["INBOX", "Work"])
            assert {path: seen.messages for path, seen in counted.items()} == {"INBOX": first, "Work": first + 1}
        mailboxes, counters = await session.survey()
        assert ([box.path for box in mailboxes], counters) == (["INBOX", "Work"], None)
        await connection.aclose()


async def test_gmail_labels_are_read_and_changed() -> None:
    async with sandbox(GMAIL) as (world, there), there.session() as session:
        world.store_of(world.accounts[0].email).append("INBOX", message("a"))
        await session.open_mailbox("[Gmail]/All Mail", writable=True)
        [[entry]] = [batch async for batch in session.fetch_identifiers("1:*")]
        assert entry.labels == ("\\Inbox",)
        assert entry.email_id is not None and entry.email_id.isdigit()
        states = await session.store_flags("1", FlagChange.ADD, ["Work"], labels=True)
        assert [(state.uid, state.labels) for state in states] == [(1, None)]
        [[state]] = [batch async for batch in session.fetch_flags("1")]
        assert state == FlagState(1, (), state.modseq, ("Work", "\\Inbox"))


# APPENDLIMIT


async def must_not_be_read() -> AsyncIterator[bytes]:
    raise AssertionError("the body was asked for")
    yield b""


async def too_large(session: ImapSession, limit_bytes: int) -> None:
    with pytest.raises(MessageTooLarge, match=f"{limit_bytes + 1} bytes.* {limit_bytes} bytes"):
        await session.append("INBOX", must_not_be_read(), limit_bytes + 1)
    await session.noop()


@pytest.mark.parametrize("own", [False, True], ids=["the server's", "the mailbox's"])
async def test_a_message_above_the_limit_is_not_sent(own: bool) -> None:
    async with sandbox() as (world, there):
        world.imap_faults.append_limit = len(message("a")) - 1
        if own:
            world.imap_faults.missing.add(f"APPENDLIMIT={len(message('a')) - 1}")
            world.imap_faults.extra.add("APPENDLIMIT")
        async with there.session() as session:
            await too_large(session, len(message("a")) - 1)
            world.imap_faults.append_limit = len(message("a"))
            if own:
                await append(session, "INBOX", "a")
                world.imap_faults.on("STATUS", ImapAction.NO)
                await append(session, "INBOX", "a")


@pytest.mark.server
async def test_a_message_above_the_limit_is_not_sent_to_a_real_server(cyrus: Cyrus) -> None:
    user = cyrus.new_user()
    async with place(cyrus.host, cyrus.imap_port, user.login, user.password).session() as session:
        await append(session, "INBOX", "a")
        await too_large(session, MAX_MESSAGE_BYTES)


# COMPRESS


async def test_a_compressed_session(anywhere: Place) -> None:
    async with anywhere.session() as plain:
        await append(plain, "INBOX", "a")
    compressed = ImapOptions(
        connect_seconds=10,
        command_seconds=20,
        idle_restart_seconds=60,
        poll_seconds=1,
        client_id={"name": "mailquay"},
        compress=True,
    )
    settings = anywhere.backend._settings
    if settings.user is not None and settings.user.endswith("sandbox.test"):
        async with sandbox(EVERYTHING, compressed) as (_, there):
            await use_compressed(there)
    else:
        await use_compressed(Place(ImapBackend(settings, compressed)))


async def use_compressed(there: Place) -> None:
    async with there.session() as session:
        assert session._connection.info("compression") == "DEFLATE"
        large = message("large", "zero " * 200_000)
        appended = await session.append("INBOX", body(large), len(large))
        assert appended.uid is not None
        await session.open_mailbox("INBOX")
        pieces = [piece async for piece in session.stream_section(appended.uid, "")]
        assert b"".join(pieces) == large


async def test_where_compression_is_not_offered_or_refused_the_session_is_plain() -> None:
    compressed = ImapOptions(
        connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={}, compress=True
    )
    async with sandbox(USUAL, compressed) as (_, there), there.session() as session:
        assert session._connection.info("compression") is None
    async with sandbox(EVERYTHING, compressed) as (world, there):
        world.imap_faults.on("COMPRESS", ImapAction.NO, code="COMPRESSIONACTIVE")
        async with there.session() as session:
            assert session._connection.info("compression") is None
            await session.noop()


# Ranges


def test_ranges_of_uids() -> None:
    ranges = UidRanges(((2, 4), (9, 9), (20, 4_000_000_000)))
    assert [uid for uid in (1, 2, 4, 5, 9, 10, 19, 20, 3_999_999_999) if uid in ranges] == [2, 4, 9, 20, 3_999_999_999]
    assert ranges.among([30, 3, 1]) == [30, 3]
    assert not UidRanges() and 1 not in UidRanges()
