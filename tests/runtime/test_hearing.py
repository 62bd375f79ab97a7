"""News of every mailbox over one connection, and what becomes of an account whose server does not tell."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from mailquay.backends.imap.account_watch import ImapAccountWatch
from mailquay.backends.interface import MailboxNews, MailboxNewsKind
from mailquay.config import Config
from mailquay.errors import CommandRejected
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox, MailboxEvidence
from mailquay.runtime import second_look
from mailquay.runtime.catch_up import CatchUp
from mailquay.runtime.hearing import Hearing
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.sync import MailboxSync
from tests.runtime.harness import profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=imap)


async def test_three_sweeps_in_a_row_that_know_more_prove_it_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailquay.runtime.hearing._GRACE_SECONDS", 0.0)
    hearing = Hearing()

    def sweep(*found: str) -> bool:
        hearing.found(found)
        return hearing.deaf

    assert [sweep("Work"), sweep("Work"), sweep(), sweep("Work")] == [False, False, False, True]
    hearing = Hearing()
    assert [sweep("Work"), sweep("Work")] == [False, False]
    hearing.found(["Work"])
    hearing.told("Work")
    assert not hearing.deaf, "told in the same moment"
    assert [sweep("Work"), sweep("Work")] == [False, False], "counted anew"


async def test_sweeps_become_rarer_while_they_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailquay.runtime.hearing._GRACE_SECONDS", 0.0)
    hearing = Hearing()
    seen = []
    for _ in range(4):
        seen.append(hearing.patience)
        hearing.found([])
        assert not hearing.deaf
    assert seen == [4, 8, 16, 16]
    hearing.found(["Work"])
    assert hearing.patience == 1, "soon, to see whether it was told of"
    assert not hearing.deaf
    assert hearing.patience == 1, "it was missed"
    hearing.found(["Work"])
    hearing.told("Work")
    assert not hearing.deaf
    assert hearing.patience == 4, "it was told in the same moment"


async def test_one_that_drops_its_news_again_and_again_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time everything is looked at."""
    now = 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    hearing = Hearing()
    for _ in range(20):
        now += 20
        hearing.lost()
        assert not hearing.deaf
    for _ in range(3):
        hearing.lost()
    assert hearing.deaf


async def test_a_server_that_drops_all_news_is_not_looked_at_without_a_pause(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(self: ImapAccountWatch) -> list[MailboxNews]:
        assert self._idle is not None
        await self._idle.stop()
        await self._listen()
        return [MailboxNews(MailboxNewsKind.LOST)]

    monkeypatch.setattr(ImapAccountWatch, "next_news", lost)
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        async with asyncio.timeout(10):
            while not node.supervisor.runner(account.number)._deaf:
                await asyncio.sleep(0.01)  # nothing tells of it
        world.store_of(world.accounts[0].email).append("INBOX", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account)


async def test_what_comes_while_news_are_followed_is_seen_though_nobody_tells(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dovecot forgets it now and then."""
    heard, news = CatchUp.heard, 0

    async def once(self: CatchUp, path: str, evidence: MailboxEvidence | None) -> None:
        nonlocal news
        news += 1
        if news == 1:
            await heard(self, path, evidence)

    monkeypatch.setattr(CatchUp, "heard", once)
    monkeypatch.setattr(second_look, "_SECONDS", 0.5)
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    store = world.store_of(world.accounts[0].email)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        store.append("Archive", _mail("1"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account)
        store.append("Archive", _mail("2"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        assert news == 2


async def test_what_a_sweep_finds_is_judged_when_news_had_their_time() -> None:
    hearing = Hearing()
    for _ in range(10):
        hearing.found(["Work"])
        assert not hearing.deaf


@pytest.mark.server
async def test_news_of_any_mailbox_come_at_once(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    """With sweeps an hour apart, mail, flags, deletions and mailboxes are told all the same."""
    config = Config(imap_sweep_interval_seconds=3600, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert node.supervisor.runner(account.number).connections <= 2
        for number, path in enumerate(("Archive", "Sent", "INBOX"), 1):
            await dovecot.deliver(mail_user.login, _mail(path))
            if path != "INBOX":
                query = ("mailbox", "INBOX", "header", "message-id", f"<{path}@b.test>")
                await dovecot.doveadm("move", "-u", mail_user.login, path, *query)
            await node.wait_for(EventName.MESSAGE_NEW, account=account, path=path)
            assert number
        await dovecot.doveadm("flags", "add", "-u", mail_user.login, "\\Flagged", "mailbox", "Archive", "all")
        await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
        await dovecot.doveadm("expunge", "-u", mail_user.login, "mailbox", "Sent", "all")
        await node.wait_for(EventName.MESSAGE_DELETED, account=account)
        await dovecot.doveadm("mailbox", "create", "-u", mail_user.login, "Fresh")
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Fresh")
        await dovecot.doveadm("mailbox", "delete", "-u", mail_user.login, "Fresh")
        await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Fresh")


async def test_a_mailbox_that_nobody_can_read_says_nothing_of_the_server(
    world: SandboxWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of, and left alone: that every sweep finds it changed is no reason to hear no more of the others."""

    async def refused(self: MailboxSync, *_: object, **how: bool) -> Mailbox:
        raise CommandRejected("no")

    found: list[list[str]] = []
    monkeypatch.setattr("mailquay.runtime.hearing._GRACE_SECONDS", 0.0)
    monkeypatch.setattr(Hearing, "found", lambda _, paths: found.append(list(paths)))
    config = Config(imap_sweep_interval_seconds=0.05, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        monkeypatch.setattr(MailboxSync, "catch_up", refused)
        world.store_of(world.accounts[0].email).append("Archive", _mail("1"))
        async with asyncio.timeout(10):
            while node.supervisor.runner(account.number).catch_up._parts.refusals.due() == []:
                await asyncio.sleep(0.01)  # nothing tells of a refusal
            known = len(found)
            while len(found) < known + 5:
                await asyncio.sleep(0.01)  # nothing tells of a sweep
        assert found[known + 1 :] == [[]] * len(found[known + 1 :])


@pytest.mark.server
async def test_a_server_that_tells_nothing_is_not_relied_on(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(self: CatchUp, path: str, evidence: object) -> None:
        """As if the server had said nothing."""

    monkeypatch.setattr(CatchUp, "heard", unheard)
    monkeypatch.setattr("mailquay.runtime.hearing._GRACE_SECONDS", 0.01)
    config = Config(imap_sweep_interval_seconds=0.1, reconnect_backoff_seconds=0.05)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        runner = node.supervisor.runner(account.number)
        for number in range(1, 6):
            await dovecot.deliver(mail_user.login, _mail(str(number)))
            await node.wait_for(EventName.MESSAGE_NEW, account=account, count=number)
            if runner._deaf:
                break
        assert runner._deaf
        monkeypatch.undo()
        current = await node.store.accounts.by_number(account.number)
        assert current is not None and dataclasses.replace(current.status).last_error is None
