"""An account on a real server: first sync, news, changes, deletions, failures, return."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.services.identifiers import parse_message_id
from tests.runtime.harness import SystemClock, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server


def _mail(subject: str) -> bytes:
    return (
        f"From: Ann <ann@example.test>\r\nTo: bob@example.test\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject}@example.test>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\n\r\nHello {subject}\r\n"
    ).encode()


async def test_first_sync_then_new_changed_and_deleted_mail(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    await dovecot.deliver(mail_user.login, *[_mail(f"old{n}") for n in range(5)])
    profile = profile_for(dovecot, mail_user, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        names = [event.name.value for event in await node.store.events.of_account_after(account.number, 0, 100)]
        assert names[:2] == ["accountAdded", "authenticationSuccess"]
        assert names.count("mailboxNew") == names.count("mailboxReset") == 6
        assert "messageNew" not in names
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        assert inbox.current
        assert len(await node.store.messages.page(inbox.number, limit=10, offset=0)) == 5

        await dovecot.deliver(mail_user.login, _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (new.facts["uid"], new.path, new.special_use) == (6, "INBOX", "\\Inbox")
        assert parse_message_id(str(new.facts["id"])).mailbox == inbox.number
        assert new.facts["seemsLikeNew"] is True
        entry = await node.store.messages.get(inbox.number, 6)
        assert entry is not None
        assert entry.envelope is not None
        assert entry.envelope.subject == "fresh"
        assert entry.structure is not None
        assert entry.structure.plain[0].part == "1"

        await dovecot.doveadm("flags", "add", "-u", mail_user.login, "\\Flagged", "mailbox", "INBOX", "uid", "6")
        [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
        assert updated.facts["changes"] == {"flags": {"added": ["\\Flagged"], "value": ["\\Flagged"]}}

        await dovecot.doveadm("expunge", "-u", mail_user.login, "mailbox", "INBOX", "uid", "2,6")
        deleted = await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=2)
        assert [event.facts["uid"] for event in deleted] == [2, 6]


async def test_mail_in_other_mailboxes_and_new_mailboxes(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.doveadm("mailbox", "create", "-u", mail_user.login, "Projects")
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Projects")
        await dovecot.deliver(mail_user.login, _mail("a"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="INBOX")
        await dovecot.doveadm("move", "-u", mail_user.login, "Archive", "mailbox", "INBOX", "all")
        [moved] = await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive")
        assert moved.facts["seemsLikeNew"] is False
        await node.wait_for(EventName.MESSAGE_DELETED, account=account)
        await dovecot.doveadm("mailbox", "delete", "-u", mail_user.login, "Projects")
        await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Projects")


async def test_mail_delivered_in_the_second_of_registration_is_announced_once(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    await dovecot.deliver(mail_user.login, _mail("now"))
    profile = profile_for(dovecot, mail_user)
    await dovecot.deliver(mail_user.login, _mail("then"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=2)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        await dovecot.deliver(mail_user.login, _mail("later"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=3)
        uids = [event.facts["uid"] for event in await node.wait_for(EventName.MESSAGE_NEW, account=account)]
        assert len(uids) == len(set(uids))


async def test_wrong_credentials_are_told_once_and_mended_by_an_update(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    profile = profile_for(dovecot, mail_user)
    assert profile.imap is not None
    wrong = dataclasses.replace(profile, imap=dataclasses.replace(profile.imap, password="wrong"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", wrong)
        [error] = await node.wait_for(EventName.AUTHENTICATION_ERROR, account=account)
        assert error.facts["serverResponseCode"] == "AUTHENTICATIONFAILED"
        await node.register("ann", profile)
        await node.wait_for(EventName.AUTHENTICATION_SUCCESS, account=account)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        assert len(await node.wait_for(EventName.AUTHENTICATION_ERROR, account=account)) == 1


async def test_an_unreachable_server_is_a_connect_error(tmp_path: Path) -> None:
    imap = ImapSettings(host="127.0.0.1", port=1, user="u", password="p")
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", AccountProfile(name="x", imap=imap))
        [error] = await node.wait_for(EventName.CONNECT_ERROR, account=account)
        assert error.facts["serverResponseCode"] == "ECONNREFUSED"


async def test_news_after_the_sessions_were_cut(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dovecot.doveadm("kick", mail_user.login)
        await dovecot.deliver(mail_user.login, _mail("after"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert new.facts["uid"] == 1
        assert len(await node.wait_for(EventName.AUTHENTICATION_SUCCESS, account=account)) == 1
