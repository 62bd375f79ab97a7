"""A message that is read twice is fetched once; flags are those of now, and what is gone is gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import FetchedSections
from mailquay.errors import MessageNotFound
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.bulk_editor import MessageService
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_request import ReadOptions
from tests.runtime.harness import SystemClock
from tests.runtime.reading import reading

SECONDS = 10.0
_MAIL = b"From: a@b.test\r\nSubject: s\r\nContent-Type: text/html\r\n\r\n<p>once</p>\r\n"


@pytest.mark.parametrize("cache_bytes", [1_000_000, 0])
async def test_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int) -> None:
    fetched: list[str] = []
    fetch = ImapSession.fetch_sections

    async def noted(
        session: ImapSession, uids: str, sections: Sequence[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        fetched.append(uids)
        return await fetch(session, uids, sections, limit_bytes=limit_bytes)

    world = SandboxWorld(empty=True)
    await world.start()
    store = world.store_of(world.accounts[0].email)
    store.append("INBOX", _MAIL)
    async with reading(world, tmp_path) as ann:
        await ann.until(digested=1, envelopes=1)
        mailboxes = MailboxService(ann.node.store, ann.node.access)
        service = MessageService(ann.node.store, ann.node.access, mailboxes, SystemClock(), cache_bytes=cache_bytes)
        monkeypatch.setattr(ImapSession, "fetch_sections", noted)
        [listed] = await ann.page()
        safe = ReadOptions(web_safe_html=True)
        first = await service.get(ann.account, listed["id"], safe, timeout_seconds=SECONDS)
        assert "once" in first["text"]["html"] and len(fetched) == 1
        inbox = store.mailbox("INBOX")
        store.set_flags(inbox, [(message, frozenset(["\\Flagged"])) for message in inbox])
        await ann.node.wait_for(EventName.MESSAGE_UPDATED, account=ann.account)
        await ann.catch_up()
        second = await service.get(ann.account, listed["id"], safe, timeout_seconds=SECONDS)
        assert second == first | {"flags": ["\\Flagged"], "flagged": True}
        assert len(fetched) == (1 if cache_bytes else 2)
        for _ in range(2):
            text = await service.text(
                ann.account,
                listed["text"]["id"],
                text_type="html",
                max_characters=None,
                web_safe_html=False,
                timeout_seconds=SECONDS,
            )
            assert text["html"].strip() == "<p>once</p>"
        assert len(fetched) == (2 if cache_bytes else 4)
        seen = ReadOptions(web_safe_html=True, mark_as_seen=True)
        shown = await service.get(ann.account, listed["id"], seen, timeout_seconds=SECONDS)
        assert sorted(shown["flags"]) == ["\\Flagged", "\\Seen"]
        store.expunge(inbox, list(inbox))
        await ann.node.wait_for(EventName.MESSAGE_DELETED, account=ann.account)
        with pytest.raises(MessageNotFound):
            await service.get(ann.account, listed["id"], safe, timeout_seconds=SECONDS)
    await world.stop()
