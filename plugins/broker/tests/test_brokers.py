"""One contract, held by every broker: real servers, but for Kafka (see `Kafka` in `servers.py`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from router_broker import Publisher

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher, until_done
from plugins.broker.tests.servers import DURABLE, PASSWORD, QUOTED, SERVERS, Server
from router import RetryLater

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Begin = Callable[..., Server]


@pytest.mark.parametrize("kind", SERVERS)
async def test_an_event_is_kept_with_its_id_its_key_and_its_type(kind: type[Server], begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    one = event("79001234567@c.us")

    async with publisher(server) as publish:
        await publish(one)

    (stored,) = await server.read(DESTINATION)
    assert stored.id == f"{one.id}/messages"
    assert stored.key in {"1101000001/79001234567@c.us", "1101000001.79001234567@c_us"}
    assert stored.content_type == "application/json"
    body = json.loads(stored.body)
    assert (body["id"], body["text"], body["data"]) == (one.id, "Привет", one.data)
    assert {name[3 if name.startswith("ce") else 12 :]: text for name, text in stored.headers.items()} == {
        "specversion": "1.0",
        "id": one.id,
        "source": "urn:green-api:instance:1101000001",
        "type": "com.green-api.incomingMessageReceived",
        "subject": "79001234567@c.us",
        "time": "2025-11-14T10:11:52+00:00",
        "messenger": "max",
        "messagetype": "textMessage",
    }


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    "text",
    ["\r\nNats-Msg-Id: x", "чат № 1", "a b\t*>#", "x" * 2000],
    ids=["lines", "Cyrillic", "signs", "long"],
)
async def test_whatever_a_chat_is_called_the_event_arrives(
    kind: type[Server], text: str, begin: Begin
) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    one = event(text)

    async with publisher(server) as publish:
        await publish(one)

    (stored,) = await server.read(DESTINATION)
    assert (stored.id, json.loads(stored.body)["chat"]) == (f"{one.id}/messages", text)


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_broker_that_is_down_at_the_start_is_used_once_it_is_up(
    kind: type[Server], begin: Begin
) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    server.terminate()
    one = event()

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=f"{server.scheme}://localhost:{server.port}: no "):
            await publish(one)
        server.start()
        await publish(one)

    assert [stored.id for stored in await server.read(DESTINATION)] == [f"{one.id}/messages"]


@pytest.mark.parametrize("kind", DURABLE)
@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_what_was_done_is_there_in_order_though_the_broker_dies_under_load(
    kind: type[Server], how: str, begin: Begin
) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    done: list[str] = []

    async def lane(publish: Publisher, chat: str) -> None:
        for number in range(150):
            one = event(chat, text=f"{chat} {number}")
            await until_done(publish, one)
            done.append(f"{one.id}/messages")

    async def faults() -> None:
        for share in (0.2, 0.4, 0.6, 0.8):
            while len(done) < share * 8 * 150:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(getattr(server, how))
            await asyncio.to_thread(server.start)

    async with publisher(server) as publish, asyncio.TaskGroup() as tasks:
        tasks.create_task(faults())
        for chat in range(8):
            tasks.create_task(lane(publish, f"{chat}@c.us"))

    kept = await server.read(DESTINATION)
    bodies: dict[str, set[bytes]] = {}
    for stored in kept:
        bodies.setdefault(stored.id, set()).add(stored.body)
    assert set(bodies) == set(done)
    assert {len(same) for same in bodies.values()} == {1}
    for chat in range(8):
        of_chat = [s for s in kept if json.loads(s.body)["chat"] == f"{chat}@c.us"]
        first = list(dict.fromkeys(json.loads(s.body)["text"] for s in of_chat))
        assert first == [f"{chat}@c.us {number}" for number in range(150)]
    print(f"{kind.__name__} {how}: {len(done)} done, {len(kept) - len(bodies)} copies")


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_broker_that_is_paused_fails_the_attempt_in_time(kind: type[Server], begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    first, second, third = event(text="1"), event(text="2"), event(text="3")
    clock = asyncio.get_running_loop().time

    async with publisher(server, within="1s") as publish:
        await publish(first)
        server.pause()
        begun = clock()
        with pytest.raises(RetryLater, match="no confirmation within 1 s; it may have the event"):
            await publish(second)
        with pytest.raises(RetryLater, match="no connection"):
            await publish(second)
        took = clock() - begun
        server.resume()
        await until_done(publish, second)
        await publish(third)

    ids = [stored.id for stored in await server.read(DESTINATION)]
    assert list(dict.fromkeys(ids)) == [f"{one.id}/messages" for one in (first, second, third)]
    assert took < 10  # the bound of both attempts is 2 s, and 2 s to end the connections


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_paused_broker_fails_all_that_wait_at_once(kind: type[Server], begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    events = [event(f"{chat}@c.us") for chat in range(20)]
    clock = asyncio.get_running_loop().time

    async with publisher(server, within="1s") as publish:
        await publish(event())
        server.pause()
        begun = clock()
        for _ in range(2):
            results = await asyncio.gather(*map(publish, events), return_exceptions=True)
            assert {type(result) for result in results} == {RetryLater}, results
        took = clock() - begun
        server.resume()
        await asyncio.gather(*(until_done(publish, one) for one in events))

    assert took < 10  # and not twenty times a second
    ids = {stored.id for stored in await server.read(DESTINATION)}
    assert ids >= {f"{one.id}/messages" for one in events}


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_cancelled_attempt_leaves_the_others_alone(kind: type[Server], begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)

    async with publisher(server) as publish:
        await publish(event())
        cancelled = [asyncio.create_task(publish(event(f"{chat}@c.us"))) for chat in range(20)]
        others = [event(f"{chat}@g.us") for chat in range(20)]
        for steps in range(20):
            await asyncio.sleep(0)
            cancelled[steps].cancel()
        await asyncio.gather(*map(publish, others))
        await asyncio.gather(*cancelled, return_exceptions=True)

    ids = {stored.id for stored in await server.read(DESTINATION)}
    assert ids >= {f"{one.id}/messages" for one in others}


@pytest.mark.parametrize("kind", DURABLE)
async def test_wrong_credentials_are_told_without_them(
    kind: type[Server], begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    server = begin(kind)

    async with publisher(server, url=server.url.replace(QUOTED, "wr0ng%2Fsecret")) as publish:
        with pytest.raises(RetryLater, match=r"refused|uthorization") as caught:
            await publish(event())

    told = f"{caught.value}\n{caplog.text}\n{publish._options!r}"
    assert f"{server.scheme}://localhost:{server.port}" in str(caught.value)
    assert "wr0ng" not in told


@pytest.mark.parametrize("kind", DURABLE)
async def test_the_password_is_in_no_line_and_no_error(
    kind: type[Server], begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    caplog.clear()

    async with publisher(server, within="1s") as publish:
        await publish(event())
        server.pause()
        with pytest.raises(RetryLater) as unconfirmed:
            await publish(event())
        server.kill()
        with pytest.raises(RetryLater) as refused:
            await publish(event())

    told = f"{unconfirmed.value}\n{refused.value}\n{caplog.text}\n{publish._options!r}"
    assert (PASSWORD in told, QUOTED in told) == (False, False)
