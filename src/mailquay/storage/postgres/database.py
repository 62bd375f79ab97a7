"""PostgreSQL: one writer that commits what is waiting as one group, a pool for reads, LISTEN for other nodes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import structlog

from mailquay.errors import MailquayError, StorageError
from mailquay.model.event import NewEvent
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

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_CHANNEL = "mailquay"
_GROUP_LIMIT = 2000
_NOTIFY_LIMIT_BYTES = 7000
_COMMAND_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_MIGRATION_LOCK = 0x6D61696C71756179 >> 1
_RETRIES = 5
_SEARCHES = 2
_LISTENER_PROBE_SECONDS = 15.0
_LOST = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)


@dataclass(slots=True)
class _Waiting:
    unit: Unit[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    wrote: bool = False
    pending: Pending = field(default_factory=Pending)


class PostgresDatabase:
    """A PostgreSQL database as a `Database`. Open it with `PostgresDatabase.open`."""

    def __init__(self, pool: Any, writer_pool: Any, dsn: str, finish: Finish) -> None:
        self._pool = pool
        self._writer_pool = writer_pool
        self._dsn = dsn
        self._finish = finish
        self._sql = load_catalogue("postgres")
        self._name = uuid.uuid4().hex[:12]
        self._inbox: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._listeners: list[Callable[[frozenset[Signal]], None]] = []
        self._closed = False
        # What may take long leaves connections to the short reads.
        self._searching = asyncio.Semaphore(_SEARCHES)
        self._writer = asyncio.create_task(self._write_loop())
        self._listening = asyncio.Event()
        self._listener = asyncio.create_task(self._listen_loop())

    @classmethod
    async def open(cls, dsn: str, finish: Finish, *, pool_size: int = 8) -> PostgresDatabase:
        """Connect and migrate.

        Raises StorageError when the server cannot be reached or its schema is newer than this release.
        """
        try:
            await migrate(dsn)
            limits: dict[str, Any] = {"timeout": _CONNECT_SECONDS, "command_timeout": _COMMAND_SECONDS}
            # Compiling a search takes longer than the search.
            limits["server_settings"] = {"jit": "off"}
            pool = await asyncpg.create_pool(dsn, min_size=2, max_size=pool_size, **limits)
            # Writing has a connection of its own: however many read, leases are renewed and results stored in time.
            writer_pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1, **limits)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise StorageError(f"cannot use the database: {error}") from error
        database = cls(pool, writer_pool, dsn, finish)
        try:
            await asyncio.wait_for(database._listening.wait(), _CONNECT_SECONDS)
        except TimeoutError as error:
            await database.close()
            raise StorageError("cannot listen to the database") from error
        return database

    async def commit(self, unit: Unit[T]) -> T:
        """See Database.commit."""
        if self._closed:
            raise StorageError("the database is closed")
        waiting = _Waiting(unit, asyncio.get_running_loop().create_future())
        self._inbox.put_nowait(waiting)
        result: T = await waiting.future
        return result

    async def fetch(self, name: str, *params: Any) -> list[Row]:
        """See Database.fetch."""
        try:
            rows: list[Row] = await self._pool.fetch(self._sql[name], *params)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise StorageError(f"{name}: {error}") from error
        return rows

    async def search(self, seconds: float, name: str, *params: Any) -> list[Row]:
        """See Database.search."""
        async with asyncio.timeout(seconds), self._searching:
            try:
                rows: list[Row] = await self._pool.fetch(self._sql[name], *params, timeout=seconds)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise StorageError(f"{name}: {error}") from error
        return rows

    async def point(self, name: str, *params: Any) -> list[Row]:
        """See Database.point."""
        return await self.fetch(name, *params)

    def subscribe(self, listener: Callable[[frozenset[Signal]], None]) -> Callable[[], None]:
        """See Database.subscribe."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """See Database.close."""
        if self._closed:
            return
        self._closed = True
        self._inbox.put_nowait(None)
        await self._writer
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        for pool in (self._writer_pool, self._pool):
            try:
                await asyncio.wait_for(pool.close(), _CONNECT_SECONDS)
            except TimeoutError:
                pool.terminate()

    # -- signals -------------------------------------------------------------------------------

    async def _listen_loop(self) -> None:
        """Hear other nodes' commits; after a lost connection, tell everybody to look for himself."""
        first = True
        while True:
            connection: Any = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_SECONDS)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, event=lost: event.set())
                await connection.add_listener(_CHANNEL, self._heard)
                self._listening.set()
                if not first:
                    self._tell(frozenset([Signal(ANYTHING_CHANGED)]))
                first = False
                while not lost.is_set():
                    # A connection that only listens would never find out that the other end is gone.
                    await connection.execute("SELECT 1", timeout=_CONNECT_SECONDS)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(lost.wait(), _LISTENER_PROBE_SECONDS)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                # The database is away: reads and commits say so to their callers; here there is only to try again.
                await asyncio.sleep(1)
            finally:
                if connection is not None:
                    connection.terminate()

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, text = str(payload).partition("|")
        if sender == self._name:
            return
        pairs = (item.partition(":") for item in text.split(",") if item)
        self._tell(frozenset(Signal(kind, int(account)) for kind, _, account in pairs))

    def _tell(self, signals: frozenset[Signal]) -> None:
        for listener in list(self._listeners):
            try:
                listener(signals)
            except Exception as error:
                # A reader's fault must not end the writer, nor keep the news from the other readers.
                _log.error("listener_failed", exc_info=error)

    # -- the writer ----------------------------------------------------------------------------

    async def _write_loop(self) -> None:
        while (first := await self._inbox.get()) is not None:
            group, closing = [first], False
            while len(group) < _GROUP_LIMIT and not self._inbox.empty():
                waiting = self._inbox.get_nowait()
                if waiting is None:
                    closing = True
                    break
                group.append(waiting)
            try:
                await self._commit_group(group)
            except Exception as error:
                # Whatever it is: who waits gets an answer, and the next group its turn.
                _log.error("commit_failed", exc_info=error)
                _fail(group, StorageError(f"commit failed: {error}"), error)
            self._answer(group)
            if closing:
                return

    async def _commit_group(self, group: list[_Waiting]) -> None:
        """Commit all in one transaction; when one fails after it wrote, commit each for itself."""
        try:
            await self._commit_together(group)
            return
        except _UnitFailed as failed:
            if len(group) == 1:
                group[0].error = failed.error
                return
        _reset(group)
        for position, waiting in enumerate(group):
            try:
                await self._commit_together([waiting])
            except _UnitFailed as failed:
                waiting.error = failed.error
            if waiting.error is not None and isinstance(waiting.error.__cause__, _LOST):
                # The database is away: the others need not wait for their own deadlines one after the other.
                _fail(group[position + 1 :], waiting.error, waiting.error.__cause__)
                return

    async def _commit_together(self, group: list[_Waiting]) -> None:
        for attempt in range(1, _RETRIES + 1):
            try:
                await self._transaction(group)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                _reset(group)
                if attempt == _RETRIES:
                    _fail(group, StorageError(f"commit failed after {attempt} tries: {error}"), error)
                continue
            except MailquayError as error:
                _fail(group, error, error.__cause__)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _fail(group, StorageError(f"commit failed: {error}"), error)
            return

    async def _transaction(self, group: list[_Waiting]) -> None:
        async with self._writer_pool.acquire(timeout=_CONNECT_SECONDS) as connection, connection.transaction():
            events = []
            signals: set[Signal] = set()
            for waiting in group:
                await self._run_unit(connection, waiting)
                if waiting.error is None:
                    events.extend(waiting.pending.events)
                    signals |= waiting.pending.signals
            if events:
                await self._finish_with(connection, events)
            for payload in _payloads(self._name, signals):
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, payload)

    async def _run_unit(self, connection: Any, waiting: _Waiting) -> None:
        try:
            waiting.result = await self._drive(connection, waiting.unit(waiting.pending), waiting)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            raise
        except _LOST:
            raise
        except Exception as error:
            if waiting.wrote or isinstance(error.__cause__, asyncpg.PostgresError | TimeoutError):
                raise _UnitFailed(error) from error
            waiting.error = error

    async def _finish_with(self, connection: Any, events: Sequence[tuple[str, NewEvent]]) -> None:
        try:
            await self._drive(connection, self._finish(events), None)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, *_LOST):
            raise
        except Exception as error:
            # One of the events cannot be stored: committed alone, its unit fails and the others do not.
            raise _UnitFailed(error) from error

    async def _drive(self, connection: Any, script: Script[T], waiting: _Waiting | None) -> T:
        try:
            statement = next(script)
            while True:
                if waiting is not None and not self._sql[statement.name].startswith("SELECT"):
                    waiting.wrote = True
                try:
                    rows = await self._execute(connection, statement)
                except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                    raise
                except asyncpg.PostgresConnectionError:
                    raise
                except (asyncpg.PostgresError, TimeoutError) as error:
                    raise StorageError(f"{statement.name}: {error or 'took too long'}") from error
                statement = script.send(rows)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _execute(self, connection: Any, statement: Statement) -> list[Row]:
        sql = self._sql[statement.name]
        if isinstance(statement, Run):
            rows: list[Row] = await connection.fetch(sql, *statement.params)
            return rows
        await connection.executemany(sql, statement.rows)
        return []

    def _answer(self, group: list[_Waiting]) -> None:
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


