"""What every store promises about gateways."""

from __future__ import annotations

import dataclasses

import pytest

from mailquay.errors import InvalidRequest
from mailquay.model.account import SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.model.submission import Phase
from mailquay.storage.interface import run_together
from mailquay.storage.repositories import gateways as module
from mailquay.storage.store import Store
from tests.contract.records import NOW, SECRET, own, queued, register

_SERVER = SmtpSettings("relay.test", 587, user="u", password=SECRET, tls={"rejectUnauthorized": False})


def _named(gateway: Gateway) -> Gateway:
    return dataclasses.replace(gateway, name="Relay", server=_SERVER)


async def _put(store: Store, gateway_id: str = "relay") -> Gateway:
    await store.commit(store.gateways.put(gateway_id, _named))
    found = await store.gateways.get(gateway_id)
    assert found is not None
    return found


async def test_a_gateway_comes_back_as_it_was_given(store: Store) -> None:
    assert await _put(store, "ünd/\U0001f600") == Gateway("ünd/\U0001f600", "Relay", _SERVER)
    assert await store.gateways.get("other") is None


async def test_a_second_put_changes_what_is_there(store: Store) -> None:
    await _put(store)
    seen: list[Gateway] = []

    def change(gateway: Gateway) -> Gateway:
        seen.append(gateway)
        return dataclasses.replace(gateway, name="New")

    assert not await store.commit(store.gateways.put("relay", change))
    assert await store.commit(store.gateways.put("second", change))
    assert seen == [Gateway("relay", "Relay", _SERVER), Gateway("second")]
    assert await store.gateways.get("relay") == Gateway("relay", "New", _SERVER)
    assert await store.commit(store.gateways.update("second", _named))
    assert not await store.commit(store.gateways.update("third", _named))
    assert await store.gateways.get("second") == Gateway("second", "Relay", _SERVER)


async def test_pages_are_ordered_by_id(store: Store) -> None:
    for name in ("c", "a", "b"):
        await _put(store, name)
    total, page = await store.gateways.page(limit=2, offset=1)
    assert total == 3 and [one.id for one in page] == ["b", "c"]


async def test_a_deleted_gateway_is_gone(store: Store) -> None:
    await _put(store)
    assert await store.commit(store.gateways.delete("relay"))
    assert not await store.commit(store.gateways.delete("relay"))
    assert await store.gateways.get("relay") is None


async def test_there_is_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GATEWAYS", 1)
    await _put(store)
    with pytest.raises(InvalidRequest) as caught:
        await _put(store, "second")
    assert caught.value.code == "TooManyGateways"
    await _put(store)


async def test_a_delivery_is_counted_once_and_clears_the_error(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    await _put(store)
    await store.commit(store.gateways.failed("relay", {"code": "EAUTH"}))
    found = await store.gateways.get("relay")
    assert found is not None and (found.last_error, found.last_use_ms) == ({"code": "EAUTH"}, None)
    submission = queued(account)
    await store.commit(store.outbox.enqueue(submission, b"x", {}, None))
    done = dataclasses.replace(submission, phase=Phase.SENT, attempts_made=1, next_attempt_ms=None)
    unit = run_together(
        store.gateways.delivered("relay", submission, NOW + 5),
        store.outbox.record(done, fence, [], keep_body=False, settled_ms=NOW),
    )
    for _ in range(2):
        # The second time as after a commit whose answer was lost.
        await store.commit(unit)
        assert await store.gateways.get("relay") == Gateway("relay", "Relay", _SERVER, 1, NOW + 5)
    removed = queued(account, "q2")
    await store.commit(store.outbox.enqueue(removed, b"x", {}, None))
    unit = run_together(
        store.gateways.delivered("relay", removed, NOW + 6), store.outbox.settle_and_remove(removed, fence, [])
    )
    for _ in range(2):
        await store.commit(unit)
        found = await store.gateways.get("relay")
        assert found is not None and found.deliveries == 2
    await store.commit(store.gateways.delivered("gone", queued(account, "q3"), NOW))
