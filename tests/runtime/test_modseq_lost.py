"""A server that loses its mod-sequences, and counts anew under the same UIDVALIDITY."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.event import EventName
from tests.runtime.harness import profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

_CONFIG = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_verify_pause_seconds=3600)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


@pytest.mark.server
async def test_what_changed_before_the_server_began_anew_is_told(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    """One that came and one that went leave the count as it was."""
    user, database = mail_user.login, f"sqlite:///{tmp_path}/m.db"
    of_inbox = ("mailbox", "INBOX", "uid")
    await dovecot.deliver(user, *[_mail(str(number)) for number in range(1, 6)])
    async with running_node(database, tmp_path, config=_CONFIG) as node:
        profile = dataclasses.replace(profile_for(dovecot, mail_user), notify_from_ms=None)
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        for number in range(8):
            action = "remove" if number % 2 else "add"
            await dovecot.doveadm("flags", action, "-u", user, "\\Flagged", *of_inbox, "1")
        await dovecot.doveadm("flags", "add", "-u", user, "\\Seen", *of_inbox, "1")
        await node.wait_for(EventName.MESSAGE_UPDATED, account=account, uid=1, seconds=20)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
    await dovecot.doveadm("flags", "add", "-u", user, "\\Answered", *of_inbox, "2")
    await dovecot.doveadm("expunge", "-u", user, *of_inbox, "3")
    await dovecot.deliver(user, _mail("6"))
    home = (await dovecot.doveadm("user", "-f", "home", user)).strip()
    for index in Path(home).rglob("dovecot.index*"):
        index.unlink()
    async with running_node(database, tmp_path, config=_CONFIG) as node:
        [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, uid=2)
        assert updated.facts["changes"]["flags"]["added"] == ["\\Answered"]  # type: ignore[index]
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=3)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=6)
        assert await node.store.messages.uids(inbox.number) == [1, 2, 4, 5, 6]
