"""Exports with the built-in mail server: what the files hold, in which order, and what is told of it."""

from __future__ import annotations

import asyncio
import base64
import io
import mailbox
import random
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.imap.session import ImapSession
from mailquay.errors import InvalidRequest, MailboxNotFound, NotFound, StorageError
from mailquay.model.event import EventName
from mailquay.model.export import ExportFormat
from mailquay.runtime.export_sweep import sweep
from mailquay.sandbox.world import SandboxWorld
from mailquay.services import download_stream, export_batch
from mailquay.services.message_request import ReadOptions
from tests.services.exporting import FIRST, Exporting, exporting, ms, request

_TWO_PARTS = (
    b"From: a@b.test\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>Hi</b>\r\n"
    b"--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--x--\r\n"
)


@pytest.fixture
async def ann(world: SandboxWorld, tmp_path: Path) -> AsyncIterator[Exporting]:
    async with exporting(world, tmp_path) as prepared:
        yield prepared


async def test_lines_are_messages_as_the_api_shows_them_by_date(ann: Exporting) -> None:
    for n, (days, path) in enumerate([(3, "INBOX"), (1, "Work"), (2, "INBOX"), (4, "Sent"), (0, "Work")]):
        ann.deliver(f"m{n}", days=days, path=path, body=f"text {n}\r\n")
    ann.deliver("spam", days=1, path="Junk")
    ann.deliver("old", days=-1)
    ann.deliver("late", days=100)
    await ann.synced()
    done = await ann.export()
    lines = await ann.lines(done["exportId"])
    assert [(line["subject"], line["path"]) for line in lines] == [
        ("m4", "Work"),
        ("m1", "Work"),
        ("m2", "INBOX"),
        ("m0", "INBOX"),
        ("m3", "Sent"),
    ]
    assert lines[0]["text"]["plain"] == "text 4\n" and lines[0]["text"]["hasMore"] is False
    assert lines[0]["headers"]["message-id"] == ["<m4@x.test>"]
    assert lines[0]["from"] == {"name": "Bob", "address": "bob@example.test"}
    service, account = ann.reader.service, ann.reader.account
    for line in lines:
        shown = await service.get(account, line["id"], ReadOptions(text_type="*"), timeout_seconds=10)
        assert shown == line
    size = len(await ann.file(done["exportId"]))
    assert (done["status"], done["phase"], done["error"]) == ("completed", "complete", None)
    assert done["progress"] == {
        "foldersScanned": done["progress"]["foldersTotal"],
        "foldersTotal": done["progress"]["foldersTotal"],
        "messagesQueued": 5,
        "messagesExported": 5,
        "messagesSkipped": 0,
        "bytesWritten": size,
        "percent": 100,
    }
    assert "truncated" not in done and done["isEncrypted"] is True
    [told] = await ann.events(EventName.EXPORT_COMPLETED)
    assert told["messagesExported"] == 5 and told["bytesWritten"] == size and told["folders"] == []
    assert told["exportId"] == done["exportId"] and told["expiresAt"] == done["expiresAt"]


async def test_folders_text_type_and_limits_of_texts(ann: Exporting) -> None:
    ann.deliver("in", body="0123456789\r\n")
    ann.deliver("work", path="Work")
    await ann.synced()
    asked = request(folders=("\\Inbox", "INBOX"), text_type="plain", max_characters=4)
    [line] = await ann.lines((await ann.export(asked))["exportId"])
    assert line["text"]["plain"] == "0123" and line["text"]["hasMore"] is True and "html" not in line["text"]
    with pytest.raises(MailboxNotFound, match=r"Nowhere, \\All"):
        await ann.queue(request(folders=("Work", "Nowhere", "\\All")))


async def test_dates_are_exact_to_the_second(ann: Exporting) -> None:
    for n in range(4):
        ann.deliver(f"m{n}", days=n / 86400)
    await ann.synced()
    asked = request(start_ms=ms(FIRST + timedelta(seconds=1)), end_ms=ms(FIRST + timedelta(seconds=3)))
    lines = await ann.lines((await ann.export(asked))["exportId"])
    assert [line["subject"] for line in lines] == ["m1", "m2"]


async def test_attachments_and_why_one_is_missing(ann: Exporting, world: SandboxWorld) -> None:
    content = bytes(n % 251 for n in range(400_001))
    ann.deliver_raw(_TWO_PARTS % base64.encodebytes(content))
    await ann.synced()
    [without] = await ann.lines((await ann.export())["exportId"])
    assert "content" not in without["attachments"][0] and without["text"]["html"] == "<b>Hi</b>"
    [line] = await ann.lines((await ann.export(request(include_attachments=True)))["exportId"])
    [attachment] = line["attachments"]
    assert base64.b64decode(attachment.pop("content"), validate=True) == content
    assert attachment == without["attachments"][0]
    runner = ann.runner()
    runner._batches._reader._max_content_bytes = 1000
    export_id = await ann.queue(request(include_attachments=True))
    await runner.run(ann.reader.account.number)
    [line] = await ann.lines(export_id)
    assert line["attachments"][0]["contentError"] == "the content is larger than 1000 bytes"


