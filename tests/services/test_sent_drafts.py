"""What becomes of a draft whose message was sent, on real IMAP servers: it goes once, and never without a trace."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.submission import Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import filing
from mailquay.services.filing import FilingService
from mailquay.services.identifiers import message_id
from mailquay.services.mailboxes import MailboxService
from tests.runtime.harness import Journal, SystemClock, TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

_DRAFT = b"From: ann@example.test\r\nMessage-ID: <d1@example.test>\r\nSubject: draft\r\n\r\nHello\r\n"
_SENT = _DRAFT.replace(b"Subject: draft", b"Subject: sent")


@dataclasses.dataclass
class _Sent:
    """A node whose account has sent a draft, and what files it."""

    node: TestNode
    account: Account
    service: FilingService
    journal: Journal

    async def draft(self, path: str = "Drafts", uid: int = 1) -> str:
        """The public id of a message."""
        mailbox = await self.node.store.mailboxes.by_path(self.account.number, path)
        assert mailbox is not None
        return message_id(mailbox.number, uid)

    async def sent(self, draft: str, *, copy: bool = True, **options: object) -> None:
        """Leave the submission of a draft as a delivery does."""
        now_ms = SystemClock().now_ms()
        store = self.node.store
        queued = Submission(
            queue_id="q1",
            account=self.account.number,
            message_id="<d1@example.test>",
            envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
            options=dataclasses.replace(SubmissionOptions(draft=draft), **options),  # type: ignore[arg-type]
            phase=Phase.QUEUED,
            created_ms=now_ms,
            scheduled_ms=now_ms,
            next_attempt_ms=now_ms,
            attempts_made=0,
            attempts=10,
            size_bytes=len(_SENT),
        )
        await store.commit(store.outbox.enqueue(queued, _SENT, {}, None))
        done = dataclasses.replace(queued, phase=Phase.FILING, next_attempt_ms=None, attempts_made=1)
        fence = self.node.access.fence(self.account.number)
        unit = store.outbox.record(done, fence, [], keep_body=copy, settled_ms=None, filing_due_ms=now_ms)
        await store.commit(unit)

    async def until_filed(self) -> None:
        """Go on at once where the worker would pause."""
        while await self.service.file(self.account.number) is not None:
            continue
        assert await self.node.store.outbox.get("q1") is None


@contextlib.asynccontextmanager
async def _sending(folder: Path, profile: AccountProfile) -> AsyncIterator[_Sent]:
    async with running_node(f"sqlite:///{folder}/m.db", folder) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        journal = Journal()
        mailboxes = MailboxService(node.store, node.access)
        service = FilingService(
            node.store, node.settings, node.access, mailboxes, SystemClock(), journal, backoff_seconds=0.001
        )
        yield _Sent(node, account, service, journal)


@pytest.fixture
async def ann(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[_Sent]:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    world.store_of(at.email).append("Drafts", _DRAFT, frozenset({"\\Draft"}))
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    async with _sending(tmp_path, profile) as prepared:
        yield prepared


def _bodies(world: SandboxWorld, path: str) -> list[bytes]:
    return [message.raw for message in world.store_of(world.accounts[0].email).mailbox(path)]


def _places(world: SandboxWorld) -> dict[str, list[bytes]]:
    return {path: found for path in ("Drafts", "Sent", "Trash") if (found := _bodies(world, path))}


async def test_a_draft_with_a_copy_is_expunged(ann: _Sent, world: SandboxWorld) -> None:
    await ann.sent(await ann.draft())
    await ann.until_filed()
    assert _places(world) == {"Sent": [_SENT]}
    await ann.node.wait_for(EventName.MESSAGE_DELETED, account=ann.account)


async def test_a_draft_without_a_copy_goes_to_the_trash(ann: _Sent, world: SandboxWorld) -> None:
    await ann.sent(await ann.draft(), copy=False)
    await ann.until_filed()
    assert _places(world) == {"Trash": [_DRAFT]}


@pytest.mark.parametrize("fault", [ImapAction.DROP, ImapAction.DROP_ANSWER, ImapAction.NO])
@pytest.mark.parametrize(("copy", "command"), [(True, "UID EXPUNGE"), (False, "UID MOVE"), (True, "APPEND")])
async def test_what_fails_half_way_is_done_once(
    ann: _Sent, world: SandboxWorld, fault: ImapAction, copy: bool, command: str
) -> None:
    world.imap_faults.on(command, fault)
    await ann.sent(await ann.draft(), copy=copy)
    await ann.until_filed()
    assert _places(world) == ({"Sent": [_SENT]} if copy else {"Trash": [_DRAFT]})


async def test_a_draft_stays_until_its_copy_is_there(ann: _Sent, world: SandboxWorld) -> None:
    world.imap_faults.on("APPEND", ImapAction.NO, times=2)
    await ann.sent(await ann.draft())
    for _ in range(2):
        assert await ann.service.file(ann.account.number) is not None
        assert _places(world) == {"Drafts": [_DRAFT]}
    await ann.until_filed()
    assert _places(world) == {"Sent": [_SENT]}


async def test_a_draft_whose_copy_is_given_up_goes_to_the_trash(
    ann: _Sent, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_ATTEMPTS", 2)
    world.imap_faults.on("APPEND", ImapAction.NO, times=None)
    await ann.sent(await ann.draft())
    await ann.until_filed()
    assert _places(world) == {"Trash": [_DRAFT]}
    assert [line["final"] for line in ann.journal.lines] == [False, True]


@pytest.mark.parametrize(("copy", "left"), [(False, {}), (True, {"Drafts": [_DRAFT]})])
async def test_without_a_trash_only_what_nobody_wanted_is_expunged(
    ann: _Sent, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch, copy: bool, left: dict[str, list[bytes]]
) -> None:
    trash = await ann.node.store.mailboxes.by_path(ann.account.number, "Trash")
    assert trash is not None
    await ann.node.store.commit(ann.node.store.mailboxes.mark_missing(trash.number, 1))
    monkeypatch.setattr(filing, "_ATTEMPTS", 1)
    world.imap_faults.on("APPEND", ImapAction.NO, times=None)
    await ann.sent(await ann.draft(), copy=copy)
    await ann.until_filed()
    assert _places(world) == left


async def test_a_draft_that_was_changed_or_removed_meanwhile_is_left_alone(ann: _Sent, world: SandboxWorld) -> None:
    draft = await ann.draft()
    mailbox = world.store_of(world.accounts[0].email).mailbox("Drafts")
    newer = _DRAFT.replace(b"Hello", b"Hello again")
    world.store_of(world.accounts[0].email).append("Drafts", newer, frozenset({"\\Draft"}))
    world.store_of(world.accounts[0].email).expunge(mailbox, [next(iter(mailbox))])
    await ann.sent(draft)
    await ann.until_filed()
    assert _places(world) == {"Drafts": [newer], "Sent": [_SENT]}
    assert ann.journal.lines == []


async def test_an_id_that_leads_nowhere_any_more_keeps_nothing_back(ann: _Sent, world: SandboxWorld) -> None:
    await ann.sent(message_id(999, 1))
    await ann.until_filed()
    assert _places(world) == {"Drafts": [_DRAFT], "Sent": [_SENT]}


async def test_a_draft_in_the_trash_stays_there(ann: _Sent, world: SandboxWorld) -> None:
    world.store_of(world.accounts[0].email).append("Trash", _DRAFT, frozenset({"\\Draft"}))
    await ann.sent(await ann.draft("Trash"), copy=False)
    await ann.until_filed()
    assert _places(world) == {"Drafts": [_DRAFT], "Trash": [_DRAFT]}


async def test_a_draft_among_the_sent_mail_is_not_taken_for_its_copy(ann: _Sent, world: SandboxWorld) -> None:
    world.store_of(world.accounts[0].email).append("Sent", _DRAFT, frozenset({"\\Draft"}))
    # The first attempt fails, so that the second looks whether the copy is there already.
    world.imap_faults.on("APPEND", ImapAction.NO)
    await ann.sent(await ann.draft("Sent"))
    await ann.until_filed()
    assert _places(world) == {"Drafts": [_DRAFT], "Sent": [_SENT]}


@pytest.mark.server
@pytest.mark.parametrize("copy", [True, False])
async def test_on_a_real_server(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, copy: bool) -> None:
    login = mail_user.login
    await dovecot.deliver(login, _DRAFT, _DRAFT)
    await dovecot.doveadm("move", "-u", login, "Drafts", "mailbox", "INBOX", "all")
    async with _sending(tmp_path, profile_for(dovecot, mail_user)) as sent:
        await sent.sent(await sent.draft(uid=2), copy=copy)
        await sent.until_filed()
    for path, count in {"Drafts": 1, "Sent": int(copy), "Trash": int(not copy)}.items():
        told = await dovecot.doveadm("search", "-u", login, "mailbox", path, "all")
        assert len(told.split("\n")) - 1 == count if told.strip() else count == 0, path
