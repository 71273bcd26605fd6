"""Time limits of handlers, all watched by one task: a timer for each call would cost more than most calls."""

from __future__ import annotations

import asyncio
from math import inf

#: How often limits are looked at, in seconds: a call may run this much longer than its limit.
_TICK = 0.05
#: A call that goes on all the same is told to end again after this time, in seconds.
_AGAIN = 1.0


class Limit:
    """The time limit of what one task does now; it is set anew for each call."""

    def __init__(self, task: asyncio.Task[object], loop: asyncio.AbstractEventLoop) -> None:
        self.task = task
        self._loop = loop
        self.at = inf
        #: The limit was passed and the task was cancelled for it.
        self.expired = False

    def set(self, seconds: float) -> None:
        """Give the task that many seconds from now."""
        self.expired = False
        self.at = self._loop.time() + seconds

    def clear(self) -> bool:
        """End the limit; return whether it was passed. The task is then no longer being cancelled for it."""
        self.at = inf
        if self.expired:
            while self.task.uncancel() > 0:
                pass
        return self.expired


class Limits:
    """The limits of all tasks."""

    def __init__(self) -> None:
        self._limits: list[Limit] = []

    def of_this_task(self) -> Limit:
        """Return a limit for the running task, not yet set."""
        task = asyncio.current_task()
        assert task is not None, "a limit is of a task"
        limit = Limit(task, asyncio.get_running_loop())
        self._limits.append(limit)
        return limit

    async def watch(self) -> None:
        """Cancel each task whose limit has passed, again and again while it does not end. Runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            now = loop.time()
            for limit in self._limits:
                if limit.at <= now:
                    limit.expired = True
                    limit.at = now + _AGAIN
                    limit.task.cancel()
