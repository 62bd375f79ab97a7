"""A mailbox that cannot be opened for a while: told as gone and come, with its index and ids kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import SystemClock, running_node

_QUICK = Config(imap_sweep_interval_seconds=0.1, reconnect_backoff_seconds=0.05)


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize(
    ("attribute", "missing"),
    [("\\Noselect", []), ("\\NonExistent", []), ("", []), ("", ["LIST-STATUS"]), ("", ["LIST-STATUS", "NOTIFY"])],
)
async def test_its_messages_are_neither_deleted_nor_new(tmp_path: Path, attribute: str, missing: list[str]) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    world.imap_faults.missing |= {*missing}
    ann = world.accounts[0]
    store = world.store_of(ann.email)
    for subject in "ab":
        store.append("Archive", _mail(subject))
    imap = ImapSettings(ann.imap_host, ann.imap_port, tls={"disabled": True}, user=ann.user, password=ann.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        before = await node.store.mailboxes.by_path(account.number, "Archive")
        assert before is not None
        world.imap_faults.unselectable["Archive"] = attribute
        await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Archive")
        assert await node.store.messages.uids(before.number) == [1, 2]
        store.append("Archive", _mail("meanwhile"))
        world.imap_faults.unselectable.clear()
        await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Archive", count=2)
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        after = await node.store.mailboxes.by_path(account.number, "Archive")
        assert after is not None and (after.number, new.facts["uid"]) == (before.number, 3)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        assert [event.facts["uid"] for event in events if "uid" in event.facts] == [3]
        assert [event.path for event in events if event.name is EventName.MAILBOX_DELETED] == ["Archive"]
    await world.stop()
