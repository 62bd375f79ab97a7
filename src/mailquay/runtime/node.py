"""This process as a member of the cluster: a stable id under a file lock, and proof of life while the loop runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import structlog

from mailquay.errors import StorageError
from mailquay.model.node import Lease
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_MAX_NODES_PER_DIRECTORY = 64


class NodeIdentity:
    """The id of a node, kept over restarts: whoever holds its lock is that node, so no restart waits for leases."""

    def __init__(self, node_id: str, lock: IO[str]) -> None:
        self.id = node_id
        self._lock = lock

    @classmethod
    def claim(cls, data_dir: Path) -> NodeIdentity:
        """Take the first id of the data directory that no living process holds, making one if need be.

        Raises StorageError when all are taken.
        """
        folder = data_dir / "nodes"
        folder.mkdir(parents=True, exist_ok=True)
        for slot in range(_MAX_NODES_PER_DIRECTORY):
            lock = (folder / f"{slot}.id").open("a+", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            lock.seek(0)
            node_id = lock.read().strip()
            if not node_id:
                node_id = uuid.uuid4().hex
                lock.write(node_id + "\n")
                lock.flush()
                os.fsync(lock.fileno())
            return cls(node_id, lock)
        raise StorageError(f"{_MAX_NODES_PER_DIRECTORY} processes use {folder} already")

    def release(self) -> None:
        """Let another process be this node."""
        self._lock.close()


class Membership:
    """Registers the node and renews its life; `alive` is False once the others may have taken what we own."""

    def __init__(
        self,
        store: Store,
        identity: NodeIdentity,
        *,
        address: str,
        roles: Sequence[str],
        ttl_seconds: float,
        renew_seconds: float,
    ) -> None:
        self._store = store
        self._identity = identity
        self._address = address
        self._roles = tuple(roles)
        self._ttl_seconds = ttl_seconds
        self._renew_seconds = renew_seconds
        self._alive_until = 0.0
        self._started_ms = 0
        self._task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    @property
    def id(self) -> str:
        """The node's id."""
        return self._identity.id

    @property
    def alive(self) -> bool:
        """Whether our leases are certainly still ours, as far as time goes."""
        return asyncio.get_running_loop().time() < self._alive_until

    async def join(self) -> list[Lease]:
        """Register; returns the leases that this node id still has, with raised epochs."""
        began = asyncio.get_running_loop().time()
        ttl_ms = int(self._ttl_seconds * 1000)
        self._started_ms, leases = await self._store.commit(
            self._store.nodes.register(self.id, self._address, self._roles, ttl_ms)
        )
        self._alive_until = began + self._ttl_seconds
        self._task = asyncio.create_task(self._renew(), name="membership")
        return leases

    async def rejoin(self) -> list[Lease]:
        """Register again after the leases were lost. `lost` stays set until that has worked."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        leases = await self.join()
        self.lost.clear()
        return leases

    async def drain(self) -> None:
        """Tell the others that we are about to leave."""
        await self._store.commit(self._store.nodes.drain(self.id))

    async def leave(self) -> None:
        """Unregister, releasing every lease."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._store.commit(self._store.nodes.unregister(self.id, self._started_ms))

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        ttl_ms = int(self._ttl_seconds * 1000)
        while True:
            await asyncio.sleep(self._renew_seconds)
            began = loop.time()
            try:
                renewed = await asyncio.wait_for(
                    self._store.commit(self._store.nodes.renew(self.id, self._started_ms, ttl_ms)), self._ttl_seconds
                )
            except (StorageError, TimeoutError) as error:
                _log.error("node_not_renewed", error=str(error))
                renewed = True  # unknown: the time that is left decides
            else:
                if renewed:
                    self._alive_until = began + self._ttl_seconds
            if not renewed:
                _log.error("node_id_taken", node=self.id)
                self._alive_until = 0.0
            if not self.alive:
                self.lost.set()
