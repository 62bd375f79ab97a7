"""Logs: readable or JSON, bound to request and account, and no secret in them, whatever is logged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from mailquay.api.http import Request
from mailquay.config import Config
from mailquay.runtime.logs import configure_logs, redact, redact_text
from mailquay.storage.store import Store
from tests.api.world import IMAP, SMTP, World

SECRET = "hunter2secret"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Where logs go; afterwards they are as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"basic {SECRET}",
        f"GET /v1/accounts?access_token={SECRET}&page=1",
        f"https://user:{SECRET}@hooks.example.com/path",
        f"socks5://{SECRET}@p.example.com:1080",
        f'{{"user": "u", "pass": "{SECRET}"}}',
        f"{{'accessToken': '{SECRET}'}}",
        f"refresh_token={SECRET}",
        f"A1 LOGIN ann {SECRET}",
        f'A1 LOGIN "a n" "{SECRET} \\" x"',
        f"A1 AUTHENTICATE PLAIN {SECRET}",
        f"AUTH PLAIN {SECRET}",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    shown = redact_text(text)
    assert SECRET not in shown and "******" in shown


@pytest.mark.parametrize("text", ["plain words", "https://example.com/a@b", "password reset", "LOGIN failed", "bearer"])
def test_other_texts_stay(text: str) -> None:
    assert redact_text(text) == text


def test_secrets_under_telling_names() -> None:
    nested: dict[str, Any] = {
        "headers": {"Authorization": SECRET, "Accept": "x"},
        "imap": {"auth": {"pass": SECRET, "accessToken": SECRET, "user": "u"}},
        "list": [{"password": SECRET}, (f"pass={SECRET}",)],
        "token": None,
        "count": 3,
        "deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": SECRET}}}}}}},
        "object": Exception(f"Bearer {SECRET}"),
    }
    shown = redact(nested)
    assert SECRET not in repr(shown)
    assert shown["headers"]["Accept"] == "x" and shown["imap"]["auth"]["user"] == "u"
    assert shown["token"] is None and shown["count"] == 3


@pytest.mark.parametrize("log_format", ["json", "text", "auto"])
def test_what_is_logged_holds_no_secret(output: io.StringIO, log_format: str) -> None:
    configure_logs("info", log_format, output)
    log = structlog.get_logger("test").bind(account="ann")
    try:
        password = SECRET
        raise ValueError(f"cannot connect to imaps://ann:{password}@mail.example.com")
    except ValueError:
        log.error("failed", exc_info=True, authorization=f"Bearer {SECRET}", settings={"pass": SECRET})
    logging.getLogger("library").warning("GET /?access_token=%s", SECRET)
    log.debug("not wanted")
    text = output.getvalue()
    assert SECRET not in text
    assert "failed" in text and "ann" in text and "ValueError" in text and "access_token=******" in text
    assert "not wanted" not in text
    if log_format != "text":
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["level"] for line in lines] == ["error", "warning"]
        assert lines[0]["account"] == "ann" and lines[0]["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "shown"),
    [("trace", 5), ("debug", 5), ("info", 4), ("warn", 3), ("error", 2), ("fatal", 1), ("silent", 0)],
)
def test_levels(output: io.StringIO, level: str, shown: int) -> None:
    configure_logs(level, "json", output)
    log = structlog.get_logger()
    for method in (log.debug, log.info, log.warning, log.error, log.critical):
        method("x")
    assert len(output.getvalue().splitlines()) == shown


async def test_a_run_of_the_api_leaves_no_secret_in_its_log(store: Store, output: io.StringIO) -> None:
    """Every credential that goes over the wire, and a defect that carries one, at the finest level."""
    configure_logs("trace", "json", output)
    async with World(store, Config()).running() as world:
        imap = {**IMAP, "auth": {"user": "ann", "pass": SECRET}}
        await world.register(
            imap=imap, smtp=SMTP, webhooks=f"https://u:{SECRET}@h.test/", proxy=f"http://u:{SECRET}@p.test"
        )
        await world.call("GET", f"/v1/accounts?access_token={world.token}", token=None)
        await world.call("POST", "/v1/settings", {"serviceSecret": SECRET, "webhooks": f"https://u:{SECRET}@h.test/"})
        permissions = {"actions": ["read"]}
        made = (await world.call("POST", "/v1/tokens", {"description": "d", "permissions": permissions})).json
        await world.call("GET", "/v1/settings", token=made["token"])
        world.recorder.error = RuntimeError(f"https://u:{SECRET}@h.test/ said no to Bearer {world.token}")
        failed = await world.call("GET", "/v1/account/ann/message/AAAAAQAAAB4")
        assert failed.status == 500
    text = output.getvalue()
    for secret in (SECRET, "smtp-secret", world.token, made["token"]):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    [defect] = [line for line in lines if line["event"] == "request_failed"]
    assert defect["request"] == failed.headers["x-request-id"] and defect["account"] == "ann"
    assert "RuntimeError" in defect["exception"]
    assert len([line for line in lines if line["event"] == "request"]) == 6


async def test_protocol_logs_of_accounts(world: World) -> None:
    await world.register("quiet")
    await world.register("loud", logs=True)
    accounts = {name: await world.store.accounts.get(name) for name in ("quiet", "loud")}
    await world.settings.write({"logs": {"all": False, "maxLogLines": 3}})
    await world.settings.refresh()
    for account in accounts.values():
        assert account is not None
        for n in range(5):
            world.logs.write(account, {"msg": f"line {n}", "auth": {"pass": SECRET}})
    lines = (await world.call("GET", "/v1/logs/loud")).body.decode().splitlines()
    assert [json.loads(line)["msg"] for line in lines] == ["line 2", "line 3", "line 4"]
    assert SECRET not in "".join(lines)
    assert b"No logs found" in (await world.call("GET", "/v1/logs/quiet")).body
    await world.settings.write({"logs": {"all": True, "maxLogLines": 2}})
    await world.settings.refresh()
    for account in accounts.values():
        assert account is not None
        world.logs.write(account, {"msg": "all"})
    assert len((await world.call("GET", "/v1/logs/loud")).body.splitlines()) == 2
    assert len((await world.call("GET", "/v1/logs/quiet")).body.splitlines()) == 1


async def test_request_ids_differ() -> None:
    async def receive() -> dict[str, object]:
        return {}

    scope = {"method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    assert len({Request(scope, receive).id for _ in range(100)}) == 100


async def test_protocol_lines_are_bounded_while_they_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first sync says a line for each message; what cannot be written in time is counted, not collected."""
    monkeypatch.setattr("mailquay.runtime.logs._MAX_WAITING_LINES", 5)
    await world.register("loud", logs=True)
    account = await world.store.accounts.get("loud")
    assert account is not None
    for n in range(8):
        world.logs.protocol(account, {"src": "s", "msg": f"* {n} EXISTS", "cid": "imap-1"})
    lines = [json.loads(line) for line in await world.logs.read(account)]
    assert [line["msg"] for line in lines] == [*(f"* {n} EXISTS" for n in range(5)), "3 lines left out"]
    await world.settings.write({"logs": {"all": False, "maxLogLines": 2}})
    await world.settings.refresh()
    for n in range(8):
        world.logs.protocol(account, {"src": "s", "msg": f"* {n} EXPUNGE", "cid": "imap-1"})
    assert [json.loads(line)["msg"] for line in await world.logs.read(account)] == ["* 6 EXPUNGE", "* 7 EXPUNGE"]


async def test_protocol_lines_are_left_as_they_were_said(world: World) -> None:
    await world.register("loud", logs=True)
    account = await world.store.accounts.get("loud")
    assert account is not None
    world.logs.protocol(account, {"src": "s", "msg": "250 AUTH PLAIN LOGIN", "cid": "smtp-1"})
    [line] = [json.loads(line) for line in await world.logs.read(account)]
    assert line == {"t": world.clock.ms, "src": "s", "msg": "250 AUTH PLAIN LOGIN", "cid": "smtp-1"}
