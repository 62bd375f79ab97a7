"""Several processes on one machine and one SQLite file, and the program's own commands beside them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mailquay.runtime import processes
from tests.e2e.server import Server


async def test_two_processes_share_a_port_and_a_file(tmp_path: Path) -> None:
    async with Server(tmp_path, processes=2) as server:
        for n in range(6):
            body = {"account": f"a{n}", "name": "x", "smtp": {"host": "smtp.test", "port": 25}}
            await server.ok("POST", "/v1/account", body)
        answers = await asyncio.gather(*(server.ok("GET", f"/v1/account/a{n % 6}") for n in range(60)))
        assert {answer["state"] for answer in answers} <= {"init", "unset"}
        listed = await server.command("account", "list")
        assert [line.split("\t")[0] for line in listed.splitlines()] == [f"a{n}" for n in range(6)]
        assert "sealed" in await server.command("encrypt", "--rotate")
        answers = await asyncio.gather(*(server.ok("GET", f"/v1/account/a{n % 6}") for n in range(60)))
        assert {answer["smtp"]["host"] for answer in answers} == {"smtp.test"}
        assert len(list((tmp_path / "nodes").glob("*.id"))) == 2
        assert await server.stop() == 0


async def test_sqlite_takes_no_third_process(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mailquay", "serve", "--processes", "3", "--data-dir", str(tmp_path)),
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert output == b""
    assert b"PostgreSQL" in errors
    assert errors.count(b"\n") == 1


async def test_processes_that_cannot_start_end_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "mailquay.db").write_bytes(b"this is no database" * 100)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mailquay", "serve", "--processes", "2", "--data-dir", str(tmp_path), "--port", "0"),
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"not a database" in errors


async def test_a_start_that_fails_slowly_ends_all_of_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine needs longer than a start is given to be called stable; what tells is whether it got through."""
    monkeypatch.setattr(processes, "_STABLE_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_PAUSE_SECONDS", 0.01)
    async with asyncio.timeout(180):
        code = await processes.run_processes(2, ["serve", "--port", "no number"])
    assert code not in (0, None)
