"""What an account costs its server when it connects: one look at all mailboxes, and none into empty ones."""

from __future__ import annotations

from pathlib import Path

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from tests.runtime.harness import running_node

_QUIET = Config(imap_sweep_interval_seconds=3600, imap_verify_pause_seconds=3600)


def _profile(world: SandboxWorld) -> AccountProfile:
    ann = world.accounts[0]
    settings = ImapSettings(ann.imap_host, ann.imap_port, user=ann.user, password=ann.password, tls={"disabled": True})
    return AccountProfile(name="ann", imap=settings)


async def test_empty_mailboxes_are_not_opened_and_their_first_message_is_news(
    world: SandboxWorld, tmp_path: Path
) -> None:
    store = world.store_of(world.accounts[0].email)
    store.create("Empty")
    for command in ("SELECT", "EXAMINE"):
        world.imap_faults.on(command, ImapAction.DROP, times=None)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUIET) as node:
        account = await node.register("ann", _profile(world))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        empty = await node.store.mailboxes.by_path(account.number, "Empty")
        assert empty is not None and empty.cursor is not None
        assert (empty.cursor.messages, empty.cursor.uidvalidity) == (0, store.mailbox("Empty").uidvalidity)
        world.imap_faults.clear()
        resets = [event.path for event in await node.wait_for(EventName.MAILBOX_RESET, account=account, count=2)]
        assert "Empty" in resets
        store.append("Empty", b"Message-ID: <first@x.test>\r\nSubject: first\r\n\r\nx\r\n")
        node.supervisor.sync(account.number)
        [news] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (news.path, news.facts["uid"]) == ("Empty", 1)
