"""The right half: lane → handler → outcome → settle.

Carriers, as many as deliveries may run at once, each claim a delivery, call its handler and settle
it. Nothing a handler does leaves its carrier.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import inf
from random import random
from typing import Any

import structlog
from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    create_task_group,
    current_effective_deadline,
    move_on_after,
)
from anyio.abc import TaskStatus

from router import clock
from router.context import BlockingContext, Context, Delivery, Services, current_delivery
from router.errors import GiveUp, RetryLater
from router.events import Event
from router.inbox import Attempt, AttemptOutcome, Claim, Dead, Done, Inbox, Outcome, Retry
from router.limits import Limit, Limits
from router.routing import Order, Route
from router.threads import Threads
from router.watchdog import Watchdog

_log = structlog.get_logger("router.dispatch")

#: Deliveries that a carrier handles without letting anyone else run, if none of them waits for anything.
_IN_A_ROW = 16

#: Called when a delivery becomes a dead letter.
OnDead = Callable[[Claim, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A route with the handler it names."""

    route: Route
    handler: Callable[[Event, Any], Any]
    is_async: bool
    #: Name and version of the plugin that offers the handler.
    plugin: str
    #: As the handler gets them.
    options: Any
    services: Services | None = None


class Dispatcher:
    """Calls handlers for what the inbox hands out.

    Args:
        inbox: Where claims come from and outcomes go.
        targets: By route name.
        concurrency: Deliveries that run at once, over all routes.
        redact: Takes secrets out of what a handler's exception says.
        on_dead: Told of each dead letter.
    """

    def __init__(
        self,
        inbox: Inbox,
        targets: Mapping[str, Target],
        *,
        concurrency: int,
        redact: Callable[[str], str],
        on_dead: OnDead,
    ) -> None:
        self._inbox = inbox
        self._targets = targets
        self._concurrency = concurrency
        self._redact = redact
        self._on_dead = on_dead
        self._threads = {
            name: Threads(f"route-{name}", target.route.concurrency)
            for name, target in targets.items()
            if not target.is_async
        }
        self._limits = Limits(inbox.started)
        self._watchdog = Watchdog(self._limits.work_of, targets)
        self._running: CancelScope | None = None
        self._finished = asyncio.Event()
        self._tells_done = _log.is_enabled_for(logging.DEBUG)

    @property
    def is_running(self) -> bool:
        """Whether deliveries are being carried."""
        return self._running is not None and not self._finished.is_set()

    def at_work(self) -> list[tuple[asyncio.Task[object], Claim]]:
        """Return what is handled now, each with the task that calls its handler."""
        return self._limits.at_work()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Carry deliveries until `stop` is called."""
        with self._watchdog, CancelScope() as self._running:
            async with create_task_group() as tasks:
                tasks.start_soon(self._limits.watch)
                async with create_task_group() as carriers:
                    for _ in range(self._concurrency):
                        carriers.start_soon(self._carry)
                    task_status.started()
                tasks.cancel_scope.cancel()
        self._finished.set()

    async def stop(self, grace: float) -> None:
        """Claim nothing more; let what runs finish for ``grace`` seconds, then give it back to the inbox."""
        self._inbox.stop_claims()
        with move_on_after(grace):
            await self._finished.wait()
        if self._running is not None:
            self._running.cancel()

    async def _carry(self) -> None:
        limit = self._limits.of_this_task()
        while True:
            try:
                await self._carry_deliveries(limit)
            except asyncio.CancelledError:
                if _is_cut_off():
                    raise
                limit.forgive()  # a handler cancelled this task, and was gone before that reached it
            else:
                return

    async def _carry_deliveries(self, limit: Limit[Claim]) -> None:
        carried = 0
        while (claim := await self._inbox.claim()) is not None:
            target = self._targets[claim.route]
            delivery = Delivery(claim.id, claim.event.id, claim.route, target.route.handler, claim.attempt)
            token = current_delivery.set(delivery)
            try:
                self._inbox.settle(claim, await self._outcome(claim, target, delivery, limit))
            except asyncio.CancelledError:
                _log.warning("delivery.interrupted", **_facts(claim))
                self._inbox.release(claim)
                raise
            finally:
                current_delivery.reset(token)
            carried += 1
            if carried % _IN_A_ROW == 0 or limit.task.cancelling():  # by its handler: not for the next one
                await asyncio.sleep(0)

    async def _outcome(
        self, claim: Claim, target: Target, delivery: Delivery, limit: Limit[Claim]
    ) -> Outcome:
        if refusal := _refusal(claim, target.route):
            return self._dead(claim, refusal, None)
        context = Context(claim.event, delivery, target.options, target.services)
        try:
            if target.is_async:
                call = partial(target.handler, claim.event, context)
                attempt, after = await self._attempt(claim, target, limit, call)
            else:
                attempt, after, overdue = await self._attempt_in_thread(claim, target, limit, context)
                if overdue:
                    return self._dead(claim, overdue, attempt)
        finally:
            context.close()
        if attempt.outcome is AttemptOutcome.DONE:
            if self._tells_done:
                _log.debug("delivery.done", duration=round(attempt.duration, 6), **_facts(claim))
            return Done(attempt)
        return self._next(claim, target.route, attempt, after)

    async def _attempt(
        self, claim: Claim, target: Target, limit: Limit[Claim], call: Callable[[], Awaitable[Any]]
    ) -> tuple[Attempt, float | None]:
        """Call the handler once; return what came of it and, if the handler said so, when to try again."""
        started_at, started = clock.now(), clock.seconds()
        outcome, error, trace, after = AttemptOutcome.DONE, None, None, None
        limit.set(target.route.timeout, claim)
        try:
            await call()
        except RetryLater as exc:
            outcome, error, after = AttemptOutcome.RETRY_LATER, exc.reason or "RetryLater", exc.after
        except GiveUp as exc:
            outcome, error = AttemptOutcome.GAVE_UP, exc.reason or "GiveUp"
        except asyncio.CancelledError as exc:
            if limit.clear():
                outcome, error = AttemptOutcome.TIMEOUT, f"no end after {target.route.timeout:g} s (timeout)"
            elif _is_cut_off():
                raise
            else:  # a cancellation that the handler let escape, or that it asked for
                limit.forgive()
                outcome, error, trace = AttemptOutcome.ERROR, _one_line(exc), _traceback(exc)
        except BaseException as exc:  # whatever it is, it is this handler's and nobody else's
            outcome, error, trace = AttemptOutcome.ERROR, _one_line(exc), _traceback(exc)
        finally:
            limit.clear()
        attempt = Attempt(
            number=claim.attempt,
            started_at=started_at,
            duration=clock.seconds() - started,
            outcome=outcome,
            error=error and self._redact(error),
            traceback=trace and self._redact(trace),
            plugin=target.plugin,
        )
        return attempt, after

    async def _attempt_in_thread(
        self, claim: Claim, target: Target, limit: Limit[Claim], context: Context
    ) -> tuple[Attempt, float | None, str | None]:
        """Call a ``def`` handler once; if it does not end, also return why its lane waits for it no longer.

        A thread cannot be stopped: after its timeout the lane is held until it ends by itself, since
        no two deliveries of a lane run at once, but no longer than a failing delivery may hold it.
        """
        threads = self._threads[claim.route]
        if threads.all_taken:
            _log.warning("handler.no_thread", plugin=target.plugin, delivery=claim.id, **_facts(claim))
        call = partial(target.handler, claim.event, BlockingContext(context))
        ended = await threads.begin(call)

        async def wait() -> None:
            result = await asyncio.shield(ended)
            if inspect.isawaitable(result):  # a lambda, say, that calls an async function
                await result

        attempt, after = await self._attempt(claim, target, limit, wait)
        if not ended.done():
            _log.warning("handler.overdue", plugin=target.plugin, delivery=claim.id, **_facts(claim))
            left = target.route.max_lane_block - claim.blocked - attempt.duration
            await asyncio.wait([ended], timeout=max(0.0, left))
        if ended.done():
            return attempt, after, None
        most = target.route.max_lane_block
        return attempt, after, f"the handler still runs in its thread after max_lane_block ({most:g} s)"

    def _next(self, claim: Claim, route: Route, attempt: Attempt, after: float | None) -> Outcome:
        """Decide what follows a failed attempt: another one, or the end."""
        if attempt.outcome is AttemptOutcome.GAVE_UP:
            return self._dead(claim, f"gave up: {attempt.error}", attempt)
        delay = route.retry.next(claim.round_attempt, random)
        if delay is None:
            return self._dead(claim, f"{claim.round_attempt} attempts failed: {attempt.error}", attempt)
        if after is not None:
            delay = max(0.0, after)
        if route.order is not Order.NONE:
            left = route.max_lane_block - claim.blocked - attempt.duration
            if left <= 0:
                reason = f"held up its lane for max_lane_block ({route.max_lane_block:g} s): {attempt.error}"
                return self._dead(claim, reason, attempt)
            delay = min(delay, left)  # its last chance, when the lane is to go on
        _log.warning(
            "delivery.failed",
            delivery=claim.id,
            outcome=attempt.outcome.value,
            error=attempt.error,
            next_attempt_at=(clock.now() + timedelta(seconds=delay)).isoformat(timespec="milliseconds"),
            exception=attempt.traceback,
            **_facts(claim),
        )
        return Retry(attempt, delay)

    def _dead(self, claim: Claim, reason: str, attempt: Attempt | None) -> Dead:
        trace = attempt.traceback if attempt else None
        _log.error("delivery.dead", delivery=claim.id, error=reason, exception=trace, **_facts(claim))
        self._on_dead(claim, reason)
        return Dead(reason, attempt)


def _is_cut_off() -> bool:
    """Whether this task is cancelled from outside, and not by its handler."""
    return current_effective_deadline() == -inf


def _refusal(claim: Claim, route: Route) -> str | None:
    """Say why a delivery is not to be handled at all, if it is not."""
    if claim.round_attempt > route.retry.attempts:
        return f"{claim.round_attempt - 1} attempts failed, the last one with the process that ran it"
    max_age = route.max_age
    if max_age is not None and clock.now() - claim.event.received_at > timedelta(seconds=max_age):
        return f"not handled: older than max_age ({max_age:g} s)"
    return None


def _facts(claim: Claim) -> dict[str, Any]:
    event = claim.event
    return {
        "typeWebhook": event.type,
        "idInstance": event.instance,
        "chatId": event.chat,
        "idMessage": event.id_message,
    }


def _one_line(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split()) if str(exc) else type(exc).__name__


#: Modules whose frames lead from a carrier to its handler.
_ON_THE_WAY = {__name__, "router.arguments", "router.handlers", "router.threads", "asyncio.futures"}


def _traceback(exc: BaseException) -> str:
    """Return the traceback from the handler on, without our own frames that lead to it."""
    frame = exc.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "") in _ON_THE_WAY:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(exc), exc, frame or exc.__traceback__))
