"""An account that connects again: one connection where nothing has happened, and nothing missed where something has."""

from __future__ import annotations

from pathlib import Path

from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import TestNode, profile_for, running_node
from tests.servers.dovecot import Dovecot

_QUIET = Config(imap_sweep_interval_seconds=3600, imap_verify_pause_seconds=3600)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=imap)


async def _synced(url: str, folder: Path, profile: AccountProfile) -> None:
    """Register the account, and go when all is indexed."""
    async with running_node(url, folder, config=_QUIET) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await node.envelopes_read(account)


async def _again(node: TestNode) -> Account:
    account = await node.store.accounts.get("ann")
    assert account is not None
    return await node.connected(account)


async def test_where_nothing_has_happened_one_connection_is_enough(dovecot: Dovecot, tmp_path: Path) -> None:
    user, url = dovecot.new_user(), f"sqlite:///{tmp_path}/m.db"
    await dovecot.deliver(user.login, _mail("before"))
    await _synced(url, tmp_path, profile_for(dovecot, user))
    async with running_node(url, tmp_path, config=_QUIET) as node:
        account = await _again(node)
        assert node.supervisor.runner(account.number).connections == 1
        assert len(await dovecot.session_pids(user.login)) == 1
        await dovecot.deliver(user.login, _mail("after"))
        told = await node.wait_for(EventName.MESSAGE_NEW, account=account, count=2)
        assert [news.facts["uid"] for news in told] == [1, 2]


async def test_what_has_happened_meanwhile_is_told(tmp_path: Path) -> None:
    world, url = SandboxWorld(empty=True), f"sqlite:///{tmp_path}/m.db"
    await world.start()
    store = world.store_of(world.accounts[0].email)
    for path in ("Old", "Work"):
        store.create(path)
    for path in ("INBOX", "Old", "Work"):
        store.append(path, _mail(f"before-{path}"))
    await _synced(url, tmp_path, _profile(world))
    store.append("Work", _mail("meanwhile"))
    inbox = store.mailbox("INBOX")
    store.set_flags(inbox, [(message, frozenset(["\\Flagged"])) for message in inbox])
    async with running_node(url, tmp_path, config=_QUIET) as node:
        account = await _again(node)
        [news] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (news.path, news.facts["uid"]) == ("Work", 2)
        [flagged] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
        assert (flagged.path, flagged.facts["uid"]) == ("INBOX", 1)
    store.delete("Old")
    store.create("Fresh")
    async with running_node(url, tmp_path, config=_QUIET) as node:
        account = await _again(node)
        await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Old")
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Fresh")
    await world.stop()
