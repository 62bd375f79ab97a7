"""Mail merges: a message for each entry, each once, whatever happens in between."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import InvalidRequest, NotFound, StorageError
from mailquay.mime import compose, transfer
from mailquay.model.account import AccountId
from mailquay.model.message import Address
from mailquay.model.template import TemplateContent
from mailquay.services import mail_merge
from mailquay.services.submit_request import MergeEntry, SubmitAttachment, SubmitRequest
from mailquay.storage.interface import Unit
from tests.services.submitting import NOW_MS, Desk, desk_at, text_of

_DAY_MS = 86_400_000
_PIXEL = base64.b64encode(b"\x89PNG picture").decode()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:
        yield opened


def entries(count: int) -> tuple[MergeEntry, ...]:
    """So many entries, each with a number."""
    return tuple(MergeEntry(Address("", f"m{n}@example.com"), params={"n": n}) for n in range(count))


def merge(*given: MergeEntry, **more: Any) -> SubmitRequest:
    """A merge of these entries."""
    return SubmitRequest(**{"subject": "Hi {{params.n}}", "text": "Text {{params.n}}", **more}, merge=given)


async def test_each_entry_is_a_message_of_its_own(desk: Desk) -> None:
    later = NOW_MS + _DAY_MS
    given = (
        MergeEntry(Address("One", "m1@example.com"), "own@example.com", {"n": "1<"}),
        MergeEntry(Address("", "m2@example.com"), send_at_ms=later),
    )
    request = merge(*given, html="<p>{{params.n}} {{account.email}}</p>", message_id="ignored@example.com")
    answer = await desk.submit(request)
    assert set(answer) == {"mailMerge"}
    first, second = answer["mailMerge"]
    assert first == {
        "success": True,
        "to": {"name": "One", "address": "m1@example.com"},
        "messageId": "<own@example.com>",
        "queueId": first["queueId"],
        "sendAt": "2027-01-15T08:00:00.000Z",
    }
    assert (second["to"], second["sendAt"]) == ({"address": "m2@example.com"}, "2027-01-16T08:00:00.000Z")
    assert "ignored" not in second["messageId"]
    message = await desk.queued(first["queueId"])
    assert (message["To"], message["Subject"]) == ("One <m1@example.com>", "Hi 1<")
    assert text_of(message, "html").strip() == "<p>1&lt; ann@example.com</p>"
    message = await desk.queued(second["queueId"])
    assert (message["To"], message["Subject"].strip()) == ("m2@example.com", "Hi")
    assert message["Date"].datetime.timestamp() * 1000 == later
    stored = await desk.store.outbox.get(second["queueId"])
    assert stored is not None and stored.envelope.recipients == ("m2@example.com",)
    assert (stored.scheduled_ms, stored.next_attempt_ms) == (later, later)


async def test_what_is_common_holds_for_all(desk: Desk) -> None:
    request = merge(*entries(2), send_at_ms=NOW_MS + _DAY_MS, delivery_attempts=3, copy=False, headers={"X-A": ("1",)})
    for one in (await desk.submit(request))["mailMerge"]:
        stored = await desk.store.outbox.get(one["queueId"])
        assert stored is not None
        assert (stored.attempts, stored.options.copy, stored.scheduled_ms) == (3, False, NOW_MS + _DAY_MS)
        assert (await desk.queued(one["queueId"]))["X-A"] == "1"


async def test_a_kept_template(desk: Desk) -> None:
    template = await desk.keep(desk.ann, TemplateContent(subject="T {{params.n}}", html="**{{params.n}}**"), "markdown")
    answer = await desk.submit(SubmitRequest(template=template, merge=entries(2)))
    message = await desk.queued(answer["mailMerge"][1]["queueId"])
    assert message["Subject"] == "T 1"
    assert text_of(message, "html").strip() == "<p><strong>1</strong></p>"
    with pytest.raises(NotFound):
        await desk.submit(SubmitRequest(template="AAAA", merge=entries(2)))


async def test_an_entry_that_cannot_be_made_does_not_keep_the_others(desk: Desk) -> None:
    given = (
        MergeEntry(Address("", "a@example.com"), params={"l": [1]}),
        MergeEntry(Address("", "b@example.com"), params={"l": "text"}),
        MergeEntry(Address("", "c@example.com"), "no\u00e4scii@example.com", {"l": []}),
        MergeEntry(Address("", "d@example.com")),
    )
    answer = await desk.submit(merge(*given, text="{{length params.l}}"))
    results = answer["mailMerge"]
    assert [one["success"] for one in results] == [True, False, False, True]
    assert results[1] == {
        "success": False,
        "to": {"address": "b@example.com"},
        "error": "text of the template, line 1: length takes an array",
        "code": "TemplateError",
        "statusCode": 422,
    }
    assert (results[2]["code"], results[2]["statusCode"]) == ("InvalidInput", 400)
    assert await desk.waiting() == 2


async def test_a_template_that_is_wrong_is_told_for_each_entry(desk: Desk) -> None:
    answer = await desk.submit(merge(*entries(3), text="{{#if}}"))
    assert [(one["success"], one["statusCode"]) for one in answer["mailMerge"]] == [(False, 422)] * 3
    assert await desk.waiting() == 0


async def test_a_template_without_end_is_not_tried_for_all(desk: Desk) -> None:
    loop = "{{#each @root.params.a}}" * 4 + "x" + "{{/each}}" * 4
    endless = MergeEntry(Address("", "x@example.com"), params={"a": [0] * 1000})
    given = (*entries(2), *[endless] * 200, *entries(1))
    answer = await desk.submit(merge(*given, text=loop))
    assert [one["success"] for one in answer["mailMerge"]] == [True] * 2 + [False] * 201
    assert {one["statusCode"] for one in answer["mailMerge"][2:]} == {422}


async def test_the_same_key_queues_nothing_twice(desk: Desk) -> None:
    request = merge(*entries(120))
    first = await desk.submit(request, "key")
    again = await desk.submit(request, "key")
    assert first["idempotency"] == {"key": "key", "status": "MISS"}
    assert again == {**first, "idempotency": {"key": "key", "status": "HIT"}}
    assert await desk.waiting() == 120
    at_once = await asyncio.gather(*(desk.submit(request, "other") for _ in range(3)))
    assert sorted(one["idempotency"]["status"] for one in at_once) == ["HIT", "HIT", "MISS"]
    assert await desk.waiting() == 240
    stored = await desk.store.outbox.get(first["mailMerge"][0]["queueId"])
    assert stored is not None and stored.options.idempotency_key == "key"


async def test_two_processes_with_the_same_key_queue_nothing_twice(desk: Desk) -> None:
    request = merge(*entries(120))
    services = [desk.new_service() for _ in range(3)]
    answers = await asyncio.gather(
        *(one.submit(desk.ann, request, idempotency_key="key", timeout_seconds=60) for one in services)
    )
    assert await desk.waiting() == 120
    assert len({str(answer["mailMerge"]) for answer in answers}) == 1


@pytest.mark.parametrize("commits", [0, 1, 2])
async def test_what_was_interrupted_is_gone_on_with(desk: Desk, commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends after some of the transactions; another one gets the same request again."""
    whole, done = desk.store.commit, 0

    async def commit(unit: Unit[Any]) -> Any:
        nonlocal done
        if done == commits:
            raise StorageError("the process ends here")
        done += 1
        return await whole(unit)

    request = merge(*entries(120))
    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "commit", commit)
        with pytest.raises(StorageError):
            await desk.submit(request, "key")
    assert await desk.waiting() == commits * 50
    answer = await desk.new_service().submit(desk.ann, request, idempotency_key="key", timeout_seconds=60)
    assert answer["idempotency"]["status"] == "MISS"
    assert [one["to"]["address"] for one in answer["mailMerge"]] == [f"m{n}@example.com" for n in range(120)]
    assert await desk.waiting() == 120
    for n in (0, 49, 50, 119):
        message = await desk.queued(answer["mailMerge"][n]["queueId"])
        assert (message["To"], message["Subject"]) == (f"m{n}@example.com", f"Hi {n}")


