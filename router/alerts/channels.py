"""Alerts on their way to people. A channel that fails, hangs or is slow delays nothing but its own messages.

Each channel has a task of its own, which sends one alert at a time and tries again what was not sent;
what happens meanwhile is gathered in its groups.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from math import inf
from random import random

import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, create_task_group, move_on_after
from anyio.abc import TaskStatus

from router import clock
from router.alerts.groups import Group, Groups
from router.alerts.texts import Composer
from router.config import AlertSettings
from router.errors import GiveUp, RetryLater
from router.events import Alert, JsonObject, Report
from router.retry import RetryPolicy

_log = structlog.get_logger("router.alerts")

#: Sends an alert: returns when it was sent, raises to be called again.
Call = Callable[[Alert], Awaitable[object]]

#: Seconds that a channel has for one alert.
_TIMEOUT = 30.0
#: An alert is tried for a day: 5, 10, 20 … 600 seconds after each failure.
_RETRY = RetryPolicy(attempts=150, first=5.0, factor=2.0, max=600.0)
#: Seconds that channels have, when the router stops, for what waits.
_STOP_GRACE = 5.0
_STOPPED = "the router has stopped before it was sent"
#: What says all there is to say without a traceback.
_EXPECTED = (GiveUp, RetryLater, TimeoutError, asyncio.CancelledError)


class Channels:
    """Every channel that ``alerts:`` of routes.yaml names.

    Args:
        channels: Settings of each, and what sends an alert through it.
        compose: Makes an alert of a report.
        redact: Takes secrets out of what a channel says when it fails.
        timer: Tells seconds that no setting of the clock changes.
        timeout: Seconds that a channel has for one alert.
    """

    def __init__(
        self,
        channels: Iterable[tuple[AlertSettings, Call]],
        *,
        compose: Composer,
        redact: Callable[[str], str],
        timer: Callable[[], float] = clock.seconds,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._channels = [
            _Channel(settings, call, compose, redact, timer, timeout) for settings, call in channels
        ]
        self._running: CancelScope | None = None
        self._finished = asyncio.Event()

    def tell(self, report: Report) -> None:
        """Take in what has happened; never waits."""
        for channel in self._channels:
            channel.tell(report)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Send what is told, until `stop` is called."""
        with CancelScope() as self._running:
            async with create_task_group() as tasks:
                for channel in self._channels:
                    tasks.start_soon(channel.run)
                task_status.started()
        self._finished.set()

    async def stop(self, grace: float = _STOP_GRACE) -> None:
        """Send what waits and may be told now, for ``grace`` seconds; then end `run`."""
        for channel in self._channels:
            channel.finish()
        with move_on_after(grace):
            await self._finished.wait()
        if self._running is not None:
            self._running.cancel()
        for channel in self._channels:
            channel.abandon()


