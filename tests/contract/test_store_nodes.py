"""What every store promises about nodes: fences, locks, leases, start times."""

from __future__ import annotations

import dataclasses

import pytest

from mailquay.errors import Fenced
from mailquay.storage.interface import append_events
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store
from tests.contract.records import new_event, own, register


async def test_a_write_of_a_former_owner_is_fenced_off(store: Store) -> None:
    account = await register(store)
    old = await own(store, account, "n1")
    [node] = await store.nodes.all()
    await store.commit(store.nodes.unregister("n1", node.started_ms))
    new = await own(store, account, "n2")
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        await store.commit(fenced(old, append_events([new_event(account)])))
    await store.commit(fenced(new, append_events([new_event(account)])))
    assert len(await store.events.after(1, 10)) == 1


async def test_one_caller_at_a_time_holds_a_lock_of_the_instance(store: Store) -> None:
    nodes = store.nodes
    assert await store.commit(nodes.lock("flush", "a", 60_000))
    assert await store.commit(nodes.lock("flush", "a", 60_000)), "its holder may have it for longer"
    assert not await store.commit(nodes.lock("flush", "b", 60_000))
    assert await store.commit(nodes.lock("other", "b", 60_000))
    await store.commit(nodes.unlock("flush", "b"))
    assert not await store.commit(nodes.lock("flush", "b", 60_000))
    await store.commit(nodes.unlock("flush", "a"))
    assert await store.commit(nodes.lock("flush", "b", -1))
    assert await store.commit(nodes.lock("flush", "c", 60_000)), "what has expired is anybody's"


async def test_a_restarted_node_goes_on_with_its_leases_and_higher_epochs(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    _started, leases = await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    assert [(lease.account, lease.epoch) for lease in leases] == [(account.number, fence.epoch + 1)]
    assert await store.nodes.free() == []


async def test_only_a_live_node_renews_under_its_own_start_time(store: Store) -> None:
    started, _ = await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    assert await store.commit(store.nodes.renew("n1", started, 9000))
    assert not await store.commit(store.nodes.renew("n1", started - 1, 9000))


async def test_no_two_starts_share_their_time(store: Store) -> None:
    """Also within a millisecond: the time is what tells two processes of one id from each other."""
    starts = [await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000)) for _ in range(20)]
    times = [started for started, _ in starts]
    assert sorted(set(times)) == times
    assert await store.commit(store.nodes.renew("n1", times[-1], 9000))


async def test_a_process_whose_id_was_taken_stops_without_harm_to_the_other(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    [node] = await store.nodes.all()
    await store.commit(store.nodes.drain("n1", node.started_ms - 1))
    await store.commit(store.nodes.unregister("n1", node.started_ms - 1))
    assert [(one.id, one.draining) for one in await store.nodes.all()] == [("n1", False)]
    assert [(lease.account, lease.epoch) for lease in await store.nodes.leases_of("n1")] == [
        (account.number, fence.epoch)
    ]
    [lease] = await store.nodes.leases_of("n1")
    assert await store.nodes.agrees("n1", [lease]) and await store.nodes.agrees("n2", [])
    for wrong in ([], [lease, lease], [dataclasses.replace(lease, epoch=lease.epoch + 1)]):
        assert not await store.nodes.agrees("n1", wrong)
    await store.commit(store.nodes.drain("n1", node.started_ms))
    assert [one.draining for one in await store.nodes.all()] == [True]
