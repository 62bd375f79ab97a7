"""Threads as they are listed and shown, ours and those of a server, over all mailboxes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailquay.errors import MailboxNotFound, NotFound, Unsupported
from mailquay.sandbox.imap_capabilities import GMAIL, USUAL
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailboxes import MailboxService
from mailquay.services.thread_view import ThreadView
from tests.runtime.reading import Reader, reading

_BEGIN = datetime(2026, 11, 1, 10, tzinfo=UTC)


def _mail(number: int, sender: str, subject: str, *, answers: int | None = None, references: str = "") -> bytes:
    lines = [f"From: {sender} <{sender.lower()}@b.test>", f"Subject: {subject}", f"Message-ID: <{number}@b.test>"]
    if answers is not None:
        lines.append(f"In-Reply-To: <{answers}@b.test>")
    if references:
        lines.append(f"References: {references}")
    return ("\r\n".join(lines) + "\r\n\r\nx\r\n").encode()


def _fill(world: SandboxWorld, *, inbox: str = "INBOX", sent: str = "Sent") -> None:
    store = world.store_of(world.accounts[0].email)
    for minutes, path, raw in (
        (0, inbox, _mail(1, "Ann", "Plan")),
        (1, inbox, _mail(2, "Eve", "Alone")),
        (2, sent, _mail(3, "Me", "Re: Plan", answers=1)),
        (3, inbox, _mail(4, "Bob", "Re: Plan", references="<1@b.test> <3@b.test>")),
        (4, inbox, _mail(5, "Ann", "Re: Plan", answers=3)),
        (5, inbox, _mail(6, "Zoe", "Other")),
    ):
        store.append(path, raw, received=_BEGIN + timedelta(minutes=minutes))


def _view(ann: Reader) -> ThreadView:
    return ThreadView(ann.node.store, MailboxService(ann.node.store, ann.node.access))


async def test_threads_of_ours(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - {"OBJECTID"})
    await world.start()
    _fill(world)
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=5, envelopes=5)
        await ann.until(digested=1, envelopes=1, path="Sent")
        page = await _view(ann).page(ann.account, path=None, page=0, page_size=2)
        assert (page["path"], page["prevPageCursor"]) == ("INBOX", None)
        assert [one["subject"] for one in page["threads"]] == ["Other", "Re: Plan"]
        plan = page["threads"][1]
        assert (plan["messages"], plan["unseen"], plan["paths"]) == (4, 4, ["INBOX", "Sent"])
        assert [one["name"] for one in plan["participants"]] == ["Ann", "Me", "Bob"]
        assert (plan["firstDate"], plan["lastDate"]) == ("2026-11-01T10:00:00.000Z", "2026-11-01T10:04:00.000Z")
        assert plan["threadId"].startswith("mqt_") and plan["lastMessage"]["path"] == "INBOX"
        rest = await _view(ann).page(ann.account, path="inbox", page=1, page_size=2)
        assert [one["subject"] for one in rest["threads"]] == ["Alone"]
        assert rest["nextPageCursor"] is None and rest["prevPageCursor"] is not None
        assert (await _view(ann).page(ann.account, path="INBOX", page=9, page_size=2))["threads"] == []

        shown = await _view(ann).get(ann.account, plan["threadId"], page=0, page_size=10)
        assert (shown["subject"], shown["total"], shown["pages"]) == ("Plan", 4, 1)
        ids = {one["messageId"]: one["id"] for one in shown["messages"]}
        assert list(ids) == ["<1@b.test>", "<3@b.test>", "<4@b.test>", "<5@b.test>"]
        assert [one["path"] for one in shown["messages"]] == ["INBOX", "Sent", "INBOX", "INBOX"]
        assert {one["messageId"]: one["because"] for one in shown["messages"]} == {
            "<1@b.test>": [{"by": "answered", "message": ids["<3@b.test>"]}],
            "<3@b.test>": [
                {"by": "inReplyTo", "message": ids["<1@b.test>"]},
                {"by": "answered", "message": ids["<5@b.test>"]},
            ],
            "<4@b.test>": [{"by": "references"}],
            "<5@b.test>": [{"by": "inReplyTo", "message": ids["<3@b.test>"]}],
        }
        second = await _view(ann).get(ann.account, plan["threadId"], page=1, page_size=3)
        assert (second["pages"], [one["messageId"] for one in second["messages"]]) == (2, ["<5@b.test>"])
        [alone] = (await _view(ann).get(ann.account, rest["threads"][0]["threadId"], page=0, page_size=9))["messages"]
        assert alone["because"] == [{"by": "first"}]
    await world.stop()


async def test_threads_of_a_server(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=GMAIL)
    await world.start()
    _fill(world, inbox="[Gmail]/All Mail", sent="[Gmail]/All Mail")
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=6, envelopes=6, path="[Gmail]/All Mail")
        page = await _view(ann).page(ann.account, path=None, page=0, page_size=9)
        assert page["path"] == "[Gmail]/All Mail"
        listed = {one["subject"]: one for one in page["threads"]}
        assert listed["Re: Plan"]["messages"] >= 2
        thread = listed["Re: Plan"]["threadId"]
        shown = await _view(ann).get(ann.account, thread, page=0, page_size=9)
        assert {one["threadId"] for one in shown["messages"]} == {thread}
        assert all(one["because"] == [{"by": "server"}] for one in shown["messages"])
    await world.stop()


async def test_copies_and_what_is_unknown(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True, imap_capabilities=USUAL - {"OBJECTID"})
    await world.start()
    store = world.store_of(world.accounts[0].email)
    for path in ("INBOX", "Archive"):
        store.append(path, _mail(1, "Ann", "Plan"), received=_BEGIN)
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=1, envelopes=1)
        await ann.until(digested=1, envelopes=1, path="Archive")
        [thread] = (await _view(ann).page(ann.account, path="INBOX", page=0, page_size=9))["threads"]
        shown = await _view(ann).get(ann.account, thread["threadId"], page=0, page_size=9)
        assert sorted(one["because"][0]["by"] for one in shown["messages"]) == ["copy", "references"]
        for unknown in ("mqt_aaaaaaaaaaaaa", "nobody", "0"):
            with pytest.raises(NotFound) as refused:
                await _view(ann).get(ann.account, unknown, page=0, page_size=9)
            assert refused.value.code == "ThreadNotFound"
        with pytest.raises(MailboxNotFound):
            await _view(ann).page(ann.account, path="Nowhere", page=0, page_size=9)
    async with reading(world, tmp_path / "fast", imap_indexer="fast") as ann:
        with pytest.raises(Unsupported):
            await _view(ann).page(ann.account, path=None, page=0, page_size=9)
    await world.stop()