class _Channel:
    """One of them."""

    def __init__(
        self,
        settings: AlertSettings,
        call: Call,
        compose: Composer,
        redact: Callable[[str], str],
        timer: Callable[[], float],
        timeout: float,
    ) -> None:
        self._name = settings.handler
        self._call = call
        self._compose = compose
        self._redact = redact
        self._timer = timer
        self._timeout = timeout
        self._groups = Groups(settings.kinds, settings.every)
        self._changed = asyncio.Event()
        self._is_finishing = False
        #: How many failures there were in a row, and until when nothing is tried because of the last one.
        self._failures = 0
        self._closed_until = -inf
        #: A call that went on after its time.
        self._left: asyncio.Task[BaseException | None] | None = None

    def tell(self, report: Report) -> None:
        if self._groups.add(report, self._timer()):
            self._changed.set()

    def finish(self) -> None:
        self._is_finishing = True
        self._closed_until = -inf
        self._groups.hasten(self._timer())
        self._changed.set()

    def abandon(self) -> None:
        """Log what is not to be sent any more."""
        while group := self._groups.due(self._timer()):
            alert = self._groups.take(group, self._compose)
            self._groups.dropped(group, self._timer())
            self._tell_not_sent(alert, _STOPPED)

    async def run(self) -> None:
        while True:
            self._changed.clear()
            group = self._due()
            if group is not None:
                await self._send(group)
            elif self._is_finishing:
                return
            else:
                await self._wait()

    def _due(self) -> Group | None:
        now = self._timer()
        return self._groups.due(now) if now >= self._closed_until else None

    async def _wait(self) -> None:
        """Wait until something is due, or may be."""
        seconds = max(self._groups.next_at(), self._closed_until) - self._timer()
        with move_on_after(None if seconds == inf else max(0.0, seconds)):
            await self._changed.wait()

    async def _send(self, group: Group) -> None:
        alert = self._groups.take(group, self._compose)
        try:
            error = await self._attempt(alert)
        except asyncio.CancelledError:
            self._tell_not_sent(alert, _STOPPED)
            raise
        if error is None:
            self._failures = 0
            self._groups.sent(group, self._timer())
            _log.debug("alert.sent", **self._facts(alert), count=alert.count, since_last=alert.since_last)
        else:
            self._not_sent(group, alert, error)

    async def _attempt(self, alert: Alert) -> BaseException | None:
        """Call the channel once; return what went wrong.

        The call has a task of its own: one that does not end when it is cancelled is left behind.
        """
        if self._left is not None and not self._left.done():
            return TimeoutError("its last call has not ended yet")
        call = asyncio.create_task(_outcome(self._call, alert))
        try:
            await asyncio.wait([call], timeout=self._timeout)
        finally:
            self._left = call
            call.cancel()
        if not call.done():
            return TimeoutError(f"no end after {self._timeout:g} s")
        return asyncio.CancelledError() if call.cancelled() else call.result()

    def _not_sent(self, group: Group, alert: Alert, error: BaseException) -> None:
        now = self._timer()
        delay = self._delay(group, error)
        if delay is None:
            self._groups.dropped(group, now)
        else:
            self._failures += 1
            self._groups.failed(group, now + delay)
            self._closed_until = now + max(delay, _pause(self._failures))
        trace = None if isinstance(error, _EXPECTED) else "".join(traceback.format_exception(error))
        self._tell_not_sent(alert, _one_line(error), delay, trace)

    def _delay(self, group: Group, error: BaseException) -> float | None:
        """Return after how many seconds the alert is tried again; ``None``: never."""
        if isinstance(error, GiveUp) or self._is_finishing:
            return None
        if isinstance(error, RetryLater) and error.after is not None:
            return max(0.0, error.after)
        return _RETRY.next(group.failures + 1, random)

    def _tell_not_sent(
        self, alert: Alert, error: str, delay: float | None = None, trace: str | None = None
    ) -> None:
        again_at = None if delay is None else clock.now() + timedelta(seconds=delay)
        _log.error(
            "alert.not_sent",
            **self._facts(alert),
            error=self._redact(error),
            next_attempt_at=again_at and again_at.isoformat(timespec="milliseconds"),
            exception=trace and self._redact(trace),
        )

    def _facts(self, alert: Alert) -> JsonObject:
        return {"channel": self._name, "kind": alert.kind.value, "subject": alert.subject}


async def _outcome(call: Call, alert: Alert) -> BaseException | None:
    """Call a channel; return whatever it raises, for it is this channel's and nobody else's."""
    try:
        await call(alert)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:
        return exc
    return None


def _pause(failures: int) -> float:
    """Return the seconds for which a channel that has failed so often in a row is left alone."""
    return _RETRY.next(min(failures, _RETRY.attempts - 1), lambda: 0.0) or 0.0


def _one_line(exc: BaseException) -> str:
    if isinstance(exc, GiveUp):
        return f"gave up: {exc.reason}"
    if isinstance(exc, RetryLater):
        return exc.reason or "RetryLater"
    return " ".join(f"{type(exc).__name__}: {exc}".split()) if str(exc) else type(exc).__name__
