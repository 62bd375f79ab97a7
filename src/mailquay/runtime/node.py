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
            identity = cls(lock.read().strip(), lock)
            if not identity.id:
                identity.draw()
            return identity
        raise StorageError(f"{_MAX_NODES_PER_DIRECTORY} processes use {folder} already")

    def draw(self) -> None:
        """Be another node from now on, also after a restart."""
        self.id = uuid.uuid4().hex
        self._lock.truncate(0)
        self._lock.write(self.id + "\n")
        self._lock.flush()
        os.fsync(self._lock.fileno())

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
        leases = await self._register()
        self._task = asyncio.create_task(self._renew_for_ever(), name="membership")
        return leases

    async def _register(self) -> list[Lease]:
        began = asyncio.get_running_loop().time()
        ttl_ms = int(self._ttl_seconds * 1000)
        self._started_ms, leases = await self._store.commit(
            self._store.nodes.register(self.id, self._address, self._roles, ttl_ms)
        )
        self._alive_until = began + self._ttl_seconds
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
        await self._store.commit(self._store.nodes.drain(self.id, self._started_ms))

    async def leave(self) -> None:
        """Unregister, releasing every lease."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._store.commit(self._store.nodes.unregister(self.id, self._started_ms))

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await asyncio.wait_for(self._renew(), self._ttl_seconds)
            except Exception as error:
                # Unknown whether it was renewed: the time that is left decides. Without this task nobody would notice.
                _log.error("node_not_renewed", error=str(error) or type(error).__name__)
            if not self.alive:
                self.lost.set()

    async def _renew(self) -> None:
        began = asyncio.get_running_loop().time()
        ttl_ms = int(self._ttl_seconds * 1000)
        if await self._store.commit(self._store.nodes.renew(self.id, self._started_ms, ttl_ms)):
            self._alive_until = began + self._ttl_seconds
            return
        self._alive_until = 0.0
        if any(node.id == self.id for node in await self._store.nodes.all()):
            self._yield_id()
        if "sync" not in self._roles:
            # Whoever owns accounts joins anew when all of them are given up; nobody else has to wait for that.
            await self._register()

    def _yield_id(self) -> None:
        """Two processes with one id would take it from each other for ever; the one that learns of it makes way.

        A file lock keeps processes on one data directory apart, so this one is a copy, or lies where locks do not work.
        That it is one cannot be told by the machine: a container has another name and address at each start.
        """
        former = self.id
        self._identity.draw()
        _log.error(
            "node_id_taken",
            node=former,
            drawn=self.id,
            hint="another process uses a copy of this data directory; this node goes on under a new id",
        )
