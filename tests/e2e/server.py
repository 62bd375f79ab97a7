"""A real server process for tests over HTTP: started, killed, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

_START_SECONDS = 60.0


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One `mailquay serve` process with JSON logs in a file of its data directory."""

    def __init__(
        self, folder: Path, *, database: str | None = None, port: int | None = None, **options: object
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.token = ""
        self.log = folder / "server.log"
        self._options = {"log_format": "json", "imap_sweep_interval": "1s", **options}
        if database is not None:
            self._options["database"] = database
        self.process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAILQUAY_", "EENGINE_"))}
        own = {f"MAILQUAY_{name.upper()}": str(value) for name, value in self._options.items()}
        return kept | own | {"MAILQUAY_DATA_DIR": str(self.folder), "MAILQUAY_PORT": str(self.port)}

    async def command(self, *arguments: str) -> str:
        """Run another command of the program on the same data; its standard output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mailquay",
            *arguments,
            env=self._environment(),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), _START_SECONDS)
        assert process.returncode == 0, errors.decode()
        return output.decode().strip()

    async def start(self) -> Self:
        """Start the process and wait until it answers; the first start gets a token from the command line."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mailquay",
                "serve",
                env=self._environment(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        await self._until_healthy()
        if not self.token:
            self.token = await self.command("token", "issue", "-s", "*")
        return self

    async def _until_healthy(self) -> None:
        assert self._session is not None and self.process is not None
        async with asyncio.timeout(_START_SECONDS):
            while True:
                if self.process.returncode is not None:
                    raise AssertionError(f"the server ended: {self.log.read_text()[-4000:]}")
                try:
                    async with self._session.get(f"{self.base_url}/health") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)  # a process that starts tells nobody when it listens

    async def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(_START_SECONDS):
            return await self.process.wait()

    async def close(self) -> None:
        """Stop whatever is left."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- requests --------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> tuple[int, Any]:
        """One request; status and decoded JSON (or bytes)."""
        assert self._session is not None
        all_headers = {"Authorization": f"Bearer {self.token if token is None else token}", **(headers or {})}
        async with self._session.request(method, self.base_url + path, json=body, headers=all_headers) as response:
            raw = await response.read()
            if "json" in response.headers.get("Content-Type", ""):
                return response.status, json.loads(raw)
            return response.status, raw

    async def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """One request that must succeed; its decoded answer."""
        status, answer = await self.request(method, path, body, **more)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer

    async def wait_connected(self, account: str, seconds: float = 20) -> dict[str, Any]:
        """Poll the account, as callers do, until it is connected."""
        async with asyncio.timeout(seconds):
            while True:
                found: dict[str, Any] = await self.ok("GET", f"/v1/account/{account}")
                if found["state"] == "connected":
                    return found
                await asyncio.sleep(0.1)  # the API's own way to learn of it without webhooks
