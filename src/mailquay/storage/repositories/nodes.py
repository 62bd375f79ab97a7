"""Nodes and the leases they hold on accounts. All times are the database's own clock, which every node shares.

Nobody is connected for an account when its lease changes hands: its state says so in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailquay.model.account import AccountNumber, AccountState
from mailquay.model.node import Lease, Node
from mailquay.storage.interface import LEASES_CHANGED, Database, Pending, Row, Run, Script, Unit


class NodeRepository:
    """Reads and units of work about nodes and leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def clock_ms(self) -> int:
        """The database's time."""
        [(now,)] = await self._database.point("clock_ms")
        return int(now)

    async def all(self) -> list[Node]:
        """Every registered node, live or not."""
        rows = await self._database.fetch("nodes_all")
        return [Node(row[0], row[1], tuple(row[2].split()), bool(row[3]), row[4], row[5]) for row in rows]

    async def lease(self, account: int) -> Lease | None:
        """Who owns an account; None when nobody does."""
        rows = await self._database.point("lease_by_account", account)
        return None if not rows or rows[0][1] is None else _lease(rows[0])

    async def leases_of(self, node: str) -> list[Lease]:
        """What a node owns."""
        return [_lease(row) for row in await self._database.fetch("leases_of_node", node)]

    async def agrees(self, node: str, leases: Iterable[Lease]) -> bool:
        """Whether a node owns these and no others, as far as their number and sums tell: for those who look often."""
        numbers, epochs = [], []
        for lease in leases:
            numbers.append(lease.account)
            epochs.append(lease.epoch)
        [row] = await self._database.fetch("leases_sums", node)
        return [int(value) for value in row] == [len(numbers), sum(numbers), sum(epochs)]

    async def free(self) -> list[Lease]:
        """Leases nobody holds, or held by a node whose time is over."""
        now_ms = await self.clock_ms()
        rows = await self._database.fetch("leases_free", now_ms)
        return [Lease(AccountNumber(row[0]), row[1] or "", row[2]) for row in rows]

    def register(self, node_id: str, address: str, roles: Sequence[str], ttl_ms: int) -> Unit[tuple[int, list[Lease]]]:
        """Start a node: the holder of its id raises the epochs of what the id owned and goes on owning that at once.

        Returns the start time, which every renewal must name and no two starts share, and the leases.
        """

        def script(pending: Pending) -> Script[tuple[int, list[Lease]]]:
            [(now_ms,)] = yield Run("clock_ms")
            [(started_ms,)] = yield Run("node_put", (node_id, address, " ".join(roles), now_ms, now_ms + ttl_ms))
            if "sync" in roles:
                yield Run("leases_raise", (node_id,))
                yield Run("leases_account_states", (node_id, AccountState.CONNECTING.value))
            else:
                yield from _release_all(node_id)
            rows = yield Run("leases_of_node", (node_id,))
            pending.signal(LEASES_CHANGED)
            return started_ms, [_lease(row) for row in rows]

        return script

    def renew(self, node_id: str, started_ms: int, ttl_ms: int) -> Unit[bool]:
        """Prove to be alive; False when another process has taken the node id."""

        def script(_pending: Pending) -> Script[bool]:
            [(now_ms,)] = yield Run("clock_ms")
            rows = yield Run("node_renew", (node_id, now_ms + ttl_ms, started_ms))
            return bool(rows)

        return script

    def drain(self, node_id: str, started_ms: int) -> Unit[None]:
        """The node is about to stop: it takes no new accounts, and others may plan without it."""

        def script(pending: Pending) -> Script[None]:
            yield Run("node_drain", (node_id, started_ms))
            pending.signal(LEASES_CHANGED)

        return script

    def unregister(self, node_id: str, started_ms: int) -> Unit[None]:
        """Stop a node and release what it still owns; another process that has taken its id keeps all of it."""

        def script(pending: Pending) -> Script[None]:
            rows = yield Run("node_delete", (node_id, started_ms))
            if rows:
                yield from _release_all(node_id)
            pending.signal(LEASES_CHANGED)

        return script

    def take(self, node_id: str, leases: Sequence[Lease]) -> Unit[list[Lease]]:
        """Take over leases that are still as seen (same epoch); those that were won, with their new epochs."""

        def script(pending: Pending) -> Script[list[Lease]]:
            won: list[Lease] = []
            for lease in sorted(leases, key=lambda item: item.account):
                rows = yield Run("lease_take", (lease.account, node_id, lease.epoch))
                if rows:
                    yield Run("lease_account_state", (lease.account, AccountState.CONNECTING.value))
                    won.append(Lease(lease.account, node_id, rows[0][0]))
            if won:
                pending.signal(LEASES_CHANGED)
            return won

        return script

    def release(self, lease: Lease) -> Unit[None]:
        """Give an account back, so that its new owner takes it at once."""

        def script(pending: Pending) -> Script[None]:
            if (yield Run("lease_release", (lease.account, lease.node, lease.epoch))):
                yield Run("lease_account_state", (lease.account, AccountState.DISCONNECTED.value))
            pending.signal(LEASES_CHANGED)

        return script

    def lock(self, name: str, holder: str, ttl_ms: int) -> Unit[bool]:
        """Have what one caller of the whole instance may do at a time, or have it for longer; False: another has it."""

        def script(_pending: Pending) -> Script[bool]:
            [(now_ms,)] = yield Run("clock_ms")
            rows = yield Run("instance_lock_take", (name, holder, now_ms + ttl_ms, now_ms))
            return bool(rows)

        return script

    def unlock(self, name: str, holder: str) -> Unit[None]:
        """Let go of what `lock` gave."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("instance_lock_release", (name, holder))

        return script


def _release_all(node_id: str) -> Script[None]:
    yield Run("leases_account_states", (node_id, AccountState.DISCONNECTED.value))
    yield Run("leases_release_all", (node_id,))


def _lease(row: Row) -> Lease:
    return Lease(AccountNumber(row[0]), row[1], row[2])
