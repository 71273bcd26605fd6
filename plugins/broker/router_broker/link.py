"""The connection of one route: made when it is needed, shared by all deliveries, replaced when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from router import RetryLater
from router_broker.broker import Broker

#: Seconds that a connection which is given up may take to end.
_FAREWELL = 1.0


class Link:
    """Keeps at most one connection.

    Args:
        make: Makes a connection that is not connected yet.
        name: The broker, for people.
        timeout: Seconds that connecting may take.
    """

    def __init__(self, make: Callable[[], Broker], name: str, timeout: float) -> None:
        self._make = make
        self._name = name
        self._timeout = timeout
        self._broker: Broker | None = None
        self._connecting = asyncio.Lock()
        self._failures = 0
        self._last_failure = ""

    async def get(self) -> Broker:
        """Return an open connection. Deliveries that come while one is being made share what comes of it.

        Raises:
            RetryLater: None can be made, with the reason.
        """
        if self._broker is not None and self._broker.is_open:
            return self._broker
        failures = self._failures
        async with self._connecting:
            if self._broker is not None and self._broker.is_open:
                return self._broker
            if failures != self._failures:
                raise RetryLater(self._last_failure)
            try:
                return await self._connect()
            except RetryLater as exc:
                self._failures += 1
                self._last_failure = exc.reason
                raise

    async def drop(self, broker: Broker) -> None:
        """Use a connection no more; what others wait for on it fails as well."""
        if broker is self._broker:
            self._broker = None
            await _end(broker)

    async def close(self) -> None:
        """End the connection, if there is one."""
        if self._broker is not None:
            await self.drop(self._broker)

    async def _connect(self) -> Broker:
        await self.close()
        broker = self._make()
        try:
            async with asyncio.timeout(self._timeout):
                await broker.connect()
        except TimeoutError as exc:
            await _end(broker)
            raise RetryLater(f"{self._name}: no connection within {self._timeout:g} s") from exc
        except BaseException:
            await _end(broker)
            raise
        self._broker = broker
        return broker


async def _end(broker: Broker) -> None:
    with suppress(Exception):  # it is of no use any more, however it ends
        async with asyncio.timeout(_FAREWELL):
            await broker.close()
