"""The index is compared with the server once in a while: what nobody told of is found, mended and admitted."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from mailquay.backends.interface import MailSession
from mailquay.config import Config
from mailquay.errors import CommandRejected
from mailquay.model.account import Account
from mailquay.model.event import EventName
from mailquay.model.mailbox import IndexVerification, Mailbox, Verification
from mailquay.model.message import IndexEntry, Uid
from mailquay.services.account_view import account_info
from mailquay.services.sync import MailboxSync
from mailquay.services.sync_context import SyncContext
from mailquay.services.verification import verification
from tests.runtime.harness import TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server
_NEVER = Config(imap_sweep_interval_seconds=3600, imap_verify_pause_seconds=3600)
_ONCE = dataclasses.replace(_NEVER, imap_verify_pause_seconds=0.01, imap_verify_interval_seconds=3600)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


async def test_what_the_index_lacks_is_found_and_mended(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    """Two messages are missing in the index, and one is there that never was, as a fault of ours might leave it."""
    await dovecot.deliver(mail_user.login, *[_mail(str(number)) for number in range(10)])
    database = f"sqlite:///{tmp_path}/m.db"
    profile = profile_for(dovecot, mail_user)
    async with running_node(database, tmp_path, config=_NEVER) as node:
        account = await node.register("ann", dataclasses.replace(profile, notify_from_ms=None))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        await node.store.commit(node.store.messages.drop(inbox.number, [2, 3]))
        await node.store.commit(node.store.messages.put(inbox.number, [IndexEntry(Uid(99))]))
        wrong = [(7, ["\\Flagged"], 1, None)]
        await node.store.commit(node.store.messages.update_flags(inbox.number, wrong))
    async with running_node(database, tmp_path, config=_ONCE) as node:
        news = await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        [gone] = await node.wait_for(EventName.MESSAGE_DELETED, account=account)
        [flags] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
        assert flags.facts["uid"] == 7
        assert flags.facts["changes"] == {"flags": {"deleted": ["\\Flagged"], "value": []}}
        assert ([event.facts["uid"] for event in news], gone.facts["uid"]) == ([2, 3], 99)
        verified = await _verified(node, account)
        assert (verified.messages, verified.missing, verified.coverage) == (10, 2, 0.8)
        assert await node.store.messages.uids(inbox.number) == list(range(1, 11))


async def test_an_account_shows_how_well_it_is_covered(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    await dovecot.deliver(mail_user.login, _mail("one"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_ONCE) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        shown = account_info(account, {}, None, await _verified(node, account))
        assert (shown["coverage"], shown["unexplainedMissing"]) == (1.0, 0)
        assert shown["lastVerifiedAt"].startswith("20")
        everything = await node.store.mailboxes.all_verified()
        assert (everything.messages, everything.missing) == (1, 0)


async def test_a_mailbox_that_cannot_be_compared_does_not_keep_the_others_from_it(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MailboxSync.catch_up

    async def refused(
        self: MailboxSync, session: MailSession, context: SyncContext, mailbox: Mailbox, **how: bool
    ) -> Mailbox:
        if mailbox.listing.path == "INBOX" and how.get("verify"):
            raise CommandRejected("no")
        return await real(self, session, context, mailbox, **how)

    monkeypatch.setattr(MailboxSync, "catch_up", refused)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_ONCE) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        async with asyncio.timeout(10):
            while [box for box in await node.store.mailboxes.of_account(account.number) if box.verification is None][
                1:
            ]:
                await asyncio.sleep(0.01)  # nothing tells of a verification


async def _verified(node: TestNode, account: Account) -> IndexVerification:
    """The verification of an account once every mailbox had its turn."""
    async with asyncio.timeout(20):
        while True:
            verified = await verification(node.store, account)
            if verified.at_ms is not None:
                return verified
            await asyncio.sleep(0.01)  # nothing tells of a verification


async def test_a_mailbox_that_is_not_followed_any_more_counts_for_nothing(
    dovecot: Dovecot, mail_user: MailUser, tmp_path: Path
) -> None:
    profile = profile_for(dovecot, mail_user)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_NEVER) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        await node.store.commit(node.store.mailboxes.record_verification(inbox.number, Verification(7, 3, 0)))
        assert await verification(node.store, account) == IndexVerification(None, 3, 0)
        narrow = dataclasses.replace(account, profile=dataclasses.replace(profile, path=("INBOX",)))
        assert await verification(node.store, narrow) == IndexVerification(7, 3, 0)
