from __future__ import annotations

from collections.abc import Callable

import pytest

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import Nats, free_port
from router import GiveUp, RetryLater

pytestmark = pytest.mark.system

Begin = Callable[..., Nats]


async def test_a_missing_stream_is_told_with_the_command_that_makes_it(begin: Begin) -> None:
    server, one = begin(Nats), event()

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=r"run: nats stream add NAME --subjects 'green\.events\.>'"):
            await publish(one)
        await server.prepare(DESTINATION)
        await publish(one)

    assert len(await server.read(DESTINATION)) == 1


async def test_of_several_servers_one_that_answers_is_used(begin: Begin) -> None:
    server = begin(Nats)
    await server.prepare(DESTINATION)
    url = server.url.replace("@", f"@localhost:{free_port()},")

    async with publisher(server, url=url) as publish:
        for _ in range(5):
            await publish(event())
            await publish.stop()

    assert len(await server.read(DESTINATION)) == 5


async def test_an_event_that_is_published_again_is_kept_once(begin: Begin) -> None:
    server, one = begin(Nats), event()
    await server.prepare(DESTINATION)

    async with publisher(server) as publish:
        await publish(one)
        await publish(one)

    assert len(await server.read(DESTINATION)) == 1


async def test_an_event_that_is_too_large_is_given_up(begin: Begin) -> None:
    server = begin(Nats, settings="max_payload: 4096")
    await server.prepare(DESTINATION)

    async with publisher(server) as publish:
        with pytest.raises(GiveUp, match=r"takes 4096 bytes \(max_payload\), and the event has [0-9]{4}"):
            await publish(event(text="x" * 9000))
        await publish(event())

    assert len(await server.read(DESTINATION)) == 1


async def test_a_full_stream_is_tried_again(begin: Begin) -> None:
    server = begin(Nats)
    client = await server.client()
    await client.jetstream().add_stream(
        name="events", subjects=[f"{DESTINATION}.>"], max_msgs=1, discard="new"
    )
    await client.close()

    async with publisher(server) as publish:
        await publish(event())
        with pytest.raises(RetryLater, match="the stream refused it: maximum messages exceeded"):
            await publish(event())
