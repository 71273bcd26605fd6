"""How often an instance may call a method."""

from __future__ import annotations

from router.greenapi.methods import find
from router.greenapi.simulator.clock import Clock


class Rates:
    """A budget for each method of one instance, that fills again as time passes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Method → calls that are left, and when that was so.
        self._left: dict[str, tuple[float, float]] = {}

    def allow(self, method: str) -> bool:
        """Tell whether a call is within the rate, and count it if it is."""
        per_second = find(method).per_second
        most = max(1.0, per_second)
        now = self._clock.now()
        left, since = self._left.get(method, (most, now))
        left = min(most, left + (now - since) * per_second)
        allowed = left >= 1
        self._left[method] = (left - 1 if allowed else left, now)
        return allowed
