"""A connected account at the built-in server, and what the API reads its messages with."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mailquay.backends.interface import SearchTerms
from mailquay.config import Config
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from tests.runtime.harness import SystemClock, TestNode, running_node

SECONDS = 10.0
WEBHOOKS = {"webhooksEnabled": True, "webhooks": "http://127.0.0.1:9/", "webhookEvents": ["*"], "notifyText": True}


@dataclasses.dataclass
class Reader:
    """One account on a running node."""

    node: TestNode
    account: Account

    @property
    def service(self) -> MessageService:
        """What the API calls."""
        store, access = self.node.store, self.node.access
        return MessageService(store, access, MailboxService(store, access), SystemClock())

    async def mailbox(self, path: str = "INBOX") -> Mailbox:
        """The mailbox as we know it."""
        found = await self.node.store.mailboxes.by_path(self.account.number, path)
        assert found is not None
        return found

    async def page(self, path: str = "INBOX", size: int = 100) -> list[dict[str, Any]]:
        """The newest messages of a mailbox as its listing has them."""
        answer = await self.service.page(self.account, path=path, page=0, page_size=size, timeout_seconds=SECONDS)
        messages: list[dict[str, Any]] = answer["messages"]
        return messages

    async def found(self, terms: SearchTerms) -> list[dict[str, Any]]:
        """The messages of INBOX that a search finds."""
        answer = await self.service.search(
            self.account, path="INBOX", terms=terms, page=0, page_size=100, timeout_seconds=SECONDS
        )
        messages: list[dict[str, Any]] = answer["messages"]
        return messages

    async def catch_up(self) -> None:
        """Have INBOX brought up to date."""
        await self.node.access.catch_up(self.account.number, ["INBOX"], timeout_seconds=SECONDS)

    async def entries(self, path: str = "INBOX") -> dict[int, IndexEntry]:
        """The index of a mailbox by UID."""
        found = await self.node.store.messages.range((await self.mailbox(path)).number, 1, 2**32 - 1)
        return {entry.uid: entry for entry in found}

    async def until(self, *, digested: int, envelopes: int, path: str = "INBOX") -> dict[int, IndexEntry]:
        """Wait until so many messages were read, and so many envelopes are kept."""
        async with asyncio.timeout(40):
            while True:
                entries = await self.entries(path)
                read = sum(entry.digested for entry in entries.values())
                kept = sum(entry.envelope is not None for entry in entries.values())
                if (read, kept) == (digested, envelopes):
                    return entries
                await asyncio.sleep(0.01)  # nothing tells of an envelope that was filled in, or taken out

    async def change(self, **changes: Any) -> None:
        """Change the profile as the API does; what reads messages sees it at once."""
        update = self.node.store.accounts.update(self.account.id, lambda one: dataclasses.replace(one, **changes))
        changed = await self.node.store.commit(update)
        assert changed is not None
        self.account = dataclasses.replace(changed, status=self.account.status)

    async def events(self, *names: EventName) -> list[tuple[EventName, object]]:
        """The events of messages so far: name and UID."""
        logged = await self.node.store.events.of_account_after(self.account.number, 0, 100_000)
        told = [(event.name, event.facts["uid"]) for event in logged if "uid" in event.facts]
        return [one for one in told if not names or one[0] in names]


def profile_at(world: SandboxWorld, **changes: Any) -> AccountProfile:
    """The profile of the sandbox's first user."""
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    return dataclasses.replace(profile, **changes)


QUIET = Config(
    imap_sweep_interval_seconds=3600,
    imap_verify_pause_seconds=3600,
    reconnect_backoff_seconds=0.05,
    imap_flag_scan_interval_seconds=3600,
)


@contextlib.asynccontextmanager
async def reading(
    world: SandboxWorld, folder: Path, *, database: str | None = None, config: Config = QUIET, **changes: Any
) -> AsyncIterator[Reader]:
    """Run a node with one account; it has the same database again when the folder is the same."""
    folder.mkdir(exist_ok=True)
    url = database or f"sqlite:///{folder}/m.db"
    async with running_node(url, folder, config=config, settings=WEBHOOKS) as node:
        known = await node.store.accounts.get("ann")
        account = known or await node.register("ann", profile_at(world, **changes))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield Reader(node, await node.connected(account))
