"""The check that every write of an account's owner carries."""

from __future__ import annotations

from typing import Any

from mailquay.errors import Fenced
from mailquay.model.node import Fence
from mailquay.storage.interface import Pending, Run, Script, Unit


def check_fence(fence: Fence) -> Script[None]:
    """Go on only while the lease still has the epoch of the fence.

    Raises Fenced otherwise; the transaction then stores nothing of the unit.
    """
    rows = yield Run("lease_fence", (fence.account,))
    if not rows or rows[0][0] != fence.epoch:
        raise Fenced(f"account {fence.account} is not owned with epoch {fence.epoch} any more")


def fenced(fence: Fence, *units: Unit[Any]) -> Unit[list[Any]]:
    """The units in order, in one transaction, on condition of the fence."""

    def script(pending: Pending) -> Script[list[Any]]:
        yield from check_fence(fence)
        results: list[Any] = []
        for unit in units:
            results.append((yield from unit(pending)))
        return results

    return script
