"""Pages of a mailbox without an index: what the server tells of them, and what goes over the wire."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap.session import ImapSession
from mailquay.backends.imap.traffic import Traffic
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.imap_capabilities import PLAIN, USUAL
from mailquay.sandbox.world import SandboxWorld
from tests.backends.imap.test_session_changes import OPTIONS, Place, append, message, place, sandbox

pytestmark = pytest.mark.server
_MANY = 2000
_WAYS = {
    "partial": USUAL,
    "numbers": USUAL - {"PARTIAL"},
    "plain": PLAIN | {"UIDPLUS"},
}


@pytest.fixture(params=["partial", "numbers", "plain", "dovecot", "cyrus"])
async def anywhere(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param in ("dovecot", "cyrus"):
        server = request.getfixturevalue(request.param)
        user = server.new_user()
        yield place(server.host, server.imap_port, user.login, user.password)
        return
    async with sandbox(_WAYS[request.param]) as (_, there):
        yield there


async def pages(session: ImapSession, *ranges: tuple[int, int]) -> list[list[int]]:
    return [await session.page(skip, count) for skip, count in ranges]


async def test_pages_from_the_newest(anywhere: Place) -> None:
    async with anywhere.session() as session:
        await session.open_mailbox("INBOX")
        assert await session.page(0, 3) == []
        uids = await append_many(session, 7)
        await session.open_mailbox("INBOX", writable=True)
        await session.expunge(f"{uids[1]},{uids[4]}")
        left = [uids[0], uids[2], uids[3], uids[5], uids[6]]
        assert (await session.open_mailbox("INBOX")).messages == 5
        assert await pages(session, (0, 2), (2, 2), (4, 2), (0, 9)) == [left[3:], left[1:3], left[:1], left]
        assert await pages(session, (5, 2), (100, 2)) == [[], []]


async def append_many(session: ImapSession, count: int) -> list[int]:
    await append(session, "INBOX", *(str(number) for number in range(count)))
    await session.open_mailbox("INBOX")
    return await session.uids()


async def test_messages_that_go_between_opening_and_asking(anywhere: Place) -> None:
    async with anywhere.session() as session, anywhere.session() as other:
        uids = await append_many(session, 6)
        await session.open_mailbox("INBOX")
        await other.open_mailbox("INBOX", writable=True)
        await other.expunge(f"{uids[0]},{uids[4]}")
        page = await session.page(0, 3)
        assert page
        # Those that are gone may still be among them, or be missing, or others have moved up: never wrong ones.
        assert set(page) <= set(uids[2:])
        await other.expunge(f"{uids[1]}:{uids[5]}")
        assert set(await session.page(0, 3)) <= set(uids)


async def test_a_server_that_does_not_know_the_number_any_more(anywhere: Place) -> None:
    async with anywhere.session() as session, anywhere.session() as other:
        uids = await append_many(session, 4)
        await session.open_mailbox("INBOX")
        await other.open_mailbox("INBOX", writable=True)
        await other.expunge(f"{uids[2]}:{uids[3]}")
        await session.noop()
        assert set(await session.page(0, 2)) <= set(uids)


@pytest.fixture(scope="module")
def many() -> list[bytes]:
    return [message(str(number)) for number in range(_MANY)]


@pytest.mark.parametrize("way", _WAYS)
async def test_a_page_costs_no_more_in_a_large_mailbox(way: str, many: list[bytes]) -> None:
    traffic = Traffic()
    async with sandbox(_WAYS[way], dataclasses.replace(OPTIONS, traffic=traffic)) as (world, there):
        fill(world, many)
        async with there.session() as session:
            opened = await session.open_mailbox("INBOX")
            assert opened.messages == _MANY // 2
            before = (traffic.sent_bytes + traffic.received_bytes, traffic.responses.total())
            page = await session.page(100, 20)
            assert page == list(range(_MANY - 238, _MANY - 198, 2))
            spent = traffic.sent_bytes + traffic.received_bytes - before[0]
            assert (traffic.responses.total() - before[1], spent < 300) == (1, True)


@pytest.mark.parametrize("way", _WAYS)
async def test_a_search_that_finds_nothing_costs_the_page_nothing(way: str, many: list[bytes]) -> None:
    async with sandbox(_WAYS[way]) as (world, there):
        fill(world, many[:10])
        world.imap_faults.search_empty = True
        async with there.session() as session:
            await session.open_mailbox("INBOX")
            assert await session.page(0, 2) == [8, 10]


@pytest.mark.parametrize(("way", "refusals"), [("partial", 1), ("partial", 2), ("plain", 1)])
async def test_where_a_page_is_refused_it_is_asked_for_otherwise(way: str, refusals: int, many: list[bytes]) -> None:
    async with sandbox(_WAYS[way]) as (world, there), there.session() as session:
        fill(world, many[:10])
        await session.open_mailbox("INBOX")
        world.imap_faults.on("UID SEARCH", ImapAction.BAD, times=refusals)
        assert await session.page(0, 2) == [8, 10]


@pytest.mark.parametrize("way", _WAYS)
async def test_pages_under_a_message_limit(way: str, many: list[bytes]) -> None:
    async with sandbox(_WAYS[way]) as (world, there), there.session() as session:
        fill(world, many[:20])
        world.imap_faults.message_limit = 3
        await session.open_mailbox("INBOX")
        assert await pages(session, (0, 2), (4, 4), (8, 4)) == [[18, 20], [6, 8, 10, 12], [2, 4]]


def fill(world: SandboxWorld, mails: list[bytes]) -> None:
    """Every second message, so that no range is short."""
    store = world.store_of(world.accounts[0].email)
    for raw in mails:
        store.append("INBOX", raw)
    inbox = store.mailbox("INBOX")
    store.expunge(inbox, [one for one in inbox if one.uid % 2])
