"""Threads of our own, at the built-in server when it has none: the same id in every place where a message is shown."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import SearchTerms
from mailquay.config import Config
from mailquay.errors import Unsupported
from mailquay.model.account import Account, AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import identifiers, message_search
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import ReadOptions
from mailquay.wire.imap.leniency import Leniency
from tests.runtime.harness import SystemClock, TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

_SECONDS = 10.0
_OLD = datetime(2020, 1, 1, tzinfo=UTC)
_WEBHOOKS = {"webhooksEnabled": True, "webhooks": "http://127.0.0.1:9/", "webhookEvents": ["*"]}


@dataclasses.dataclass
class _Reading:
    """A connected account, and what the API reads its messages with."""

    node: TestNode
    account: Account

    @property
    def service(self) -> MessageService:
        """What the API calls."""
        store, access = self.node.store, self.node.access
        return MessageService(store, access, MailboxService(store, access), SystemClock())

    async def mailbox(self, path: str) -> Mailbox:
        """The mailbox as we know it."""
        found = await self.node.store.mailboxes.by_path(self.account.number, path)
        assert found is not None
        return found

    async def listed(self, path: str) -> dict[str, str]:
        """The threads of a mailbox's messages, by subject, as its listing has them."""
        answer = await self.service.page(self.account, path=path, page=0, page_size=100, timeout_seconds=_SECONDS)
        return {one["subject"]: one["threadId"] for one in answer["messages"]}

    async def detailed(self, path: str) -> dict[str, str]:
        """The same as each message has it that is read alone."""
        answer = await self.service.page(self.account, path=path, page=0, page_size=100, timeout_seconds=_SECONDS)
        shown = [
            await self.service.get(self.account, one["id"], ReadOptions(), timeout_seconds=_SECONDS)
            for one in answer["messages"]
        ]
        return {one["subject"]: one["threadId"] for one in shown}

    async def indexed(self, mailbox: Mailbox) -> dict[str, str]:
        """The same as the index has it."""
        entries = await self.node.store.messages.range(mailbox.number, 1, 1000)
        return {
            entry.envelope.subject or "": identifiers.thread_id(entry.thread)
            for entry in entries
            if entry.envelope is not None and entry.thread is not None
        }

    async def filled(self, path: str) -> Mailbox:
        """The mailbox once its envelopes are there."""
        async with asyncio.timeout(_SECONDS):
            while True:
                mailbox = await self.mailbox(path)
                if mailbox.cursor is not None and not await self.node.store.messages.without_envelope(
                    mailbox.number, limit=1
                ):
                    return mailbox
                await asyncio.sleep(0.01)  # nothing tells of an envelope that was filled in


def _letter(name: str, subject: str, *references: str) -> bytes:
    lines = [f"Subject: {subject}", "From: a@b.test", "Date: Wed, 1 Jan 2020 10:00:00 +0000"]
    if name:
        lines.append(f"Message-ID: <{name}@b.test>")
    if references:
        lines.append("References: " + "\r\n ".join(f"<{one}@b.test>" for one in references))
        lines.append(f"In-Reply-To: <{references[-1]}@b.test>")
    return "\r\n".join([*lines, "", "text", ""]).encode()


def _converse(world: SandboxWorld, *, received: datetime | None = _OLD) -> None:
    """A conversation in two mailboxes, its subject changed once, and a message that has nothing to do with it."""
    store = world.store_of(world.accounts[0].email)
    for path, raw in (
        ("INBOX", _letter("1", "Topic")),
        ("Sent", _letter("2", "Re: Topic", "1")),
        ("INBOX", _letter("3", "AW: Topic", "1", "2")),
        ("INBOX", _letter("4", "Other", "1", "2", "3")),
        ("Sent", _letter("5", "Re: Other", "1", "2", "3", "4")),
        ("INBOX", _letter("6", "Alone")),
    ):
        store.append(path, raw, received=received)


@contextlib.asynccontextmanager
async def _reading(
    world: SandboxWorld, folder: Path, account_id: str = "ann", **changes: Any
) -> AsyncIterator[_Reading]:
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    folder.mkdir(exist_ok=True)
    async with running_node(f"sqlite:///{folder}/m.db", folder, config=config, settings=_WEBHOOKS) as node:
        account = await node.register(account_id, dataclasses.replace(profile, **changes))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield _Reading(node, await node.connected(account))


