"""Keeps requests apart, so that there are never more in a second than GREEN-API takes."""

from __future__ import annotations

from collections.abc import Callable

from router import clock


class Spacing:
    """Slots at equal distances; each request takes the next free one.

    Args:
        per_second: Slots in a second.
        clock: Tells seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = clock.seconds) -> None:
        self._gap = 1 / per_second
        self._clock = clock
        self._free_at = 0.0

    def take(self) -> float:
        """Take the next slot; return the seconds until it comes, 0 for now."""
        now = self._clock()
        slot = max(now, self._free_at)
        self._free_at = slot + self._gap
        return slot - now
