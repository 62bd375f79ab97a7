"""The same changes, made while nobody looks, on servers that tell of them in different ways: the same events."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.interface import FlagChange, MailSession
from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName, LoggedEvent
from tests.runtime.harness import SystemClock, TestNode, running_node
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.hoodiecrow import Hoodiecrow
from tests.servers.process import LOOPBACK
from tests.servers.pymap import Pymap

pytestmark = pytest.mark.server
_QUICK = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.5)
_BASE = "IMAP4rev1 LITERAL+ IDLE NAMESPACE UIDPLUS MOVE ENABLE UNSELECT ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE"
_OLD_MS = 1_000_000_000_000
_TOLD = frozenset(EventName) - {
    EventName.ACCOUNT_ADDED,
    EventName.ACCOUNT_INITIALIZED,
    EventName.AUTHENTICATION_SUCCESS,
}


@contextmanager
def _dovecot(authority: Authority, capability: str | None = None) -> Iterator[ImapSettings]:
    require_server("dovecot")
    with Dovecot(authority, user_count=1, capability=capability) as server:
        yield _plainly(server.host, server.imap_port, server.new_user())


@contextmanager
def _cyrus(_authority: Authority) -> Iterator[ImapSettings]:
    require_server("cyrus")
    with Cyrus(user_count=1) as server:
        yield _plainly(server.host, server.imap_port, server.new_user())


@contextmanager
def _pymap(_authority: Authority) -> Iterator[ImapSettings]:
    with Pymap() as server:
        yield _plainly(LOOPBACK, server.imap_port, server.user)


@contextmanager
def _hoodiecrow(_authority: Authority) -> Iterator[ImapSettings]:
    require_server("hoodiecrow")
    with Hoodiecrow() as server:
        yield _plainly(LOOPBACK, server.imap_port, server.user)


def _plainly(host: str, port: int, user: MailUser) -> ImapSettings:
    return ImapSettings(host, port, tls={"disabled": True}, user=user.login, password=user.password)


@pytest.fixture(
    params=[
        pytest.param(_dovecot, id="qresync"),
        pytest.param(partial(_dovecot, capability=f"{_BASE} CONDSTORE"), id="condstore", marks=pytest.mark.live),
        pytest.param(partial(_dovecot, capability=_BASE), id="without-modseq"),
        pytest.param(partial(_dovecot, capability="IMAP4rev1 IDLE UIDPLUS"), id="poor", marks=pytest.mark.live),
        pytest.param(_cyrus, id="cyrus"),
        pytest.param(_pymap, id="pymap", marks=pytest.mark.live),
        pytest.param(_hoodiecrow, id="hoodiecrow", marks=pytest.mark.live),
    ]
)
def settings(request: pytest.FixtureRequest, authority: Authority) -> Iterator[ImapSettings]:
    """A user of a server of each kind."""
    with request.param(authority) as user:
        yield user


@asynccontextmanager
async def _session(settings: ImapSettings) -> AsyncIterator[MailSession]:
    options = ImapOptions(
        connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={"name": "mailquay"}
    )
    session = await ImapBackend(settings, options).open_session()
    try:
        yield session
    finally:
        await session.close()


async def _append(session: MailSession, path: str, subject: str, *, internal_date_ms: int | None = None) -> None:
    mail = f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\n{subject}\r\n".encode()

    async def body() -> AsyncIterator[bytes]:
        yield mail

    await session.append(path, body(), len(mail), internal_date_ms=internal_date_ms)


async def _before(settings: ImapSettings) -> int:
    """Fill the mailboxes; returns how far the server's UIDs are from counting from 1, in all of them."""
    async with _session(settings) as session:
        for path in ("Work", "Doomed", "Named"):
            await session.create_mailbox(path)
        for number in range(1, 9):
            await _append(session, "INBOX", f"in{number}")
        for number in range(1, 4):
            await _append(session, "Work", f"work{number}")
        await _append(session, "Named", "named1")
        await session.open_mailbox("INBOX")
        return (await session.uids())[0] - 1


async def _changes(settings: ImapSettings, shift: int) -> None:
    """Every kind of change that another client can make."""
    uid = [str(number + shift) for number in range(9)]
    async with _session(settings) as session:
        await _append(session, "INBOX", "new")
        await _append(session, "INBOX", "new-but-old", internal_date_ms=_OLD_MS)
        await session.open_mailbox("INBOX", writable=True)
        await session.store_flags(uid[1], FlagChange.ADD, ["\\Flagged"])
        await session.store_flags(f"{uid[2]}:{uid[3]}", FlagChange.SET, ["\\Seen", "\\Answered"])
        await session.copy(uid[4], "Work")
        await session.move(uid[5], "Work")
        await session.expunge(f"{uid[6]}:{uid[7]}")
        await session.create_mailbox("Fresh")
        await _append(session, "Fresh", "fresh1")
        await session.rename_mailbox("Named", "Renamed")
        await session.delete_mailbox("Doomed")


def _expected(*, fresh: bool) -> list[tuple[str, str | None, object]]:
    news: list[tuple[str, str | None, object]] = [
        ("mailboxDeleted", "Doomed", None),
        ("mailboxDeleted", "Named", None),
        ("mailboxNew", "Fresh", None),
        ("mailboxNew", "Renamed", None),
        ("messageDeleted", "INBOX", 5),
        ("messageDeleted", "INBOX", 6),
        ("messageDeleted", "INBOX", 7),
        ("messageNew", "INBOX", 9),
        ("messageNew", "INBOX", 10),
        ("messageNew", "Work", 4),
        ("messageNew", "Work", 5),
        ("messageMoved", "Work", 5),
        ("messageUpdated", "INBOX", ("\\Answered", "\\Seen")),
        ("messageUpdated", "INBOX", ("\\Answered", "\\Seen")),
        ("messageUpdated", "INBOX", ("\\Flagged",)),
    ]
    return [*news, ("mailboxReset", "Fresh", None)] if fresh else news


