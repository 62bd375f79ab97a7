"""Every example of the documentation that is a shell script, run as printed against a server with its sandbox."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.server import Server, free_port
from tests.servers.availability import require_server

DOCS = Path(__file__).resolve().parents[2] / "docs"
_SCRIPT = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A refusal ends the script instead of being printed.
_PRELUDE = 'set -eu -o pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; }\n'


def scripts(name: str) -> str:
    """The examples of one page, in their order."""
    return "".join(_SCRIPT.findall((DOCS / f"{name}.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def pages() -> list[str]:
    return sorted(path.stem for path in DOCS.glob("*.md") if path.name != "README.md" and scripts(path.stem))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path, sandbox="true") as running:
        for account in ("ann", "bruno", "chiyo"):
            await running.wait_connected(account)
        yield running


async def test_every_example_works(server: Server, pages: list[str], tmp_path: Path) -> None:
    require_server("curl")
    assert {"accounts", "reading", "sending", "webhooks", "tokens", "operating"} <= set(pages)
    for page in pages:
        text = f"{_PRELUDE}LISTEN={free_port()}\nAPI={server.base_url}\nAUTH='Authorization: Bearer {server.token}'\n"
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            text + scripts("README") + scripts(page),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        assert process.returncode == 0, f"{page}.md: {output.decode()[-3000:]}"
