from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from router_broker.link import Link
from router_broker.message import Message

from router import RetryLater


class Recorder:
    """A broker that connects as it is told, and records."""

    def __init__(self, connecting: Callable[[], asyncio.Future[None]] | None = None) -> None:
        self.is_open = False
        self.is_closed = False
        self._connecting = connecting

    async def connect(self) -> None:
        if self._connecting is not None:
            await self._connecting()
        self.is_open = True

    async def publish(self, message: Message) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.is_closed = True
        self.is_open = False


class Broken(Recorder):
    async def connect(self) -> None:
        await asyncio.sleep(0)
        raise RetryLater("down")


def link_to(*brokers: Recorder, within: float = 60.0) -> Link:
    return Link(iter(brokers).__next__, "nats://one:4222", within)


async def test_all_share_one_connection() -> None:
    only = Recorder()
    link = link_to(only)

    assert await asyncio.gather(*(link.get() for _ in range(5))) == [only] * 5


async def test_all_who_wait_for_an_attempt_share_its_failure() -> None:
    first, second = Broken(), Recorder()
    link = link_to(first, second)

    results = await asyncio.gather(*(link.get() for _ in range(5)), return_exceptions=True)

    assert [str(result) for result in results] == ["down"] * 5
    assert first.is_closed
    assert await link.get() is second


async def test_a_connection_that_was_lost_is_replaced() -> None:
    first, second = Recorder(), Recorder()
    link = link_to(first, second)
    await link.get()

    first.is_open = False

    assert await link.get() is second
    assert first.is_closed


async def test_a_connection_that_does_not_come_is_given_up_in_time() -> None:
    never = Recorder(lambda: asyncio.get_running_loop().create_future())
    link = link_to(never, within=0.01)

    with pytest.raises(RetryLater, match=r"nats://one:4222: no connection within 0\.01 s"):
        await link.get()
    assert never.is_closed


async def test_an_attempt_that_is_cancelled_is_made_again_by_the_next() -> None:
    never, second = Recorder(lambda: asyncio.get_running_loop().create_future()), Recorder()
    link = link_to(never, second)
    cancelled, waits = asyncio.create_task(link.get()), asyncio.create_task(link.get())
    await asyncio.sleep(0)

    cancelled.cancel()

    assert await waits is second
    assert never.is_closed


async def test_a_new_connection_is_not_dropped_for_an_old_one() -> None:
    first, second = Recorder(), Recorder()
    link = link_to(first, second)
    await link.get()

    await link.drop(first)
    assert await link.get() is second
    await link.drop(first)

    assert await link.get() is second


async def test_it_is_closed_at_the_end() -> None:
    only = Recorder()
    link = link_to(only)
    await link.get()

    await link.close()

    assert only.is_closed
