"""Counts the events a second that the handler publishes: ``python -m plugins.broker.tests.measure``."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import structlog

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import SERVERS, Server
from router import Event

#: Lanes that publish at once; how long each measurement takes, in seconds.
_LANES = (1, 16, 128)
_SECONDS = 5.0


async def rate(server: Server, lanes: int) -> float:
    """Return the events per second that so many lanes publish."""
    async with publisher(server) as publish:
        await publish(event())
        events = [list(islice(_events(f"{lane}@c.us"), 500)) for lane in range(lanes)]
        begun = time.perf_counter()

        async def lane(of_lane: list[Event]) -> int:
            done = 0
            while time.perf_counter() - begun < _SECONDS:
                await publish(of_lane[done % len(of_lane)])
                done += 1
            return done

        done = sum(await asyncio.gather(*map(lane, events)))
        return done / (time.perf_counter() - begun)


def _events(chat: str) -> Iterator[Event]:
    while True:
        yield event(chat)


async def measure(kind: type[Server], folder: Path) -> str:
    server = kind(folder)
    server.start()
    try:
        await server.prepare(DESTINATION)
        rates = [f"{await rate(server, lanes):8,.0f}" for lanes in _LANES]
    finally:
        server.close()
    return "".join(rates)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    sys.stdout.write(f"{'lanes':10}{''.join(f'{lanes:8}' for lanes in _LANES)}\n")
    for kind in SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                line = asyncio.run(measure(kind, Path(folder)))
            except pytest.skip.Exception as exc:
                line = f" not measured: {exc}"
        sys.stdout.write(f"{kind.__name__:10}{line}\n")


if __name__ == "__main__":
    main()
