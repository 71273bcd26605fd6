"""Time that stands still until a test moves it: the event loop's timers, and what `router.clock` says.

asyncio's own loop asks `loop.time()` which timers are due, so replacing that stops them all. While they
stand still, a test has to know when nothing is left to do: the loop's queue is empty, and nothing that
runs waits for a thread or for the network. That is asked of the loop and its tasks directly.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from asyncio import futures
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil
from types import FrameType
from typing import Any

from router import clock

#: Timers that are this close together are due at once, in seconds: asyncio calls them so.
_AT_ONCE = 1e-6
#: Modules in which a thread waits, and those that let it wait for something to do.
_WAITS = {"threading", "queue"}
_POOLS = {"router.threads", "router.watchdog", "concurrent.futures.thread", "anyio._backends._asyncio"}
#: Seconds, of the real clock, between two looks at what comes from outside.
_NAP = 0.001


class Clock:
    """What time it is in a test."""

    def __init__(self, time: Time) -> None:
        self._time = time

    @property
    def now(self) -> datetime:
        """The time of day, UTC: what `router.now` says."""
        return self._time.now


class Time:
    """The time of a test, and of the event loop in which it runs.

    Args:
        start: The time at which the test begins; the real one by default.
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(f"expected a time with a zone, found {start}: such as tzinfo=UTC")
        self._start = start or clock.now()
        self._began = 0.0
        self._loop: Any = None
        #: Threads that were busy before: pytest-xdist's, say, which waits for its next test.
        self._strangers: set[int] = set()

    @property
    def now(self) -> datetime:
        """The time of day, UTC."""
        return self._start + timedelta(seconds=self.seconds() - self._began) if self._loop else self._start

    def seconds(self) -> float:
        """Return the loop's time."""
        seconds: float = self._loop.time()
        return seconds

    @contextmanager
    def taken_over(self) -> Iterator[None]:
        """Let `router.clock` say this time while the block lasts. It passes until `stop`."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):
            raise RuntimeError(  # noqa: TRY004 - no argument is wrong
                f"expected asyncio's own event loop, found {type(loop).__module__}: its clock cannot be moved"
            )
        if "time" in vars(loop):
            raise RuntimeError(
                "the clock of this event loop is moved already: close the other RouterHarness first"
            )
        self._loop = loop
        self._began = loop.time()
        self._strangers = {ident for ident, frame in _other_threads() if _is_busy(frame)}
        with clock.taken_from(lambda: self.now, self.seconds):
            try:
                yield
            finally:
                self.go_on()

    def stop(self) -> None:
        """Let time stand still, at ``start``; for the loop at a whole number, so that sums are exact."""
        self._began = float(ceil(self._loop.time()))
        self._set(self._began)

    def go_on(self) -> None:
        """Let time pass again."""
        vars(self._loop).pop("time", None)

    def move_to(self, seconds: float) -> None:
        """Set the loop's time, which is when timers become due that are not later."""
        at_once = [when for when in self._timers() if seconds < when <= seconds + _AT_ONCE]
        self._set(max([seconds, *at_once]))

    def next_timer(self) -> float | None:
        """Return the loop's time at which the next timer is due."""
        return min(self._timers(), default=None)

    def _set(self, seconds: float) -> None:
        self._loop.time = lambda: seconds

    def _timers(self) -> Iterator[float]:
        return (handle.when() for handle in self._loop._scheduled if not handle.cancelled())

    # What is left to do

    async def turn(self) -> bool:
        """Let each callback run that is ready; return whether any was."""
        await asyncio.sleep(0)
        return bool(self._loop._ready)

    def wait_for_the_world(self) -> None:
        """Give threads and the network a moment, before the next turn.

        In no task: the router's watchdog looks at what tasks do.
        """
        self._loop.call_soon(time.sleep, _NAP)

    def is_slept(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether a task sleeps, so that only moving the clock wakes it."""
        waits_for = _innermost(task)
        return waits_for is not None and any(
            handle._callback is futures._set_result_unless_cancelled and handle._args[0] is waits_for  # type: ignore[attr-defined]
            for handle in self._loop._scheduled
            if not handle.cancelled()
        )

    def can_be_woken(self) -> bool:
        """Tell whether anything outside can make a task go on: a thread, or something the loop listens to."""
        listens_to = len(self._loop._selector.get_map()) if hasattr(self._loop, "_selector") else 2
        threads = (frame for ident, frame in _other_threads() if ident not in self._strangers)
        return listens_to > 1 or any(map(_is_busy, threads))  # one is the loop's own


def _other_threads() -> Iterator[tuple[int, FrameType]]:
    """Yield each other thread with its innermost frame."""
    own = threading.get_ident()
    return ((ident, frame) for ident, frame in sys._current_frames().items() if ident != own)


def _is_busy(frame: FrameType | None) -> bool:
    """Tell whether a thread does something, and does not wait for something to do."""
    while frame is not None and frame.f_globals.get("__name__") in _WAITS:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") not in _POOLS


class Patience:
    """Lasts while something happens, and then for some seconds of the real clock.

    Args:
        seconds: How long nothing may happen.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: object = None
        self._since = time.monotonic()

    def is_over(self, seen: object) -> bool:
        """Tell whether nothing has happened for too long; ``seen`` is another value when something has."""
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since > self._seconds


def _innermost(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    """Return what a task waits for, through other tasks that it waits for."""
    waits_for: asyncio.Future[Any] | None = task._fut_waiter  # type: ignore[attr-defined]
    while isinstance(waits_for, asyncio.Task):
        waits_for = waits_for._fut_waiter  # type: ignore[attr-defined]
    return waits_for
