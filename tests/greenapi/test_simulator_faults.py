"""The simulator's traffic and its misbehaviour: the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import orjson
import pytest
from aiohttp import ClientError

from router import samples
from router.greenapi.simulator import FAULTS, Account, Simulator, UnknownFault
from router.greenapi.simulator.traffic import notifications_for
from router.validation import Validator
from tests.greenapi.simulated import Hand, Webhook, calling, listening

FAST = 10_000.0


def made(seed: int, count: int, *, chats: int = 3) -> list[dict[str, Any]]:
    """Return what traffic to two instances consists of, without its time."""
    simulator = Simulator()
    accounts = [simulator.add(), simulator.add()]
    bodies = (body for _, body in islice(notifications_for(accounts, chats, seed), count))
    return [{name: value for name, value in body.items() if name != "timestamp"} for body in bodies]


# Traffic


def test_the_same_seed_makes_the_same_traffic() -> None:
    assert made(7, 200) == made(7, 200) != made(8, 200)


def test_traffic_is_mostly_text_and_valid_and_each_notification_is_another() -> None:
    bodies = made(7, 1000)
    kinds = Counter(each.get("messageData", {}).get("typeMessage") for each in bodies)
    assert 700 < kinds["textMessage"] < 900
    assert len(kinds) > 10
    ids = [each["idMessage"] for each in bodies]
    assert len(set(ids)) == len(ids)
    assert {each["instanceData"]["idInstance"] for each in bodies} == {1101000001, 1101000002}
    validator = Validator()
    assert [validator.problems({**each, "timestamp": 1}) for each in bodies] == [[]] * 1000


def test_traffic_has_as_many_chats_as_asked_for() -> None:
    chats = {each["senderData"]["chatId"] for each in made(7, 500) if "senderData" in each}
    assert len(chats - {None}) == 3


@pytest.mark.parametrize("messenger", ["telegram", "v3"])
def test_traffic_is_of_the_messenger(messenger: str) -> None:
    shop = Simulator().add(messenger=messenger)
    bodies = [body for _, body in islice(notifications_for([shop], 3, 7), 100)]
    assert {each["instanceData"]["typeInstance"] for each in bodies} == {messenger}
    assert not any("@" in each["senderData"]["chatId"] for each in bodies if "senderData" in each)


@pytest.mark.parametrize(
    ("sample", "is_ours"),
    [("incomingMessageReceived/wa-poll.json", False), ("outgoingMessageReceived/wa-text.json", True)],
)
def test_a_sample_happens_now_in_a_chat_of_the_instance(sample: str, is_ours: bool) -> None:
    shop = Simulator().add()
    shop.sample(sample, chat="7900@c.us")
    (body,) = shop.queued
    people, data = body["senderData"], body["instanceData"]
    assert data == {"idInstance": shop.id, "wid": shop.wid, "typeInstance": "whatsapp"}
    assert (people["chatId"], people["sender"]) == ("7900@c.us", shop.wid if is_ours else "7900@c.us")
    assert body["idMessage"] not in samples.read(sample).decode()
    assert body["timestamp"] > orjson.loads(samples.read(sample))["timestamp"]


async def test_traffic_ends_after_its_count_and_keeps_to_the_settings() -> None:
    simulator = Simulator(seed=7)
    everything, nothing = simulator.add(), simulator.add(settings={"incomingWebhook": "no"})
    await simulator.traffic(rate=1e6, count=100)
    assert 0 < len(everything.queued) < 100
    assert {each["typeWebhook"] for each in nothing.queued} <= {
        "outgoingMessageReceived",
        "outgoingMessageStatus",
    }


@pytest.mark.parametrize(("instances", "rate"), [(0, 1.0), (1, 0.0)])
async def test_traffic_needs_an_instance_and_a_rate(instances: int, rate: float) -> None:
    simulator = Simulator()
    for _ in range(instances):
        simulator.add()
    with pytest.raises(ValueError, match="traffic needs"):
        await simulator.traffic(rate=rate)


# Faults


@pytest.mark.parametrize("faults", [{"duplicates": 0.1}, {"slow": 1.5}, {"slow": -1}], ids=str)
def test_a_fault_that_is_none_is_refused(faults: dict[str, float]) -> None:
    with pytest.raises(UnknownFault, match="fault"):
        Simulator(faults=faults)


def told(seed: int, **faults: float) -> list[bytes]:
    """Return what an instance is told, of fifty notifications."""
    simulator = Simulator(seed=seed, faults=faults)
    shop = simulator.add()
    for each in made(7, 50):
        shop.happen({**each, "timestamp": 1})
    return [entry.body for entry in shop.queue]


@pytest.mark.parametrize("name", ["duplicate", "missing_field", "unknown_type"])
def test_the_same_seed_makes_the_same_faults(name: str) -> None:
    assert told(1, **{name: 0.3}) == told(1, **{name: 0.3})
    assert told(1, **{name: 0.3}) != told(2, **{name: 0.3})
    assert told(1, **{name: 0.3}) != told(1)


def test_a_duplicate_comes_right_after_the_first() -> None:
    once, twice = told(1), told(1, duplicate=1)
    assert twice == [body for body in once for _ in range(2)]


def test_a_missing_field_is_one_of_the_notification_or_below() -> None:
    for whole, part in zip(told(1), told(1, missing_field=1), strict=True):
        assert size(orjson.loads(part)) < size(orjson.loads(whole))


def size(value: Any) -> int:
    """Return how many fields an object has, and its objects have."""
    return sum(1 + size(inner) for inner in value.values()) if isinstance(value, dict) else 0


def test_an_unknown_type_is_in_no_schema() -> None:
    assert {orjson.loads(body)["typeWebhook"] for body in told(1, unknown_type=1)} == {"neverHeardOf"}


async def test_a_malformed_notification_is_half_of_one_for_who_polls() -> None:
    simulator = Simulator(speed=FAST, seed=1, faults={"malformed": 0.5})
    shop = simulator.add()
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        texts = {(await call("receiveNotification")).text for _ in range(40)}
    half, whole = sorted(texts, key=len)
    assert whole.startswith(half)
    assert len(half) == len(whole) // 2
    assert orjson.loads(whole)["receiptId"] == 1


async def test_a_malformed_notification_is_half_of_one_for_who_is_posted_to() -> None:
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=FAST, faults={"malformed": 1})
        shop = simulator.add(settings={"webhookUrl": webhook.url})
        async with simulator.serve():
            shop.push(b'{"a":1}')
            await shop.until(lambda shop: shop.deleted)
    assert [post.body for post in webhook.posts] == [b'{"a']


async def test_an_empty_answer_comes_at_once_and_from_receiving_only() -> None:
    simulator = Simulator(speed=0.01, faults={"empty": 1})  # to wait would take 500 s
    async with calling(simulator, simulator.add()) as call:
        came = await call("receiveNotification")
        assert (came.status, came.text) == (200, "")
        assert (await call("getStateInstance")).text != ""


async def test_errors_come_in_bursts() -> None:
    simulator = Simulator(speed=FAST, seed=1, faults={"error": 0.05})
    shop = simulator.add()
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        statuses = [(await call("receiveNotification")).status for _ in range(300)]
    bursts = "".join("E" if status >= 500 else " " for status in statuses).split()
    assert set(statuses) == {200, 500, 502, 503}
    assert min(map(len, bursts[:-1])) >= 2


async def test_a_broken_answer_ends_in_the_middle() -> None:
    simulator = Simulator(speed=FAST, faults={"broken": 1})
    async with calling(simulator, simulator.add()) as call:
        with pytest.raises(ClientError):
            await call("getStateInstance")


def test_a_slow_answer_takes_up_to_half_a_minute_of_the_time_that_is_simulated() -> None:
    shop = Simulator(speed=10, faults={"slow": 1}).add()
    delays = [instead.delay for _ in range(100) if (instead := shop.faults.instead("getSettings"))]
    assert len(delays) == 100
    assert 0.1 <= min(delays) < max(delays) <= 3


def test_without_faults_answers_are_what_they_are() -> None:
    assert Simulator().add().faults.instead("receiveNotification") is None


def test_each_fault_says_what_it_is() -> None:
    assert all(FAULTS.values())


# Lines


async def test_a_line_tells_of_each_thing_that_happens() -> None:
    lines: list[str] = []
    simulator = Simulator(tell=lines.append, now=Hand())
    shop: Account = simulator.add(7)
    async with calling(simulator, shop) as call:
        shop.message("Hello", "79001234567@c.us")
        shop.push(b"{half")
        await call("receiveNotification")
        await call("deleteNotification", "/1")
        await call("sendMessage", chatId="79001234567@c.us", message="Hi")
    agent = "(Python/"
    assert [line.partition(agent)[0] for line in lines] == [
        "7 queued 1: incomingMessageReceived textMessage 79001234567@c.us",
        "7 queued 2: no JSON",
        "7 received 1 by 127.0.0.1 ",
        "7 deleted 1 by 127.0.0.1 ",
        '7 sendMessage to 79001234567@c.us: "Hi"',
        "7 queued 3: outgoingAPIMessageReceived extendedTextMessage 79001234567@c.us",
    ]
