"""The queue between the reader of a connection and its consumer."""

from __future__ import annotations

import asyncio

import pytest

from mailquay.backends.imap.channel import Channel
from mailquay.errors import Unavailable

SECONDS = 5.0


async def test_everything_that_waits_is_taken_at_once_and_in_order() -> None:
    channel: Channel[int] = Channel(2)
    assert channel.offer(1, 3)
    await channel.put(2)
    assert channel.offer(3, 3)
    assert not channel.offer(4, 3)
    assert await channel.take(SECONDS) == [1, 2, 3]


async def test_an_offer_wakes_the_consumer() -> None:
    channel: Channel[int] = Channel(1)
    taken = asyncio.create_task(channel.take(SECONDS))
    await asyncio.sleep(0)
    assert channel.offer(1, 1)
    assert await taken == [1]


async def test_taking_lets_a_waiting_producer_go_on() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(1)
    putting = asyncio.create_task(channel.put(2))
    await asyncio.sleep(0)
    assert await channel.take(SECONDS) == [1]
    await putting
    assert await channel.get(SECONDS) == 2


async def test_what_waits_is_taken_before_the_failure_is_raised() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(1)
    channel.fail(Unavailable("gone"))
    assert not channel.offer(2, 10)
    assert await channel.take(SECONDS) == [1]
    with pytest.raises(Unavailable):
        await channel.take(SECONDS)


async def test_nothing_in_time_is_a_timeout_and_the_channel_goes_on() -> None:
    channel: Channel[int] = Channel(1)
    with pytest.raises(TimeoutError):
        await channel.take(0.01)
    await channel.put(1)
    assert await channel.take(SECONDS) == [1]


async def test_a_consumer_that_is_gone_is_offered_nothing() -> None:
    channel: Channel[int] = Channel(1)
    channel.discard()
    assert not channel.offer(1, 10)
    await channel.put(2)
    assert channel.drain() == []


async def test_what_took_many_bytes_waits_for_its_consumer() -> None:
    channel: Channel[str] = Channel(16)
    channel.weigh(600_000)
    assert channel.offer("a", 256)
    channel.weigh(600_000)
    assert not channel.offer("b", 256)
    putting = asyncio.create_task(channel.put("b"))
    await asyncio.sleep(0)
    assert not putting.done()
    assert await channel.take(SECONDS) == ["a"]
    assert channel.taken_bytes == 1_200_000
    await putting
    assert channel.offer("c", 256)


async def test_one_item_may_be_as_large_as_it_is() -> None:
    channel: Channel[str] = Channel(16)
    channel.weigh(10_000_000)
    await channel.put("a")
    assert await channel.get(SECONDS) == "a"
    assert channel.offer("b", 256)
