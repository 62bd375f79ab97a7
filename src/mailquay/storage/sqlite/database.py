"""SQLite: one writer thread that commits what is waiting as one group, readers beside it (WAL).

Reads by primary key run on the event loop, because a thread hop costs thirty times as much as the read itself; reads
that may scan go to a small pool of reader threads.
"""

from __future__ import annotations

import asyncio
import fcntl
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from mailquay.errors import MailquayError, StorageError
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.interface import (
    ANYTHING_CHANGED,
    Finish,
    Pending,
    Row,
    Run,
    Script,
    Signal,
    Statement,
    Unit,
)
from mailquay.storage.migrations import load_migrations, outstanding, split_statements
from mailquay.storage.sqlite.words import WORD_FUNCTIONS

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_CALM_LOOKS = 100
_GROUP_LIMIT = 2000
_BUSY_MS = 15_000
_READERS = 2
_SEARCHERS = 1
_STEPS_BETWEEN_LOOKS = 10_000
"""How often a search looks at the clock: a fraction of a millisecond's work."""


@dataclass(slots=True)
class _Waiting:
    unit: Unit[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None
    pending: Pending = field(default_factory=Pending)


@dataclass(slots=True)
class _Glance:
    """The writer is asked what it sees of commits of other processes: its connection does not count its own."""

    seen: asyncio.Future[int]


class SqliteDatabase:
    """A SQLite file as a `Database`. Open it with `SqliteDatabase.open`."""

    def __init__(self, path: Path, finish: Finish, watch_interval_seconds: float | None) -> None:
        self._path = path
        self._finish = finish
        self._sql = load_catalogue("sqlite")
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[_Waiting | _Glance | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[frozenset[Signal]], None]] = []
        self._closed = False
        self._watch_interval_seconds = watch_interval_seconds
        self._watcher: asyncio.Task[None] | None = None
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-reader")
        # What may take long must not keep the short reads waiting.
        self._searchers = ThreadPoolExecutor(_SEARCHERS, thread_name_prefix="sqlite-searcher")
        self._reader_local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._point = _connect(path, read_only=True)
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)

    @classmethod
    async def open(cls, path: Path, finish: Finish, *, watch_interval_seconds: float | None = None) -> SqliteDatabase:
        """Open (and migrate) the file. `watch_interval_seconds` looks for commits of another process that often.

        Raises StorageError when the file is not ours or made by a newer release.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(migrate, path)
        database = cls(path, finish, watch_interval_seconds)
        database._writer.start()
        if watch_interval_seconds is not None:
            database._watcher = asyncio.create_task(database._watch(watch_interval_seconds))
        return database

    async def commit(self, unit: Unit[T]) -> T:
        """See Database.commit."""
        if self._closed:
            raise StorageError("the database is closed")
        waiting = _Waiting(unit, self._loop.create_future())
        self._inbox.put(waiting)
        result: T = await waiting.future
        return result

    async def fetch(self, name: str, *params: Any) -> list[Row]:
        """See Database.fetch."""
        return await self._loop.run_in_executor(self._readers, self._read, name, params)

    async def search(self, seconds: float, name: str, *params: Any) -> list[Row]:
        """See Database.search."""
        deadline = time.monotonic() + seconds
        async with asyncio.timeout(seconds):
            return await self._loop.run_in_executor(self._searchers, self._search, deadline, name, params)

    async def point(self, name: str, *params: Any) -> list[Row]:
        """See Database.point."""
        try:
            return self._point.execute(self._sql[name], params).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{name}: {error}") from error

    def subscribe(self, listener: Callable[[frozenset[Signal]], None]) -> Callable[[], None]:
        """See Database.subscribe."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """See Database.close."""
        if self._closed:
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._inbox.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown(wait=True)
        self._searchers.shutdown(wait=True)
        for connection in [*self._reader_connections, self._point]:
            connection.close()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._reader_local, "connection", None)
        if connection is None:
            connection = _connect(self._path, read_only=True)
            self._reader_local.connection = connection
            self._reader_connections.append(connection)
        return connection

    def _read(self, name: str, params: tuple[Any, ...]) -> list[Row]:
        try:
            return self._reader().execute(self._sql[name], params).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{name}: {error}") from error

    def _search(self, deadline: float, name: str, params: tuple[Any, ...]) -> list[Row]:
        connection = self._reader()
        connection.set_progress_handler(lambda: time.monotonic() > deadline or self._closed, _STEPS_BETWEEN_LOOKS)
        if time.monotonic() > deadline:
            raise TimeoutError
        try:
            return connection.execute(self._sql[name], params).fetchall()
        except sqlite3.Error as error:
            if time.monotonic() > deadline:
                raise TimeoutError from error
            raise StorageError(f"{name}: {error}") from error

    async def _watch(self, interval_seconds: float) -> None:
        """Tell listeners when another process has committed: SQLite counts that for us.

        Most often there is no other one, and looking is then ten times rarer. What a reader sees may be a commit of our
        own, of which everybody was told by signals. While the file cannot be read, what was seen last stays so.
        """
        read: int | None = None
        others: int | None = None
        pause, calm, failing = interval_seconds, 0, False
        while True:
            try:
                version = _data_version(self._point)
                if version != read:
                    counted = await self._others_commits()
                    news, read, others = others not in (None, counted), version, counted
                    if news:
                        calm, pause = 0, interval_seconds
                        self._tell(frozenset([Signal(ANYTHING_CHANGED)]))
                failing = False
            except StorageError as error:
                if not failing:
                    _log.error("watching_failed", error=error.message)
                failing = True
            await asyncio.sleep(pause)
            calm += 1
            if calm == _CALM_LOOKS:
                pause = 10 * interval_seconds

    async def _others_commits(self) -> int:
        glance = _Glance(self._loop.create_future())
        self._inbox.put(glance)
        return await glance.seen

    def _tell(self, signals: frozenset[Signal]) -> None:
        for listener in list(self._listeners):
            listener(signals)

    # -- the writer thread ---------------------------------------------------------------------

    def _write_loop(self) -> None:
        connection = _connect(self._path)
        try:
            while (first := self._inbox.get()) is not None:
                if isinstance(first, _Glance):
                    self._look(connection, first)
                    continue
                group, closing = self._gather(connection, first)
                self._commit_group(connection, group)
                self._answer(group)
                if closing:
                    break
        finally:
            connection.close()

    def _look(self, connection: sqlite3.Connection, glance: _Glance) -> None:
        version, failure = -1, None
        try:
            version = _data_version(connection)
        except StorageError as error:
            # Whoever waits for a commit would wait for ever if this ended the thread.
            failure = error

        def on_loop() -> None:
            if glance.seen.done():
                return
            if failure is None:
                glance.seen.set_result(version)
            else:
                glance.seen.set_exception(failure)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(on_loop)

    def _gather(self, connection: sqlite3.Connection, first: _Waiting) -> tuple[list[_Waiting], bool]:
        group = [first]
        while len(group) < _GROUP_LIMIT:
            try:
                waiting = self._inbox.get_nowait()
            except queue.Empty:
                return group, False
            if waiting is None:
                return group, True
            if isinstance(waiting, _Glance):
                self._look(connection, waiting)
            else:
                group.append(waiting)
        return group, False

    def _commit_group(self, connection: sqlite3.Connection, group: list[_Waiting]) -> None:
        """One transaction for all; a unit that fails is undone by its savepoint and does not touch the others."""
        finishing = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            events = []
            for waiting in group:
                self._run_unit(connection, waiting)
                if waiting.error is None:
                    events.extend(waiting.pending.events)
            finishing = True
            if events:
                self._drive(connection, self._finish(events))
            finishing = False
            connection.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection)
            if finishing and len(group) > 1:
                # One of the events cannot be stored: the others must not suffer for it.
                for waiting in group:
                    waiting.result, waiting.error, waiting.pending = None, None, Pending()
                    self._commit_group(connection, [waiting])
                return
            failure = error if isinstance(error, MailquayError) else StorageError(f"commit failed: {error}")
            failure.__cause__ = error.__cause__ if failure is error else error
            for waiting in group:
                waiting.error = waiting.error or failure

    def _run_unit(self, connection: sqlite3.Connection, waiting: _Waiting) -> None:
        connection.execute("SAVEPOINT unit")
        try:
            waiting.result = self._drive(connection, waiting.unit(waiting.pending))
        except BaseException as error:
            connection.execute("ROLLBACK TO unit")
            waiting.error = error
        connection.execute("RELEASE unit")

    def _drive(self, connection: sqlite3.Connection, script: Script[T]) -> T:
        try:
            statement = next(script)
            while True:
                try:
                    rows = self._execute(connection, statement)
                except sqlite3.Error as error:
                    failure = StorageError(f"{statement.name}: {error}")
                    failure.__cause__ = error
                    statement = script.throw(failure)
                    continue
                statement = script.send(rows)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _execute(self, connection: sqlite3.Connection, statement: Statement) -> list[Row]:
        sql = self._sql[statement.name]
        if isinstance(statement, Run):
            return connection.execute(sql, statement.params).fetchall()
        connection.executemany(sql, statement.rows)
        return []

    def _answer(self, group: list[_Waiting]) -> None:
        def on_loop() -> None:
            signals: set[Signal] = set()
            for waiting in group:
                if waiting.error is None:
                    signals |= waiting.pending.signals
                if waiting.future.done():
                    continue
                if waiting.error is None:
                    waiting.future.set_result(waiting.result)
                else:
                    waiting.future.set_exception(waiting.error)
            if signals:
                self._tell(frozenset(signals))

        # The loop is gone only when the process is ending; the commit itself has happened then all the same.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(on_loop)


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that is another one after each commit of other connections.

    Raises StorageError when the file cannot be read.
    """
    try:
        [(version,)] = connection.execute("PRAGMA data_version").fetchall()
    except sqlite3.Error as error:
        raise StorageError(f"cannot look for commits: {error}") from error
    return int(version)


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        # The next BEGIN is refused then, and this is tried again: the writer itself must live on.
        _log.error("rollback_failed", error=str(error))


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000, cached_statements=256
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # What is deleted is overwritten, however the library was built.
    connection.execute("PRAGMA secure_delete = ON")
    for name, arguments, function in WORD_FUNCTIONS:
        connection.create_function(name, arguments, function, deterministic=True)
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def migrate(path: Path) -> list[str]:
    """Bring the file up to date; returns the names of the migrations applied. Safe to run twice at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".migrating").open("w") as lock:
        # SQLite does not wait for a lock while it changes to WAL, so that two starters need one of their own.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _migrate_alone(path)


def _migrate_alone(path: Path) -> list[str]:
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise StorageError(f"cannot open {path}: {error}") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
        applied = {number for (number,) in connection.execute("SELECT number FROM migrations")} if known else set()
        todo = outstanding(load_migrations("sqlite"), applied)
        for migration in todo:
            for statement in split_statements(migration.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations (number, name, applied_ms) VALUES (?, ?, ?)",
                (migration.number, migration.name, int(time.time() * 1000)),
            )
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StorageError(f"cannot migrate {path}: {error}") from error
    finally:
        connection.close()
    path.chmod(0o600)
    return [migration.name for migration in todo]
