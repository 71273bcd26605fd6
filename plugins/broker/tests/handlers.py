"""The handler as the router has it, from its start to its stop. Stands in for `router.testing`'s harness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from router_broker import Options, Publisher

from plugins.broker.tests.servers import Server
from router import Duration, Event, RetryLater

DESTINATION = "green.events"


@asynccontextmanager
async def publisher(server: Server, within: str = "5s", **options: Any) -> AsyncIterator[Publisher]:
    """A handler as the router has it between its start and its stop."""
    settings = {"url": server.url, "destination": DESTINATION, "timeout": Duration(within), **options}
    publish = Publisher(Options(**settings), structlog.get_logger("handler.broker"), "messages")
    await publish.start()
    try:
        yield publish
    finally:
        await publish.stop()


async def until_done(publish: Publisher, one: Event) -> int:
    """Call the handler as a route does that tries again; return how often."""
    for attempt in range(1, 1000):
        try:
            await publish(one)
        except RetryLater:
            await asyncio.sleep(0.1)
        else:
            return attempt
    raise AssertionError("tried a thousand times")
