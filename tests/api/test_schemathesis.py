"""Requests made up from our own description, right ones and wrong ones: none may be answered with a defect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from mailquay.api.openapi import build_openapi
from mailquay.api.operations import OPERATIONS
from mailquay.config import Config
from mailquay.storage.store import open_store
from tests.api.world import World

_EXAMPLES = 12
_NOT_HTTP = "Invalid HTTP request received."  # the server's own word for bytes that its parser refuses
_SCHEMA = schemathesis.openapi.from_dict(build_openapi(OPERATIONS, max_content=5 * 1024 * 1024))
_FOUND = [result.ok() for result in _SCHEMA.get_all_operations() if isinstance(result, Ok)]
_OPERATIONS = {operation.definition.raw["operationId"]: operation for operation in _FOUND}


class _Running:
    """A world in a thread of its own, because the requests are made by blocking code."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.url = ""
        self.token = ""

    async def _serve(self) -> None:
        store = await open_store(f"sqlite:///{self._directory}/mailquay.db", key_file=self._directory / "key")
        async with World(store, Config()).running() as world:
            await world.register("ann")
            self.url, self.token = world.url, world.token
            self._ready.set()
            await self._stop.wait()
        await store.close()

    def __enter__(self) -> _Running:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Running]:
    """One world for all."""
    with _Running(tmp_path_factory.mktemp("world")) as world:
        yield world


def test_every_operation_is_tried() -> None:
    documented = {operation.id for operation in OPERATIONS if operation.documented}
    assert set(_OPERATIONS) == documented


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_meets_a_defect(running: _Running, name: str, mode: GenerationMode) -> None:
    operation = _OPERATIONS[name]
    session = requests.Session()

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and name != "deleteV1AccountAccount" and "account" in case.path_parameters:
            case.path_parameters["account"] = "ann"  # else few requests would get further than "no such account"
        headers = {"Authorization": f"Bearer {running.token}"}
        response = case.call(base_url=running.url, headers=headers, session=session, timeout=30)
        assert response.status_code < 500, response.text
        if response.status_code >= 400 and response.text != _NOT_HTTP:
            assert response.json()["statusCode"] == response.status_code

    try:
        run()
    finally:
        session.close()