async def test_what_may_go_better_the_next_time_is_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    request = merge(*entries(3))
    with monkeypatch.context() as patched:
        patched.setattr(mail_merge, "_MAX_SECONDS", 0.0)
        answer = await desk.submit(request, "key")
    assert {(one["success"], one["code"], one["statusCode"]) for one in answer["mailMerge"]} == {
        (False, "Timeout", 504)
    }
    answer = await desk.submit(request, "key")
    assert answer["idempotency"]["status"] == "MISS"
    assert all(one["success"] for one in answer["mailMerge"])
    assert await desk.waiting() == 3


async def test_an_account_that_is_removed_meanwhile(desk: Desk) -> None:
    await desk.store.commit(desk.store.accounts.delete(AccountId("ann"), NOW_MS))
    with pytest.raises(NotFound):
        await desk.submit(merge(*entries(3)), "key")


async def test_attachments_are_encoded_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = transfer.encode_base64

    def counting(data: bytes) -> Any:
        encoded.append(len(data))
        return encode(data)

    monkeypatch.setattr(compose, "encode_base64", counting)
    content = bytes(range(256)) * 1000
    attached = (
        SubmitAttachment("a.bin", content, "application/octet-stream"),
        SubmitAttachment("m.eml", b"Subject: x\n\nhello\n", "message/rfc822"),
    )
    html = f'<img src="data:image/png;base64,{_PIXEL}"><img src="data:image/png;base64,{{{{params.n}}}}">'
    answer = await desk.submit(merge(*entries(30), attachments=attached, html=html))
    assert encoded.count(len(content)) == 1 and encoded.count(12) == 1
    for one in (answer["mailMerge"][0], answer["mailMerge"][29]):
        message = await desk.queued(one["queueId"])
        parts = {part.get_filename(): part for part in message.walk() if part.get_filename()}
        assert parts["a.bin"].get_payload(decode=True) == content
        assert parts["image-1.png"].get_payload(decode=True) == b"\x89PNG picture"
        assert parts["m.eml"].get_content()["Subject"] == "x"
        assert f"cid:{str(parts['image-1.png']['Content-ID']).strip('<>')}" in text_of(message, "html")


