"""Submissions that name a gateway: where they may go, and what is refused before anything is stored."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from mailquay.errors import NotFound
from mailquay.model.account import AccountId, AccountProfile, SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.model.message import Address
from mailquay.services.submit_request import MergeEntry, SubmitRequest
from tests.services.submitting import NOW_MS, Desk, desk_at

_TO = (Address("", "bob@example.com"),)
_RAW = b"To: bob@example.com\r\nX-EE-Gateway: %s\r\nSubject: x\r\n\r\nHello\r\n"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:

        def change(gateway: Gateway) -> Gateway:
            return dataclasses.replace(gateway, server=SmtpSettings("relay.example.com", 25))

        await opened.store.commit(opened.store.gateways.put("relay", change))
        yield opened


async def without_server(desk: Desk) -> None:
    """Make ann an account that has no submission server."""
    profile = AccountProfile(name="Ann", email="ann@example.com")
    registered = await desk.store.commit(desk.store.accounts.upsert(AccountId("ann"), lambda _: profile, NOW_MS))
    desk.ann = registered.account


async def chosen(desk: Desk, queue_id: str) -> str | None:
    """The gateway that a message of the outbox is to take."""
    submission = await desk.store.outbox.get(queue_id)
    assert submission is not None
    return submission.options.gateway


@pytest.mark.parametrize("has_server", [True, False])
async def test_fields_raw_and_merges_take_the_gateway(desk: Desk, has_server: bool) -> None:
    if not has_server:
        await without_server(desk)
    answer = await desk.submit(SubmitRequest(to=_TO, text="x", gateway="relay"))
    assert await chosen(desk, answer["queueId"]) == "relay"
    answer = await desk.submit(SubmitRequest(raw=_RAW % b" relay "))
    assert await chosen(desk, answer["queueId"]) == "relay"
    assert "x-ee-gateway" not in await desk.queued(answer["queueId"])
    answer = await desk.submit(SubmitRequest(raw=_RAW % b"other", gateway="relay"))
    assert await chosen(desk, answer["queueId"]) == "relay"
    answer = await desk.submit(SubmitRequest(text="x", merge=(MergeEntry(_TO[0]),), gateway="relay"))
    assert await chosen(desk, answer["mailMerge"][0]["queueId"]) == "relay"


@pytest.mark.parametrize(
    "request_",
    [
        SubmitRequest(to=_TO, text="x", gateway="none"),
        SubmitRequest(raw=_RAW % b"none"),
        SubmitRequest(text="x", merge=(MergeEntry(_TO[0]),), gateway="none"),
    ],
)
async def test_an_unknown_gateway_is_logged_and_the_accounts_own_server_is_needed(
    desk: Desk, request_: SubmitRequest
) -> None:
    with structlog.testing.capture_logs() as logs:
        await desk.submit(request_)
    assert [(one["event"], one["gateway"]) for one in logs] == [("gateway_unknown", "none")]
    assert await desk.waiting() == 1
    await without_server(desk)
    with pytest.raises(NotFound) as caught:
        await desk.submit(request_, "key")
    assert caught.value.code == "SMTPUnavailable"
    assert await desk.waiting() == 1


@pytest.mark.parametrize("name", [b"", b"x" * 257, b"a\x00b", b"a\x01b", b"=?utf-8?q?a=00b?="])
async def test_what_no_gateway_can_be_called_is_passed_over(desk: Desk, name: bytes) -> None:
    answer = await desk.submit(SubmitRequest(raw=_RAW % name))
    assert await chosen(desk, answer["queueId"]) is None


async def test_without_a_server_and_a_gateway_nothing_is_accepted(desk: Desk) -> None:
    await without_server(desk)
    for request in (SubmitRequest(to=_TO, text="x"), SubmitRequest(raw=b"To: bob@example.com\r\n\r\nx")):
        with pytest.raises(NotFound) as caught:
            await desk.submit(request)
        assert caught.value.code == "SMTPUnavailable"


async def test_a_repeat_gets_its_answer_although_the_gateway_is_gone(desk: Desk) -> None:
    await without_server(desk)
    request = SubmitRequest(to=_TO, text="x", gateway="relay")
    first = await desk.submit(request, "key")
    await desk.store.commit(desk.store.gateways.delete("relay"))
    again = await desk.submit(request, "key")
    assert (again["queueId"], again["idempotency"]["status"]) == (first["queueId"], "HIT")
