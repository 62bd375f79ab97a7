"""What a raw message says of its own submission counts, unless the request says otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.errors import InvalidRequest
from mailquay.model.submission import Submission
from mailquay.services.submit_request import SubmitRequest
from tests.services.submitting import Desk, desk_at

_FIELDS = b"X-EE-Send-At: 2035-01-01T00:00:00Z\r\nx-ee-delivery-attempts: 3\r\nX-EE-Gateway: relay\r\n"
_RAW = b"To: bob@example.com\r\n" + _FIELDS + b"Subject: x\r\n\r\nX-EE-Send-At: no field\r\n"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:
        yield opened


async def _queued(desk: Desk, request: SubmitRequest) -> Submission:
    answer = await desk.submit(request)
    found = await desk.store.outbox.get(answer["queueId"])
    assert found is not None
    assert "X-EE-Gateway" not in await desk.queued(answer["queueId"])
    return found


async def test_fields_of_the_message_count(desk: Desk) -> None:
    queued = await _queued(desk, SubmitRequest(raw=_RAW))
    assert (queued.scheduled_ms, queued.attempts, queued.options.gateway) == (2_051_222_400_000, 3, "relay")


async def test_what_the_request_says_counts_more(desk: Desk) -> None:
    request = SubmitRequest(raw=_RAW, send_at_ms=2_100_000_000_000, delivery_attempts=5, gateway="other")
    queued = await _queued(desk, request)
    assert (queued.scheduled_ms, queued.attempts, queued.options.gateway) == (2_100_000_000_000, 5, "other")


async def test_wrong_ones_are_refused_all_at_once(desk: Desk) -> None:
    raw = b"X-EE-Send-At: soon\r\nX-EE-Delivery-Attempts: many\r\nTo: bob@example.com\r\n\r\n"
    with pytest.raises(InvalidRequest) as refused:
        await desk.submit(SubmitRequest(raw=raw))
    assert "X-EE-Send-At must be" in refused.value.message and "X-EE-Delivery-Attempts must be" in refused.value.message
    assert await desk.waiting() == 0