async def test_more_than_the_outbox_is_to_take_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_merge, "MAX_BYTES", 100_000)
    attached = (SubmitAttachment("a.bin", bytes(1000)),)
    with pytest.raises(InvalidRequest):
        await desk.submit(merge(*entries(80), attachments=attached))
    assert await desk.waiting() == 0
    await desk.submit(merge(*entries(60), attachments=attached))
    assert await desk.waiting() == 60


async def test_a_dry_run_queues_nothing(desk: Desk) -> None:
    answer = await desk.submit(merge(*entries(3), dry_run=True), "key")
    assert answer["response"] == "Dry run"
    assert [(one["success"], "queueId" in one) for one in answer["mailMerge"]] == [(True, False)] * 3
    assert b"Subject: Hi 0\r\n" in base64.b64decode(answer["preview"])
    assert await desk.waiting() == 0
    assert (await desk.submit(merge(*entries(3)), "key"))["idempotency"]["status"] == "MISS"


async def test_long_texts_are_queued_a_few_at_a_time(desk: Desk) -> None:
    sizes: list[int] = []
    whole = desk.store.commit

    async def commit(unit: Unit[Any]) -> Any:
        before = await desk.waiting()
        result = await whole(unit)
        sizes.append(await desk.waiting() - before)
        return result

    desk.store.commit = commit  # type: ignore[method-assign]
    request = merge(*entries(12), text="x" * 1_000_000 + "{{params.n}}")
    answer = await desk.submit(request)
    assert all(one["success"] for one in answer["mailMerge"])
    assert sum(sizes) == 12 and max(sizes) <= 5


async def test_others_have_their_turn_while_thousands_are_queued(desk: Desk) -> None:
    gaps: list[float] = []
    loop = asyncio.get_running_loop()
    submitting = asyncio.create_task(desk.submit(merge(*entries(1000), html="<p>{{params.n}}</p>" * 20)))
    while not submitting.done():
        began = loop.time()
        await asyncio.sleep(0)
        gaps.append(loop.time() - began)
    assert all(one["success"] for one in (await submitting)["mailMerge"])
    # A machine that is busy with something else stretches single gaps, not many.
    assert sorted(gaps)[int(len(gaps) * 0.99)] < 0.05
    assert len(gaps) > 500


async def test_recipients_are_those_of_the_entry_alone(desk: Desk) -> None:
    request = replace(merge(*entries(1)), reply_to=(Address("", "r@example.com"),))
    [one] = (await desk.submit(request))["mailMerge"]
    message = await desk.queued(one["queueId"])
    assert (message["To"], message["Cc"], message["Reply-To"]) == ("m0@example.com", None, "r@example.com")
