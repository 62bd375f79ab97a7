from __future__ import annotations

import asyncio

import pytest

from mailquay.backends.smtp.pool import SmtpPool
from mailquay.backends.smtp.submitter import SmtpSubmitter
from mailquay.errors import SubmissionRejected, SubmissionUncertain
from tests.backends.smtp.scripted import CLOSE, scripted
from tests.backends.smtp.test_submitter import BODY, ENVELOPE, Before


async def send(pool: SmtpPool, server: object, account: str = "account") -> None:
    await SmtpSubmitter(pool, account, server).submit(ENVELOPE, BODY, before_data=Before())  # type: ignore[arg-type]


async def test_a_connection_is_reused_after_rset() -> None:
    pool = SmtpPool()
    async with scripted() as script:
        for _ in range(3):
            await send(pool, script.server())
        assert script.connections == 1
        assert pool.idle_count == 1
        assert script.verbs().count("RSET") == 2
        await pool.aclose()
        assert script.verbs()[-1] == "QUIT"
        assert pool.idle_count == 0


async def test_each_account_has_its_own() -> None:
    pool = SmtpPool()
    async with scripted() as script:
        await send(pool, script.server(), "one")
        await send(pool, script.server(), "two")
        assert script.connections == 2
        await pool.aclose()


async def test_messages_of_one_account_go_one_after_another() -> None:
    pool = SmtpPool()
    async with scripted() as script:
        await asyncio.gather(*(send(pool, script.server()) for _ in range(5)))
        assert script.connections == 1
        assert len(script.messages) == 5
        await pool.aclose()


async def test_a_connection_is_renewed_after_so_many_messages() -> None:
    pool = SmtpPool(max_messages=2)
    async with scripted() as script:
        for _ in range(5):
            await send(pool, script.server())
        assert script.connections == 3
        await pool.aclose()


@pytest.mark.parametrize("rset", [CLOSE, "421 bye", "500 what", "garbage"])
async def test_a_connection_that_fails_the_check_is_replaced(rset: str) -> None:
    pool = SmtpPool()
    async with scripted(replies={"RSET": rset}) as script:
        await send(pool, script.server())
        await send(pool, script.server())
        assert script.connections == 2
        assert len(script.messages) == 2
        await pool.aclose()


async def test_a_refused_message_does_not_spoil_the_connection() -> None:
    pool = SmtpPool()
    async with scripted(replies={"RCPT": ["550 no", "250 ok"]}) as script:
        with pytest.raises(SubmissionRejected):
            await send(pool, script.server())
        await send(pool, script.server())
        assert script.connections == 1
        await pool.aclose()


async def test_doubt_spoils_the_connection() -> None:
    pool = SmtpPool()
    async with scripted(replies={"END": ["nonsense", "250 ok"]}) as script:
        with pytest.raises(SubmissionUncertain):
            await send(pool, script.server())
        assert pool.idle_count == 0
        await send(pool, script.server())
        assert script.connections == 2
        await pool.aclose()


async def test_a_cancelled_message_spoils_the_connection() -> None:
    pool = SmtpPool()
    async with scripted(replies={"END": ["silent", "250 ok"]}) as script:
        task = asyncio.create_task(send(pool, script.server()))
        await script.until(lambda: bool(script.messages))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await send(pool, script.server())
        assert script.connections == 2
        await pool.aclose()


async def test_idle_connections_are_closed() -> None:
    pool = SmtpPool(idle_seconds=0.01)
    async with scripted() as script:
        await send(pool, script.server())
        await script.until(lambda: script.verbs()[-1] == "QUIT")
        assert pool.idle_count == 0
        await pool.aclose()


async def test_the_longest_idle_go_first() -> None:
    pool = SmtpPool(max_idle=2)
    async with scripted() as script:
        for account in ("one", "two", "three"):
            await send(pool, script.server(), account)
        assert pool.idle_count == 2
        await send(pool, script.server(), "three")
        assert script.connections == 3
        await send(pool, script.server(), "one")
        assert script.connections == 4
        await pool.aclose()


async def test_a_failed_login_leaves_nothing_behind() -> None:
    pool = SmtpPool()
    async with scripted(greeting="554 no\r\n") as script:
        with pytest.raises(SubmissionRejected):
            await send(pool, script.server())
    assert pool.idle_count == 0
    await pool.aclose()
