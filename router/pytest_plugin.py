"""For the tests of plugins: fixtures for pytest, which finds them by itself once the router is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from router.greenapi.simulator import Simulator

__all__ = ["green_api"]

#: A pause of a minute takes a tenth of a second.
_SPEED = 600.0


@pytest.fixture
async def green_api(anyio_backend_name: str) -> AsyncIterator[Simulator]:
    """A GREEN-API that is served on this machine during one test, 600 times as fast as the real one.

    Needs anyio's pytest plugin, which comes with the router, and asyncio: with trio the test is skipped.
    """
    if anyio_backend_name != "asyncio":
        pytest.skip(f"green_api runs on asyncio, and the test on {anyio_backend_name}")
    # Imported here, so that tests that do not use it start as fast as before.
    from router.greenapi.simulator import Simulator  # noqa: PLC0415

    simulator = Simulator(speed=_SPEED)
    async with simulator.serve():
        yield simulator
