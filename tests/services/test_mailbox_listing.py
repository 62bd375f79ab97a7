"""The listing of an account's mailboxes over time: gone, back again, and a server that lists nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from mailquay.backends.interface import MailSession
from mailquay.model.account import Account, AccountId, AccountProfile
from mailquay.model.event import EventName
from mailquay.model.mailbox import ListedMailbox, MailboxEvidence
from mailquay.model.node import Fence
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.storage.store import Store, open_store


class _Clock:
    time_ms = 1_000_000

    def now_ms(self) -> int:
        return self.time_ms


class _Server:
    """The one question that a refresh asks."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.attributes: dict[str, frozenset[str]] = {}

    async def survey(self) -> tuple[list[ListedMailbox], None]:
        return [ListedMailbox(path, "/", self.attributes.get(path, frozenset())) for path in self.paths], None


class _World:
    def __init__(self, store: Store, account: Account, fence: Fence) -> None:
        self.store = store
        self.account = account
        self.fence = fence
        self.clock = _Clock()
        self.server = _Server()
        self.listing = MailboxListing(store, self.clock)

    async def refresh(self, *paths: str) -> None:
        self.server.paths = list(paths)
        await self.listing.refresh(cast(MailSession, self.server), self.account, self.fence)

    async def events(self) -> list[tuple[EventName, str | None]]:
        return [(event.name, event.path) for event in await self.store.events.of_account_after(1, 1, 100)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    account = (await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile(), 0))).account
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 60_000))
    [lease] = await store.commit(store.nodes.take("n1", await store.nodes.free()))
    yield _World(store, account, Fence(lease.account, lease.epoch))
    await store.close()


async def test_a_mailbox_that_comes_back_within_a_day_is_told_and_keeps_its_index(world: _World) -> None:
    await world.refresh("INBOX", "Plans")
    before = await world.store.mailboxes.by_path(1, "Plans")
    for _ in range(3):
        await world.refresh("INBOX")
        world.clock.time_ms += 3600_000
    await world.refresh("INBOX", "Plans")
    after = await world.store.mailboxes.by_path(1, "Plans")
    assert before is not None
    assert after is not None
    assert (after.number, after.missing_since_ms) == (before.number, None)
    assert await world.events() == [
        (EventName.MAILBOX_NEW, "INBOX"),
        (EventName.MAILBOX_NEW, "Plans"),
        (EventName.MAILBOX_DELETED, "Plans"),
        (EventName.MAILBOX_NEW, "Plans"),
    ]
    await world.refresh("INBOX")
    world.clock.time_ms += 25 * 3600_000
    await world.refresh("INBOX")
    assert await world.store.mailboxes.by_path(1, "Plans") is None


@pytest.mark.parametrize("attribute", ["\\noselect", "\\nonexistent"])
async def test_a_mailbox_that_cannot_be_opened_for_a_while_has_vanished_for_a_while(
    world: _World, attribute: str
) -> None:
    await world.refresh("INBOX", "Plans")
    before = await world.store.mailboxes.by_path(1, "Plans")
    world.server.attributes["Plans"] = frozenset([attribute])
    for _ in range(3):
        await world.refresh("INBOX", "Plans", "Plans/Old")
        world.clock.time_ms += 3600_000
    del world.server.attributes["Plans"]
    await world.refresh("INBOX", "Plans", "Plans/Old")
    after = await world.store.mailboxes.by_path(1, "Plans")
    assert before is not None and after is not None
    assert (after.number, after.missing_since_ms, after.listing) == (before.number, None, before.listing)
    told = [name for name, path in await world.events() if path == "Plans"]
    assert told == [EventName.MAILBOX_NEW, EventName.MAILBOX_DELETED, EventName.MAILBOX_NEW]


async def test_a_level_of_the_hierarchy_is_no_mailbox(world: _World) -> None:
    world.server.attributes["Plans"] = frozenset(["\\noselect"])
    await world.refresh("INBOX", "Plans", "Plans/Old")
    assert await world.store.mailboxes.by_path(1, "Plans") is None


async def test_a_server_that_lists_nothing_has_not_lost_everything(world: _World) -> None:
    await world.refresh("INBOX", "Plans")
    await world.refresh()
    boxes = await world.store.mailboxes.of_account(1)
    assert [box.missing_since_ms for box in boxes] == [None, None]
    assert (EventName.MAILBOX_DELETED, "INBOX") not in await world.events()


async def test_only_news_of_a_mailbox_is_written(world: _World) -> None:
    await world.refresh("INBOX")
    [box] = await world.store.mailboxes.of_account(1)
    evidence = MailboxEvidence(uidvalidity=1, uidnext=5, messages=4, unseen=0)
    seen = await world.listing.observe(box, evidence, world.fence)
    world.clock.time_ms += 1000
    assert await world.listing.observe(seen, evidence, world.fence) is seen
    await world.store.commit(world.store.mailboxes.doubt(box.number))
    [doubted] = await world.store.mailboxes.of_account(1)
    assert (await world.listing.observe(doubted, evidence, world.fence)).evidence_at_ms == world.clock.time_ms
