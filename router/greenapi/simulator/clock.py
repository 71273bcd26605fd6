"""GREEN-API's time: seconds that may pass faster than ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Counts GREEN-API's seconds; everything in this package is told in them.

    Args:
        speed: How many of them pass in one of ours.
        now: Gives our time, in seconds from any moment.
    """

    def __init__(self, speed: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        if not speed > 0:
            raise ValueError(f"speed is {speed:g}; expected a number above 0")
        self.speed = speed
        self._now = now
        self._timers: set[asyncio.TimerHandle] = set()

    def now(self) -> float:
        """Return GREEN-API's time, in seconds from any moment."""
        return self._now() * self.speed

    def ours(self, seconds: float) -> float:
        """Return how long some of GREEN-API's seconds take."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(self.ours(seconds))

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call something after a while, unless the clock has stopped by then."""

        def due() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(self.ours(seconds), due)
        self._timers.add(timer)

    def stop(self) -> None:
        """Forget what was to be called later."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
