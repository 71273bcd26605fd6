"""Names the handler that keeps the event loop to itself: an ``async def`` that blocks or computes.

A thread looks at the loop from outside, since a loop that stands still cannot tell of it. One long
step of a task has to be told apart from a loop that has much to do: the thread notes which task runs,
puts a mark into the loop's queue and makes sure that the task still runs. The loop works off its
queue in order, so each later step of that task comes after the mark: while the mark is not passed and
the same task runs, it is the same step.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from asyncio import Task
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, NamedTuple, Protocol

import structlog

from router.inbox import Claim
from router.routing import Route

#: Seconds between two looks.
_TICK = 0.05
#: A step that takes this long blocks the loop, in seconds.
_LONG = 0.25
#: On a machine that lets this thread wait for its turn, a step may have to wait that many times as long.
_PATIENCE = 10
#: What is left of a wait, after each look, of those that are remembered.
_FADE = 0.9
#: A thread that used less CPU time than this has done nothing but wait for its turn, in seconds.
_STILL = 0.00005

_log = structlog.get_logger("router.watchdog")


class Target(Protocol):
    """A route with the handler it names."""

    @property
    def route(self) -> Route:
        """The route."""

    @property
    def handler(self) -> Callable[..., Any]:
        """What is called."""

    @property
    def plugin(self) -> str:
        """Name and version of the plugin that offers the handler."""


class _Mark:
    """An entry in the loop's queue that remembers when it was passed."""

    passed_at: float | None = None

    def __call__(self) -> None:
        self.passed_at = time.monotonic()


class _Moment(NamedTuple):
    """A point in time, by two clocks, in seconds."""

    clock: float
    #: CPU time of the loop's thread.
    cpu: float


