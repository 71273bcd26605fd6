from __future__ import annotations

from collections.abc import Callable

import pytest

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import RabbitMQ
from router import RetryLater

pytestmark = pytest.mark.system

Begin = Callable[..., RabbitMQ]


async def test_a_missing_exchange_is_told_with_the_command_that_makes_it(begin: Begin) -> None:
    server, one = begin(RabbitMQ), event()

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=r"run: rabbitmqadmin declare exchange name=green\.events"):
            await publish(one)
        await server.prepare(DESTINATION)
        await publish(one)

    assert len(await server.read(DESTINATION)) == 1


async def test_an_exchange_that_goes_away_is_told_with_the_command_that_makes_it(begin: Begin) -> None:
    server, one = begin(RabbitMQ), event()
    await server.prepare(DESTINATION)

    async with publisher(server) as publish:
        await publish(event())
        await delete(server, exchange=DESTINATION)
        with pytest.raises(RetryLater, match="declare exchange"):
            await publish(one)
        await server.prepare(DESTINATION)
        await publish(one)


async def test_what_no_queue_takes_is_told_with_the_command_that_binds_one(begin: Begin) -> None:
    server, one = begin(RabbitMQ), event("1@c.us")
    await server.prepare(DESTINATION)

    async with publisher(server) as publish:
        await publish(event())
        await delete(server, queue="events")
        with pytest.raises(RetryLater, match=r"routing key '1101000001\.1@c_us'; run: rabbitmqadmin"):
            await publish(one)
        await server.prepare(DESTINATION)
        await publish(one)

    assert [stored.id for stored in await server.read(DESTINATION)] == [f"{one.id}/messages"]


async def test_what_a_full_queue_refuses_is_tried_again(begin: Begin) -> None:
    server = begin(RabbitMQ)
    await server.prepare(DESTINATION, **{"x-max-length": 1, "x-overflow": "reject-publish"})

    async with publisher(server) as publish:
        await publish(event())
        with pytest.raises(RetryLater, match="a queue refused it"):
            await publish(event())
        assert len(await server.read(DESTINATION)) == 1
        await publish(event())


async def test_a_broker_that_is_short_of_memory_fails_the_attempt_in_time(begin: Begin) -> None:
    server = begin(RabbitMQ)
    await server.prepare(DESTINATION)
    server.terminate()
    server.settings = "vm_memory_high_watermark.absolute = 1"
    server.start()

    async with publisher(server, within="1s") as publish:
        for _ in range(2):
            with pytest.raises(RetryLater, match="no confirmation within 1 s"):
                await publish(event())


async def delete(server: RabbitMQ, *, exchange: str = "", queue: str = "") -> None:
    connection = await server.connection()
    channel = await connection.channel()
    if exchange:
        await channel.exchange_delete(exchange)
    else:
        await channel.queue_delete(queue)
    await connection.close()
