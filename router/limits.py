"""What the carriers do now, all watched by one task: a timer for each call would cost more than most calls.

A call that passes its time limit is cancelled; one that is no longer short is told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")

#: How often limits are looked at, in seconds: a call may run this much longer than its limit.
_TICK = 0.05
#: A call that goes on all the same is told to end again after this time, in seconds.
_AGAIN = 1.0
#: A call that has run this long is no longer short, in seconds.
_LONG = 0.1


class Limit(Generic[Work]):
    """The time limit of what one task does now; it is set anew for each call."""

    def __init__(
        self, task: asyncio.Task[object], loop: asyncio.AbstractEventLoop, wanted: asyncio.Event
    ) -> None:
        self.task = task
        self._loop = loop
        self._wanted = wanted
        self.at = inf
        #: When the call stops being short, and what it works on.
        self.long_at = inf
        self.work: Work | None = None
        #: The limit was passed and the task was cancelled for it.
        self.expired = False

    def set(self, seconds: float, work: Work) -> None:
        """Give the task that many seconds from now for ``work``."""
        now = self._loop.time()
        self.expired = False
        self.work = work
        self.at = now + seconds
        self.long_at = now + _LONG
        self._wanted.set()

    def clear(self) -> bool:
        """End the limit; return whether it was passed. The task is then no longer being cancelled for it."""
        self.at = self.long_at = inf
        self.work = None
        if self.expired:
            self.forgive()
        return self.expired

    def forgive(self) -> None:
        """Take back every request to cancel the task."""
        while self.task.cancelling() > 0:
            self.task.uncancel()


class Limits(Generic[Work]):
    """The limits of all tasks.

    Args:
        on_long: Told, once, what a call works on that is no longer short.
    """

    def __init__(self, on_long: Callable[[Work], None]) -> None:
        self._on_long = on_long
        self._limits: list[Limit[Work]] = []
        #: Set while there may be a limit to look at.
        self._wanted = asyncio.Event()

    def of_this_task(self) -> Limit[Work]:
        """Return a limit for the running task, not yet set."""
        task = asyncio.current_task()
        assert task is not None, "a limit is of a task"
        limit: Limit[Work] = Limit(task, asyncio.get_running_loop(), self._wanted)
        self._limits.append(limit)
        return limit

    def at_work(self) -> list[tuple[asyncio.Task[object], Work]]:
        """Return each task that works on something now, and on what."""
        return [(limit.task, limit.work) for limit in self._limits if limit.work is not None]

    def work_of(self, task: asyncio.Task[Any]) -> Work | None:
        """Return what a task works on now, if it is one of these. Safe in any thread."""
        return next((limit.work for limit in self._limits if limit.task is task), None)

    async def watch(self) -> None:
        """Cancel each task whose limit has passed, again and again while it does not end. Runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            if not self.at_work():
                self._wanted.clear()
                await self._wanted.wait()
            await asyncio.sleep(_TICK)
            now = loop.time()
            for limit in self._limits:
                if limit.long_at <= now and limit.work is not None:
                    limit.long_at = inf
                    self._on_long(limit.work)
                if limit.at <= now:
                    limit.expired = True
                    limit.at = now + _AGAIN
                    limit.task.cancel()