class _Loop:
    """The running loop, as another thread sees it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._cpu_time = _cpu_clock(self._thread)

    def now(self) -> _Moment:
        return _Moment(time.monotonic(), self._cpu_time())

    def task(self) -> Task[Any] | None:
        return asyncio.current_task(self._loop)

    def put(self, mark: _Mark) -> None:
        self._loop.call_soon_threadsafe(mark)

    def stack(self) -> list[FrameType]:
        """Return the frames of the running task, innermost first, without those of what runs the loop."""
        task = self.task()
        outermost = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
        frame: FrameType | None = sys._current_frames()[self._thread]
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = None if frame is outermost else frame.f_back
        return frames


@dataclass(slots=True, eq=False)
class _Step:
    """What one task does without letting others run; of a carrier, what it does for one claim."""

    #: Its ``id``: holding the task itself could make this the thread in which it is disposed of.
    task: int
    claim: Claim | None
    mark: _Mark
    #: When it was seen first: it may have begun a look earlier.
    since: _Moment
    #: What was told of it.
    told: dict[str, Any] | None = None


class Watchdog:
    """Watches the running loop while it is entered, and tells of each step that takes too long.

    Lines are written by its own thread, at once. A call into C code that lets no other thread run is
    told of when it ends. A callback that belongs to no task is not seen.

    Args:
        work_of: Returns the claim whose handler a task calls now, if it calls one.
        targets: By route name.
    """

    def __init__(self, work_of: Callable[[Task[Any]], Claim | None], targets: Mapping[str, Target]) -> None:
        self._work_of = work_of
        self._targets = targets
        self._modules = {name: _module(target.handler) for name, target in targets.items()}
        self._step: _Step | None = None
        #: The longest that this thread had to wait for its turn lately, in seconds.
        self._lag = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._watch, args=[_Loop()], name="watchdog", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None, "it was entered"
        self._stopped.set()
        self._thread.join()

    def _watch(self, loop: _Loop) -> None:
        now = loop.now()
        while not self._stopped.wait(_TICK):
            before, now = now, loop.now()
            late = max(0.0, now.clock - before.clock - _TICK)
            # What kept this thread waiting: a call that the loop's thread was in, or else the machine.
            computed = min(late, now.cpu - before.cpu)
            self._lag = max(late - computed, self._lag * _FADE)
            self._look(loop, now, _Moment(now.clock - computed, now.cpu - computed))
        self._end()

    def _look(self, loop: _Loop, now: _Moment, since: _Moment) -> None:
        step = self._step
        if step is None or not self._goes_on(step, loop):
            self._end()
            self._begin(loop, now, since)
        elif step.told is None and self._is_long(step, now):
            stack = loop.stack()
            if self._goes_on(step, loop):  # or else the stack may be another step's
                self._tell(step, stack)

    def _begin(self, loop: _Loop, now: _Moment, since: _Moment) -> None:
        """Note what runs now; a step that was in one call all the while is long already."""
        task = loop.task()
        if task is None:
            return
        self._step = step = _Step(id(task), self._work_of(task), _Mark(), since)
        if self._is_long(step, now):
            stack = loop.stack()
            if loop.now().cpu - now.cpu < _STILL:
                self._tell(step, stack)
        loop.put(step.mark)
        if not self._goes_on(step, loop):
            self._end()

    def _goes_on(self, step: _Step, loop: _Loop) -> bool:
        task = loop.task()
        is_same = task is not None and id(task) == step.task and self._work_of(task) is step.claim
        return is_same and step.mark.passed_at is None

    def _is_long(self, step: _Step, now: _Moment) -> bool:
        """Whether it computes for long, or lasts longer than the machine can be blamed for."""
        most = max(_LONG, _PATIENCE * self._lag)
        return now.cpu - step.since.cpu >= _LONG or now.clock - step.since.clock >= most

    def _tell(self, step: _Step, stack: Sequence[FrameType]) -> None:
        duration = round(time.monotonic() - step.since.clock, 3)
        handler = self._handler(step.claim, stack)
        place = self._place(stack, is_handler=handler is not None)
        step.told = {**(handler or {}), **place}
        if handler is None:
            _log.warning("loop.blocking", duration=duration, **step.told)
        else:
            _log.warning("handler.blocking", duration=duration, **step.told)

    def _end(self) -> None:
        step, self._step = self._step, None
        if step is not None and step.told is not None:
            ended_at = step.mark.passed_at or time.monotonic()
            _log.warning("loop.freed", duration=round(ended_at - step.since.clock, 3), **step.told)

    def _handler(self, claim: Claim | None, stack: Sequence[FrameType]) -> dict[str, Any] | None:
        """Return what is known of the handler that blocks; ``None`` if it is none that can be named.

        Of a task that a handler left behind, the modules on its stack are all there is to go by.
        """
        if claim is not None:
            return {
                **_names([self._targets[claim.route]]),
                "delivery": claim.id,
                "event_id": claim.event.id,
                "attempt": claim.attempt,
            }
        modules = {_module_of(frame) for frame in stack}
        suspects = [self._targets[name] for name, module in self._modules.items() if module in modules]
        return _names(suspects) if suspects else None

    def _place(self, stack: Sequence[FrameType], *, is_handler: bool) -> dict[str, str | None]:
        """Return where the step is, and which line of a plugin led there, if it is another one."""
        modules = set(self._modules.values())
        theirs = [frame for frame in stack if not _is_on_the_way(frame)] if is_handler else []
        where = _told((theirs or stack)[0])
        plugins = next((_told(frame) for frame in theirs if _module_of(frame) in modules), where)
        return {"where": where, "called_from": None if plugins == where else plugins}


def _names(targets: Sequence[Target]) -> dict[str, str | None]:
    """Return plugin, handler and route, each if it is the same for all of them."""

    def common(values: set[str]) -> str | None:
        return values.pop() if len(values) == 1 else None

    return {
        "plugin": common({target.plugin for target in targets}),
        "handler": common({target.route.handler for target in targets}),
        "route": common({target.route.name for target in targets}),
    }


def _module(handler: Callable[..., Any]) -> str | None:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__module__", None)


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _is_on_the_way(frame: FrameType) -> bool:
    return _module_of(frame).partition(".")[0] in {"router", "asyncio"}


def _told(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _cpu_clock(thread: int) -> Callable[[], float]:
    """Return the clock of a thread's CPU time; it stands still on a system that does not tell it."""
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS
        return lambda: 0.0
    return partial(time.clock_gettime, time.pthread_getcpuclockid(thread))
