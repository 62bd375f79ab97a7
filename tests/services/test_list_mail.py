"""Mail merges to a list: the headers by which one leaves it, and nothing to those who have left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mailquay.model.blocklist import BlockedRecipient
from mailquay.model.message import Address
from mailquay.services.submit_request import MergeEntry, SubmitRequest
from mailquay.services.unsubscribe import Subscription, UnsubscribeService
from tests.services.submitting import NOW_MS, Desk, desk_at, text_of

_LIST = "news.example"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:
        await opened.settings.establish({}, {"serviceUrl": "https://mail.example.com"})
        yield opened


def _merge(*addresses: str, **more: Any) -> SubmitRequest:
    given = tuple(MergeEntry(Address("", address)) for address in addresses)
    text = "Hi {{rcpt.address}}: {{rcpt.unsubscribeUrl}} at {{service.url}}"
    return SubmitRequest(**{"subject": "News", "text": text, "list_id": _LIST, **more}, merge=given)


async def _block(desk: Desk, address: str) -> None:
    entry = BlockedRecipient(address, "ann", "api", "asked", NOW_MS)
    assert await desk.store.commit(desk.store.blocklists.add(_LIST, entry))


async def test_every_message_tells_how_to_leave(desk: Desk) -> None:
    [result] = (await desk.submit(_merge("bob@example.com")))["mailMerge"]
    message = await desk.queued(result["queueId"])
    assert message["List-ID"] == f"<{_LIST}.mail.example.com>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert link.startswith("https://mail.example.com/unsubscribe?")
    query = parse_qs(urlsplit(link).query)
    service = UnsubscribeService(desk.store, desk.settings, desk.clock)
    subscription = await service.read(query["data"][0], query["sig"][0])
    assert subscription == Subscription("ann", _LIST, "bob@example.com", result["messageId"])
    assert text_of(message, "plain").strip() == f"Hi bob@example.com: {link} at https://mail.example.com"


async def test_who_has_left_gets_nothing(desk: Desk) -> None:
    await _block(desk, "bob@example.com")
    answer = await desk.submit(_merge("BOB@example.com", "carl@example.com"))
    skipped, sent = answer["mailMerge"]
    assert skipped == {
        "success": True,
        "to": {"address": "BOB@example.com"},
        "skipped": {"reason": "asked", "listId": _LIST},
    }
    assert sent["queueId"] and await desk.waiting() == 1
    other = await desk.submit(_merge("bob@example.com", list_id="other.example"))
    assert "skipped" not in other["mailMerge"][0], "another list"
    plain = await desk.submit(_merge("bob@example.com", list_id=None))
    assert "skipped" not in plain["mailMerge"][0], "no list"
    assert (await desk.queued(plain["mailMerge"][0]["queueId"]))["List-Unsubscribe"] is None


async def test_without_an_address_of_ours_who_has_left_gets_nothing_all_the_same(desk: Desk) -> None:
    await desk.settings.establish({}, {"serviceUrl": ""})
    await _block(desk, "bob@example.com")
    skipped, sent = (await desk.submit(_merge("bob@example.com", "carl@example.com")))["mailMerge"]
    assert skipped["skipped"]["listId"] == _LIST
    assert (await desk.queued(sent["queueId"]))["List-ID"] is None


async def test_nobody_else_sets_the_headers_of_a_list(desk: Desk) -> None:
    headers = {"list-unsubscribe": ("<https://evil.example>",), "X-Mine": ("kept",)}
    request = _merge("bob@example.com", headers=headers, base_url="https://other.example")
    [result] = (await desk.submit(request))["mailMerge"]
    message = await desk.queued(result["queueId"])
    assert [str(one) for one in message.get_all("List-Unsubscribe", [])] == [message["List-Unsubscribe"]]
    assert str(message["List-Unsubscribe"]).startswith("<https://other.example/unsubscribe?")
    assert message["X-Mine"] == "kept" and message["List-ID"] == f"<{_LIST}.other.example>"
