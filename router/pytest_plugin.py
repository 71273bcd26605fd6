"""For the tests of plugins: fixtures for pytest, which finds them by itself once the router is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from router.greenapi.simulator import Simulator
    from router.testing import StartRouter

__all__ = ["green_api", "router_harness"]

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


@pytest.fixture
async def router_harness() -> AsyncIterator[StartRouter]:
    """Starts routers that run in the test: ``router = await router_harness(routes)``.

    Takes what `router.testing.RouterHarness` takes; what was started ends with the test. Needs a plugin for
    asynchronous tests: anyio's, which comes with the router, or pytest-asyncio in its mode ``auto``.
    """
    # Imported here, so that tests that do not use it start as fast as before.
    from router.testing import RouterHarness  # noqa: PLC0415

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pytest.skip("router_harness runs on asyncio, and the test on something else")
    async with AsyncExitStack() as started:

        async def start(*args: Any, **settings: Any) -> RouterHarness:
            return await started.enter_async_context(RouterHarness(*args, **settings))

        yield start
