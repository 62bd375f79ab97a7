"""`mailquay serve --sandbox`: what it prints works when it is pasted."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailquay.assembly import Node
from mailquay.config import Config, load_config
from mailquay.sandbox.greeting import curl_lines
from mailquay.sandbox.world import SandboxAccount

_ACCOUNTS = [
    SandboxAccount(
        name.lower(), name, f"{name.lower()}@s.test", f"{name.lower()}@s.test", "p", "127.0.0.1", 1, "::1", 2
    )
    for name in ("Ann", "Bruno")
]


class Shell:
    """Does what a shell would do with the lines, as far as they go: variables and curl."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._variables: dict[str, str] = {}

    async def run(self, line: str) -> Any:
        """One line; the decoded answer of a curl."""
        if line.startswith("curl"):
            return await self._curl(shlex.split(line))
        name, _, value = line.partition("=")
        if value.startswith("$("):
            curl, _, _ = value.removeprefix("$(").partition(" | ")
            answer = await self._curl(shlex.split(curl))
            self._variables[name] = answer["messages"][0]["id"]
        else:
            [self._variables[name]] = shlex.split(value)
        return None

    async def _curl(self, words: list[str]) -> Any:
        for name, value in self._variables.items():
            words = [word.replace(f"${name}", value) for word in words]
        headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
        body = words[words.index("-d") + 1] if "-d" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        url = next(word for word in words if word.startswith("http"))
        async with self._session.request(method, url, headers=headers, data=body) as response:
            answer = json.loads(await response.read())
            assert response.status == 200, (words, answer)
            return answer


def _commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("curl", "API=", "AUTH=", "MESSAGE="))]


def test_the_lines_survive_a_shell() -> None:
    text = curl_lines("http://127.0.0.1:3000", "to'ken", _ACCOUNTS)
    lines = _commands(text)
    assert shlex.split(lines[1]) == ["AUTH=Authorization: Bearer to'ken"]
    bodies = [shlex.split(line)[-1] for line in lines if " -d " in line]
    assert [sorted(json.loads(body)) for body in bodies] == [
        ["account", "email", "imap", "name", "smtp"],
        ["html", "subject", "text", "to"],
        ["webhookEvents", "webhooks", "webhooksEnabled"],
    ]


async def test_a_node_with_the_sandbox_does_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(data_dir=tmp_path, port=0, sandbox=True, log_level="error")
    async with Node(config).running(), aiohttp.ClientSession() as session:
        printed = capsys.readouterr().out
        shell = Shell(session)
        answers = []
        for line in _commands(printed):
            if "/messages?" in line or line.startswith("MESSAGE="):
                await _until_connected(shell, line.partition("/account/")[2].partition("/")[0])
            answers.append(await shell.run(line))
        accounts, newest, message = answers[2], answers[3], answers[5]
        assert [one["account"] for one in accounts["accounts"]] == ["ann", "bruno", "chiyo"]
        assert len(newest["messages"]) == 5
        assert message["id"] == newest["messages"][0]["id"]
        assert message["text"]["plain"]
        for account in ("bruno", "elsewhere"):
            await _until_subject(shell, account, "Hello from the sandbox")
    assert json.loads(json.dumps(answers[-1]))["updated"]


async def _until_connected(shell: Shell, account: str) -> None:
    async with asyncio.timeout(15):
        while (await shell.run(f'curl "$API/v1/account/{account}" -H "$AUTH"'))["state"] != "connected":
            await asyncio.sleep(0.02)  # the API's own way to learn of it


async def _until_subject(shell: Shell, account: str, subject: str) -> None:
    async with asyncio.timeout(15):
        while True:
            page = await shell.run(f'curl "$API/v1/account/{account}/messages?path=INBOX&pageSize=1" -H "$AUTH"')
            if [one["subject"] for one in page["messages"]] == [subject]:
                return
            await asyncio.sleep(0.02)  # the same


async def test_further_starts_replace_their_token_and_keep_the_accounts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start's token stays, as it was said to be shown only once; later ones do not pile up."""
    config = Config(data_dir=tmp_path, port=0, sandbox=True, log_level="error")
    printed, known = [], []
    for _ in range(4):
        async with Node(config).running(), aiohttp.ClientSession() as session:
            shell = Shell(session)
            lines = _commands(capsys.readouterr().out)
            *_, accounts = [await shell.run(line) for line in lines[:3]]
            assert accounts["total"] == 3
            printed.append(lines[1])
            known.append((await shell.run('curl "$API/v1/tokens" -H "$AUTH"'))["total"])
    assert len(set(printed)) == 4 and known == [1, 2, 2, 2]


def test_the_sandbox_keeps_its_data_apart(tmp_path: Path) -> None:
    assert load_config({"sandbox": "true"}, {}, tmp_path).data_dir == tmp_path / "data/sandbox"
    assert load_config({"sandbox": "false"}, {}, tmp_path).data_dir == tmp_path / "data"
    chosen = load_config({"sandbox": "true"}, {"MAILQUAY_DATA_DIR": str(tmp_path / "own")}, tmp_path)
    assert chosen.data_dir == tmp_path / "own"
