"""Exports that are interrupted: by a stop, a cancellation, a server that is away, a message that breaks connections."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import NotOperational
from mailquay.model.event import EventName
from mailquay.model.export import ExportFormat
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import export_batch
from mailquay.services.export_run import ExportOptions
from mailquay.storage import export_files
from mailquay.storage.export_files import ExportFiles
from tests.runtime.harness import profile_for, running_node
from tests.runtime.reading import Reader
from tests.servers.dovecot import Dovecot, MailUser
from tests.services.exporting import Exporting, exporting, request

_MB = 1024 * 1024


@pytest.fixture
async def ann(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[Exporting]:
    async with exporting(world, tmp_path) as prepared:
        yield prepared


def _stop_at(ann: Exporting, monkeypatch: pytest.MonkeyPatch, step: str, times: int, *, before: bool) -> None:
    """Have the work end, as in a crash, at one of its steps: before or after it is stored."""
    commit, unit_of = ann.reader.node.store.commit, getattr(ann.reader.node.store.exports, step)
    made: list[Any] = []

    def noted(*args: Any, **more: Any) -> Any:
        unit = unit_of(*args, **more)
        made.append(unit)
        return unit

    async def stopping(unit: Any) -> Any:
        if any(unit is one for one in made) and len(made) == times:
            if not before:
                await commit(unit)
            raise asyncio.CancelledError
        return await commit(unit)

    monkeypatch.setattr(ann.reader.node.store.exports, step, noted)
    monkeypatch.setattr(ann.reader.node.store, "commit", stopping)


@pytest.mark.parametrize(
    ("kind", "step", "times"),
    [
        (ExportFormat.NDJSON, "begin", 1),
        (ExportFormat.NDJSON, "plan", 2),
        (ExportFormat.NDJSON, "scanned", 2),
        *((kind, "advance", 3) for kind in ExportFormat),
        (ExportFormat.NDJSON, "end", 1),
    ],
)
@pytest.mark.parametrize("before", [True, False])
async def test_after_any_stop_it_goes_on_without_doubles_and_gaps(
    ann: Exporting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: ExportFormat,
    step: str,
    times: int,
    before: bool,
) -> None:
    monkeypatch.setattr(export_batch, "_MOST_MESSAGES", 2)
    for n in range(9):
        ann.deliver(f"m{n}", days=n, path=("INBOX", "Work")[n % 2])
    await ann.synced()
    whole = await ann.file((await ann.export(request(kind)))["exportId"])
    export_id = await ann.queue(request(kind))
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, step, times, before=before)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    halfway = await ann.stored(export_id)
    assert halfway.status.active is (step != "end" or before)
    # Another process, or the next owner of the account, that has the same folder.
    ann.files = ExportFiles(tmp_path / "exports")
    ann.files.open()
    if step == "advance":
        # The first of them notes that the plan is complete, each following one a segment.
        assert halfway.progress.exported == (2 if before else 4)
    await ann.run()
    done = await ann.show(export_id)
    assert (done["status"], done["progress"]["messagesExported"]) == ("completed", 9)
    again = await ann.file(export_id)
    if kind is ExportFormat.NDJSON:
        assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(9)]
    else:
        assert again == whole
    assert len(await ann.events(EventName.EXPORT_COMPLETED)) == 2


async def test_at_another_place_it_begins_anew(ann: Exporting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_batch, "_MOST_MESSAGES", 2)
    for n in range(5):
        ann.deliver(f"m{n}", days=n)
    await ann.synced()
    export_id = await ann.queue()
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, "advance", 3, before=False)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    former, ann.files = ann.files, ExportFiles(tmp_path / "elsewhere")
    ann.files.open()
    assert former.place != ann.files.place
    await ann.run()
    assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(5)]
    assert (await ann.show(export_id))["progress"]["messagesExported"] == 5
    ann.files = former
    node = ann.reader.node
    assert await ann.service.home(ann.reader.account, export_id) == "unix:none"
    await node.store.commit(node.store.nodes.unregister(node.membership.id, node.membership._started_ms))
    with pytest.raises(NotOperational):
        await ann.service.home(ann.reader.account, export_id)


async def test_segments_that_are_gone_are_written_anew(
    ann: Exporting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_batch, "_MOST_MESSAGES", 2)
    for n in range(5):
        ann.deliver(f"m{n}", days=n)
    await ann.synced()
    export_id = await ann.queue()
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, "advance", 3, before=False)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    next((tmp_path / "exports" / export_id).glob("*.content")).unlink()
    await ann.run()
    assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(5)]


async def test_a_cancelled_export_ends_at_once(ann: Exporting, world: SandboxWorld) -> None:
    ann.deliver("m")
    await ann.synced()
    export_id = await ann.queue()
    world.imap_faults.on("UID FETCH", ImapAction.STALL)
    running = asyncio.create_task(ann.run())
    async with asyncio.timeout(10):
        while not world.imap_faults.stalled:
            await asyncio.sleep(0.01)  # the server tells nobody that it keeps an answer back
        await ann.service.delete(ann.reader.account, export_id)
        assert await running == 0.0
    world.imap_faults.release()
    assert (await ann.show(export_id))["status"] == "cancelled"
    assert await ann.events(EventName.EXPORT_COMPLETED) == await ann.events(EventName.EXPORT_FAILED) == []
    assert await ann.run() is None


async def test_a_server_that_is_away_is_waited_for(ann: Exporting, world: SandboxWorld) -> None:
    for n in range(3):
        ann.deliver(f"m{n}", days=n)
    await ann.synced()
    export_id = await ann.queue()
    world.imap_faults.on("*", ImapAction.DROP, times=None)
    delay = await ann.run()
    assert delay is not None and delay > 0
    assert (await ann.stored(export_id)).away_since_ms is not None
    world.imap_faults.clear()
    ann.reader.node.supervisor.reconnect(ann.reader.account.number)
    await ann.reader.node.connected(ann.reader.account)
    async with asyncio.timeout(30):
        while await ann.run():
            await asyncio.sleep(0.05)  # as long as the connections of the account are being made anew
    assert len(await ann.lines(export_id)) == 3


async def test_a_server_that_stays_away_fails_it_once_and_with_a_reason(ann: Exporting, world: SandboxWorld) -> None:
    ann.deliver("m")
    await ann.synced()
    ann.options = ExportOptions(retention_seconds=3600, patience_seconds=0.05)
    export_id = await ann.queue()
    world.imap_faults.on("*", ImapAction.DROP, times=None)
    async with asyncio.timeout(30):
        while (await ann.run()) is not None:
            await asyncio.sleep(0.06)  # longer than it is waited for
    failed = await ann.show(export_id)
    assert failed["status"] == "failed" and failed["error"]
    [told] = await ann.events(EventName.EXPORT_FAILED)
    assert (told["exportId"], told["phase"], told["messagesExported"]) == (export_id, "indexing", 0)
    assert told["error"] == failed["error"] and told["errorCode"]
    assert await ann.events(EventName.EXPORT_COMPLETED) == []


async def test_a_request_to_slow_down_is_obeyed(ann: Exporting, world: SandboxWorld) -> None:
    ann.deliver("m")
    await ann.synced()
    await ann.queue()
    world.imap_faults.on("UID SEARCH", ImapAction.NO, code="UNAVAILABLE")
    delay = await ann.run()
    assert delay is not None and delay >= 2
    assert await ann.run() == 0.0


@pytest.mark.parametrize("kind", [ExportFormat.NDJSON, ExportFormat.MBOX])
async def test_a_server_that_gives_no_message_breaks_none(
    ann: Exporting, world: SandboxWorld, kind: ExportFormat
) -> None:
    for n in range(5):
        ann.deliver(f"m{n}", days=n, body="x" * (300_000 if n == 4 else 10))
    await ann.synced()
    export_id = await ann.queue(request(kind))
    world.imap_faults.unavailable_uids.update(range(1, 6))
    runner = ann.runner()
    for _ in range(12):
        assert (await runner.run(ann.reader.account.number) or 0) >= 2
    world.imap_faults.clear()
    assert await runner.run(ann.reader.account.number) == 0.0
    assert (await ann.show(export_id))["progress"]["messagesExported"] == 5
    if kind is ExportFormat.NDJSON:
        assert not [line for line in await ann.lines(export_id) if "error" in line]


@pytest.mark.parametrize("kind", [ExportFormat.NDJSON, ExportFormat.MBOX])
async def test_messages_that_the_server_refuses_do_not_keep_the_others(
    ann: Exporting, world: SandboxWorld, kind: ExportFormat
) -> None:
    for n in range(7):
        # The large ones are not read together with others.
        ann.deliver(f"m{n}", days=n, body="x" * (300_000 if n in (4, 5) else 10))
    await ann.synced()
    world.imap_faults.unavailable_uids.update({3, 5})
    done = await ann.export(request(kind))
    assert done["status"] == "completed"
    if kind is ExportFormat.NDJSON:
        lines = await ann.lines(done["exportId"])
        assert [line["uid"] for line in lines if line.get("status") == "failed"] == [3, 5]
        assert len(lines) == done["progress"]["messagesExported"] == 7
        assert all(line["error"] for line in lines if line["uid"] in (3, 5))
    else:
        assert (done["progress"]["messagesExported"], done["progress"]["messagesSkipped"]) == (5, 2)


async def test_a_message_that_breaks_every_connection_is_found_and_left_out(
    ann: Exporting, world: SandboxWorld
) -> None:
    for n in range(20):
        ann.deliver(f"m{n}", days=n, body="x" * (200_000 if n == 11 else 10))
    await ann.synced()
    world.imap_faults.section_limit = 100_000
    export_id = await ann.queue(request(text_type="plain"))
    async with asyncio.timeout(30):
        while (await ann.run()) != 0.0:
            continue
    lines = await ann.lines(export_id)
    assert [line["uid"] for line in lines] == list(range(1, 21))
    assert [line["uid"] for line in lines if "error" in line] == [12]


@pytest.mark.server
async def test_memory_does_not_grow_with_the_mailbox(dovecot: Dovecot, mail_user: MailUser, tmp_path: Path) -> None:
    """Eighty messages of a megabyte and one of 16 MB, with attachments, in less memory than a third of that."""
    content = base64.encodebytes(random.Random(1).randbytes(_MB * 3 // 4)).replace(b"\n", b"\r\n")
    dovecot.fill(mail_user.login, [_attached(n, content * (16 if n == 40 else 1)) for n in range(81)])
    url, files = f"sqlite:///{tmp_path}/m.db", ExportFiles(tmp_path / "exports")
    files.open()
    async with running_node(url, tmp_path) as node:
        account = await node.register("ann", profile_for(dovecot, mail_user))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        ann = Exporting(Reader(node, await node.connected(account)), SandboxWorld(empty=True), files)
        for kind in ExportFormat:
            now_ms = ann.clock.now_ms()
            asked = request(kind, start_ms=0, end_ms=now_ms + 86_400_000, include_attachments=True)
            export_id = await ann.queue(asked)
            tracemalloc.start()
            try:
                await ann.run()
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                async with ann.service.download(ann.reader.account, export_id) as download:
                    size = sum([len(chunk) async for chunk in download.chunks])
                _, reading = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            print(kind.value, f"file {size / _MB:.1f} MB, peak {peak / _MB:.1f} MB, download {reading / _MB:.1f} MB")
            assert (await ann.show(export_id))["progress"]["messagesExported"] == 81
            assert size > 70 * _MB
            assert peak < 24 * _MB and reading < 24 * _MB


def _attached(n: int, content: bytes) -> bytes:
    head = f"From: a@b.test\r\nMessage-ID: <{n}@b.test>\r\nMIME-Version: 1.0\r\n"
    text = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    part = "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    encoding = "Content-Transfer-Encoding: base64\r\n\r\n"
    return f"{head}{text}--x\r\n{part}{encoding}".encode() + content + b"\r\n--x--\r\n"


async def test_a_mailbox_that_has_another_number_after_a_flush_is_read_on(
    ann: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        ann.deliver(f"m{n}", days=n)
    await ann.synced()
    before = (await ann.reader.mailbox()).number
    export_id = await ann.queue()
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, "settle", 1, before=True)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    node, account = ann.reader.node, ann.reader.account
    await node.supervisor.pause(account.number)
    await node.store.commit(node.store.accounts.forget_index(account.number, account.id, lambda profile: profile))
    node.supervisor.resume(account.number, after_seconds=0)
    await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account, count=2)
    await node.connected(account)
    assert (await ann.reader.mailbox()).number != before
    async with asyncio.timeout(30):
        while (await ann.run()) != 0.0:
            await asyncio.sleep(0.05)  # as long as the connections of the account are being made anew
    assert [line["subject"] for line in await ann.lines(export_id)] == ["m0", "m1", "m2"]


@pytest.mark.parametrize(("step", "before"), [("begin", False), ("scanned", True), ("scanned", False)])
async def test_a_flush_while_messages_are_looked_for_loses_and_doubles_none(
    ann: Exporting, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    for n in range(4):
        ann.deliver(f"m{n}", days=n, path=("INBOX", "Work")[n % 2])
    await ann.synced()
    export_id = await ann.queue()
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, step, 1, before=before)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    node, account = ann.reader.node, ann.reader.account
    await node.supervisor.pause(account.number)
    await node.store.commit(node.store.accounts.forget_index(account.number, account.id, lambda profile: profile))
    # It is called again before anything is known of the account, as after a pause.
    with contextlib.suppress(NotOperational):
        await ann.run()
    assert (await ann.show(export_id))["status"] in ("queued", "processing")
    node.supervisor.resume(account.number, after_seconds=0)
    await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account, count=2)
    await node.connected(account)
    async with asyncio.timeout(30):
        while (await ann.run()) != 0.0:
            await asyncio.sleep(0.05)  # as long as the connections of the account are being made anew
    assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(4)]
    progress = (await ann.show(export_id))["progress"]
    assert (progress["messagesQueued"], progress["messagesExported"], progress["messagesSkipped"]) == (4, 4, 0)


async def test_a_mailbox_that_is_replaced_while_messages_are_looked_for_is_read_as_it_is_now(
    ann: Exporting, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        ann.deliver(f"m{n}", days=n, path="Work")
    await ann.synced()
    await ann.reader.node.envelopes_read(ann.reader.account)
    export_id = await ann.queue(request(folders=("Work",)))
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, "scanned", 1, before=True)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    box = world.store_of(world.accounts[0].email)
    kept = [(message.raw, message.received) for message in box.mailbox("Work")]
    work = box.mailbox("Work")
    box.expunge(work, list(work))
    work.uidvalidity += 70
    for raw, received in reversed(kept):
        box.append("Work", raw, received=received)
    async with asyncio.timeout(30):
        while (await ann.run()) != 0.0:
            await ann.synced()
    assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(4)]


@pytest.mark.parametrize("kind", [ExportFormat.NDJSON, ExportFormat.MBOX])
async def test_no_message_fills_the_disk_whatever_size_it_was_said_to_have(
    ann: Exporting, monkeypatch: pytest.MonkeyPatch, kind: ExportFormat
) -> None:
    monkeypatch.setattr(export_files, "_MOST_SPOOLED_BYTES", _MB)
    for n in range(6):
        ann.deliver(f"m{n}", days=n, body="x" * (2 * _MB if n == 3 else 400_000))
    await ann.synced()
    done = await ann.export(request(kind))
    assert done["status"] == "completed"
    if kind is ExportFormat.NDJSON:
        lines = await ann.lines(done["exportId"])
        assert [line["uid"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert [line["uid"] for line in lines if "error" in line] == [4]
    else:
        assert (done["progress"]["messagesExported"], done["progress"]["messagesSkipped"]) == (5, 1)


async def test_a_full_disk_fails_it(ann: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.deliver("m")
    await ann.synced()

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ann.files, "write", full)
    done = await ann.export()
    assert (done["status"], done["error"]) == ("failed", "the file cannot be written: No space left on device")
    [told] = await ann.events(EventName.EXPORT_FAILED)
    assert (told["errorCode"], told["phase"]) == ("ExportFileError", "exporting")


async def test_a_mailbox_that_its_server_replaced_is_found_again(
    ann: Exporting, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        ann.deliver(f"m{n}", days=n, path="Work")
    await ann.synced()
    await ann.reader.node.envelopes_read(ann.reader.account)
    export_id = await ann.queue()
    with monkeypatch.context() as patched:
        _stop_at(ann, patched, "settle", 1, before=True)
        with contextlib.suppress(asyncio.CancelledError):
            await ann.run()
    box = world.store_of(world.accounts[0].email)
    kept = [(message.raw, message.received) for message in box.mailbox("Work")]
    work = box.mailbox("Work")
    box.expunge(work, list(work))
    work.uidvalidity += 70
    for raw, received in reversed(kept):
        box.append("Work", raw, received=received)
    async with asyncio.timeout(30):
        while (await ann.run()) != 0.0:
            await ann.synced()
    assert [line["subject"] for line in await ann.lines(export_id)] == [f"m{n}" for n in range(4)]
