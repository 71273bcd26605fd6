"""How fast an operator's command goes through many things, so that a running router is not held up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

#: Things that are changed in one transaction at most: while it lasts, a router can store nothing.
_BATCH = 500
#: How many batches a second a given rate makes; a router looks for changes as often.
_BATCHES_PER_SECOND = 2


class Pace:
    """Batches, and the pauses between them.

    Args:
        rate: Things per second; ``None``: as many as can be done with the inbox free half of the time,
            which is the most in any case.
        wait: Waits for a number of seconds; true: no batch is to follow.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        rate: int | None,
        wait: Callable[[float], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._wait = wait
        self._clock = clock

    def batches(self, things: Iterable[T], most: int = _BATCH) -> Iterator[list[T]]:
        """Yield the things in batches of so many at most, each when its time has come.

        The caller is done with one when it asks for the next.
        """
        size = most if self._rate is None else max(1, min(most, self._rate // _BATCHES_PER_SECOND))
        begin, done, took = self._clock(), 0, 0.0
        rest = iter(things)
        while batch := list(islice(rest, size)):
            due = begin + done / self._rate - self._clock() if self._rate else 0.0
            if self._wait(max(took, due)):
                return
            started = self._clock()
            yield batch
            took = self._clock() - started
            done += len(batch)