class _UnitFailed(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _reset(group: list[_Waiting]) -> None:
    for waiting in group:
        waiting.result, waiting.error, waiting.wrote, waiting.pending = None, None, False, Pending()


def _fail(group: list[_Waiting], failure: Exception, cause: BaseException | None) -> None:
    failure.__cause__ = cause
    for waiting in group:
        waiting.error = waiting.error or failure


def _payloads(sender: str, signals: set[Signal]) -> list[str]:
    """The signals as NOTIFY payloads, each within PostgreSQL's limit of 8000 bytes."""
    payloads: list[str] = []
    current: list[str] = []
    size = 0
    for signal in signals:
        item = f"{signal.kind}:{signal.account}"
        if size + len(item) > _NOTIFY_LIMIT_BYTES:
            payloads.append(f"{sender}|{','.join(current)}")
            current, size = [], 0
        current.append(item)
        size += len(item) + 1
    if current:
        payloads.append(f"{sender}|{','.join(current)}")
    return payloads


async def migrate(dsn: str) -> list[str]:
    """Bring the database up to date; returns the names of the migrations applied. Safe when two nodes start at once."""
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            known = await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL")
            applied = {row[0] for row in await connection.fetch("SELECT number FROM migrations")} if known else set()
            todo = outstanding(load_migrations("postgres"), applied)
            for migration in todo:
                for statement in split_statements(migration.sql):
                    await connection.execute(statement)
                await connection.execute(
                    "INSERT INTO migrations (number, name, applied_ms) "
                    "VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)",
                    migration.number,
                    migration.name,
                )
    finally:
        with suppress(OSError, asyncpg.PostgresError):
            await connection.close(timeout=_CONNECT_SECONDS)
    return [migration.name for migration in todo]
