"""RabbitMQ: an exchange puts messages into queues, and the broker confirms each one that is kept."""

from __future__ import annotations

import ssl

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)

from router import RetryLater
from router_broker.message import CONTENT_TYPE, Message
from router_broker.options import Options


def connection(options: Options, tls: ssl.SSLContext | None) -> RabbitMQ:
    """Return a connection that is not connected yet."""
    return RabbitMQ(options, tls)


class RabbitMQ:
    """A connection with one channel. It ends when it is lost, and publishes nothing again by itself."""

    def __init__(self, options: Options, tls: ssl.SSLContext | None) -> None:
        self._address = options.address
        self._name = options.destination
        self._tls = tls
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    @property
    def is_open(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def connect(self) -> None:
        try:
            self._connection = await aio_pika.connect(self._address.url, ssl_context=self._tls)
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            self._exchange = await self._channel.get_exchange(self._name)
        except ChannelNotFoundEntity as exc:
            raise RetryLater(self._no_exchange()) from exc
        except (AuthenticationError, ProbableAuthenticationError) as exc:
            raise RetryLater(f"{self._address}: user and password of the url were refused") from exc
        except (AMQPError, OSError) as exc:
            raise RetryLater(f"{self._address}: no connection: {_text(exc)}") from exc

    async def publish(self, message: Message) -> None:
        assert self._exchange is not None, "connected before"
        try:
            await self._exchange.publish(_message(message), message.words, mandatory=True)
        except PublishError as exc:
            raise RetryLater(self._no_queue(message.words)) from exc
        except DeliveryError as exc:
            raise RetryLater(f"{self._address}: a queue refused it, as a full one does") from exc
        except ChannelNotFoundEntity as exc:
            raise RetryLater(self._no_exchange()) from exc
        except (AMQPError, ChannelInvalidStateError, OSError) as exc:
            raise RetryLater(f"{self._address}: not confirmed: {_text(exc)}; it may have the event") from exc

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    def _no_exchange(self) -> str:
        return (
            f"{self._address}: there is no exchange {self._name!r}; run: "
            f"rabbitmqadmin declare exchange name={self._name} type=topic durable=true"
        )

    def _no_queue(self, routing_key: str) -> str:
        return (
            f"{self._address}: no queue of exchange {self._name!r} takes routing key {routing_key!r}; run: "
            f"rabbitmqadmin declare binding source={self._name} destination=QUEUE routing_key='#'"
        )


def _message(message: Message) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        message_id=message.id,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers={f"cloudEvents_{name}": text for name, text in message.attributes.items()},
    )


def _text(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