def _is_told(event: LoggedEvent) -> bool:
    """Not that a message was marked before it was expunged: who looks at the right moment sees it, others do not."""
    changes: Any = event.facts.get("changes")
    return event.name in _TOLD and (changes is None or changes["flags"].get("added") != ["\\Deleted"])


def _shown(event: LoggedEvent, shift: int) -> tuple[str, str | None, object]:
    uid: Any = event.facts.get("uid")
    changes: Any = event.facts.get("changes")
    told = uid if uid is None else uid - shift
    return event.name.value, event.path, told if changes is None else tuple(changes["flags"]["added"])


async def _told(
    node: TestNode, account: Account, after: int, count: int, shift: int
) -> list[tuple[str, str | None, object]]:
    """The events after a sequence number, sorted, once there are as many as expected and all is in step."""
    changed = asyncio.Event()
    stop = node.store.database.subscribe(lambda _signals: changed.set())
    try:
        async with asyncio.timeout(40):
            while True:
                changed.clear()
                events = await node.store.events.of_account_after(account.number, after, 1000)
                told = sorted((_shown(event, shift) for event in events if _is_told(event)), key=repr)
                if len(told) >= count:
                    await node.supervisor.runner(account.number).catch_up.now(["INBOX", "Work"], timeout_seconds=20)
                    events = await node.store.events.of_account_after(account.number, after, 1000)
                    return sorted((_shown(event, shift) for event in events if _is_told(event)), key=repr)
                await changed.wait()
    finally:
        stop()


@pytest.mark.parametrize("looking", [False, True], ids=["away", "looking"])
async def test_what_happened_is_told_alike(settings: ImapSettings, tmp_path: Path, looking: bool) -> None:
    shift = await _before(settings)
    profile = AccountProfile(name="x", imap=settings, notify_from_ms=SystemClock().now_ms() + 60_000)
    database = f"sqlite:///{tmp_path}/m.db"
    expected = sorted(_expected(fresh=True), key=repr)
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account, seconds=40)
        last = (await node.store.events.of_account_after(account.number, 0, 1000))[-1].sequence
        await node.envelopes_read(account)
        if looking:
            await _changes(settings, shift)
            assert await _told(node, account, last, len(expected), shift) == expected
    if looking:
        return
    await _changes(settings, shift)
    async with running_node(database, tmp_path, config=_QUICK) as node:
        assert await _told(node, account, last, len(expected), shift) == expected


async def test_without_an_index_only_news_are_told(settings: ImapSettings, tmp_path: Path) -> None:
    """And when an index is wanted again, it is there, and nothing is told twice."""
    shift = await _before(settings)
    database = f"sqlite:///{tmp_path}/m.db"
    notify_from_ms = SystemClock().now_ms() + 60_000
    profile = AccountProfile(name="x", imap=settings, notify_from_ms=notify_from_ms, imap_indexer="fast")
    news = [
        ("messageNew", "INBOX", 9),
        ("messageNew", "INBOX", 10),
        ("messageNew", "Work", 4),
        ("messageNew", "Work", 5),
    ]
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account, seconds=40)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None and await node.store.messages.count(inbox.number) == 0
    await _changes(settings, shift)
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=4, seconds=40)
        assert await node.store.messages.count(inbox.number) == 0
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await node.register("ann", dataclasses.replace(profile, imap_indexer="full"))
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="INBOX", count=2, seconds=40)
        assert await node.store.messages.uids(inbox.number) == [uid + shift for uid in (1, 2, 3, 4, 8, 9, 10)]
        await node.register("ann", profile)
        async with _session(settings) as session:
            await _append(session, "INBOX", "last")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=11 + shift, seconds=40)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        told = [_shown(event, shift) for event in events if _is_told(event) and event.name.value.startswith("message")]
        assert sorted(told) == sorted([*news, ("messageNew", "INBOX", 11)])


async def test_mail_of_the_second_of_registration_is_told_once(settings: ImapSettings, tmp_path: Path) -> None:
    """Received dates have no fractions: what came in that second is news, also when it came in the course of it."""
    # The latest moment of a second: mail of the same second is older by its date.
    notify_from_ms = SystemClock().now_ms() // 1000 * 1000 + 999
    profile = AccountProfile(name="x", imap=settings, notify_from_ms=notify_from_ms)
    subjects = {f"{when}{number}" for when in ("before", "meanwhile") for number in range(3)}
    database = f"sqlite:///{tmp_path}/m.db"
    async with _session(settings) as session:
        async with running_node(database, tmp_path, config=_QUICK) as node:
            await _append(session, "INBOX", "old", internal_date_ms=notify_from_ms - 1000)
            for subject in sorted(subjects):
                if subject == "meanwhile0":
                    account = await node.register("ann", profile)
                await _append(session, "INBOX", subject, internal_date_ms=notify_from_ms)
            await node.wait_for(EventName.MESSAGE_NEW, account=account, count=len(subjects), seconds=40)
        await _append(session, "INBOX", "later")
    async with running_node(database, tmp_path, config=_QUICK) as node:
        news = await node.wait_for(EventName.MESSAGE_NEW, account=account, count=len(subjects) + 1, seconds=40)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        entries = {entry.uid: entry for entry in await node.store.messages.page(inbox.number, limit=50, offset=0)}
        envelopes = [entries[event.facts["uid"]].envelope for event in news]  # type: ignore[index]
        told = sorted(envelope.subject or "" for envelope in envelopes if envelope is not None)
        assert told == sorted([*subjects, "later"])
        assert len(entries) == len(subjects) + 2
