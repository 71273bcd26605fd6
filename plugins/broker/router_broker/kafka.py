"""Kafka: a topic's leader answers when all replicas that are in sync have the record."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from router import GiveUp, RetryLater
from router_broker.loss import Loss, Lost
from router_broker.message import CONTENT_TYPE, Message
from router_broker.options import Options

#: Bytes that may wait for each partition, and that are sent at once.
_BATCH = 256 * 1024


def connection(options: Options, tls: ssl.SSLContext | None) -> Kafka:
    """Return a connection that is not connected yet."""
    return Kafka(options, tls)


class Kafka:
    """A producer. What it may hold unsent is a batch for each partition; then `publish` waits."""

    def __init__(self, options: Options, tls: ssl.SSLContext | None) -> None:
        self._address = options.address
        self._topic = options.destination
        self._producer = AIOKafkaProducer(**arguments(options, tls))
        self._loss = Loss()
        self.is_open = True

    async def connect(self) -> None:
        try:
            await self._producer.start()
        except (KafkaError, OSError) as exc:
            raise RetryLater(
                f"{self._address}: no connection: {exc}; the log line of aiokafka before says why"
            ) from exc

    async def publish(self, message: Message) -> None:
        try:
            await self._loss.or_answer(
                self._producer.send_and_wait(
                    self._topic, message.body, key=message.key.encode(), headers=_headers(message)
                )
            )
        except Lost as exc:
            raise RetryLater(f"{self._address}: connection given up; it may have the event") from exc
        except UnknownTopicOrPartitionError as exc:
            raise RetryLater(self._no_topic()) from exc
        except MessageSizeTooLargeError as exc:
            raise self._too_large(exc) from exc
        except KafkaTimeoutError as exc:
            raise RetryLater(f"{self._address}: takes events more slowly than they come") from exc
        except (KafkaError, OSError) as exc:
            self.is_open = False  # a producer whose sequence of numbers broke stays broken
            raise RetryLater(f"{self._address}: not confirmed: {exc}; it may have the event") from exc

    async def close(self) -> None:
        self.is_open = False
        self._loss.happen()
        # Its stop() waits until the broker has all that was sent, however long that takes. The rest of it:
        self._producer._closed = True
        await self._producer.client.close()
        await self._producer._sender.close()
        await self._producer.client.close()  # what the sender opened again before it ended

    def _too_large(self, exc: Exception) -> Exception:
        if exc.args:  # aiokafka's own, about this event
            return GiveUp(f"{self._address}: {exc}")
        return RetryLater(  # the broker's, about all that was sent at once
            f"{self._address}: topic {self._topic!r} takes less than was sent at once; compare its "
            f"max.message.bytes with {_BATCH} bytes, and with the event"
        )

    def _no_topic(self) -> str:
        return (
            f"{self._address}: there is no topic {self._topic!r}; run: kafka-topics.sh --create "
            f"--topic {self._topic} --bootstrap-server {self._address.hosts[0]}"
        )


def arguments(options: Options, tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Return what the producer is made with."""
    address = options.address
    login = {
        "sasl_mechanism": options.sasl or "PLAIN",
        "sasl_plain_username": address.user,
        "sasl_plain_password": address.password,
    }
    protocol = f"{'SASL_' if address.user else ''}{'SSL' if tls else 'PLAINTEXT'}"
    return {
        "bootstrap_servers": list(address.hosts),
        "client_id": "green-event-router",
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": _BATCH,
        # Less than our own limit, so that a missing topic is told as such.
        "request_timeout_ms": int(options.timeout * 500),
        "security_protocol": protocol,
        "ssl_context": tls,
        **(login if address.user else {}),
    }


def _headers(message: Message) -> list[tuple[str, bytes]]:
    attributes = [(f"ce_{name}", text.encode()) for name, text in message.attributes.items()]
    return [("message_id", message.id.encode()), ("content-type", CONTENT_TYPE.encode()), *attributes]
