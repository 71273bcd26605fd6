"""What is particular to Kafka, and what a cluster that is none (see `Kafka` in `servers.py`) cannot show."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from router_broker import Options, Publisher
from router_broker.message import compose

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import Kafka
from router import Duration, GiveUp, RetryLater

pytest.importorskip("aiokafka")

from aiokafka import errors
from router_broker import kafka

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


@pytest.mark.system
async def test_kafka_takes_an_event_that_is_larger_than_its_batches(begin: Begin) -> None:
    server = begin(Kafka)

    async with publisher(server) as publish:
        await publish(event(text="x" * 400_000))
        with pytest.raises(GiveUp, match=r"The message is [0-9]{7} bytes"):
            await publish(event(text="x" * 1_100_000))

    assert len(await server.read(DESTINATION)) == 1


@pytest.mark.system
async def test_kafka_without_a_broker_is_tried_again(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    server = begin(Kafka)
    server.kill()
    url = f"kafka://router:s3cret@127.0.0.1:{server.port}"

    async with publisher(server, within="2s", url=url) as publish:
        with pytest.raises(RetryLater, match=f"kafka://127.0.0.1:{server.port}: no connection") as caught:
            await publish(event())

    assert "s3cret" not in f"{caught.value} {caplog.text}"


def options(url: str = "kafka://one:9092,two:9092", **others: Any) -> Options:
    return Options(**{"url": url, "destination": DESTINATION, "timeout": Duration("10s"), **others})


def test_kafka_is_asked_for_durable_writes_without_copies() -> None:
    arguments = kafka.arguments(options(), None)

    assert arguments == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "client_id": "green-event-router",
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": 262144,
        "request_timeout_ms": 5000,
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


@pytest.mark.parametrize(
    ("url", "is_encrypted", "protocol"),
    [
        ("kafka://u:p%2F@one", False, "SASL_PLAINTEXT"),
        ("kafka+ssl://u:p%2F@one", True, "SASL_SSL"),
        ("kafka+ssl://one", True, "SSL"),
    ],
)
def test_kafka_is_logged_in_to(url: str, is_encrypted: bool, protocol: str) -> None:
    settings = options(url, sasl="SCRAM-SHA-256")
    tls = settings.tls()
    arguments = kafka.arguments(settings, tls)

    assert isinstance(tls, ssl.SSLContext) == is_encrypted
    assert (arguments["security_protocol"], arguments["ssl_context"]) == (protocol, tls)
    if "@" in url:
        login = [arguments[f"sasl_{name}"] for name in ("mechanism", "plain_username", "plain_password")]
        assert login == ["SCRAM-SHA-256", "u", "p/"]


class Failing:
    """A producer to which the broker answers that something is wrong."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def send_and_wait(self, *_: Any, **__: Any) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "expected", "reason", "is_open"),
    [
        (
            errors.UnknownTopicOrPartitionError(),
            RetryLater,
            "kafka-topics.sh --create",
            True,
        ),
        (errors.MessageSizeTooLargeError("The message is …"), GiveUp, "The message is …", True),
        (errors.MessageSizeTooLargeError(), RetryLater, "max.message.bytes", True),
        (errors.KafkaTimeoutError(), RetryLater, "more slowly than they come", True),
        (errors.TopicAuthorizationFailedError("x"), RetryLater, "TopicAuthorizationFailed", False),
        (errors.OutOfOrderSequenceNumber(), RetryLater, "it may have the event", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_kafka_answers_is_told(
    error: Exception, expected: type[Exception], reason: str, is_open: bool
) -> None:
    connection = kafka.connection(options(), None)
    await connection.close()  # of the producer that it begins with
    connection.is_open = True
    connection._producer = Failing(error)

    with pytest.raises(expected) as caught:
        await connection.publish(compose(event(), "messages", with_data=True))

    assert reason in str(caught.value)
    assert connection.is_open is is_open


async def test_who_waits_for_kafka_is_told_when_the_connection_is_given_up() -> None:
    connection = kafka.connection(options(), None)
    connection._producer.send_and_wait = never
    waiting = asyncio.create_task(connection.publish(compose(event(), "messages", with_data=True)))
    await asyncio.sleep(0)

    await connection.close()

    with pytest.raises(RetryLater, match="connection given up"):
        await waiting


async def never(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()
