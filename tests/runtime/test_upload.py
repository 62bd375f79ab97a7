"""Messages that are added to a mailbox, on the sandbox's server and on Dovecot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.errors import CommandRejected, MailboxNotFound, MailquayError, MessageTooLarge, NotFound, Unavailable
from mailquay.mime.references import ReferenceAction
from mailquay.model.event import EventName
from mailquay.model.message import Address
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.imap_capabilities import USUAL
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import ReadOptions
from mailquay.services.references import ReferenceService
from mailquay.services.submit_request import SubmitAttachment, SubmitReference, SubmitRequest
from mailquay.services.upload import UploadRequest, UploadService
from tests.runtime.harness import SystemClock, profile_for, running_node
from tests.runtime.reading import QUIET, Reader, profile_at, reading
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot

SECONDS = 10.0
_QUICK = Config(imap_sweep_interval_seconds=0.3, reconnect_backoff_seconds=0.05)


@pytest.fixture(params=["sandbox", pytest.param("dovecot", marks=pytest.mark.server)])
async def ann(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reader]:
    """An account on either server, without mail."""
    world: SandboxWorld | None = None
    if request.param == "sandbox":
        world = SandboxWorld(empty=True)
        await world.start()
        profile = profile_at(world)
    else:
        dovecot: Dovecot = request.getfixturevalue("dovecot")
        profile = profile_for(dovecot, dovecot.new_user())
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield Reader(node, await node.connected(account))
    if world is not None:
        await world.stop()


def _uploads(ann: Reader) -> UploadService:
    store, access = ann.node.store, ann.node.access
    references = ReferenceService(ann.service, ann.node.settings)
    return UploadService(store, access, MailboxService(store, access), references, SystemClock())


async def _source(ann: Reader, message_id: str) -> bytes:
    async with ann.service.source(ann.account, message_id, timeout_seconds=SECONDS) as download:
        return b"".join([chunk async for chunk in download.chunks])


async def test_a_message_in_parts(ann: Reader) -> None:
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    message = SubmitRequest(
        from_=Address("Ann", "ann@b.test"),
        to=(Address("Bob", "bob@b.test"),),
        bcc=(Address("", "hidden@b.test"),),
        subject="Grüße",
        html=f'<p>Hi <img src="{pixel}"></p>',
        attachments=(SubmitAttachment(filename="a.txt", content=b"text", content_type="text/plain"),),
        message_id="<mine@b.test>",
        headers={"X-Kind": ("draft",)},
    )
    request = UploadRequest("\\Drafts", message, ("\\Flagged", "work"), 1_600_000_000_000)
    answer = await _uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS)
    assert (answer["path"], answer["messageId"]) == ("Drafts", "<mine@b.test>")
    options = ReadOptions(text_type="*")
    shown = await ann.service.get(ann.account, answer["id"], options, timeout_seconds=SECONDS)
    assert (shown["subject"], shown["uid"], sorted(shown["flags"])) == ("Grüße", answer["uid"], ["\\Flagged", "work"])
    assert shown["text"]["plain"].strip() == "Hi" and "cid:" in shown["text"]["html"]
    assert {one["contentType"] for one in shown["attachments"]} == {"image/gif", "text/plain"}
    assert shown["headers"]["x-kind"] == ["draft"] and shown["headers"]["bcc"] == ["hidden@b.test"]
    entry = (await ann.page("Drafts"))[0]
    assert entry["id"] == answer["id"]
    assert (await ann.entries("Drafts"))[answer["uid"]].internal_date_ms == 1_600_000_000_000
    assert answer["uidValidity"] == str((await ann.mailbox("Drafts")).uidvalidity)
    await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, path="Drafts")
    assert await ann.events(EventName.MESSAGE_NEW) == [(EventName.MESSAGE_NEW, answer["uid"])]


async def test_a_whole_message_stays_as_it_is(ann: Reader) -> None:
    raw = b"Subject: =?utf-8?q?as?= it is\nX-Odd:  two  spaces \nMessage-ID: <raw@b.test>\n\nBody \xff\n"
    answer = await _uploads(ann).upload(
        ann.account, UploadRequest("INBOX", SubmitRequest(raw=raw)), timeout_seconds=SECONDS
    )
    assert answer["messageId"] == "<raw@b.test>"
    assert await _source(ann, answer["id"]) == raw.replace(b"\n", b"\r\n")
    answer = await _uploads(ann).upload(
        ann.account, UploadRequest("INBOX", SubmitRequest(raw=raw, subject="won")), timeout_seconds=SECONDS
    )
    assert b"Subject: won\r\nX-Odd:  two  spaces \r\n" in await _source(ann, answer["id"])


async def test_a_draft_is_one_unless_flags_are_given(ann: Reader) -> None:
    for path, flags, expected in (
        ("\\Drafts", None, ["\\Draft"]),
        ("\\Drafts", (), []),
        ("INBOX", None, []),
    ):
        request = UploadRequest(path, SubmitRequest(subject="x", text="y"), flags)
        answer = await _uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS)
        shown = await ann.service.get(ann.account, answer["id"], ReadOptions(), timeout_seconds=SECONDS)
        assert shown["flags"] == expected
        assert "from" not in shown, "nobody said whose it is"


async def test_a_draft_of_an_answer(ann: Reader) -> None:
    original = b"From: bob@b.test\r\nTo: me@b.test\r\nSubject: Plan\r\nMessage-ID: <plan@b.test>\r\n\r\nFriday?\r\n"
    first = await _uploads(ann).upload(
        ann.account, UploadRequest("INBOX", SubmitRequest(raw=original)), timeout_seconds=SECONDS
    )
    reference = SubmitReference(first["id"], ReferenceAction.REPLY, inline=True, thread_id="t1")
    request = UploadRequest("\\Drafts", SubmitRequest(reference=reference, text="Yes."))
    answer = await _uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS)
    assert answer["reference"] == {
        "message": first["id"],
        "documentStore": False,
        "success": True,
        "threadId": "t1",
    }
    shown = await ann.service.get(ann.account, answer["id"], ReadOptions(text_type="plain"), timeout_seconds=SECONDS)
    assert (shown["subject"], shown["inReplyTo"]) == ("Re: Plan", "<plan@b.test>")
    assert [one["address"] for one in shown["to"]] == ["bob@b.test"]
    assert shown["text"]["plain"].startswith("Yes.") and "> Friday?" in shown["text"]["plain"]
    gone = SubmitReference("AAAAAQAAAB4")
    with pytest.raises(NotFound) as refused:
        await _uploads(ann).upload(
            ann.account, UploadRequest("INBOX", SubmitRequest(reference=gone, text="x")), timeout_seconds=SECONDS
        )
    assert refused.value.code == "ReferenceNotFound"


async def test_where_there_is_no_mailbox_nothing_is_added(ann: Reader) -> None:
    with pytest.raises(MailboxNotFound):
        await _uploads(ann).upload(
            ann.account, UploadRequest("Nowhere", SubmitRequest(text="x")), timeout_seconds=SECONDS
        )


async def _refused(ann: Reader, request: UploadRequest) -> MailquayError:
    with pytest.raises(MailquayError) as refused:
        await _uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS)
    return refused.value


async def test_what_the_server_does_not_take(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    store = world.store_of(world.accounts[0].email)
    world.imap_faults.append_limit = 5000
    request = UploadRequest("INBOX", SubmitRequest(text="x" * 6000))
    async with reading(world, tmp_path, config=QUIET) as ann:
        error = await _refused(ann, request)
        assert isinstance(error, MessageTooLarge) and "5000" in error.message
        world.imap_faults.append_limit = None
        world.imap_faults.on("APPEND", ImapAction.NO)
        error = await _refused(ann, request)
        assert isinstance(error, CommandRejected) and error.code == "UploadFail"
        assert len(store.mailbox("INBOX")) == 0
        world.imap_faults.on("APPEND", ImapAction.DROP_ANSWER)
        error = await _refused(ann, request)
        assert isinstance(error, Unavailable) and error.code == "UploadFail" and "Message-ID" in error.message
        # What the server kept without saying so is told all the same.
        [new] = await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        assert new.facts["uid"] == 1 and len(store.mailbox("INBOX")) == 1
    await world.stop()


async def test_what_the_server_has_taken_is_no_failure_whoever_owns_the_account_by_then(tmp_path: Path) -> None:
    """A failure would have it added again."""
    world = SandboxWorld(empty=True)
    await world.start()
    box = world.store_of(world.accounts[0].email).mailbox("INBOX")
    request = UploadRequest("INBOX", SubmitRequest(text="x", message_id="<once@b.test>"))
    async with reading(world, tmp_path, config=QUIET) as ann:
        world.imap_faults.on("APPEND", ImapAction.STALL)
        upload = asyncio.create_task(_uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS))
        while not len(box):
            await asyncio.sleep(0.01)  # nothing tells of what the server keeps
        nodes = ann.node.store.nodes
        lease = await nodes.lease(ann.account.number)
        assert lease is not None
        await ann.node.store.commit(nodes.take("another", [lease]))
        world.imap_faults.release()
        answer = await upload
        assert (answer["messageId"], answer["uid"], len(box)) == ("<once@b.test>", 1, 1)
    await world.stop()


@pytest.mark.server
async def test_a_full_mailbox(authority: Authority, tmp_path: Path) -> None:
    require_server("dovecot")
    with Dovecot(authority, quota="20K") as dovecot:
        profile = profile_for(dovecot, dovecot.new_user())
        async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
            account = await node.register("ann", profile)
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            ann = Reader(node, await node.connected(account))
            error = await _refused(ann, UploadRequest("INBOX", SubmitRequest(text="x" * 40_000)))
            assert isinstance(error, CommandRejected)
            assert (error.code, error.response_code) == ("UploadFail", "OVERQUOTA")


async def test_where_the_server_does_not_tell_there_is_no_id(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - {"UIDPLUS"})
    await world.start()
    async with reading(world, tmp_path, config=QUIET) as ann:
        request = UploadRequest("INBOX", SubmitRequest(subject="s", text="x"))
        answer = await _uploads(ann).upload(ann.account, request, timeout_seconds=SECONDS)
        assert set(answer) == {"path", "messageId"}
        assert [one["messageId"] for one in await ann.page()] == [answer["messageId"]]
    await world.stop()
