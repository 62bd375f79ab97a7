"""messageMoved on whole accounts: through us, by others, across a restart, and where nothing was moved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from tests.runtime.harness import SystemClock, TestNode, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.5)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


def _profile(world: SandboxWorld, **changes: Any) -> AccountProfile:
    ann = world.accounts[0]
    imap = ImapSettings(host=ann.imap_host, port=ann.imap_port, user=ann.user, password=ann.password)
    imap = dataclasses.replace(imap, tls={"disabled": True})
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    return dataclasses.replace(profile, **changes)


async def _registered(node: TestNode, profile: AccountProfile) -> Account:
    account = await node.register("ann", profile)
    await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
    await node.envelopes_read(account)
    current = await node.store.accounts.by_number(account.number)
    assert current is not None
    return current


async def _moves(node: TestNode, account: Account) -> list[tuple[str, int, str, int]]:
    """Every move that was told: from where, to where."""
    told = []
    for event in await node.store.events.of_account_after(account.number, 0, 1000):
        if event.name is EventName.MESSAGE_MOVED:
            facts: Any = event.facts
            told.append((facts["previous"]["path"], facts["previous"]["uid"], facts["path"], facts["uid"]))
    return told


@pytest.mark.parametrize("deleted", [False, True], ids=["moved", "deleted"])
async def test_through_us(world: SandboxWorld, tmp_path: Path, deleted: bool) -> None:
    store = world.store_of(world.accounts[0].email)
    store.append("INBOX", _mail("a"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await _registered(node, _profile(world))
        service = MessageService(node.store, node.access, MailboxService(node.store, node.access), SystemClock())
        [shown] = (await service.page(account, path="INBOX", page=0, page_size=5, timeout_seconds=10))["messages"]
        if deleted:
            answer = await service.delete(account, shown["id"], force=False, timeout_seconds=10)
            target, new_id = answer["moved"]["destination"], answer["moved"]["message"]
        else:
            answer = await service.move(account, shown["id"], "Archive", timeout_seconds=10)
            target, new_id = answer["path"], answer["id"]
        [moved] = await node.wait_for(EventName.MESSAGE_MOVED, account=account)
        assert moved.path == target
        assert moved.facts == {
            "id": new_id,
            "uid": 1,
            "path": target,
            "previous": {"id": shown["id"], "uid": 1, "path": "INBOX"},
        }
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=1)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path=target)


async def test_by_others_while_nobody_looks_and_twice_the_same(world: SandboxWorld, tmp_path: Path) -> None:
    store = world.store_of(world.accounts[0].email)
    inbox = store.mailbox("INBOX")
    for subject in ("twin", "twin", "copied", "other"):
        store.append("INBOX", _mail(subject))
    database = f"sqlite:///{tmp_path}/m.db"
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await _registered(node, _profile(world))
    store.move(inbox, [message for message in inbox if message.uid <= 2], "Archive")
    store.copy([message for message in inbox if message.uid == 3], "Archive")
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MESSAGE_MOVED, account=account, count=2)
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive", count=3)
        assert await _moves(node, account) == [("INBOX", 1, "Archive", 1), ("INBOX", 2, "Archive", 2)]
        # The copy becomes a move when its original goes soon after it.
        store.expunge(inbox, [message for message in inbox if message.uid == 3])
        await node.wait_for(EventName.MESSAGE_MOVED, account=account, path="Archive", uid=3)


async def test_the_halves_may_be_seen_in_two_lives(world: SandboxWorld, tmp_path: Path) -> None:
    store = world.store_of(world.accounts[0].email)
    inbox = store.mailbox("INBOX")
    [message] = [store.append("INBOX", _mail("a"))]
    database = f"sqlite:///{tmp_path}/m.db"
    async with running_node(database, tmp_path, config=_QUICK) as node:
        account = await _registered(node, _profile(world))
        store.copy([message], "Archive")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive")
        assert await _moves(node, account) == []
    store.expunge(inbox, [message])
    async with running_node(database, tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MESSAGE_MOVED, account=account)
        assert await _moves(node, account) == [("INBOX", 1, "Archive", 1)]


async def test_not_without_an_index(world: SandboxWorld, tmp_path: Path) -> None:
    store = world.store_of(world.accounts[0].email)
    inbox = store.mailbox("INBOX")
    store.append("INBOX", _mail("a"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", _profile(world, imap_indexer="fast"))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        store.move(inbox, list(inbox), "Archive")
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive")
        store.append("INBOX", _mail("b"))
        await node.wait_for(EventName.MESSAGE_NEW, account=account, path="INBOX")
        assert await _moves(node, account) == []
