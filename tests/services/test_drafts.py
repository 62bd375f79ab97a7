"""Drafts that are queued to be sent: what is a draft, what goes out of it, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import InvalidRequest, MailquayError, MessageNotFound, NotFound
from mailquay.model.account import Account, AccountProfile, ImapSettings, SmtpSettings
from mailquay.model.event import EventName
from mailquay.model.submission import Submission
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import drafts as module
from mailquay.services.drafts import DraftReader, DraftService
from mailquay.services.identifiers import message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.services.repeats import Repeats
from mailquay.services.submit_request import SubmitEnvelope, SubmitRequest
from tests.runtime.harness import SystemClock, TestNode, running_node
from tests.services.submitting import parsed

_DRAFT = (
    b"From: Ann <ann@example.test>\r\nTo: Bob <bob@example.test>, bob@example.test\r\nBcc: eve@example.test\r\n"
    b"Date: Mon, 1 Jan 2001 00:00:00 +0000\r\nMessage-ID: <d1@example.test>\r\nX-EE-Gateway: relay\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n"
)


@dataclasses.dataclass
class _Desk:
    """A node with an account, and what queues its drafts."""

    node: TestNode
    account: Account
    service: DraftService
    world: SandboxWorld

    async def add(self, raw: bytes, path: str = "Drafts", flags: frozenset[str] = frozenset()) -> str:
        """Put a message into a mailbox; its public id."""
        store = self.world.store_of(self.world.accounts[0].email)
        added = store.append(path, raw, flags)
        mailbox = await self.node.store.mailboxes.by_path(self.account.number, path)
        assert mailbox is not None
        return message_id(mailbox.number, added.uid)

    async def submit(self, draft: str, request: SubmitRequest | None = None, key: str | None = None) -> dict[str, Any]:
        return await self.service.submit_draft(
            self.account, draft, request or SubmitRequest(), idempotency_key=key, timeout_seconds=10
        )

    async def queued(self, answer: dict[str, Any]) -> tuple[Submission, EmailMessage]:
        found = await self.node.store.outbox.get(answer["queueId"])
        assert found is not None
        return found, parsed(b"".join([chunk async for chunk in self.node.store.outbox.body(found.queue_id)]))

    async def waiting(self) -> int:
        return (await self.node.store.outbox.page(0, limit=1, offset=0))[0]

    async def refused(self, draft: str, kind: type[MailquayError], request: SubmitRequest | None = None) -> str:
        """The code that a submission is refused with; nothing is stored then."""
        with pytest.raises(kind) as caught:
            await self.submit(draft, request, "refused")
        assert await self.waiting() == 0
        return caught.value.code


@pytest.fixture
async def desk(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[_Desk]:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    smtp = SmtpSettings(at.smtp_host, at.smtp_port)
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, smtp=smtp, notify_from_ms=SystemClock().now_ms())
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        account = await node.connected(account)
        reader = DraftReader(node.store, node.access, MailboxService(node.store, node.access), SystemClock())
        repeats = Repeats(node.store, SystemClock())
        yield _Desk(node, account, DraftService(node.store, node.settings, reader, repeats, SystemClock()), world)


async def test_a_draft_is_queued_as_it_stands(desk: _Desk) -> None:
    draft = await desk.add(_DRAFT)
    before_ms = SystemClock().now_ms()
    answer = await desk.submit(draft)
    assert set(answer) == {"response", "messageId", "sendAt", "queueId"}
    assert answer["messageId"] == "<d1@example.test>"
    submission, message = await desk.queued(answer)
    assert submission.envelope.reverse_path == "ann@example.test"
    assert submission.envelope.recipients == ("bob@example.test", "eve@example.test")
    assert (submission.options.draft, submission.options.gateway) == (draft, None)
    assert submission.options.subject == "Grüße"
    assert message["Bcc"] == "eve@example.test" and "X-EE-Gateway" not in message
    assert message["Date"].datetime.timestamp() >= before_ms // 1000
    assert message.get_content() == "Hello\r\n"


async def test_how_it_is_sent_can_be_chosen(desk: _Desk) -> None:
    later_ms = SystemClock().now_ms() // 1000 * 1000 + 3_600_000
    request = SubmitRequest(
        envelope=SubmitEnvelope("", ("x@example.test",)),
        copy=False,
        sent_mail_path="Elsewhere",
        send_at_ms=later_ms,
        delivery_attempts=3,
        gateway="none",
        proxy="socks5://p.test:1",
        local_address="192.0.2.1",
    )
    submission, message = await desk.queued(await desk.submit(await desk.add(_DRAFT), request))
    assert (submission.envelope.reverse_path, submission.envelope.recipients) == ("", ("x@example.test",))
    assert (submission.scheduled_ms, submission.attempts) == (later_ms, 3)
    assert message["Date"].datetime.timestamp() * 1000 == later_ms
    options = submission.options
    assert (options.copy, options.sent_mail_path, options.gateway) == (False, "Elsewhere", "none")
    assert (options.proxy, options.local_address) == ("socks5://p.test:1", "192.0.2.1")


async def test_what_a_draft_lacks_is_added(desk: _Desk) -> None:
    _, message = await desk.queued(await desk.submit(await desk.add(b"To: b@example.test\r\n\r\nx\r\n")))
    assert message["From"].addresses[0].addr_spec == desk.account.profile.email
    assert message["Message-ID"] and message["MIME-Version"] == "1.0"


async def test_the_flag_makes_a_draft_in_any_mailbox(desk: _Desk) -> None:
    await desk.submit(await desk.add(_DRAFT, "INBOX", frozenset({"\\Draft"})))
    assert await desk.waiting() == 1


async def test_what_is_no_draft_is_refused(desk: _Desk) -> None:
    assert await desk.refused(await desk.add(_DRAFT, "INBOX"), InvalidRequest) == "MessageNotDraft"


@pytest.mark.parametrize("to", [b"", b"To: \r\n", b"To: undisclosed-recipients:;\r\n"])
async def test_a_draft_needs_recipients_somewhere(desk: _Desk, to: bytes) -> None:
    draft = await desk.add(to + b"Subject: x\r\n\r\nx\r\n")
    assert await desk.refused(draft, InvalidRequest) == "DraftHasNoRecipients"
    reverse_only = SubmitRequest(envelope=SubmitEnvelope("a@example.test"))
    assert await desk.refused(draft, InvalidRequest, reverse_only) == "DraftHasNoRecipients"
    await desk.submit(draft, SubmitRequest(envelope=SubmitEnvelope(None, ("x@example.test",))))


async def test_what_is_not_there(desk: _Desk) -> None:
    draft = await desk.add(_DRAFT)
    other = message_id(999, 1)
    for unknown in (other, draft[:-2] + "zz", "nonsense"):
        assert await desk.refused(unknown, MessageNotFound) == "MessageNotFound"


async def test_a_draft_may_not_be_endless(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", len(_DRAFT))
    await desk.submit(await desk.add(_DRAFT), key="fits")
    with pytest.raises(InvalidRequest) as caught:
        await desk.submit(await desk.add(_DRAFT + b"x"))
    assert caught.value.code == "MessageTooLarge"


async def test_an_account_that_cannot_send(desk: _Desk) -> None:
    draft = await desk.add(_DRAFT)
    desk.account = replace(desk.account, profile=replace(desk.account.profile, smtp=None))
    assert await desk.refused(draft, NotFound) == "SMTPUnavailable"


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(desk: _Desk) -> None:
    draft = await desk.add(_DRAFT)
    desk.world.imap_faults.on("UID FETCH", ImapAction.STALL, times=None)
    with pytest.raises((TimeoutError, MailquayError)):
        await desk.service.submit_draft(desk.account, draft, SubmitRequest(), idempotency_key=None, timeout_seconds=0.2)
    desk.world.imap_faults.clear()
    assert await desk.waiting() == 0


async def test_a_repeat_gets_its_answer_also_when_the_draft_is_gone(desk: _Desk) -> None:
    draft = await desk.add(_DRAFT)
    first = await desk.submit(draft, key="k")
    store = desk.world.store_of(desk.world.accounts[0].email)
    store.expunge(store.mailbox("Drafts"), list(store.mailbox("Drafts")))
    again = await desk.submit(draft, key="k")
    assert again == {**first, "idempotency": {"key": "k", "status": "HIT"}}
    assert first["idempotency"]["status"] == "MISS"
    assert await desk.waiting() == 1
