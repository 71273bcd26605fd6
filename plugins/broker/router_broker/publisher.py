"""The handler: one object for each route."""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from router import Event, RetryLater
from router_broker.address import Kind
from router_broker.link import Link
from router_broker.message import compose
from router_broker.options import Options

#: Of each kind: the module here, and the client library that it imports.
_MODULES = {
    Kind.NATS: ("router_broker.jetstream", "nats"),
    Kind.RABBITMQ: ("router_broker.rabbitmq", "aio_pika"),
    Kind.REDIS: ("router_broker.redis_streams", "redis"),
    Kind.KAFKA: ("router_broker.kafka", "aiokafka"),
}


class MissingLibrary(Exception):
    """Raised at the start where the client library of the broker is not installed."""


class Publisher:
    """Publishes the events of one route to its broker.

    Args:
        options: The route's.
        logger: For what it does.
        route: The route's name, which is part of each message's id.
    """

    def __init__(self, options: Options, logger: Any, route: str) -> None:
        self._options = options
        self._logger = logger
        self._route = route
        self._name = str(options.address)
        self._link: Link | None = None

    async def start(self) -> None:
        """Get ready to connect, which the first event does: the router starts without the broker as well.

        Raises:
            MissingLibrary: The broker's client library is not installed.
            OSError: A certificate or key cannot be read.
        """
        module, library = _MODULES[self._options.address.kind]
        if find_spec(library) is None:
            extra = self._options.address.kind.value
            raise MissingLibrary(f"not installed; run: pip install 'green-event-router-broker[{extra}]'")
        make = import_module(module).connection
        tls = self._options.tls()
        self._link = Link(lambda: make(self._options, tls), self._name, self._options.timeout)

    async def stop(self) -> None:
        """End the connection."""
        if self._link is not None:
            await self._link.close()

    async def __call__(self, event: Event) -> None:
        """Publish an event, and return when the broker has confirmed it.

        Raises:
            RetryLater: It is not known to be there; what is published again has the same id.
            GiveUp: The broker never takes it, however often it is tried.
        """
        assert self._link is not None, "started before the first event"
        message = compose(event, self._route, with_data=self._options.data)
        broker = await self._link.get()
        try:
            async with asyncio.timeout(self._options.timeout):
                await broker.publish(message)
        except TimeoutError as exc:
            await self._link.drop(broker)
            raise RetryLater(self._unconfirmed()) from exc
        self._logger.debug("broker.published", message_id=message.id, broker=self._name)

    def _unconfirmed(self) -> str:
        return f"{self._name}: no confirmation within {self._options.timeout:g} s; it may have the event"
