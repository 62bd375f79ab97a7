"""An account at the built-in mail server, and what exports its messages."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailquay.model.event import EventName, LoggedEvent
from mailquay.model.export import Export, ExportFormat, ExportRequest
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.export_run import ExportOptions, ExportRunner
from mailquay.services.exports import ExportService
from mailquay.storage.export_files import ExportFiles
from tests.runtime.harness import SystemClock
from tests.runtime.reading import Reader, reading

FIRST = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def ms(moment: datetime) -> int:
    """A time as exports have it."""
    return int(moment.timestamp() * 1000)


def request(format_: ExportFormat = ExportFormat.NDJSON, **changes: Any) -> ExportRequest:
    """A request for a hundred days from FIRST on."""
    asked = ExportRequest((), ms(FIRST), ms(FIRST + timedelta(days=100)), "*", None, False, format_)
    return dataclasses.replace(asked, **changes)


@dataclasses.dataclass
class Exporting:
    """One account on a node, its exports, and its mail at the server."""

    reader: Reader
    world: SandboxWorld
    files: ExportFiles
    clock: SystemClock = dataclasses.field(default_factory=SystemClock)
    options: ExportOptions = dataclasses.field(default_factory=lambda: ExportOptions(3600, 3600))

    @property
    def service(self) -> ExportService:
        """What the API calls."""
        store, settings = self.reader.node.store, self.reader.node.settings
        return ExportService(store, settings, self.files, self.clock, retention_seconds=self.options.retention_seconds)

    def runner(self) -> ExportRunner:
        """What the node of the account has; a new one remembers nothing, like that of a new process."""
        node = self.reader.node
        return ExportRunner(
            node.store,
            node.settings,
            node.access,
            self.files,
            self.clock,
            lambda: node.membership.id,
            self.options,
        )

    def deliver(self, subject: str, *, days: float = 0, path: str = "INBOX", body: str = "Hello\r\n") -> None:
        """Put a message of plain text into a mailbox of the server, received so many days after FIRST."""
        self.deliver_raw(_plain(subject, body), days=days, path=path)

    def deliver_raw(self, raw: bytes, *, days: float = 0, path: str = "INBOX") -> None:
        """The same with any message."""
        box = self.world.store_of(self.world.accounts[0].email)
        box.append(path, raw, received=FIRST + timedelta(days=days))

    async def synced(self) -> None:
        """Have the index agree with the server."""
        node, number = self.reader.node, self.reader.account.number
        paths = [box.listing.path for box in await node.store.mailboxes.of_account(number)]
        await node.access.catch_up(number, paths, timeout_seconds=20)

    async def queue(self, asked: ExportRequest | None = None) -> str:
        """Ask for an export; its id."""
        created = await self.service.create(self.reader.account, asked or request())
        return str(created["exportId"])

    async def run(self) -> float | None:
        """One run of the worker."""
        return await self.runner().run(self.reader.account.number)

    async def export(self, asked: ExportRequest | None = None) -> dict[str, Any]:
        """Ask for an export and carry it out at once; how it ended."""
        export_id = await self.queue(asked)
        assert await self.run() == 0.0
        return await self.show(export_id)

    async def show(self, export_id: str) -> dict[str, Any]:
        """How far an export is."""
        return await self.service.get(self.reader.account, export_id)

    async def stored(self, export_id: str) -> Export:
        """An export as it is stored."""
        export = await self.reader.node.store.exports.get(self.reader.account.number, export_id)
        assert export is not None
        return export

    async def file(self, export_id: str) -> bytes:
        """The whole file."""
        async with self.service.download(self.reader.account, export_id) as download:
            content = b"".join([chunk async for chunk in download.chunks])
        assert len(content) == download.size_bytes
        return content

    async def lines(self, export_id: str) -> list[dict[str, Any]]:
        """The messages of a file in the format NDJSON."""
        return [json.loads(line) for line in gzip.decompress(await self.file(export_id)).splitlines()]

    async def events(self, name: EventName) -> list[Mapping[str, Any]]:
        """What was told of exports."""
        store = self.reader.node.store
        logged = await store.events.of_account_after(self.reader.account.number, 0, 100_000)
        found: list[LoggedEvent] = [await store.events.with_content(event) for event in logged if event.name is name]
        return [event.data for event in found]


def _plain(subject: str, body: str) -> bytes:
    return (
        f"From: Bob <bob@example.test>\r\nMessage-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    ).encode()


@contextlib.asynccontextmanager
async def exporting(world: SandboxWorld, folder: Path, **more: Any) -> AsyncIterator[Exporting]:
    """Run a node with one account that has a mailbox Work besides the usual ones."""
    files = ExportFiles(folder / "exports")
    files.open()
    box = world.store_of(world.accounts[0].email)
    if "Work" not in {one.path for one in box.mailboxes()}:
        box.create("Work")
    async with reading(world, folder, **more) as reader:
        yield Exporting(reader, world, files)
