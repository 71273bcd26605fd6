from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher, until_done
from plugins.broker.tests.servers import PASSWORD, Redis
from router import RetryLater

pytestmark = pytest.mark.system

Begin = Callable[..., Redis]


async def test_a_key_that_is_no_stream_is_told(begin: Begin) -> None:
    server = begin(Redis)
    client = server.client()
    await client.set(DESTINATION, "text")

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=r"'green\.events' is no stream"):
            await publish(event())
        await client.delete(DESTINATION)
        await publish(event())
    await client.aclose()


async def test_a_stream_is_cut_to_its_length(begin: Begin) -> None:
    server = begin(Redis, settings="stream-node-max-entries 10")

    async with publisher(server, max_length=20) as publish:
        for _ in range(100):
            await publish(event())

    assert 20 <= len(await server.read(DESTINATION)) < 40


async def test_a_full_memory_is_told(begin: Begin) -> None:
    server = begin(Redis, settings="maxmemory 1\nmaxmemory-policy noeviction")

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=r"refused: .*maxmemory"):
            await publish(event())


async def test_a_user_who_may_not_write_is_told(begin: Begin) -> None:
    server = begin(Redis, settings="user reader on >pw ~* +@read +@connection")
    url = server.url.replace(server.url[8 : server.url.index("@")], "reader:pw")

    async with publisher(server, url=url) as publish:
        with pytest.raises(RetryLater, match=r"may not XADD to 'green\.events' \(ACL\)"):
            await publish(event())


async def test_it_waits_for_replicas(begin: Begin) -> None:
    server, one, other = begin(Redis), event(), event()
    follow = f"replicaof 127.0.0.1 {server.port}\nmasteruser {server.user}\nmasterauth {PASSWORD}"

    async with publisher(server, within="2s", replicas=1) as publish:
        with pytest.raises(RetryLater, match="only 0 of 1 replicas have it after 1000 ms"):
            await publish(one)
        replica = begin(Redis, settings=follow)
        await until_followed(server)
        await publish(other)

        ids = [stored.id for stored in await replica.read(DESTINATION)]
        assert ids == [f"{one.id}/messages", f"{other.id}/messages"]


async def test_an_idle_connection_that_was_cut_is_made_again(begin: Begin) -> None:
    server = begin(Redis)
    client = server.client()

    async with publisher(server) as publish:
        await publish(event())
        await client.client_kill_filter(_type="normal", skipme=True)
        await until_done(publish, event())
    await client.aclose()

    assert len(await server.read(DESTINATION)) == 2


async def until_followed(server: Redis) -> None:
    client = server.client()
    async with asyncio.timeout(30):
        while (await client.info("replication")).get("slave0", {}).get("state") != "online":
            await asyncio.sleep(0.05)
    await client.aclose()
