"""Who owns an account: this node, or the address of another."""

from __future__ import annotations

from mailquay.errors import NotOperational
from mailquay.model.account import AccountNumber
from mailquay.runtime.supervisor import Supervisor
from mailquay.storage.store import Store


class LeaseDirectory:
    """See services.ports.OwnerDirectory. Answers from the leases; for our own accounts without asking the database."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor

    async def owner(self, account: AccountNumber) -> str | None:
        """See OwnerDirectory.owner."""
        if self._supervisor.owns(account):
            return None
        lease = await self._store.nodes.lease(account)
        if lease is not None:
            now_ms = await self._store.nodes.clock_ms()
            for node in await self._store.nodes.all():
                if node.id == lease.node and node.expires_ms >= now_ms and node.id != self._supervisor.node_id:
                    return node.address
        raise NotOperational("no node serves the account at this moment", code="WorkerNotAvailable")
