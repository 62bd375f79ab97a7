"""A node without HTTP: store, supervisor and workers, for tests against real mail servers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.config import Config
from mailquay.errors import NotOperational
from mailquay.model.account import Account, AccountId, AccountNumber, AccountProfile, AccountState, ImapSettings
from mailquay.model.event import EventName, LoggedEvent
from mailquay.runtime.account_runner import RunnerParts
from mailquay.runtime.account_workers import AccountWorkers
from mailquay.runtime.keyed_worker import KeyedWorker
from mailquay.runtime.mail_access import OwnedMailAccess
from mailquay.runtime.node import Membership, NodeIdentity
from mailquay.runtime.supervisor import Supervisor
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.services.new_mail import NewMail
from mailquay.services.settings import SettingsService
from mailquay.services.sync import MailboxSync
from mailquay.services.text_reading import TextReader
from mailquay.storage.store import Store, open_store
from tests.servers.dovecot import Dovecot, MailUser


class SystemClock:
    """The real time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(time.time() * 1000)


class Journal:
    """What the accounts' own logs would hold."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []

    def write(self, account: Account, entry: Mapping[str, Any]) -> None:
        """See services.ports.Journal."""
        self.lines.append({"account": account.id, **entry})


async def _nothing(_account: int) -> float | None:
    return None


@dataclass(slots=True)
class TestNode:
    """A running node and its parts."""

    __test__ = False

    store: Store
    settings: SettingsService
    supervisor: Supervisor
    membership: Membership
    access: OwnedMailAccess

    async def register(self, account_id: str, profile: AccountProfile) -> Account:
        """Register an account as the API does."""
        unit = self.store.accounts.upsert(AccountId(account_id), lambda _: profile, SystemClock().now_ms())
        return (await self.store.commit(unit)).account

    async def wait_for(
        self, name: EventName, *, account: Account, count: int = 1, seconds: float = 15, **facts: object
    ) -> list[LoggedEvent]:
        """Wait until the log holds that many events of a name for an account, with those facts."""
        return await wait_for_events(self.store, name, account=account, count=count, seconds=seconds, **facts)

    async def connected(self, account: Account) -> Account:
        """Wait until this node serves the account; returns it as it is stored then."""
        async with asyncio.timeout(15):
            while True:
                found = await self.store.accounts.by_number(account.number)
                with contextlib.suppress(NotOperational):
                    runner = self.supervisor.runner(account.number)
                    if found is not None and found.status.state is runner.state is AccountState.CONNECTED:
                        return found
                await asyncio.sleep(0.01)  # nothing tells of a state that no event goes with

    async def envelopes_read(self, account: Account) -> None:
        """Wait until the index knows the Message-IDs; until then no message is recognised in another mailbox."""
        async with asyncio.timeout(40):
            for box in await self.store.mailboxes.of_account(account.number):
                while await self.store.messages.without_envelope(box.number, limit=1):
                    await asyncio.sleep(0.01)  # nothing tells of an envelope that was filled in


async def wait_for_events(
    store: Store, name: EventName, *, account: Account, count: int = 1, seconds: float = 15, **facts: object
) -> list[LoggedEvent]:
    """See TestNode.wait_for."""
    changed = asyncio.Event()
    stop = store.database.subscribe(lambda _signals: changed.set())
    try:
        async with asyncio.timeout(seconds):
            while True:
                changed.clear()
                found = [
                    event
                    for event in await store.events.of_account_after(account.number, 0, 100_000)
                    if event.name is name and all(event.facts.get(key) == value for key, value in facts.items())
                ]
                if len(found) >= count:
                    return found
                await changed.wait()
    finally:
        stop()


def profile_for(dovecot: Dovecot, user: MailUser, **changes: object) -> AccountProfile:
    """The profile of a Dovecot user."""
    imap = ImapSettings(
        host=dovecot.host, port=dovecot.imap_port, user=user.login, password=user.password, tls={"disabled": True}
    )
    profile = AccountProfile(name=user.login, email=user.login, imap=imap, notify_from_ms=SystemClock().now_ms())
    return dataclasses.replace(profile, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def running_node(
    database_url: str,
    folder: Path,
    *,
    config: Config | None = None,
    settings: Mapping[str, object] | None = None,
    webhooks: Callable[[Store, SettingsService], KeyedWorker] | None = None,
) -> AsyncIterator[TestNode]:
    """Run a node over a database; `folder` holds its key and identity."""
    config = config or Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05)
    store = await open_store(database_url, key_file=folder / "key")
    service = SettingsService(store)
    await service.establish({}, settings or {})
    clock = SystemClock()
    identity = NodeIdentity.claim(folder)
    membership = Membership(
        store,
        identity,
        address="unix:none",
        roles=("sync",),
        ttl_seconds=config.lease_ttl_seconds,
        renew_seconds=config.lease_renew_seconds,
    )
    options = ImapOptions(
        connect_seconds=10,
        command_seconds=20,
        idle_restart_seconds=60,
        poll_seconds=0.5,
        client_id={"name": "mailquay"},
    )

    def backend(account: Account) -> ImapBackend:
        assert account.profile.imap is not None
        return ImapBackend(account.profile.imap, options)

    supervisor: Supervisor | None = None

    def on_fenced(number: AccountNumber) -> None:
        assert supervisor is not None
        supervisor.fenced_off(number)

    parts = RunnerParts(
        store=store,
        config=config,
        clock=clock,
        backend=backend,
        sync=MailboxSync(store, NewMail(service), TextReader(service), clock, batch_size=config.sync_batch_size),
        listing=MailboxListing(store, clock),
        journal=Journal(),
        on_fenced=on_fenced,
    )
    workers = AccountWorkers(
        outbox=KeyedWorker("outbox", _nothing, concurrency=10),
        filing=KeyedWorker("filing", _nothing, concurrency=10),
        webhooks=webhooks(store, service) if webhooks else KeyedWorker("webhooks", _nothing, concurrency=10),
        exports=KeyedWorker("exports", _nothing, concurrency=10),
    )
    supervisor = Supervisor(store, config, membership, parts, workers)
    try:
        await supervisor.start(await membership.join())
        yield TestNode(store, service, supervisor, membership, OwnedMailAccess(supervisor))
    finally:
        await supervisor.stop()
        await workers.close()
        await membership.leave()
        identity.release()
        await store.close()
