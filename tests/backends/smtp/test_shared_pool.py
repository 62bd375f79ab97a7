"""Connections to a gateway's host: several at once, never more than its budget, used again only by their owner."""

from __future__ import annotations

import asyncio

import pytest

from mailquay.backends.smtp.server import SmtpServer
from mailquay.backends.smtp.shared_pool import SharedSmtpPool
from mailquay.backends.smtp.submitter import SmtpSubmitter
from mailquay.errors import SubmissionRejected
from tests.backends.smtp.scripted import CLOSE, SILENT, Scripted, scripted
from tests.backends.smtp.test_submitter import BODY, ENVELOPE, Before


async def send(pool: SharedSmtpPool, server: SmtpServer, owner: str = "relay") -> None:
    await SmtpSubmitter(pool, owner, server).submit(ENVELOPE, BODY, before_data=Before())


async def fill(pool: SharedSmtpPool, script: Scripted, count: int) -> list[asyncio.Task[None]]:
    """So many messages whose last reply never comes."""
    tasks = [asyncio.create_task(send(pool, script.server())) for _ in range(count)]
    await script.until(lambda: len(script.messages) == count)
    return tasks


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_messages_go_at_once_within_the_budget_and_the_rest_after_them() -> None:
    pool = SharedSmtpPool(per_host=3)
    async with scripted() as script:
        await asyncio.gather(*(send(pool, script.server()) for _ in range(20)))
        assert len(script.messages) == 20
        assert script.connections == 3
        assert pool.idle_count == 3
        await pool.aclose()
        assert pool.idle_count == 0
        assert script.verbs().count("QUIT") == 3


async def test_a_message_that_hangs_leaves_the_others_their_connections() -> None:
    pool = SharedSmtpPool(per_host=2)
    async with scripted(replies={"END": [SILENT, "250 ok"]}) as script:
        hanging = await fill(pool, script, 1)
        for _ in range(3):
            await send(pool, script.server())
        assert script.connections == 2
        await end(hanging)
        assert pool.idle_count == 1
        await pool.aclose()


async def test_who_finds_no_connection_free_is_turned_away_for_now() -> None:
    pool = SharedSmtpPool(per_host=2, wait_seconds=0.01)
    async with scripted(replies={"END": SILENT}) as script:
        hanging = await fill(pool, script, 2)
        with pytest.raises(SubmissionRejected) as caught:
            await send(pool, script.server())
        assert (caught.value.code, caught.value.permanent) == ("EBUSY", False)
        await end(hanging)
        script.replies.clear()
        await send(pool, script.server())
        await pool.aclose()


async def test_another_owner_or_server_gets_a_connection_of_its_own_within_the_same_budget() -> None:
    pool = SharedSmtpPool(per_host=2)
    async with scripted() as script:
        await send(pool, script.server(), "one")
        await send(pool, script.server(), "two")
        assert (script.connections, pool.idle_count) == (2, 2)
        await send(pool, script.server(ehlo_name="other.example"), "two")
        assert (script.connections, pool.idle_count) == (3, 2)
        # The longest idle one had to go: that of the first.
        await send(pool, script.server(), "two")
        assert script.connections == 3
        await send(pool, script.server(), "one")
        assert (script.connections, pool.idle_count) == (4, 2)
        await pool.aclose()


async def test_a_connection_is_renewed_after_so_many_messages() -> None:
    pool = SharedSmtpPool(per_host=1, max_messages=2)
    async with scripted() as script:
        for _ in range(5):
            await send(pool, script.server())
        assert script.connections == 3
        await pool.aclose()


async def test_a_connection_that_fails_the_check_is_replaced() -> None:
    pool = SharedSmtpPool(per_host=1)
    async with scripted(replies={"RSET": CLOSE}) as script:
        await send(pool, script.server())
        await send(pool, script.server())
        assert (script.connections, len(script.messages)) == (2, 2)
        await pool.aclose()


async def test_idle_connections_are_closed() -> None:
    pool = SharedSmtpPool(per_host=1, idle_seconds=0.01)
    async with scripted() as script:
        await send(pool, script.server())
        await script.until(lambda: script.verbs()[-1] == "QUIT")
        assert pool.idle_count == 0
        await pool.aclose()


async def test_a_failed_login_leaves_nothing_behind() -> None:
    pool = SharedSmtpPool(per_host=1, wait_seconds=5)
    async with scripted(greeting="554 no\r\n") as script:
        for _ in range(3):
            with pytest.raises(SubmissionRejected):
                await send(pool, script.server())
    assert pool.idle_count == 0
    await pool.aclose()
