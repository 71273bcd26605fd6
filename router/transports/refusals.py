"""Keeps a flood of bad requests from becoming a flood of log lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router import clock

#: Refusals of one kind that are told at once, and how many a second after that.
_BURST = 20.0
_PER_SECOND = 1.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    suppressed: int = 0


class Refusals:
    """A token bucket for each kind of refusal."""

    def __init__(self, clock: Callable[[], float] = clock.seconds) -> None:
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}

    def may_tell(self, kind: int) -> int | None:
        """Return how many were kept back since the last one told, or ``None`` to keep this one back."""
        now = self._clock()
        bucket = self._buckets.setdefault(kind, _Bucket(_BURST, now))
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.filled_at) * _PER_SECOND)
        bucket.filled_at = now
        if bucket.tokens < 1:
            bucket.suppressed += 1
            return None
        bucket.tokens -= 1
        suppressed, bucket.suppressed = bucket.suppressed, 0
        return suppressed
