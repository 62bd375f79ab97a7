"""Which messages are waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from mailquay.backends.interface import MailSession, SearchTerms
from mailquay.errors import CommandRejected
from mailquay.model.message import IndexEntry, Uid
from mailquay.services import late_messages
from mailquay.services.late_messages import Late, still_missing, wait_for_late


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
    assert await wait_for_late(session, [IndexEntry(Uid(10))], 10, 11, patient=True) == Late()
    late = await wait_for_late(session, [IndexEntry(Uid(10))], 10, 12, patient=True)
    assert [entry.uid for entry in late.entries] == [12]


async def test_only_the_patient_wait() -> None:
    session = cast(MailSession, _Careless())
    assert await wait_for_late(session, [], 10, 12, patient=False) == Late(missing=(10, 12))


class _Searchless(_Careless):
    async def search(self, terms: SearchTerms) -> list[int]:
        raise CommandRejected("no searching here")


async def test_where_nothing_can_be_found_nothing_is_late() -> None:
    session = cast(MailSession, _Searchless())
    assert await wait_for_late(session, [], 10, 12, patient=True) == Late()
    assert await still_missing(session, [10], []) == ()
