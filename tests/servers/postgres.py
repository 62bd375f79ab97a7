"""A private PostgreSQL in a temporary directory; durability is switched off, since it lives as long as the test run."""

from __future__ import annotations

import itertools
import shutil
import signal
from pathlib import Path
from typing import Self

import asyncpg

from tests.servers.process import LOOPBACK, ServerProcess, free_ports, give_away, run, short_directory

_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "timezone": "UTC",
}


def _binaries() -> Path:
    """Find the newest installed version's programs."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent


class Postgres:
    """A running server; `create_database` makes an empty one, or a copy of a template made before."""

    def __init__(self) -> None:
        self.directory = short_directory("postgres-")
        self.port = free_ports(1)[0]
        self._numbers = itertools.count(1)
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start it (initialising takes about a second) and wait until it accepts; raises ServerDidNotStart."""
        data = self.directory / "data"
        if not data.exists():
            give_away(self.directory)
            options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            run([_binaries() / "initdb", "-D", data, *options], cwd=self.directory)
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        self._process = ServerProcess(
            [_binaries() / "postgres", "-D", data, "-p", str(self.port), "-k", self.directory, *options],
            directory=self.directory,
        )
        # The last line of this file tells the state; it is removed when the server stops.
        state = data / "postmaster.pid"
        self._process.wait_until(lambda: state.exists() and state.read_text().rstrip().endswith("ready"), "ready state")
        return self

    def stop(self) -> None:
        """Stop it with all connections (SIGTERM alone would wait for the clients); `start` brings it back."""
        if self._process is not None:
            self._process.process.send_signal(signal.SIGINT)
            self._process.stop()
            self._process = None

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def dsn(self, database: str) -> str:
        """Return the address of a database on this server."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    async def create_database(self, template: str = "template0") -> str:
        """Make a database of its own name, as a copy of `template`, and return its address."""
        name = f"test_{next(self._numbers)}"
        await self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.dsn(name)

    async def drop_database(self, dsn: str) -> None:
        """Remove a database that `create_database` made, with whoever is still connected to it."""
        await self._administer(f'DROP DATABASE "{dsn.rsplit("/", 1)[1]}" WITH (FORCE)')

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=20)
        try:
            await connection.execute(statement, timeout=60)
        finally:
            await connection.close(timeout=5)
