"""Exports in the store: limits, plan, segments, ends and what they leave behind: over both databases."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from mailquay.errors import Fenced, InvalidRequest, NotFound
from mailquay.model.account import AccountId, AccountNumber, AccountProfile
from mailquay.model.event import EventName, NewEvent
from mailquay.model.export import (
    Export,
    ExportFormat,
    ExportPhase,
    ExportProgress,
    ExportRequest,
    ExportStatus,
    PlannedFolder,
    PlannedMessage,
    Segment,
)
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.node import Fence
from mailquay.storage.repositories.exports import ExportEnd
from mailquay.storage.store import Store, drop_old_keys, open_store, rotate_key

NOW = 1_800_000_000_000
_REQUEST = ExportRequest(("INBOX",), NOW - 1000, NOW, "*", 5000, True, ExportFormat.NDJSON)
_END = ExportEnd(ExportStatus.COMPLETED, ExportPhase.COMPLETE, NOW, NOW + 10)
_CANCEL = ExportEnd(ExportStatus.CANCELLED, ExportPhase.INDEXING, NOW, NOW + 10)
_EVENT = NewEvent(AccountNumber(1), EventName.EXPORT_COMPLETED, NOW, {"exportId": "x"})


async def _account(store: Store, account_id: str = "ann") -> AccountNumber:
    unit = store.accounts.upsert(AccountId(account_id), lambda _: AccountProfile(account_id), NOW)
    return (await store.commit(unit)).account.number


async def _create(store: Store, account: AccountNumber, n: int = 1, *, own: int = 2, all_: int = 8) -> Export:
    export_id = f"exp_{n:024x}"
    await store.commit(store.exports.create(account, export_id, _REQUEST, NOW, of_account=own, of_instance=all_))
    export = await store.exports.get(account, export_id)
    assert export is not None
    return export


def _message(n: int, mailbox: int = 1) -> PlannedMessage:
    return PlannedMessage(NOW + n, MailboxNumber(mailbox), n, 100)


async def _purge(store: Store) -> None:
    while await store.commit(store.upkeep.purge_some(2)):
        continue


async def test_an_export_is_kept_as_it_was_asked_for_with_a_key_of_its_own(store: Store) -> None:
    account = await _account(store)
    first, second = await _create(store, account, 1), await _create(store, account, 2)
    assert first.request == _REQUEST
    assert (first.status, first.phase, first.progress) == (
        ExportStatus.QUEUED,
        ExportPhase.INDEXING,
        ExportProgress(),
    )
    assert len(first.key) == 32 and first.key != second.key
    assert await store.exports.next_active(account) == first
    assert await store.exports.get(account + 1, first.id) is None
    total, page = await store.exports.page(account, limit=1, offset=0)
    assert (total, [one.id for one in page]) == (2, [second.id])
    assert await store.exports.active_accounts() == [account]


async def test_a_new_key_opens_the_files_of_before(store: Store, database_url: str, tmp_path: Path) -> None:
    account = await _account(store)
    export = await _create(store, account)
    assert await rotate_key(store, tmp_path / "key") > 0
    await drop_old_keys(store, tmp_path / "key")
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        assert await reopened.exports.get(account, export.id) == export
    finally:
        await reopened.close()


async def test_many_at_once_never_exceed_the_limits(store: Store) -> None:
    ann, bob = await _account(store), await _account(store, "bob")
    tries = [_create(store, account, n, own=3, all_=4) for n, account in enumerate([ann, bob] * 6, 1)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    made = [one for one in results if isinstance(one, Export)]
    refused = [one for one in results if isinstance(one, InvalidRequest)]
    assert (len(made), {one.code for one in refused}) == (4, {"TooManyExports"})
    assert all([one.account for one in made].count(account) <= 3 for account in (ann, bob))
    await store.commit(store.exports.delete(made[0].account, made[0].id, _CANCEL))
    await _create(store, ann if [one.account for one in made[1:]].count(ann) < 3 else bob, 99, own=3, all_=4)


async def test_an_account_that_is_gone_gets_none(store: Store) -> None:
    with pytest.raises(NotFound):
        await _create(store, AccountNumber(77))


async def test_the_plan_is_read_in_the_order_of_dates_from_where_it_stands(store: Store) -> None:
    account = await _account(store)
    export, fence = await _create(store, account), Fence(account, 0)
    folders = [PlannedFolder(n, path, MailboxNumber(n + 1), None, False) for n, path in enumerate(("INBOX", "Sent"))]
    for _ in range(2):  # as after a stop half-way
        assert await store.commit(store.exports.begin(export, folders, fence))
    assert await store.exports.folders(export.number) == folders
    plan = [_message(3), _message(1, 2), _message(1), _message(2, 2)]
    for part in (plan, plan[:2]):
        assert await store.commit(store.exports.plan(export, part, fence))
    assert await store.exports.planned(export.number) == 4
    seen = dataclasses.replace(folders[0], uidvalidity=7, scanned=True)
    progress = ExportProgress(folders_total=2, folders_scanned=1, queued=4)
    assert await store.commit(store.exports.scanned(export, seen, progress, fence))
    assert (await store.exports.folders(export.number))[0] == seen
    ordered = [_message(1), _message(1, 2), _message(2, 2), _message(3)]
    assert await store.exports.following(export.number, ExportProgress(), 10) == ordered
    after = dataclasses.replace(progress, after_date_ms=NOW + 1, after_mailbox=1, after_uid=1)
    assert await store.exports.following(export.number, after, 2) == ordered[1:3]


async def test_segments_and_progress_are_one_and_given_up_at_another_place(store: Store) -> None:
    account = await _account(store)
    export, fence = await _create(store, account), Fence(account, 0)
    assert await store.commit(store.exports.settle(export, "here", "node", fence, anew=False)) == ExportProgress()
    segment = Segment(0, "000000-a", 2, 100, 10)
    progress = ExportProgress(1, 1, 3, exported=2, segments=1, content_bytes=100, directory_bytes=10, after_uid=2)
    assert await store.commit(store.exports.advance(export, segment, progress, fence))
    stored = await store.exports.get(account, export.id)
    assert stored is not None
    assert (stored.status, stored.phase, stored.place) == (ExportStatus.PROCESSING, ExportPhase.EXPORTING, "here")
    assert (stored.progress, await store.exports.segments(export.number)) == (progress, [segment])
    assert await store.exports.places() == {export.id: "here"}
    assert await store.commit(store.exports.settle(stored, "here", "node", fence, anew=False)) == progress
    assert await store.exports.segments(export.number) == [segment]
    anew = ExportProgress(1, 1, 3)
    assert await store.commit(store.exports.settle(stored, "there", "other", fence, anew=True)) == anew
    assert await store.exports.segments(export.number) == []


async def test_who_is_not_the_owner_writes_nothing(store: Store) -> None:
    account = await _account(store)
    export, stale = await _create(store, account), Fence(account, 5)
    for unit in (
        store.exports.plan(export, [_message(1)], stale),
        store.exports.advance(export, None, ExportProgress(exported=1), stale),
        store.exports.end(export, _END, _EVENT, stale),
    ):
        with pytest.raises(Fenced):
            await store.commit(unit)
    assert await store.exports.get(account, export.id) == export


async def test_an_export_ends_once_and_with_one_event(store: Store) -> None:
    account = await _account(store)
    export, fence = await _create(store, account), Fence(account, 0)
    await store.commit(store.exports.plan(export, [_message(n) for n in range(9)], fence))
    event = dataclasses.replace(_EVENT, account=account)
    results = [await store.commit(store.exports.end(export, _END, event, fence)) for _ in range(2)]
    assert results == [True, False]
    events = await store.events.of_account_after(account, 0, 100)
    assert [one.name for one in events].count(EventName.EXPORT_COMPLETED) == 1
    assert not await store.commit(store.exports.advance(export, None, ExportProgress(), fence))
    assert not await store.commit(store.exports.note_away(export, NOW, fence))
    assert await store.exports.next_active(account) is None
    await _purge(store)
    assert await store.exports.planned(export.number) == 0


async def test_deleting_cancels_and_then_forgets(store: Store) -> None:
    account = await _account(store)
    export = await _create(store, account)
    assert await store.commit(store.exports.delete(account, export.id, _CANCEL))
    cancelled = await store.exports.get(account, export.id)
    assert cancelled is not None and cancelled.status is ExportStatus.CANCELLED
    assert await store.exports.places() == {}
    assert await store.commit(store.exports.delete(account, export.id, _CANCEL))
    assert await store.exports.get(account, export.id) is None
    assert not await store.commit(store.exports.delete(account, export.id, _CANCEL))


async def test_time_is_counted_from_when_the_server_was_first_missed(store: Store) -> None:
    account = await _account(store)
    export, fence = await _create(store, account), Fence(account, 0)
    for ms in (NOW, NOW + 5):
        assert await store.commit(store.exports.note_away(export, ms, fence))
    noted = await store.exports.get(account, export.id)
    assert noted is not None and noted.away_since_ms == NOW
    await store.commit(store.exports.advance(export, None, ExportProgress(), fence))
    back = await store.exports.get(account, export.id)
    assert back is not None and back.away_since_ms is None


async def test_what_has_expired_or_lost_its_account_is_purged_in_steps(store: Store) -> None:
    ann, bob = await _account(store), await _account(store, "bob")
    old, other = await _create(store, ann), await _create(store, bob, 2)
    for export in (old, other):
        fence = Fence(export.account, 0)
        await store.commit(store.exports.plan(export, [_message(n) for n in range(5)], fence))
        segments = [Segment(n, f"{n}", 1, 1, 1) for n in range(5)]
        for segment in segments:
            await store.commit(store.exports.advance(export, segment, ExportProgress(), fence))
    await store.commit(store.exports.end(old, _END, dataclasses.replace(_EVENT, account=ann), Fence(ann, 0)))
    assert await store.commit(store.exports.expire(NOW + 10, 5)) == 0
    assert await store.commit(store.exports.expire(NOW + 11, 5)) == 1
    await store.commit(store.accounts.delete(AccountId("bob"), NOW))
    assert await store.exports.places() == {}
    await _purge(store)
    for export in (old, other):
        assert await store.exports.get(export.account, export.id) is None
        assert await store.exports.planned(export.number) == 0
        assert await store.exports.segments(export.number) == []
