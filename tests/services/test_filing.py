"""Filing what was sent, with real IMAP servers: once, also when an attempt ends in doubt, and never whole in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.model.account import Account, AccountProfile, ImapSettings, SmtpSettings
from mailquay.model.event import EventName
from mailquay.model.node import Fence
from mailquay.model.submission import (
    Phase,
    ReferenceUpdate,
    Submission,
    SubmissionEnvelope,
    SubmissionOptions,
)
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import filing
from mailquay.services.filing import FilingService, wants_copy
from mailquay.services.identifiers import message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.storage.store import Store
from tests.runtime.harness import Journal, SystemClock, TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

_BODY = b"From: ann@example.test\r\nMessage-ID: <q1@example.test>\r\nSubject: x\r\n\r\nHello\r\n"
_LINES = 400_000
"""Of 78 bytes: some 30 MB."""


@dataclasses.dataclass
class _Filing:
    """A node whose account has sent something, and what files it."""

    node: TestNode
    account: Account
    service: FilingService
    journal: Journal

    @property
    def store(self) -> Store:
        return self.node.store

    async def sent(self, body: bytes = _BODY, *, copy: bool = True, **options: object) -> Submission:
        """Leave a submission as a delivery does."""
        now_ms = SystemClock().now_ms()
        queued = Submission(
            queue_id="q1",
            account=self.account.number,
            message_id="<q1@example.test>",
            envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
            options=dataclasses.replace(SubmissionOptions(), **options),  # type: ignore[arg-type]
            phase=Phase.QUEUED,
            created_ms=now_ms,
            scheduled_ms=now_ms,
            next_attempt_ms=now_ms,
            attempts_made=0,
            attempts=10,
            size_bytes=len(body),
        )
        await self.store.commit(self.store.outbox.enqueue(queued, body, {}, None))
        sent = dataclasses.replace(queued, phase=Phase.FILING, next_attempt_ms=None, attempts_made=1)
        unit = self.store.outbox.record(sent, self.fence, [], keep_body=copy, settled_ms=None, filing_due_ms=now_ms)
        await self.store.commit(unit)
        return sent

    @property
    def fence(self) -> Fence:
        return self.node.access.fence(self.account.number)

    async def run(self) -> float | None:
        return await self.service.file(self.account.number)

    async def until_filed(self) -> None:
        """Go on at once where the worker would pause."""
        while await self.run() is not None:
            continue


@contextlib.asynccontextmanager
async def _filing(folder: Path, profile: AccountProfile) -> AsyncIterator[_Filing]:
    async with running_node(f"sqlite:///{folder}/m.db", folder) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        journal = Journal()
        mailboxes = MailboxService(node.store, node.access)
        service = FilingService(
            node.store, node.settings, node.access, mailboxes, SystemClock(), journal, backoff_seconds=0.001
        )
        yield _Filing(node, account, service, journal)


@pytest.fixture
async def ann(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[_Filing]:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    async with _filing(tmp_path, profile) as prepared:
        yield prepared


def _copies(world: SandboxWorld, path: str = "Sent") -> list[tuple[bytes, frozenset[str]]]:
    mailbox = world.store_of(world.accounts[0].email).mailbox(path)
    return [(message.raw, frozenset(message.flags) - {"\\Recent"}) for message in mailbox]


async def test_a_copy_is_filed_as_seen_and_its_row_goes(ann: _Filing, world: SandboxWorld) -> None:
    await ann.sent()
    assert await ann.run() is None
    assert _copies(world) == [(_BODY, frozenset({"\\Seen"}))]
    assert await ann.store.outbox.get("q1") is None


async def test_with_queue_keep_the_row_stays_as_sent(ann: _Filing) -> None:
    await ann.node.settings.establish({}, {"queueKeep": 10})
    sent = await ann.sent()
    assert await ann.run() is None
    assert await ann.store.outbox.get("q1") == dataclasses.replace(sent, phase=Phase.SENT)
    assert [chunk async for chunk in ann.store.outbox.body("q1")] == []


async def test_the_path_that_was_given_is_used(ann: _Filing, world: SandboxWorld) -> None:
    await ann.sent(sent_mail_path="Archive")
    assert await ann.run() is None
    assert (len(_copies(world)), len(_copies(world, "Archive"))) == (0, 1)


async def test_an_answer_that_was_lost_leaves_one_copy(ann: _Filing, world: SandboxWorld) -> None:
    world.imap_faults.on("APPEND", ImapAction.DROP_ANSWER)
    await ann.sent()
    assert await ann.run() is not None
    assert len(_copies(world)) == 1
    await ann.until_filed()
    assert len(_copies(world)) == 1
    assert await ann.store.outbox.get("q1") is None


async def test_a_copy_that_did_not_get_through_is_filed_later(ann: _Filing, world: SandboxWorld) -> None:
    world.imap_faults.on("APPEND", ImapAction.DROP, times=3)
    await ann.sent()
    assert await ann.run() is not None
    assert _copies(world) == []
    await ann.until_filed()
    assert len(_copies(world)) == 1
    assert [line["final"] for line in ann.journal.lines] == [False] * 3


async def test_a_mail_server_that_is_away_is_waited_for(ann: _Filing, world: SandboxWorld) -> None:
    await ann.node.supervisor.pause(ann.account.number)
    await ann.sent()
    assert await ann.run() is not None
    ann.node.supervisor.resume(ann.account.number, after_seconds=0)
    await ann.until_filed()
    assert len(_copies(world)) == 1


async def test_a_copy_that_is_always_refused_is_given_up(
    ann: _Filing, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_ATTEMPTS", 3)
    world.imap_faults.on("APPEND", ImapAction.NO, times=None, code="OVERQUOTA", text="full")
    await ann.sent()
    await ann.until_filed()
    assert [(line["msg"], line["error"], line["final"]) for line in ann.journal.lines] == [
        ("not filed", "full", False),
        ("not filed", "full", False),
        ("not filed", "full", True),
    ]
    assert await ann.store.outbox.get("q1") is None


@pytest.mark.parametrize("limit_told", ["by capability", "by mailbox", "by refusal"])
async def test_a_copy_that_is_too_large_is_given_up_at_once(ann: _Filing, world: SandboxWorld, limit_told: str) -> None:
    world.imap_faults.append_limit = 50
    if limit_told == "by refusal":
        world.imap_faults.missing.add("APPENDLIMIT=50")
    elif limit_told == "by mailbox":
        world.imap_faults.missing.add("APPENDLIMIT=50")
        world.imap_faults.extra.add("APPENDLIMIT")
    await ann.sent()
    assert await ann.run() is None
    assert _copies(world) == []
    [line] = ann.journal.lines
    assert (line["code"], line["final"]) == ("MessageTooLarge", True)
    assert f"{len(_BODY)} bytes" in line["error"] and "50 bytes" in line["error"]
    assert await ann.store.outbox.get("q1") is None


async def test_a_mailbox_that_does_not_exist_is_given_up_soon(ann: _Filing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "_ATTEMPTS_WITHOUT_MAILBOX", 2)
    await ann.sent(sent_mail_path="Nowhere")
    await ann.until_filed()
    assert [(line["code"], line["final"]) for line in ann.journal.lines] == [
        ("FolderNotFound", False),
        ("FolderNotFound", True),
    ]


async def test_a_mailbox_that_is_not_listed_for_a_moment_gets_its_copy(ann: _Filing, world: SandboxWorld) -> None:
    """A flush lists mailboxes anew, one after the other; a server that is being repaired leaves some out."""
    sent = await ann.store.mailboxes.by_path(ann.account.number, "Sent")
    assert sent is not None
    await ann.store.commit(ann.store.mailboxes.mark_missing(sent.number, 1))
    await ann.sent()
    assert await ann.run() is not None
    await ann.store.commit(ann.store.mailboxes.add(ann.account.number, sent.listing, 2, 1))
    await ann.until_filed()
    assert len(_copies(world)) == 1


async def test_flags_that_cannot_be_stored_do_not_keep_the_copy_back(ann: _Filing, world: SandboxWorld) -> None:
    world.store_of(world.accounts[0].email).append("INBOX", b"Subject: Q\r\n\r\n", frozenset())
    await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
    inbox = await ann.store.mailboxes.by_path(ann.account.number, "INBOX")
    assert inbox is not None
    world.imap_faults.on("UID STORE", ImapAction.DROP, times=None)
    await ann.sent(reference=ReferenceUpdate(message_id(inbox.number, 1), ("\\Answered",)))
    assert await ann.run() is not None
    assert len(_copies(world)) == 1
    world.imap_faults.clear()
    await ann.until_filed()
    assert _copies(world, "INBOX") == [(b"Subject: Q\r\n\r\n", frozenset({"\\Answered"}))]
    assert len(_copies(world)) == 1


async def test_the_message_that_was_answered_is_flagged(ann: _Filing, world: SandboxWorld) -> None:
    world.store_of(world.accounts[0].email).append("INBOX", b"Subject: Q\r\n\r\n", frozenset())
    await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
    inbox = await ann.store.mailboxes.by_path(ann.account.number, "INBOX")
    assert inbox is not None
    asked = ReferenceUpdate(message_id(inbox.number, 1), ("\\Answered",))
    world.imap_faults.on("UID STORE", ImapAction.DROP)
    await ann.sent(copy=False, reference=asked)
    await ann.until_filed()
    assert _copies(world, "INBOX") == [(b"Subject: Q\r\n\r\n", frozenset({"\\Answered"}))]
    assert _copies(world) == []


async def test_a_message_that_is_gone_does_not_keep_the_copy_back(ann: _Filing, world: SandboxWorld) -> None:
    await ann.sent(reference=ReferenceUpdate(message_id(999, 1), ("\\Answered",)))
    assert await ann.run() is None
    assert len(_copies(world)) == 1


async def test_an_account_without_imap_meanwhile_keeps_nothing(ann: _Filing) -> None:
    await ann.sent()
    unit = ann.store.accounts.update(ann.account.id, lambda profile: dataclasses.replace(profile, imap=None))
    await ann.store.commit(unit)
    assert await ann.run() is None
    assert await ann.store.outbox.get("q1") is None


async def test_a_body_that_cannot_be_read_is_never_filed_in_part(
    ann: _Filing, world: SandboxWorld, tmp_path: Path
) -> None:
    await ann.sent()
    with contextlib.closing(sqlite3.connect(tmp_path / "m.db", timeout=10)) as connection, connection:
        connection.execute("UPDATE outbox SET body = x'00'")
    assert await ann.run() is not None
    assert [line["code"] for line in ann.journal.lines] == ["StorageError"]
    assert _copies(world) == []


@pytest.mark.parametrize(
    ("host", "account_copy", "wish", "filed"),
    [
        ("smtp.example.test", None, None, True),
        ("smtp.example.test", False, None, False),
        ("smtp.example.test", False, True, True),
        ("smtp.example.test", True, False, False),
        ("smtp.gmail.com", True, None, False),
        ("smtp.gmail.com", None, True, True),
    ],
)
async def test_who_gets_a_copy(
    ann: _Filing, host: str, account_copy: bool | None, wish: bool | None, filed: bool
) -> None:
    submission = await ann.sent(copy=False)
    profile = dataclasses.replace(ann.account.profile, copy=account_copy, smtp=SmtpSettings(host=host))
    account = dataclasses.replace(ann.account, profile=profile)
    options = dataclasses.replace(submission.options, copy=wish)
    assert wants_copy(account, dataclasses.replace(submission, options=options)) is filed


@pytest.mark.parametrize(
    ("account_copy", "wish", "filed"), [(None, None, True), (False, None, False), (None, False, False)]
)
async def test_what_a_gateway_sent_no_provider_files(
    ann: _Filing, account_copy: bool | None, wish: bool | None, filed: bool
) -> None:
    submission = await ann.sent(copy=False, gateway="relay")
    profile = dataclasses.replace(ann.account.profile, copy=account_copy, smtp=SmtpSettings(host="smtp.gmail.com"))
    account = dataclasses.replace(ann.account, profile=profile)
    submission = dataclasses.replace(submission, options=dataclasses.replace(submission.options, copy=wish))
    assert wants_copy(account, submission, through_gateway=True) is filed
    assert wants_copy(account, submission) is False


@pytest.mark.server
async def test_a_large_copy_is_never_whole_in_memory(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    async with _filing(tmp_path, profile_for(dovecot, mail_user)) as ann:
        head = b"Message-ID: <q1@example.test>\r\n\r\n"
        await ann.sent(head + (b"x" * 76 + b"\r\n") * _LINES)
        tracemalloc.start()
        try:
            assert await ann.run() is None
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * 1024 * 1024
        told = await dovecot.doveadm("fetch", "-u", mail_user.login, "size.virtual", "mailbox", "Sent")
        assert int(told.split()[-1]) == len(head) + 78 * _LINES