@pytest.fixture
def poor(world: SandboxWorld) -> SandboxWorld:
    """A server without threads."""
    world.imap_faults.missing.add("OBJECTID")
    return world


def _right(inbox: dict[str, str], sent: dict[str, str]) -> bool:
    assert all(thread.startswith("mqt_") and len(thread) == 17 for thread in [*inbox.values(), *sent.values()])
    assert inbox["Topic"] == inbox["AW: Topic"] == sent["Re: Topic"]
    assert inbox["Other"] == sent["Re: Other"]
    return len({*inbox.values(), *sent.values()}) == 3


async def test_listings_and_details_show_the_same_thread_in_all_mailboxes_and_after_a_restart(
    poor: SandboxWorld, tmp_path: Path
) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path) as ann:
        inbox, sent = await ann.listed("INBOX"), await ann.listed("Sent")
        assert _right(inbox, sent)
        assert await ann.detailed("INBOX") == inbox
        assert await ann.detailed("Sent") == sent
    async with _reading(poor, tmp_path) as again:
        assert (await again.listed("INBOX"), await again.listed("Sent")) == (inbox, sent)
        store = poor.store_of(poor.accounts[0].email)
        store.append("INBOX", _letter("7", "Re: Re: topic", "1", "2"))
        [new] = await again.node.wait_for(EventName.MESSAGE_NEW, account=again.account)
        assert new.facts["threadId"] == inbox["Topic"]
    async with _reading(poor, tmp_path / "elsewhere") as other:
        after = await other.listed("INBOX")
        assert {subject: after[subject] for subject in inbox} == inbox
    async with _reading(poor, tmp_path / "elsewhere", "bob") as bob:
        assert set((await bob.listed("INBOX")).values()).isdisjoint(after.values())


async def test_the_background_finds_the_threads_that_a_page_finds(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path) as ann:
        inbox, sent = await ann.filled("INBOX"), await ann.filled("Sent")
        assert _right(await ann.indexed(inbox), await ann.indexed(sent))
        assert await ann.indexed(inbox) == await ann.listed("INBOX")


async def test_new_mail_is_announced_with_its_thread_in_the_event_and_in_its_content(
    poor: SandboxWorld, tmp_path: Path
) -> None:
    async with _reading(poor, tmp_path) as ann:
        _converse(poor, received=None)
        await ann.node.access.catch_up(ann.account.number, ["INBOX", "Sent"], timeout_seconds=_SECONDS)
        events = await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=6)
        told = {event.content["subject"]: event.content["threadId"] for event in events if event.content}
        assert [event.facts["threadId"] for event in events] == [(event.content or {})["threadId"] for event in events]
        assert told == await ann.listed("INBOX") | await ann.listed("Sent")


async def test_without_an_index_the_same_threads_are_shown(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path / "full") as ann:
        inbox, sent = await ann.listed("INBOX"), await ann.listed("Sent")
    async with _reading(poor, tmp_path / "fast", imap_indexer="fast") as ann:
        assert (await ann.listed("INBOX"), await ann.listed("Sent")) == (inbox, sent)
        assert await ann.detailed("INBOX") == inbox
        store = poor.store_of(poor.accounts[0].email)
        # It names the message that it answers alone, and only what arrived tells that this one was an answer too.
        store.append("INBOX", _letter("8", "Re: Topic", "1", "7"))
        store.append("INBOX", _letter("9", "SV: Topic", "7"))
        await ann.node.access.catch_up(ann.account.number, ["INBOX"], timeout_seconds=_SECONDS)
        events = await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account, count=2)
        assert {event.facts["threadId"] for event in events} == {inbox["Topic"]}
        assert (await ann.listed("INBOX"))["SV: Topic"] == inbox["Topic"]
        assert (await ann.detailed("INBOX"))["SV: Topic"] == inbox["Topic"]
        assert await ann.node.store.messages.count((await ann.mailbox("INBOX")).number) == 0


async def test_while_the_first_sync_is_at_work_pages_have_threads_too(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path) as ann:
        inbox = await ann.listed("INBOX")
        status = dataclasses.replace(ann.account.status, state=AccountState.SYNCING)
        syncing = dataclasses.replace(ann, account=dataclasses.replace(ann.account, status=status))
        assert await syncing.listed("INBOX") == inbox


