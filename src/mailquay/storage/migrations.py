"""Numbered, forward-only migrations, found beside each adapter; a schema newer than this release is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from mailquay.errors import StorageError

_FILE = re.compile(r"(?P<number>\d{4})_(?P<name>\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: its number, its name and the SQL that takes it."""

    number: int
    name: str
    sql: str


def load_migrations(dialect: str) -> list[Migration]:
    """The migrations of a dialect ("sqlite" or "postgres") in order, numbered 1, 2, 3 …"""
    found: list[Migration] = []
    folder = resources.files(f"mailquay.storage.{dialect}") / "migrations"
    for entry in folder.iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match["number"]), match["name"], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StorageError(f"the {dialect} migrations are not numbered 1, 2, 3 …")
    return found


def outstanding(migrations: list[Migration], applied: set[int]) -> list[Migration]:
    """Those still to be applied.

    Raises StorageError when the database was made by a newer release: nothing of it may be touched then.
    """
    newest = len(migrations)
    beyond = max(applied, default=0)
    if beyond > newest:
        raise StorageError(
            f"the database has schema {beyond}, this release knows up to {newest}: start the newer release instead"
        )
    return [migration for migration in migrations if migration.number not in applied]


def split_statements(sql: str) -> list[str]:
    """The statements of a migration, which are separated by a semicolon at the end of a line."""
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if part.strip()]
