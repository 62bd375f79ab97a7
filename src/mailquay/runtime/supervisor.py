"""Which accounts this node serves: leases taken, handed over, lost; a runner and workers for each that it owns."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from mailquay.config import Config
from mailquay.errors import NotOperational, StorageError
from mailquay.model.account import Account, AccountNumber, AccountProfile
from mailquay.model.node import Fence, Lease, Node
from mailquay.runtime.account_runner import AccountRunner, RunnerParts
from mailquay.runtime.account_workers import AccountWorkers
from mailquay.runtime.node import Membership
from mailquay.storage.interface import (
    ACCOUNT_CHANGED,
    ANYTHING_CHANGED,
    LEASES_CHANGED,
    Signal,
)
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_TOGETHER = 1000
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class _Owned:
    """`leaving`: what is under way may end, nothing new may begin."""

    lease: Lease
    runner: AccountRunner | None = None
    leaving: bool = False


class Supervisor:
    """Keeps the set of owned accounts equal to what the plan says, and every owned account served."""

    def __init__(
        self,
        store: Store,
        config: Config,
        membership: Membership,
        parts: RunnerParts,
        workers: AccountWorkers,
    ) -> None:
        self._store = store
        self._config = config
        self._membership = membership
        self._parts = parts
        self._workers = workers
        self._owned: dict[int, _Owned] = {}
        self._changed: set[int] = set()
        self._paused: set[int] = set()
        self._resumed: dict[int, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stop_listening = store.database.subscribe(self._on_signals)
        self._draining = False
        self._look: asyncio.TimerHandle | None = None
        self._look_due = False
        self._orphans: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life --------------------------------------------------------------------------------------

    async def start(self, leases: Iterable[Lease]) -> None:
        """Go on with the leases that the node has, and begin to plan."""
        await self._begin_all(leases)
        self._wake.set()
        self._task = asyncio.create_task(self._plan_loop(), name="supervisor")

    async def stop(self) -> None:
        """Hand everything over."""
        self._draining = True
        self._stop_listening()
        for timer in self._resumed.values():
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._each(self._owned, self._end)

    # -- for requests ------------------------------------------------------------------------------

    @property
    def node_id(self) -> str:
        """This node."""
        return self._membership.id

    def reconnect(self, number: int) -> None:
        """Give an account new connections at once.

        Raises NotOperational when this node does not own it.
        """
        self.runner(number).retry_now()

    def sync(self, number: int) -> None:
        """Have every mailbox of an account looked at soon.

        Raises NotOperational when this node does not own it, or it is not connected.
        """
        self.runner(number).catch_up.nudge_followed()

    def runner(self, number: int) -> AccountRunner:
        """The runner of an owned account.

        Raises NotOperational when this node does not own it.
        """
        owned = self._owned.get(number)
        if owned is None or owned.runner is None:
            raise NotOperational("no node serves the account at this moment", code="WorkerNotAvailable")
        return owned.runner

    def owns(self, number: int) -> bool:
        """Whether this node owns an account."""
        return number in self._owned and self._membership.alive

    def fence(self, number: int) -> Fence:
        """What a write of the owner must carry.

        Raises NotOperational when this node does not own the account.
        """
        owned = self._owned.get(number)
        if owned is None or owned.leaving or not self._membership.alive:
            raise NotOperational("no node serves the account at this moment", code="WorkerNotAvailable")
        return Fence(owned.lease.account, owned.lease.epoch)

    def fence_or_none(self, account: int) -> Fence | None:
        """See services.ports.Ownership."""
        return None if account in self._orphans else self.fence(account)

    def owned_accounts(self) -> list[int]:
        """The numbers of the accounts that this node owns."""
        return list(self._owned)

    async def pause(self, number: int) -> None:
        """Stop serving an account without giving it up; `resume` goes on."""
        if number in self._resumed:
            self._resumed.pop(number).cancel()
        self._paused.add(number)
        owned = self._owned.get(number)
        while owned is not None and (runner := owned.runner) is not None:
            await runner.stop()
            if owned.runner is runner:
                owned.runner = None

    def resume(self, number: int, *, after_seconds: float) -> None:
        """Serve a paused account again, after that time."""
        self._resumed[number] = asyncio.get_running_loop().call_later(after_seconds, self._go_on, number)

    def _go_on(self, number: int) -> None:
        del self._resumed[number]
        self._paused.discard(number)
        self._changed.add(number)
        self._wake.set()

    # -- signals -----------------------------------------------------------------------------------

    def _on_signals(self, signals: frozenset[Signal]) -> None:
        for signal in signals:
            self._workers.heed(signal)
            if signal.kind == ACCOUNT_CHANGED:
                self._changed.add(signal.account)
                self._wake.set()
            elif signal.kind == LEASES_CHANGED:
                self._wake.set()
            elif signal.kind == ANYTHING_CHANGED and self._look is None:
                self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._time_to_look)

    def _time_to_look(self) -> None:
        self._look, self._look_due = None, True
        self._wake.set()

    # -- planning ----------------------------------------------------------------------------------

    async def _plan_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._config.poll_interval_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass  # a look at the leases is due all the same
            self._wake.clear()
            try:
                if self._membership.lost.is_set():
                    await self._give_up_everything()
                if self._look_due:
                    await self._look_around()
                    self._look_due = False
                await self._apply_changes()
                await self._plan()
            except StorageError as error:
                _log.error("planning_failed", error=str(error))
            except Exception as error:
                # Whatever it was, accounts must still be taken over and given up.
                _log.error("planning_failed", exc_info=error)

    async def _look_around(self) -> None:
        """Something was committed elsewhere, nobody said what: find the accounts that it concerns, and wake only them.

        With two processes on one file this happens several times a second, and there may be thousands of accounts.
        """
        for number in await self._store.outbox.waiting_accounts():
            self._workers.outbox.nudge(number)
        for number in await self._store.outbox.filing_accounts():
            self._workers.filing.nudge(number)
        for number in await self._store.events.webhook_backlog():
            self._workers.webhooks.nudge(number)
        for number in await self._store.exports.active_accounts():
            self._workers.exports.nudge(number)
        revisions = await self._store.accounts.revisions()
        for number, owned in self._owned.items():
            if owned.runner is None or revisions.get(number) != owned.runner.account.revision:
                self._changed.add(number)

    async def _plan(self) -> None:
        if not self._membership.alive or self._draining:
            return
        now_ms = await self._store.nodes.clock_ms()
        live = [
            node
            for node in await self._store.nodes.all()
            if node.expires_ms >= now_ms and not node.draining and "sync" in node.roles
        ]
        await self._agree_with_leases(live)
        free = [lease for lease in await self._store.nodes.free() if self._is_ours(lease.account, live)]
        if free:
            await self._begin_all(await self._store.commit(self._store.nodes.take(self._membership.id, free)))
        await self._each([number for number in self._owned if not self._is_ours(number, live)], self._hand_over)
        await self._serve_orphans(live)

    async def _agree_with_leases(self, live: list[Node]) -> None:
        """Serve what is ours and not served (a step of ours failed half-way), stop what another node has taken."""
        ended = any(owned.runner is not None and owned.runner.ended for owned in self._owned.values())
        held = (owned.lease for owned in self._owned.values())
        if not ended and await self._store.nodes.agrees(self._membership.id, held):
            return
        leases = {lease.account: lease for lease in await self._store.nodes.leases_of(self._membership.id)}
        lost = [
            number
            for number, owned in self._owned.items()
            if leases.get(owned.lease.account) != owned.lease or (owned.runner is not None and owned.runner.ended)
        ]
        await self._each(lost, self._stop_serving)
        unserved = [lease for lease in leases.values() if lease.account not in self._owned]
        await self._begin_all(lease for lease in unserved if self._is_ours(lease.account, live))
        for lease in unserved:
            if not self._is_ours(lease.account, live):
                await self._store.commit(self._store.nodes.release(lease))

    async def _serve_orphans(self, live: list[Node]) -> None:
        """The last event of a deleted account is still to be delivered, although nobody owns the account any more."""
        orphans = {number for number in await self._store.events.webhook_orphans() if self._is_ours(number, live)}
        for number in self._orphans - orphans:
            await self._workers.webhooks.remove(number)
        self._orphans = orphans
        for number in orphans:
            self._workers.webhooks.add(number)

    def _is_ours(self, account: int, live: list[Node]) -> bool:
        if len(live) == 1:
            # As most often; and this is asked of every account at every look.
            return live[0].id == self._membership.id
        return preferred_node(account, [node.id for node in live]) == self._membership.id

    async def _apply_changes(self) -> None:
        changed, self._changed = self._changed & set(self._owned), set()
        # What fails is done again with the next plan.
        self._changed |= await self._each(changed, self._apply_change)

    async def _apply_change(self, number: int) -> None:
        owned = self._owned.get(number)
        if owned is None:
            return
        account = await self._store.accounts.by_number(number)
        if account is None:
            await self._stop_serving(number)
        elif number not in self._paused:
            await self._refresh_runner(owned, account)
        self._workers.nudge(number)

    async def _each(self, numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> set[int]:
        """Do something for many accounts, some at a time; returns those for which it failed."""
        failed: set[int] = set()

        async def one(number: int) -> None:
            try:
                await work(number)
            except Exception as error:
                # The next plan finds what is left undone.
                _log.error("account_not_handled", number=number, exc_info=error)
                failed.add(number)

        chosen = list(numbers)
        for start in range(0, len(chosen), _TOGETHER):
            await asyncio.gather(*(one(number) for number in chosen[start : start + _TOGETHER]))
        return failed

    async def _refresh_runner(self, owned: _Owned, account: Account) -> None:
        if owned.runner is not None:
            if not needs_reconnect(owned.runner.account.profile, account.profile):
                owned.runner.take_profile(account)
                return
            await owned.runner.stop()
            if account.number in self._paused:
                owned.runner = None
                return
            # Until it ended it may have stored another state of the account.
            account = await self._store.accounts.by_number(account.number) or account
        owned.runner = AccountRunner(self._parts, account, owned.lease)
        owned.runner.start()

    # -- owning ------------------------------------------------------------------------------------

    async def _begin_all(self, leases: Iterable[Lease]) -> None:
        """Begin to serve accounts; one that cannot be served now (its row is broken) does not hold up the others."""
        by_number = {lease.account: lease for lease in leases}
        await self._each(by_number, lambda number: self._begin(by_number[AccountNumber(number)]))

    async def _begin(self, lease: Lease) -> None:
        await self._stop_serving(lease.account)
        account = await self._store.accounts.by_number(lease.account)
        if account is None:
            return
        uncertain = await self._store.commit(
            self._store.outbox.mark_uncertain(
                lease.account, Fence(lease.account, lease.epoch), self._parts.clock.now_ms()
            )
        )
        if uncertain:
            _log.warning("submissions_uncertain", account=account.id, queue_ids=uncertain)
        owned = _Owned(lease)
        self._owned[lease.account] = owned
        if lease.account not in self._paused:
            owned.runner = AccountRunner(self._parts, account, lease)
            owned.runner.start()
        self._workers.add(lease.account)

    async def _end(self, number: int) -> None:
        """Give an account back; a message that is on its way out has a while to get there."""
        owned = self._owned.get(number)
        if owned is None:
            return
        owned.leaving = True
        await self._workers.finish(number, self._config.drain_timeout_seconds)
        await self._stop_serving(number)
        await self._store.commit(self._store.nodes.release(owned.lease))

    async def _stop_serving(self, number: int) -> None:
        """End at once all that is done for an account, leaving its lease as it is."""
        owned = self._owned.get(number)
        if owned is None:
            return
        owned.leaving = True
        await asyncio.gather(
            owned.runner.stop() if owned.runner is not None else asyncio.sleep(0),
            self._workers.remove(number),
        )
        if self._owned.get(number) is owned:
            del self._owned[number]

    async def _hand_over(self, number: int) -> None:
        _log.info("account_handed_over", number=number)
        await self._end(number)

    def fenced_off(self, number: AccountNumber) -> None:
        """A write was refused: the account is another node's now."""
        _log.warning("account_fenced_off", number=number)
        owned = self._owned.pop(number, None)
        if owned is not None:
            task = asyncio.create_task(self._workers.remove(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._wake.set()

    async def _give_up_everything(self) -> None:
        """Our time ran out before we could renew: others may own all of it now. Stop, then join anew."""
        _log.error("node_lost_its_leases", accounts=len(self._owned))
        await self._each(self._owned, self._stop_serving)
        await self._begin_all(await self._membership.rejoin())


def preferred_node(account: int, nodes: list[str]) -> str | None:
    """The node that should own an account, by rendezvous hashing: few accounts move when a node comes or goes."""
    if len(nodes) < 2:
        return nodes[0] if nodes else None
    return max(nodes, key=lambda node: hashlib.blake2b(f"{node}/{account}".encode(), digest_size=8).digest())


def needs_reconnect(before: AccountProfile, after: AccountProfile) -> bool:
    """Whether a change of profile concerns the connections: a log that is switched on tells of a login as well."""
    return _concerns(before) != _concerns(after)


def _concerns(profile: AccountProfile) -> tuple[object, ...]:
    return profile.imap, profile.path, profile.subconnections, profile.proxy, profile.logs, profile.indexed
