"""The right half: lane → handler → outcome → settle.

Carriers, as many as deliveries may run at once, each claim a delivery, call its handler and settle
it. Nothing a handler does leaves its carrier.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import random
from time import perf_counter
from typing import Any

import structlog
from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    CapacityLimiter,
    create_task_group,
    move_on_after,
    to_thread,
)
from anyio.abc import TaskStatus

from router.context import Context, Delivery, current_delivery
from router.errors import GiveUp, RetryLater
from router.events import Event
from router.inbox import Attempt, AttemptOutcome, Claim, Dead, Done, Inbox, Outcome, Retry
from router.limits import Limit, Limits
from router.routing import Order, Route

_log = structlog.get_logger("router.dispatch")

#: Called when a delivery becomes a dead letter.
OnDead = Callable[[Claim, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A route with the handler it names."""

    route: Route
    handler: Callable[[Event, Context], Any]
    is_async: bool
    #: Name and version of the plugin that offers the handler.
    plugin: str


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
        self._threads = {name: CapacityLimiter(target.route.concurrency) for name, target in targets.items()}
        self._limits = Limits(inbox.started)
        self._running: CancelScope | None = None
        self._finished = asyncio.Event()

    @property
    def is_running(self) -> bool:
        """Whether deliveries are being carried."""
        return self._running is not None and not self._finished.is_set()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Carry deliveries until `stop` is called."""
        with CancelScope() as self._running:
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
            await asyncio.sleep(0)  # a lane that never waits for anything must not keep the loop to itself

    async def _outcome(
        self, claim: Claim, target: Target, delivery: Delivery, limit: Limit[Claim]
    ) -> Outcome:
        max_age = target.route.max_age
        if max_age is not None and datetime.now(UTC) - claim.event.received_at > timedelta(seconds=max_age):
            return self._dead(claim, f"not handled: older than max_age ({max_age:g} s)", None)
        context = Context(delivery, target.route.options)
        attempt, after = await self._attempt(claim, target, context, limit)
        if attempt.outcome is AttemptOutcome.DONE:
            _log.debug("delivery.done", duration=round(attempt.duration, 6), **_facts(claim))
            return Done(attempt)
        return self._next(claim, target.route, attempt, after)

    async def _attempt(
        self, claim: Claim, target: Target, context: Context, limit: Limit[Claim]
    ) -> tuple[Attempt, float | None]:
        """Call the handler once; return what came of it and, if the handler said so, when to try again."""
        started_at, started = datetime.now(UTC), perf_counter()
        outcome, error, trace, after = AttemptOutcome.DONE, None, None, None
        limit.set(target.route.timeout, claim)
        try:
            await self._call(target, claim.event, context)
        except RetryLater as exc:
            outcome, error, after = AttemptOutcome.RETRY_LATER, exc.reason or "RetryLater", exc.after
        except GiveUp as exc:
            outcome, error = AttemptOutcome.GAVE_UP, exc.reason or "GiveUp"
        except asyncio.CancelledError as exc:
            if limit.clear():
                outcome, error = AttemptOutcome.TIMEOUT, f"no end after {target.route.timeout:g} s (timeout)"
            elif limit.task.cancelling():
                raise
            else:  # a cancellation that the handler let escape
                outcome, error, trace = AttemptOutcome.ERROR, _one_line(exc), _traceback(exc)
        except (Exception, SystemExit) as exc:
            outcome, error, trace = AttemptOutcome.ERROR, _one_line(exc), _traceback(exc)
        finally:
            limit.clear()
        attempt = Attempt(
            number=claim.attempt,
            started_at=started_at,
            duration=perf_counter() - started,
            outcome=outcome,
            error=error and self._redact(error),
            traceback=trace and self._redact(trace),
            plugin=target.plugin,
        )
        return attempt, after

    async def _call(self, target: Target, event: Event, context: Context) -> None:
        if target.is_async:
            await target.handler(event, context)
        else:
            limiter = self._threads[target.route.name]
            result = await to_thread.run_sync(
                target.handler, event, context, limiter=limiter, abandon_on_cancel=True
            )
            if inspect.isawaitable(result):  # a lambda, say, that calls an async function
                await result

    def _next(self, claim: Claim, route: Route, attempt: Attempt, after: float | None) -> Outcome:
        """Decide what follows a failed attempt: another one, or the end."""
        if attempt.outcome is AttemptOutcome.GAVE_UP:
            return self._dead(claim, f"gave up: {attempt.error}", attempt)
        delay = route.retry.next(claim.round_attempt, random)
        if delay is None:
            return self._dead(claim, f"{claim.round_attempt} attempts failed: {attempt.error}", attempt)
        due_at = datetime.now(UTC) + timedelta(seconds=delay if after is None else max(0.0, after))
        blocked_since = claim.blocked_since or attempt.started_at
        if route.order is not Order.NONE and due_at - blocked_since > timedelta(seconds=route.max_lane_block):
            reason = f"held up its lane for max_lane_block ({route.max_lane_block:g} s): {attempt.error}"
            return self._dead(claim, reason, attempt)
        _log.warning(
            "delivery.failed",
            outcome=attempt.outcome.value,
            error=attempt.error,
            next_attempt_at=due_at.isoformat(timespec="milliseconds"),
            exception=attempt.traceback,
            **_facts(claim),
        )
        return Retry(attempt, due_at)

    def _dead(self, claim: Claim, reason: str, attempt: Attempt | None) -> Dead:
        trace = attempt.traceback if attempt else None
        _log.error("delivery.dead", delivery=claim.id, error=reason, exception=trace, **_facts(claim))
        self._on_dead(claim, reason)
        return Dead(reason, attempt)


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


def _is_on_the_way(module: str) -> bool:
    return module == __name__ or module.startswith("anyio.")


def _traceback(exc: BaseException) -> str:
    """Return the traceback from the handler on, without our own frames that lead to it."""
    frame = exc.__traceback__
    while frame is not None and _is_on_the_way(frame.tb_frame.f_globals.get("__name__", "")):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(exc), exc, frame or exc.__traceback__))