async def test_an_attachment_that_decodes_to_nothing_has_an_end(
    ann: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_stream, "MAX_DOWNLOAD_BYTES", 100_000)
    ann.deliver_raw(_TWO_PARTS % (b"\r\n" * 100_000))
    await ann.synced()
    [line] = await ann.lines((await ann.export(request(include_attachments=True)))["exportId"])
    assert "the limit is 100000" in line["attachments"][0]["contentError"]


async def test_an_mbox_that_others_read(ann: Exporting, tmp_path: Path) -> None:
    ann.deliver("one", body="Dear\r\nFrom here on\r\n>From there\r\n")
    ann.deliver("two", days=1, path="Work", body="x" * 300_000 + "\r\n")
    await ann.synced()
    done = await ann.export(request(ExportFormat.MBOX))
    raw = await ann.file(done["exportId"])
    assert raw.startswith(b"From bob@example.test Sun Mar  1 12:00:00 2026\n")
    (tmp_path / "file.mbox").write_bytes(raw)
    one, two = mailbox.mbox(tmp_path / "file.mbox", create=False)
    assert (one["subject"], two["subject"]) == ("one", "two")
    assert one.get_payload() == "Dear\n>From here on\n>>From there\n"
    assert len(str(two.get_payload())) == 300_001


async def test_a_zip_that_others_read(ann: Exporting) -> None:
    for n in range(3):
        ann.deliver(f"m{n}", days=n, path="Work", body="y\r\n" * 100_000 * n)
    await ann.synced()
    done = await ann.export(request(ExportFormat.EML_ZIP))
    stored = {message.raw for message in ann.world.store_of(ann.world.accounts[0].email).mailbox("Work")}
    with zipfile.ZipFile(io.BytesIO(await ann.file(done["exportId"]))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {archive.read(name) for name in names} == stored
    assert [name[:22] for name in names] == [f"Work/2026030{n}T120000Z-"[:22] for n in (1, 2, 3)]


async def test_names_in_a_zip_differ_by_more_than_capitals_and_are_no_devices(ann: Exporting) -> None:
    """Many file systems take both for the same: of two messages one would be left after unpacking."""
    box = ann.world.store_of(ann.world.accounts[0].email)
    for path in ("aux", "Con.2026", "x" * 79 + ". y"):
        box.create(path)
        ann.deliver("device", path=path)
    # Of these two the ids differ by a capital alone.
    for _ in range(27 * 16):
        ann.deliver("m", path="Work", body="")
    await ann.synced()
    await ann.reader.node.access.relist(ann.reader.account.number, timeout_seconds=20)
    done = await ann.export(request(ExportFormat.EML_ZIP))
    with zipfile.ZipFile(io.BytesIO(await ann.file(done["exportId"]))) as archive:
        names = archive.namelist()
    assert len(names) == 27 * 16 + 3
    assert len({name.casefold() for name in names}) == len(names)
    assert {name.split("/")[0] for name in names} == {"Work", "_aux", "_Con.2026", "x" * 79}


@pytest.mark.parametrize("kind", list(ExportFormat))
async def test_a_file_of_nothing_has_its_form(ann: Exporting, kind: ExportFormat) -> None:
    done = await ann.export(request(kind))
    raw = await ann.file(done["exportId"])
    if kind is ExportFormat.EML_ZIP:
        assert zipfile.ZipFile(io.BytesIO(raw)).namelist() == []
    elif kind is ExportFormat.MBOX:
        assert raw == b""
    else:
        assert await ann.lines(done["exportId"]) == []
    assert done["progress"]["messagesQueued"] == 0 and done["status"] == "completed"


async def test_a_mailbox_is_opened_once_for_many_messages(ann: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = ImapSession.open_mailbox

    async def counted(self: ImapSession, path: str, **more: object) -> object:
        opened.append(path)
        return await original(self, path, **more)  # type: ignore[arg-type]

    for n in range(120):
        ann.deliver(f"m{n}", days=n / 10, path=("INBOX", "Work")[n % 2])
    await ann.synced()
    monkeypatch.setattr(ImapSession, "open_mailbox", counted)
    done = await ann.export(request(folders=("INBOX", "Work")))
    assert done["progress"]["messagesExported"] == 120
    assert len(opened) <= 6, opened


@pytest.mark.parametrize("kind", list(ExportFormat))
async def test_limits_truncate(ann: Exporting, kind: ExportFormat) -> None:
    for n in range(6):
        ann.deliver(f"m{n}", days=n, body=base64.b64encode(random.Random(n).randbytes(9000)).decode())
    await ann.synced()
    await ann.reader.node.settings.write({"exportMaxMessages": 4})
    done = await ann.export(request(kind))
    assert (done["progress"]["messagesExported"], done["truncated"]) == (4, True)
    await ann.reader.node.settings.write({"exportMaxMessages": 6})
    done = await ann.export(request(kind))
    assert done["progress"]["messagesExported"] == 6 and "truncated" not in done
    await ann.reader.node.settings.write({"exportMaxSize": 9000 if kind is ExportFormat.NDJSON else 20_000})
    done = await ann.export(request(kind))
    assert 0 < done["progress"]["messagesExported"] < 6 and done["truncated"] is True
    if kind is ExportFormat.NDJSON:
        assert len(await ann.lines(done["exportId"])) == done["progress"]["messagesExported"]
    [told] = [e for e in await ann.events(EventName.EXPORT_COMPLETED) if e["exportId"] == done["exportId"]]
    assert told["messagesExported"] == done["progress"]["messagesExported"]


async def test_what_is_deleted_meanwhile_is_skipped(ann: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_batch, "_MOST_MESSAGES", 2)
    for n in range(6):
        ann.deliver(f"m{n}", days=n)
    await ann.synced()
    box = ann.world.store_of(ann.world.accounts[0].email)
    planner_done = ann.reader.node.store.exports.settle

    def then_delete(*args: Any, **more: Any) -> object:
        inbox = box.mailbox("INBOX")
        box.expunge(inbox, [message for message in inbox if message.uid in (2, 3, 6)])
        return planner_done(*args, **more)

    monkeypatch.setattr(ann.reader.node.store.exports, "settle", then_delete)
    done = await ann.export()
    assert [line["subject"] for line in await ann.lines(done["exportId"])] == ["m0", "m3", "m4"]
    assert (done["progress"]["messagesExported"], done["progress"]["messagesSkipped"]) == (3, 3)


async def test_not_ready_unknown_and_gone(ann: Exporting, tmp_path: Path) -> None:
    ann.deliver("m")
    await ann.synced()
    export_id = await ann.queue()
    with pytest.raises(InvalidRequest) as caught:
        await ann.file(export_id)
    assert caught.value.code == "ExportNotReady"
    with pytest.raises(NotFound):
        await ann.file("exp_" + "0" * 24)
    await ann.run()
    [content] = (tmp_path / "exports" / export_id).glob("*.content")
    raw = content.read_bytes()
    assert b"bob@example.test" not in raw
    content.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(StorageError):
        await ann.file(export_id)
    content.unlink()
    with pytest.raises(NotFound) as gone:
        await ann.file(export_id)
    assert gone.value.code == "FileNotFound"


async def test_a_download_that_is_given_up_ends_as_such_and_closes_its_file(ann: Exporting) -> None:
    ann.deliver_raw(b"Subject: x\r\n\r\n" + random.Random(1).randbytes(24 * 1024 * 1024))
    await ann.synced()
    export_id = (await ann.export(request(ExportFormat.EML_ZIP)))["exportId"]
    assert not _open_segments()

    async def download() -> None:
        async with ann.service.download(ann.reader.account, export_id) as download:
            async for _ in download.chunks:
                begun.set()

    for n in range(60):
        begun = asyncio.Event()
        task = asyncio.create_task(download())
        await begun.wait()
        await asyncio.sleep(n % 6 * 0.0003)  # in the middle of what a thread reads
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not _open_segments()


def _open_segments() -> list[str]:
    opened = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [path for path in opened if path.endswith(".content")]


async def test_files_go_with_their_exports(ann: Exporting, tmp_path: Path) -> None:
    ann.deliver("m")
    await ann.synced()
    kept, dropped = (await ann.export())["exportId"], (await ann.export())["exportId"]
    stray = tmp_path / "exports" / ("exp_" + "1" * 24)
    stray.mkdir()
    (stray / "000000-x.content").write_bytes(b"left by a dead process")
    await ann.service.delete(ann.reader.account, dropped)
    await sweep(ann.reader.node.store, ann.files)
    folders = {path.name for path in (tmp_path / "exports").iterdir() if path.is_dir()}
    assert folders == {kept}
    total, page = await ann.service.page(ann.reader.account, page=0, page_size=10)
    assert (total, [one["exportId"] for one in page]) == (1, [kept])
    expired = (await ann.stored(kept)).expires_ms or 0
    await ann.reader.node.store.commit(ann.reader.node.store.exports.expire(expired + 1, 10))
    await sweep(ann.reader.node.store, ann.files)
    assert not (tmp_path / "exports" / kept).exists()
