"""The real PostgreSQL runs, and gives each test a database of its own."""

from __future__ import annotations

import asyncpg
import pytest

from tests.servers.postgres import Postgres

pytestmark = pytest.mark.server


async def test_a_test_has_an_empty_database_of_its_own(postgres: Postgres, postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn, timeout=10)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.execute("CREATE TABLE note (id int)")
    await connection.close()
    copy = await postgres.create_database(template=postgres_dsn.rsplit("/", 1)[1])
    assert copy != postgres_dsn
    connection = await asyncpg.connect(copy, timeout=10)
    assert await connection.fetchval("SELECT count(*) FROM note") == 0
    await connection.close()
    await postgres.drop_database(copy)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(copy, timeout=10)


async def test_a_stopped_server_comes_back_with_its_data() -> None:
    with Postgres() as server:
        dsn = await server.create_database()
        connection = await asyncpg.connect(dsn, timeout=10)
        await connection.execute("CREATE TABLE note (id int)")
        server.stop()
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await connection.fetchval("SELECT 1", timeout=10)
        server.start()
        connection = await asyncpg.connect(dsn, timeout=10)
        assert await connection.fetchval("SELECT count(*) FROM note") == 0
        await connection.close()