async def test_threads_outlive_a_change_of_uidvalidity(poor: SandboxWorld, tmp_path: Path) -> None:
    """Also that of a message which nothing names but its place."""
    _converse(poor)
    store = poor.store_of(poor.accounts[0].email)
    store.append("INBOX", b"Subject: Nameless\r\n\r\ntext\r\n", received=_OLD)
    async with _reading(poor, tmp_path) as ann:
        before = await ann.filled("INBOX")
        inbox = await ann.listed("INBOX")
        assert set(inbox) == {"Topic", "AW: Topic", "Other", "Alone", "Nameless"}
        store.mailbox("INBOX").uidvalidity += 70
        ann.node.supervisor.reconnect(ann.account.number)
        await ann.node.wait_for(EventName.MAILBOX_RESET, account=ann.account, path="INBOX", reason="uidValidityChange")
        assert (await ann.filled("INBOX")).number != before.number
        assert await ann.listed("INBOX") == inbox
        assert await ann.detailed("INBOX") == inbox


async def test_a_renamed_mailbox_keeps_its_threads(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    store = poor.store_of(poor.accounts[0].email)
    store.create("Work")
    store.append("Work", b"Subject: Nameless\r\n\r\ntext\r\n", received=_OLD)
    async with _reading(poor, tmp_path) as ann:
        before = await ann.filled("Work")
        work = await ann.listed("Work")
        store.rename("Work", "Done")
        ann.node.supervisor.reconnect(ann.account.number)
        await ann.node.wait_for(EventName.MAILBOX_NEW, account=ann.account, path="Done")
        assert (await ann.filled("Done")).number == before.number
        assert await ann.listed("Done") == work


async def test_a_server_with_threads_is_believed_and_nothing_of_ours_is_kept(
    world: SandboxWorld, tmp_path: Path
) -> None:
    _converse(world)
    async with _reading(world, tmp_path) as ann:
        number = (await ann.filled("INBOX")).number
        inbox = await ann.listed("INBOX")
        assert inbox["Topic"] == inbox["AW: Topic"] == inbox["Other"]
        assert all(thread.startswith("T") for thread in inbox.values())
        assert await ann.detailed("INBOX") == inbox
        assert {entry.thread for entry in await ann.node.store.messages.range(number, 1, 100)} == {None}
        with sqlite3.connect(tmp_path / "m.db") as connection:
            assert connection.execute("SELECT count(*) FROM thread_links").fetchone() == (0,)


async def test_a_server_that_has_ids_of_messages_alone_gets_threads_of_ours(
    world: SandboxWorld, tmp_path: Path
) -> None:
    world.imap_faults.quirks.add(Leniency.OBJECTID_NIL)
    _converse(world)
    async with _reading(world, tmp_path) as ann:
        assert _right(await ann.listed("INBOX"), await ann.listed("Sent"))


async def _found(ann: _Reading, terms: SearchTerms, *, path: str = "INBOX", page: int = 0, page_size: int = 50) -> Any:
    return await ann.service.search(
        ann.account, path=path, terms=terms, page=page, page_size=page_size, timeout_seconds=_SECONDS
    )


def _subjects(answer: dict[str, Any]) -> list[str]:
    assert all(one["threadId"] for one in answer["messages"])
    return [one["subject"] for one in answer["messages"]]


async def test_a_thread_of_ours_is_searched_in_the_index_alone(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path) as ann:
        await ann.filled("INBOX")
        topic = (await ann.listed("INBOX"))["Topic"]
        await ann.listed("Sent")
        poor.imap_faults.on("UID SEARCH", ImapAction.NO, times=None)
        answer = await _found(ann, SearchTerms(thread_id=topic))
        assert _subjects(answer) == ["AW: Topic", "Topic"]
        assert {one["threadId"] for one in answer["messages"]} == {topic}
        assert _subjects(await _found(ann, SearchTerms(thread_id=topic), path="\\Sent")) == ["Re: Topic"]
        second = await _found(ann, SearchTerms(thread_id=topic), page=1, page_size=1)
        assert (second["total"], second["pages"], _subjects(second)) == (2, 2, ["Topic"])
        assert _subjects(await _found(ann, SearchTerms(thread_id=identifiers.thread_id(5)))) == []


async def test_what_else_is_searched_for_is_asked_of_the_server(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    inbox = poor.store_of(poor.accounts[0].email).mailbox("INBOX")
    async with _reading(poor, tmp_path) as ann:
        await ann.filled("INBOX")
        topic = (await ann.listed("INBOX"))["Topic"]
        flagged = [(message, frozenset(["\\Flagged"])) for message in inbox if message.uid in (2, 4)]
        poor.store_of(poor.accounts[0].email).set_flags(inbox, flagged)
        for terms, subjects in (
            (SearchTerms(thread_id=topic, flags={"flagged": True}), ["AW: Topic"]),
            (SearchTerms(thread_id=topic, text={"body": "text"}), ["AW: Topic", "Topic"]),
            (SearchTerms(thread_id=topic, uid="1,3"), ["Topic"]),
            (SearchTerms(thread_id=topic, text={"body": "nowhere"}), []),
            (SearchTerms(flags={"flagged": True}), ["Alone", "AW: Topic"]),
        ):
            assert _subjects(await _found(ann, terms)) == subjects, terms


async def test_a_thread_of_many_messages_makes_no_endless_line(
    poor: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path) as ann:
        await ann.filled("INBOX")
        topic = (await ann.listed("INBOX"))["Topic"]
        asked: list[SearchTerms] = []
        search = ImapSession.search

        async def noted(session: ImapSession, terms: SearchTerms) -> list[int]:
            asked.append(terms)
            return await search(session, terms)

        monkeypatch.setattr(ImapSession, "search", noted)
        monkeypatch.setattr(message_search, "_LONGEST_SET", 2)
        found = await _found(ann, SearchTerms(thread_id=topic, text={"body": "text"}))
        assert (_subjects(found), asked) == (["AW: Topic", "Topic"], [SearchTerms(text={"body": "text"})])


async def test_the_id_of_a_thread_that_became_part_of_another_finds_it(poor: SandboxWorld, tmp_path: Path) -> None:
    store = poor.store_of(poor.accounts[0].email)
    store.append("INBOX", _letter("2", "Topic"), received=_OLD)
    async with _reading(poor, tmp_path) as ann:
        former = (await ann.listed("INBOX"))["Topic"]
        store.append("INBOX", _letter("3", "Re: Topic", "1", "2"))
        await ann.node.wait_for(EventName.MESSAGE_NEW, account=ann.account)
        now = await ann.listed("INBOX")
        assert now["Topic"] == now["Re: Topic"] != former
        for name in (former, now["Topic"]):
            assert _subjects(await _found(ann, SearchTerms(thread_id=name))) == ["Re: Topic", "Topic"]


async def test_the_threads_of_a_server_are_searched_there(world: SandboxWorld, tmp_path: Path) -> None:
    _converse(world)
    async with _reading(world, tmp_path) as ann:
        topic = (await ann.listed("INBOX"))["Topic"]
        assert _subjects(await _found(ann, SearchTerms(thread_id=topic))) == ["Other", "AW: Topic", "Topic"]


async def test_without_an_index_only_the_server_can_be_searched(poor: SandboxWorld, tmp_path: Path) -> None:
    _converse(poor)
    async with _reading(poor, tmp_path, imap_indexer="fast") as ann:
        inbox = await ann.listed("INBOX")
        answer = await _found(ann, SearchTerms(text={"subject": "topic"}))
        assert {one["subject"]: one["threadId"] for one in answer["messages"]} == {
            subject: inbox[subject] for subject in ("AW: Topic", "Topic")
        }
        with pytest.raises(Unsupported):
            await _found(ann, SearchTerms(thread_id=inbox["Topic"]))


@pytest.mark.server
async def test_a_conversation_at_dovecot(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    await dovecot.deliver(mail_user.login, _letter("1", "Topic"), _letter("2", "Re: Topic", "1"))
    config = Config(imap_sweep_interval_seconds=3600)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config, settings=_WEBHOOKS) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.deliver(mail_user.login, _letter("3", "AW: Topic", "1", "2"), _letter("4", "Other", "1"))
        [third] = await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=3)
        [fourth] = await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=4)
        found = await node.store.accounts.by_number(account.number)
        assert found is not None
        inbox = await _Reading(node, found).listed("INBOX")
        assert inbox["Topic"] == inbox["Re: Topic"] == inbox["AW: Topic"] != inbox["Other"]
        assert [event.facts["threadId"] for event in (third, fourth)] == [inbox["AW: Topic"], inbox["Other"]]
