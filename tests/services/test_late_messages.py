"""Which messages are waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from mailquay.backends.interface import MailSession, SearchTerms
from mailquay.model.message import IndexEntry, Uid
from mailquay.services import late_messages
from mailquay.services.late_messages import Late, wait_for_late


class _Careless:
    """A server that finds everything, whatever UIDs it is asked for."""

    async def search(self, terms: SearchTerms) -> list[int]:
        return [1, 2, 3, 10, 12, 20]

    async def noop(self) -> None:
        pass

    async def fetch_envelopes(self, uids: str) -> AsyncIterator[list[IndexEntry]]:
        for uid in uids.split(","):
            yield [IndexEntry(Uid(int(uid)))]


async def test_what_lies_outside_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", (0.0,))
    session = cast(MailSession, _Careless())
    assert await wait_for_late(session, [IndexEntry(Uid(10))], 10, 11) == Late()
    late = await wait_for_late(session, [IndexEntry(Uid(10))], 10, 12)
    assert [entry.uid for entry in late.entries] == [12]
