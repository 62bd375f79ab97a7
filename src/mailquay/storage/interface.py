"""What a database adapter offers, and how a unit of work is written down.

A unit of work is a generator that yields statements and is sent their rows: it says what to do in one transaction
without knowing who executes it. The adapter runs many waiting units in one transaction (group commit), so a unit must
be repeatable: when a neighbour in the group fails, the others may be run again from the start.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from mailquay.model.event import NewEvent

T = TypeVar("T")
Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Run the named statement once and get its rows (none for a statement that returns nothing)."""

    name: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class RunMany:
    """Run the named statement once per parameter row; there are no rows to get."""

    name: str
    rows: Sequence[tuple[Any, ...]]


Statement = Run | RunMany
Script = Generator[Statement, list[Row], T]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a committed unit wants other tasks and nodes to look at: a kind and an account number (or 0).

    Signals only wake readers up; none may be needed for correctness, because one can be lost with a connection.
    """

    kind: str
    account: int = 0


ACCOUNT_CHANGED = "account"
OUTBOX_CHANGED = "outbox"
FILING_DUE = "filing"
EXPORTS_CHANGED = "exports"
EXPORT_FILES_DUE = "export files"
PURGE_DUE = "purge"
EVENTS_APPENDED = "events"
LEASES_CHANGED = "leases"
SETTINGS_CHANGED = "settings"
ANYTHING_CHANGED = "any"


@dataclass(slots=True)
class Pending:
    """What a unit adds to its group: events to be logged as the group's last step, and signals to send after it."""

    events: list[tuple[str, NewEvent]] = field(default_factory=list)
    signals: set[Signal] = field(default_factory=set)

    def append(self, event: NewEvent) -> str:
        """Log an event with this transaction; its new event id is returned."""
        event_id = str(uuid.uuid4())
        self.events.append((event_id, event))
        self.signals.add(Signal(EVENTS_APPENDED, event.account))
        return event_id

    def signal(self, kind: str, account: int = 0) -> None:
        """Wake up who waits for this kind of change, after the commit."""
        self.signals.add(Signal(kind, account))


Unit = Callable[[Pending], Script[T]]


class Database(Protocol):
    """One SQL database: reads, and group commit of units."""

    async def commit(self, unit: Unit[T]) -> T:
        """Run a unit in a durable transaction and return its result.

        Raises what the unit raises (then nothing of it is stored), or StorageError when the database failed.
        """
        ...

    async def fetch(self, name: str, *params: Any) -> list[Row]:
        """Run a read that may scan; it never blocks the event loop."""
        ...

    async def search(self, seconds: float, name: str, *params: Any) -> list[Row]:
        """Run a read that may take long, beside all others and no longer than that; it is ended then.

        Raises TimeoutError.
        """
        ...

    async def point(self, name: str, *params: Any) -> list[Row]:
        """Run a read of a few rows by primary key; cheap enough to be done in place where that is faster."""
        ...

    def subscribe(self, listener: Callable[[frozenset[Signal]], None]) -> Callable[[], None]:
        """Call `listener` with the signals of each commit, here or on another node; returns how to stop."""
        ...

    async def close(self) -> None:
        """Finish what is waiting, then release every connection."""
        ...


def run_together(*units: Unit[Any]) -> Unit[list[Any]]:
    """One unit that runs the given ones in order and returns their results."""

    def script(pending: Pending) -> Script[list[Any]]:
        results: list[Any] = []
        for unit in units:
            results.append((yield from unit(pending)))
        return results

    return script


def append_events(events: Iterable[NewEvent]) -> Unit[None]:
    """A unit that only logs events, to be combined with the change that they follow from."""
    collected = tuple(events)

    def script(pending: Pending) -> Script[None]:
        for event in collected:
            pending.append(event)
        return
        yield  # makes this a generator, like every unit

    return script


Finish = Callable[[Sequence[tuple[str, NewEvent]]], Script[None]]
"""The last step of a group commit: gives its events their positions and stores them."""
