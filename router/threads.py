"""Threads in which ``def`` handlers run: a few per route, so that one route's cannot take another's.

No thread can be stopped from outside. One whose handler never returns stays taken, and counts, for
as long as the process lives; it does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]


class Threads:
    """A bounded number of threads, started when they are needed.

    Args:
        name: For their names.
        most: How many there are at most.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._started = 0
        self._idle: list[_Thread] = []
        self._waiting: deque[asyncio.Future[_Thread]] = deque()

    @property
    def all_taken(self) -> bool:
        """Whether the next call has to wait for a thread."""
        return not self._idle and self._started >= self._most

    async def begin(self, call: Call) -> asyncio.Future[Any]:
        """Wait for a thread and start ``call`` there, in a copy of this context; return its outcome to come.

        Cancelling what waits for the outcome does not end the call.
        """
        thread = await self._take()
        outcome = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(_retrieve)
        thread.run(contextvars.copy_context(), call, outcome, self._give_back)
        return outcome

    async def _take(self) -> _Thread:
        if self._idle:
            return self._idle.pop()
        if self._started < self._most:
            self._started += 1
            return _Thread(f"{self._name}-{self._started}")
        waiting: asyncio.Future[_Thread] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._give_back(waiting.result())
            raise

    def _give_back(self, thread: _Thread) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(thread)
                return
        self._idle.append(thread)


class _Thread:
    """One thread: it runs what it is given, one call after the other."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(
        self,
        context: contextvars.Context,
        call: Call,
        outcome: asyncio.Future[Any],
        give_back: Callable[[_Thread], None],
    ) -> None:
        """Run the call; tell its outcome, and that the thread is free, in the running event loop."""
        loop = asyncio.get_running_loop()

        def ended(set_outcome: Callable[[Any], None], value: Any) -> None:
            give_back(self)
            if not outcome.done():
                set_outcome(value)

        def job() -> None:
            try:
                told = (outcome.set_result, context.run(call))
            except (StopIteration, GeneratorExit, asyncio.CancelledError) as exc:
                # Raised into a coroutine, these would mean something.
                told = (outcome.set_exception, RuntimeError(f"raised {type(exc).__name__}: {exc}"))
            except BaseException as exc:
                told = (outcome.set_exception, exc)
            try:
                loop.call_soon_threadsafe(ended, *told)
            except RuntimeError:  # the loop is closed: the router has ended without this call
                return

        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()


def _retrieve(outcome: asyncio.Future[Any]) -> None:
    """Look at an exception that nobody may wait for any more, or asyncio complains."""
    if not outcome.cancelled():
        outcome.exception()
