"""What every store promises about its schema: migrations, statements, starts at once."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from importlib import resources
from pathlib import Path

import asyncpg
import pytest

from mailquay.errors import StorageError
from mailquay.storage.catalogue import load_catalogue
from mailquay.storage.migrations import load_migrations, split_statements
from mailquay.storage.secrets import generate_key, write_key_file
from mailquay.storage.sqlite.words import WORD_FUNCTIONS
from mailquay.storage.store import Store, open_store
from tests.contract.records import register


async def test_two_nodes_may_start_at_once(database_url: str, tmp_path: Path) -> None:
    write_key_file(tmp_path / "key", [generate_key()])
    stores = await asyncio.gather(*(open_store(database_url, key_file=tmp_path / "key") for _ in range(4)))
    await asyncio.gather(*(register(opened, f"a{n}") for n, opened in enumerate(stores)))
    assert [event.position for event in await stores[0].events.after(0, 10)] == [1, 2, 3, 4]
    for opened in stores:
        await opened.close()


async def test_a_newer_schema_is_refused(store: Store, database_url: str, tmp_path: Path) -> None:
    number = len(load_migrations("sqlite")) + 1
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.execute("INSERT INTO migrations VALUES (?, 'future', 0)", (number,))
    else:
        connection = await asyncpg.connect(database_url)
        await connection.execute("INSERT INTO migrations VALUES ($1, 'future', 0)", number)
        await connection.close()
    with pytest.raises(StorageError, match="newer release"):
        await open_store(database_url, key_file=tmp_path / "key")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_all_migrations_together_are_the_schema(dialect: str) -> None:
    schema = (resources.files(f"mailquay.storage.{dialect}") / "schema.sql").read_text(encoding="utf-8")
    together = [part for migration in load_migrations(dialect) for part in split_statements(migration.sql)]
    assert together == split_statements(schema)


def test_both_dialects_know_the_same_statements() -> None:
    assert load_catalogue("sqlite").keys() == load_catalogue("postgres").keys()


async def test_every_statement_is_understood_by_the_database(store: Store, database_url: str) -> None:
    dialect = "sqlite" if database_url.startswith("sqlite") else "postgres"
    if dialect == "sqlite":
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            for name, arguments, function in WORD_FUNCTIONS:
                connection.create_function(name, arguments, function)
            for sql in load_catalogue(dialect).values():
                parameters = [None] * len(set(re.findall(r"\?\d+", sql)))
                assert connection.execute(f"EXPLAIN {sql}", parameters).fetchall()
        return
    connection = await asyncpg.connect(database_url)
    for sql in load_catalogue(dialect).values():
        assert await connection.prepare(sql) is not None
    await connection.close()
