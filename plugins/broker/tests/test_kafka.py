from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from router_broker import Publisher

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import Kafka

Begin = Callable[..., Kafka]


@pytest.mark.system
async def test_kafka_keeps_the_events_of_a_chat_in_order(begin: Begin) -> None:
    server = begin(Kafka)

    async def lane(publish: Publisher, chat: str) -> None:
        for number in range(50):
            await publish(event(chat, text=str(number)))

    async with publisher(server) as publish:
        await asyncio.gather(*(lane(publish, f"{chat}@c.us") for chat in range(8)))

    kept = await server.read(DESTINATION)
    for chat in range(8):
        texts = [json.loads(s.body)["text"] for s in kept if s.key.endswith(f"/{chat}@c.us")]
        assert texts == [str(number) for number in range(50)]
