"""When a failed delivery is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with an upper bound and jitter."""

    #: How often a handler is called at most, the first time included.
    attempts: int = 5
    #: Seconds before the second attempt.
    first: float = 1.0
    #: By how much each wait is longer than the one before.
    factor: float = 2.0
    #: The longest wait, in seconds, before jitter.
    max: float = 60.0
    #: Each wait is longer by up to this share, so that what failed together does not return together.
    #: Upward only: nobody waits less than the policy says.
    jitter: float = 0.1

    def next(self, attempt: int, random: Callable[[], float]) -> float | None:
        """Return the seconds to wait after the ``attempt``-th attempt failed; ``None`` when it was the last.

        Args:
            attempt: Counted from 1.
            random: Gives a number from 0 up to 1.
        """
        if attempt >= self.attempts:
            return None
        return self._wait(attempt) * (1 + self.jitter * random())

    def _wait(self, attempt: int) -> float:
        try:
            return min(self.max, self.first * float(self.factor) ** (attempt - 1))
        except OverflowError:
            return self.max if self.first else 0.0
