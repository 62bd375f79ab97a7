"""Mailboxes that a server replaces or renames: ids go on, and only what really changed is told."""

from __future__ import annotations

import asyncio
import imaplib
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.errors import StorageError
from mailquay.model.account import Account
from mailquay.model.event import EventName, LoggedEvent
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import MessageRef, Uid
from mailquay.runtime.purge import purge_everything
from mailquay.services.places import place_of
from mailquay.services.replacement import MailboxReplacement
from tests.runtime.harness import TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server
_QUICK = Config(imap_sweep_interval_seconds=0.3, reconnect_backoff_seconds=0.05, lease_ttl_seconds=3)
_TOLD = (EventName.MESSAGE_NEW, EventName.MESSAGE_UPDATED, EventName.MESSAGE_DELETED)


def _mail(name: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {name}\r\nMessage-ID: <{name}@b.test>\r\n\r\n{name}\r\n".encode()


async def _fill(dovecot: Dovecot, user: MailUser, path: str, *names: str) -> None:
    await dovecot.doveadm("mailbox", "create", "-u", user.login, path)
    await dovecot.deliver(user.login, *[_mail(name) for name in names])
    for name in names:
        await dovecot.doveadm(
            "move", "-u", user.login, path, "mailbox", "INBOX", "header", "message-id", f"<{name}@b.test>"
        )


def _append_old(dovecot: Dovecot, user: MailUser, path: str, *names: str) -> None:
    with imaplib.IMAP4(dovecot.host, dovecot.imap_port) as client:
        client.login(user.login, user.password)
        client.create(path)
        for name in names:
            client.append(path, "", '" 1-Jan-2020 10:00:00 +0000"', _mail(name))


async def _replace(dovecot: Dovecot, user: MailUser, path: str, *names: str) -> None:
    """Another mailbox at the same path, with these messages of the former one in this order."""
    await dovecot.doveadm("mailbox", "rename", "-u", user.login, path, "Former")
    await dovecot.doveadm("mailbox", "create", "-u", user.login, path)
    await dovecot.doveadm("mailbox", "update", "-u", user.login, "--uid-validity", "77", path)
    for name in names:
        await dovecot.doveadm(
            "copy", "-u", user.login, path, "mailbox", "Former", "header", "message-id", f"<{name}@b.test>"
        )
    await dovecot.doveadm("mailbox", "delete", "-u", user.login, "Former")


async def _mailbox(node: TestNode, account: Account, path: str) -> Mailbox:
    mailbox = await node.store.mailboxes.by_path(account.number, path)
    assert mailbox is not None
    return mailbox


async def _told(node: TestNode, account: Account, after: int) -> list[LoggedEvent]:
    events = await node.store.events.of_account_after(account.number, after, 1000)
    return [event for event in events if event.name in _TOLD]


async def _first_life(dovecot: Dovecot, user: MailUser, folder: Path) -> tuple[Account, Mailbox, int]:
    """An account whose mailbox Work holds one, two and three, all known with their envelopes."""
    await _fill(dovecot, user, "Work", "one", "two", "three")
    async with running_node(f"sqlite:///{folder}/m.db", folder, config=_QUICK) as node:
        account = await node.register("ann", profile_for(dovecot, user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        work = await _mailbox(node, account, "Work")
        await node.supervisor.runner(account.number).catch_up.now(["Work"], timeout_seconds=10)
        await _filled(node, work)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        return account, work, events[-1].sequence


async def _filled(node: TestNode, mailbox: Mailbox) -> None:
    import asyncio

    async with asyncio.timeout(10):
        while await node.store.messages.without_envelope(mailbox.number, limit=1):
            await asyncio.sleep(0.01)  # nothing tells of an envelope that was filled in


async def test_only_real_differences_are_told(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    account, before, last = await _first_life(dovecot, mail_user, tmp_path)
    await _replace(dovecot, mail_user, "Work", "three", "one")
    await dovecot.doveadm("flags", "add", "-u", mail_user.login, "\\Flagged", "mailbox", "Work", "uid", "1")
    await _fill_more(dovecot, mail_user, "Work", "four")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        [reset] = await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", reason="uidValidityChange")
        assert (reset.facts["uidValidity"], reset.facts["messagesKept"]) == ("77", 2)
        told = await _told(node, account, last)
        after = await _mailbox(node, account, "Work")
        assert after.number != before.number and after.current
        assert sorted((event.name.value, event.facts["uid"]) for event in told) == [
            ("messageDeleted", 2),
            ("messageNew", 3),
            ("messageUpdated", 1),
        ]
        [updated] = [event for event in told if event.name is EventName.MESSAGE_UPDATED]
        assert updated.facts["changes"] == {"flags": {"added": ["\\Flagged"], "value": ["\\Flagged"]}}
        places = {uid: await _place(node, account, before, uid) for uid in (1, 3)}
        assert places == {1: (after.number, 2), 3: (after.number, 1)}
        assert [entry.uid for entry in await node.store.messages.page(after.number, limit=9, offset=0)] == [3, 2, 1]
        await purge_everything(node.store)
        assert await node.store.messages.count(before.number) == 0


async def test_a_second_replacement_keeps_the_first_ids(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    account, before, last = await _first_life(dovecot, mail_user, tmp_path)
    for validity, order in (("77", ("three", "two", "one")), ("99", ("two", "one", "three"))):
        await _replace(dovecot, mail_user, "Work", *order)
        await dovecot.doveadm("mailbox", "update", "-u", mail_user.login, "--uid-validity", validity, "Work")
        async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
            await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", uidValidity=validity)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        after = await _mailbox(node, account, "Work")
        assert await _told(node, account, last) == []
        assert {uid: (await _place(node, account, before, uid)) for uid in (1, 2, 3)} == {
            1: (after.number, 2),
            2: (after.number, 1),
            3: (after.number, 3),
        }


async def test_old_mail_of_another_mailbox_at_the_path_is_no_news(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    await asyncio.to_thread(_append_old, dovecot, mail_user, "Large", "four", "five", "six")
    account, _, last = await _first_life(dovecot, mail_user, tmp_path)
    await dovecot.doveadm("mailbox", "delete", "-u", mail_user.login, "Work")
    await dovecot.doveadm("mailbox", "rename", "-u", mail_user.login, "Large", "Work")
    await dovecot.doveadm("mailbox", "update", "-u", mail_user.login, "--uid-validity", "77", "Work")
    await _fill_more(dovecot, mail_user, "Work", "fresh")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        [reset] = await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", uidValidity="77")
        assert reset.facts["messagesKept"] == 0
        told = [event for event in await _told(node, account, last) if event.path == "Work"]
        assert sorted((event.name.value, event.facts["uid"]) for event in told) == [
            ("messageDeleted", 1),
            ("messageDeleted", 2),
            ("messageDeleted", 3),
            ("messageNew", 4),
        ]
        assert await node.store.messages.count((await _mailbox(node, account, "Work")).number) == 4


@pytest.mark.parametrize("step", ["_store_found", "_tell_gone"])
async def test_what_was_interrupted_goes_on_where_it_was(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    account, before, last = await _first_life(dovecot, mail_user, tmp_path)
    await _replace(dovecot, mail_user, "Work", "three", "one")
    real = getattr(MailboxReplacement, step)
    broken: list[str] = []

    async def interrupted(*args: object) -> object:
        done = await real(*args)
        if not broken:
            broken.append(step)
            raise StorageError("the disk went away")
        return done

    monkeypatch.setattr(MailboxReplacement, step, interrupted)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MAILBOX_RESET, account=account, path="Work", messagesKept=2)
        assert broken == [step]
        told = await _told(node, account, last)
        assert [(event.name.value, event.facts["uid"]) for event in told] == [("messageDeleted", 2)]
        after = await _mailbox(node, account, "Work")
        assert await _place(node, account, before, 1) == (after.number, 2)


async def test_a_renamed_mailbox_keeps_its_ids(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    await _fill(dovecot, mail_user, "Work", "one", "two")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        before = await _mailbox(node, account, "Work")
        [last] = (await node.store.events.of_account_after(account.number, 0, 1000))[-1:]
        await dovecot.doveadm("mailbox", "rename", "-u", mail_user.login, "Work", "Play")
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Play")
        assert (await _mailbox(node, account, "Play")).number == before.number
        assert await node.store.mailboxes.by_path(account.number, "Work") is None
        await _fill_more(dovecot, mail_user, "Play", "three")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Play")
        told = await node.store.events.of_account_after(account.number, last.sequence, 1000)
        assert [(event.name, event.path) for event in told if event.path != "INBOX"] == [
            (EventName.MAILBOX_DELETED, "Work"),
            (EventName.MAILBOX_NEW, "Play"),
            (EventName.MESSAGE_NEW, "Play"),
        ]


async def test_one_that_only_looks_alike_is_no_rename(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    await _fill(dovecot, mail_user, "Work", "one")
    await dovecot.doveadm("mailbox", "update", "-u", mail_user.login, "--uid-validity", "55", "Work")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        before = await _mailbox(node, account, "Work")
    await dovecot.doveadm("mailbox", "delete", "-u", mail_user.login, "Work")
    await _fill(dovecot, mail_user, "Play", "another")
    await dovecot.doveadm("mailbox", "update", "-u", mail_user.login, "--uid-validity", "55", "Play")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Play")
        assert (await _mailbox(node, account, "Play")).number != before.number


async def _fill_more(dovecot: Dovecot, user: MailUser, path: str, name: str) -> None:
    await dovecot.deliver(user.login, _mail(name))
    await dovecot.doveadm(
        "move", "-u", user.login, path, "mailbox", "INBOX", "header", "message-id", f"<{name}@b.test>"
    )


async def _place(node: TestNode, account: Account, before: Mailbox, uid: int) -> tuple[int, int]:
    mailbox, ref = await place_of(node.store, account.number, MessageRef(before.number, Uid(uid)))
    return mailbox.number, ref.uid
