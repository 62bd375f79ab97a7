"""Each quirk that the sandbox's server can play makes its leniency necessary, and costs our client nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap import own_search
from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import FlagChange, SearchTerms
from mailquay.errors import CommandRejected, PartUnavailable, Unsupported
from mailquay.model.account import ImapSettings
from mailquay.model.mailbox_state import KnownState
from mailquay.model.message import IndexEntry
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.imap_quirks import QUIRKS
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from mailquay.wire.imap.leniency import Leniency
from tests.sandbox.clients import mail

OPTIONS = ImapOptions(
    connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={"name": "mailquay"}
)
RICH = (
    b"From: Ann Archer <ann@sandbox.test>\r\nSender: Bob <bob@sandbox.test>\r\nTo: c@sandbox.test\r\n"
    b"Subject: rich\r\nMessage-ID: <rich@sandbox.test>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b1"\r\n\r\n'
    b'--b1\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\nhello\r\n'
    b'--b1\r\nContent-Type: application/pdf; name="a.pdf"\r\n'
    b'Content-Disposition: attachment; filename="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n'
    b"--b1--\r\n"
)
WITHOUT_ENVELOPE = {Leniency.ENVELOPE_EMPTY, Leniency.MESSAGE_ISOLATED}
WITHOUT_UIDVALIDITY = {Leniency.UIDVALIDITY_ZERO}


def backend(account: SandboxAccount) -> ImapBackend:
    settings = ImapSettings(
        host=account.imap_host,
        port=account.imap_port,
        user=account.user,
        password=account.password,
        tls={"disabled": True},
    )
    return ImapBackend(settings, OPTIONS)


@contextlib.asynccontextmanager
async def session_of(account: SandboxAccount) -> AsyncIterator[ImapSession]:
    session = await backend(account).open_session()
    try:
        yield session
    finally:
        await session.close()


async def entries(session: ImapSession, uids: str = "1:*") -> list[IndexEntry]:
    return [entry async for batch in session.fetch_envelopes(uids) for entry in [*batch]]


def test_every_leniency_can_be_played() -> None:
    assert set(QUIRKS) == set(Leniency)


@pytest.mark.parametrize("leniency", list(Leniency), ids=lambda leniency: leniency.value)
async def test_a_quirk_needs_its_leniency_and_nothing_else(
    empty: SandboxWorld, ann: SandboxAccount, leniency: Leniency
) -> None:
    store = empty.store_of(ann.email)
    store.create("Entwürfe & mehr")
    for raw in (mail("plain"), RICH):
        store.append("INBOX", raw)
    empty.imap_faults.quirks.add(leniency)
    async with session_of(ann) as session:
        assert "Entwürfe & mehr" in {box.path for box in await session.list_mailboxes()}
        assert (await session.status(["Sent"]))["Sent"].messages == 0
        assert (await session.open_mailbox("Entwürfe & mehr")).messages == 0
        opened = await session.open_mailbox("INBOX", writable=True)
        assert (opened.messages, opened.uidnext) == (2, 3)
        assert (opened.uidvalidity is None) is (leniency in WITHOUT_UIDVALIDITY)
        found = await entries(session)
        assert [entry.uid for entry in found] == [1, 2]
        assert all((entry.envelope is None) is (leniency in WITHOUT_ENVELOPE) for entry in found)
        assert all((entry.error is None) is (leniency is not Leniency.MESSAGE_ISOLATED) for entry in found)
        copied = await session.copy("1", "Archive")
        assert copied is not None and dict(copied.uids) == {1: 1}
        needed = set(session._connection.leniencies)
    watch = await backend(ann).open_watch("INBOX")
    await watch.start()
    store.append("INBOX", mail("new"))
    assert await watch.next_news()
    needed |= watch._connection.leniencies
    await watch.close()
    assert needed == {leniency}


# What is no matter of the grammar


@pytest.mark.parametrize(
    "missing",
    ["", "MESSAGELIMIT=3", "MESSAGELIMIT=3 MOVE", "UIDPLUS MOVE", "MESSAGELIMIT=3 UIDPLUS"],
)
async def test_a_message_limit_hides_nothing(empty: SandboxWorld, ann: SandboxAccount, missing: str) -> None:
    store = empty.store_of(ann.email)
    for number in range(8):
        store.append("INBOX", mail(str(number)))
    empty.imap_faults.message_limit = 3
    empty.imap_faults.missing.update(missing.split())
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX", writable=True)
        assert await session.uids() == list(range(1, 9))
        assert sorted(entry.uid for entry in await entries(session)) == list(range(1, 9))
        assert await session.search(SearchTerms(text={"subject": "2"})) == [3]
        states = await session.store_flags("1:*", FlagChange.ADD, ["\\Seen"])
        assert sorted(state.uid for state in states) == list(range(1, 9))
        assert sorted(await session.fetch_sections("1:*", ["HEADER"])) == list(range(1, 9))
        copied = await session.copy("1:*", "Archive")
        assert [message.part.headers.text("Subject") for message in store.mailbox("Archive")] == list("01234567")
        moved = await session.move("2:5,8", "Archive")
        assert len(store.mailbox("Archive")) == 13
        if "UIDPLUS" not in missing:
            assert copied is not None and dict(copied.uids) == {uid: uid for uid in range(1, 9)}
            assert moved is not None and sorted(moved.uids) == [2, 3, 4, 5, 8]
        await session.expunge("1:6")
        assert await session.uids() == [7]
        await session.expunge("100:200")


async def test_a_message_limit_hides_no_changes(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    inbox = store.mailbox("INBOX")
    for number in range(8):
        store.append("INBOX", mail(str(number)))
    async with session_of(ann) as session:
        before = await session.open_mailbox("INBOX")
        assert before.uidvalidity is not None and before.highestmodseq is not None
        known = KnownState(before.uidvalidity, before.highestmodseq)
        store.set_flags(inbox, [(message, frozenset(["\\Seen"])) for message in inbox])
        store.expunge(inbox, [message for message in inbox if message.uid in (2, 5)])
        empty.imap_faults.message_limit = 2
        assert (await session.open_mailbox("INBOX", since=known)).changes is None
        batches = [batch async for batch in session.fetch_changes("1:*", changed_since=before.highestmodseq)]
        assert sorted(state.uid for batch in batches for state in batch.changed) == [1, 3, 4, 6, 7, 8]
        assert {uid for uid in range(1, 9) if any(uid in batch.vanished for batch in batches)} == {2, 5}
        empty.imap_faults.message_limit = None
        assert (await session.open_mailbox("INBOX", since=known)).changes is not None


async def test_texts_are_found_where_the_server_refuses_to_look_for_them(
    empty: SandboxWorld, ann: SandboxAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = empty.store_of(ann.email)
    for number, word in enumerate(["apple", "Apple pie", "pear"]):
        raw = f"From: Ann <a{number}@b.test>\r\nSubject: {word}\r\nX-Kind: {number}\r\n\r\nabout {word}\r\n"
        store.append("INBOX", raw.encode(), ["\\Seen"] if number else [])
    empty.imap_faults.texts_refused = True
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        assert await session.search(SearchTerms(text={"subject": "APPLE"})) == [1, 2]
        assert await session.search(SearchTerms(text={"subject": "apple"}, flags={"seen": True})) == [2]
        assert await session.search(SearchTerms(text={"from": "a2@", "subject": "apple"})) == []
        assert await session.search(SearchTerms(headers=[("X-Kind", ""), ("Subject", "pear")])) == [3]
        assert await session.search(SearchTerms(headers=[("X-None", "")])) == []
        assert await session.search(SearchTerms(text={"body": "ABOUT apple"})) == [1, 2]
        assert await session.search(SearchTerms(text={"body": "about", "from": "a2@"})) == [3]
        monkeypatch.setattr(own_search, "_MAX_BODIES", 2)
        assert await session.search(SearchTerms(text={"body": "about"}, uid="1:2")) == [1, 2]
        with pytest.raises(Unsupported, match="3 messages"):
            await session.search(SearchTerms(text={"body": "about"}))
        monkeypatch.setattr(own_search, "_MAX_HEADERS", 2)
        with pytest.raises(Unsupported, match="3 messages"):
            await session.search(SearchTerms(text={"subject": "pear"}))
        empty.imap_faults.on("UID SEARCH", ImapAction.NO, code="SERVERBUG")
        with pytest.raises(CommandRejected):
            await session.search(SearchTerms(text={"subject": "pear"}))


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("missing", ["", "PARTIAL ESEARCH", "MOVE UIDPLUS"])
async def test_a_server_that_knows_uids_alone(
    empty: SandboxWorld, ann: SandboxAccount, missing: str, told: bool
) -> None:
    large = b"Subject: large\r\n\r\n" + b"x" * 200_000
    for raw in (*(mail(str(number)) for number in range(7)), large):
        empty.store_of(ann.email).append("INBOX", raw)
    empty.imap_faults.missing.update(missing.split())
    empty.imap_faults.extra.add("UIDONLY")
    empty.imap_faults.uidonly = True
    async with session_of(ann) as session:
        if told:
            await session._connection.enable("UIDONLY")
        await session.open_mailbox("INBOX", writable=True)
        assert await session.uids() == list(range(1, 9))
        assert [entry.size_bytes for entry in await entries(session)][-1] == len(large)
        assert await session.page(2, 3) == [4, 5, 6]
        assert await session.search(SearchTerms(text={"subject": "2"})) == [3]
        assert b"".join([piece async for piece in session.stream_section(8, "")]) == large
        assert (await session.fetch_sections("8", ["HEADER"]))[8].bodies["HEADER"].startswith(b"Subject: large")
        [state] = await session.store_flags("2", FlagChange.ADD, ["\\Seen"])
        assert (state.uid, state.flags) == (2, ("\\Seen",))
        await session.copy("3", "Archive")
        await session.move("4", "Archive")
        await session.expunge("1,2")
        assert await session.uids() == [3, 5, 6, 7, 8]
        with pytest.raises(Unsupported if told else CommandRejected):
            await session.search(SearchTerms(seq="1"))


@pytest.mark.parametrize("broken", [{3}, {1, 8}, {2, 3, 4}, set(range(1, 8)), set(range(2, 9))], ids=str)
async def test_messages_that_cannot_be_read_are_told_apart(
    empty: SandboxWorld, ann: SandboxAccount, broken: set[int]
) -> None:
    store = empty.store_of(ann.email)
    for number in range(8):
        store.append("INBOX", mail(str(number)))
    empty.imap_faults.unavailable_uids |= broken
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        found = {entry.uid: entry.error for entry in await entries(session)}
        assert {uid for uid, error in found.items() if error is not None} == broken
        assert set(found) == set(range(1, 9))


@pytest.mark.parametrize("messages", [2, 8, 100])
async def test_a_server_that_can_give_no_message_at_all_is_asked_for_none_again(
    empty: SandboxWorld, ann: SandboxAccount, messages: int
) -> None:
    store = empty.store_of(ann.email)
    for number in range(messages):
        store.append("INBOX", mail(str(number)))
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        empty.imap_faults.unavailable_uids |= set(range(1, messages + 1))
        with pytest.raises(PartUnavailable):
            await entries(session)
        empty.imap_faults.unavailable_uids.remove(messages)
        found = [entry async for batch in session.fetch_envelopes("1") for entry in batch]
        assert [(entry.uid, entry.error is None) for entry in found] == [(1, False)]


async def test_a_message_that_is_alone_in_its_mailbox_is_blamed_itself(
    empty: SandboxWorld, ann: SandboxAccount
) -> None:
    empty.store_of(ann.email).append("INBOX", mail("x"))
    empty.imap_faults.unavailable_uids.add(1)
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        assert [(entry.uid, entry.error is None) for entry in await entries(session)] == [(1, False)]


async def test_a_server_that_breaks_down_in_the_middle_of_an_answer_breaks_no_message(
    empty: SandboxWorld, ann: SandboxAccount
) -> None:
    store = empty.store_of(ann.email)
    for number in range(200):
        store.append("INBOX", mail(str(number)))
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        empty.imap_faults.unavailable_uids.add(100)
        empty.imap_faults.on("UID SEARCH", ImapAction.NO, code="UNAVAILABLE", times=None)
        with pytest.raises(PartUnavailable):
            await entries(session)


async def test_a_server_that_refuses_every_fetch_is_believed(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for number in range(100):
        store.append("INBOX", mail(str(number)))
    empty.imap_faults.on("UID FETCH", ImapAction.BAD, times=None)
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        with pytest.raises(CommandRejected):
            await entries(session)
        empty.imap_faults.clear()
        empty.imap_faults.on("UID FETCH", ImapAction.NO, code="NOPERM")
        with pytest.raises(CommandRejected):
            await entries(session)
        assert len(await entries(session)) == 100


async def test_a_search_with_a_charset_is_tried_without(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("INBOX", mail("x", "Grüße\r\n"))
    empty.imap_faults.charset_refused = True
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        assert await session.search(SearchTerms(text={"body": "grüße"})) == [1]
        assert await session.search(SearchTerms(text={"subject": "x"})) == [1]
        empty.imap_faults.on("UID SEARCH", ImapAction.BAD, code="SERVERBUG")
        with pytest.raises(CommandRejected):
            await session.search(SearchTerms(text={"subject": "x"}))


async def test_a_search_that_finds_nothing_where_messages_are(empty: SandboxWorld, ann: SandboxAccount) -> None:
    for subject in "ab":
        empty.store_of(ann.email).append("INBOX", mail(subject))
    empty.imap_faults.search_empty = True
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        assert await session.uids() == [1, 2]
        await session.open_mailbox("Sent")
        assert await session.uids() == []


async def test_uid_expunge_that_is_offered_and_refused(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of(ann.email)
    for subject in "abc":
        store.append("INBOX", mail(subject))
    empty.imap_faults.on("UID EXPUNGE", ImapAction.NO, times=None)
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX", writable=True)
        await session.store_flags("3", FlagChange.ADD, ["\\Deleted"])
        await session.expunge("1")
        assert await session.uids() == [2, 3]
        [[_, marked]] = [batch async for batch in session.fetch_flags("2:3")]
        assert marked.flags == ("\\Deleted",)


async def test_a_fetch_that_fails_over_messages_that_are_gone(empty: SandboxWorld, ann: SandboxAccount) -> None:
    empty.store_of(ann.email).append("INBOX", mail("a"))
    empty.imap_faults.on("UID FETCH", ImapAction.NO, text="Some of the requested messages no longer exist.")
    async with session_of(ann) as session:
        await session.open_mailbox("INBOX")
        assert await entries(session) == []
