from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from anyio import Event as Flag
from anyio import create_task_group, fail_after, sleep_forever

from router.context import Context
from router.dispatch import Dispatcher, Target
from router.errors import GiveUp, RetryLater
from router.events import Event
from router.inbox import Claim, DeliveryFilter, DeliveryRecord
from router.inbox.memory import MemoryInbox
from router.redaction import Redactor
from router.retry import RetryPolicy
from router.routing import Order, Route
from tests.inbox.build import entry, event

AT_ONCE = RetryPolicy(attempts=3, first=0.0, factor=1.0, max=0.0, jitter=0.0)


def route(name: str = "orders", **settings: Any) -> Route:
    given: dict[str, Any] = {
        "types": ("*",),
        "handler": "h",
        "options": {"colour": "red"},
        "when": None,
        "order": Order.CHAT,
        "timeout": 30.0,
        "concurrency": 4,
        "retry": AT_ONCE,
        "max_lane_block": 300.0,
        "max_age": None,
        "stop": False,
        **settings,
    }
    return Route(name=name, **given)


def target(handler: Callable[[Event, Context], Any], of: Route | None = None) -> Target:
    is_async = asyncio.iscoroutinefunction(handler)
    of = of or route()
    return Target(route=of, handler=handler, is_async=is_async, plugin="test 1.0", options=of.options)


class Running:
    """A dispatcher that runs on an inbox in memory."""

    def __init__(self, *targets: Target, secrets: Sequence[str] = ()) -> None:
        self.inbox = MemoryInbox({t.route.name: t.route.concurrency for t in targets})
        self.dead: list[tuple[int, str]] = []
        self.dispatcher = Dispatcher(
            self.inbox,
            {t.route.name: t for t in targets},
            concurrency=8,
            redact=Redactor(secrets),
            on_dead=self._on_dead,
        )
        self._settled = asyncio.Condition()

    def _on_dead(self, claim: Claim, reason: str) -> None:
        self.dead.append((claim.id, reason))

    def deliveries(self) -> list[DeliveryRecord]:
        return [self.inbox.delivery(record.id) for record in self.inbox.deliveries(DeliveryFilter())]

    async def settled(self) -> list[DeliveryRecord]:
        """Wait until no delivery is pending."""
        with fail_after(10):
            while any(record.status == "pending" for record in self.deliveries()):
                await asyncio.sleep(0)
        return self.deliveries()


@asynccontextmanager
async def running(
    *targets: Target, secrets: Sequence[str] = (), grace: float = 5.0
) -> AsyncIterator[Running]:
    run = Running(*targets, secrets=secrets)
    async with create_task_group() as tasks:
        await tasks.start(run.dispatcher.run)
        yield run
        await run.dispatcher.stop(grace)


async def test_a_handler_gets_the_event_its_options_and_which_attempt_it_is() -> None:
    seen: list[Any] = []

    async def handler(event: Event, context: Context) -> None:
        delivery = context.delivery
        seen.append(
            (event, context.options, delivery.route, delivery.handler, delivery.attempt, delivery.event)
        )

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (done,) = await run.settled()

    assert seen == [(event(1), {"colour": "red"}, "orders", "h", 1, "00000001")]
    assert (done.status, done.attempts, done.error) == ("done", 1, None)
    assert [(a.outcome, a.plugin) for a in done.history] == [("done", "test 1.0")]


async def test_a_plain_function_runs_in_a_thread() -> None:
    threads: list[int] = []

    def handler(event: Event, context: Context) -> None:
        threads.append(threading.get_ident())

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (done,) = await run.settled()

    assert done.status == "done"
    assert threads != [threading.get_ident()]


async def test_what_a_plain_function_returns_is_awaited_if_it_can_be() -> None:
    seen: list[str] = []

    async def inner(event: Event) -> None:
        seen.append(event.id)

    async with running(target(lambda event, _: inner(event))) as run:
        await run.inbox.put(entry(event(1)))
        await run.settled()

    assert seen == ["00000001"]


async def test_an_exception_is_retried_by_the_policy_and_each_attempt_is_kept() -> None:
    async def handler(event: Event, context: Context) -> None:
        if context.delivery.attempt < 3:
            raise ValueError(f"not yet\n{context.delivery.attempt}")

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (done,) = await run.settled()

    assert (done.status, done.attempts) == ("done", 3)
    assert [(a.number, a.outcome, a.error) for a in done.history] == [
        (1, "error", "ValueError: not yet 1"),
        (2, "error", "ValueError: not yet 2"),
        (3, "done", None),
    ]
    assert "in handler" in str(done.history[0].traceback)
    assert "router/dispatch.py" not in str(done.history[0].traceback)


async def test_a_delivery_whose_attempts_are_used_up_is_dead_and_told() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise ValueError("never")

    with structlog.testing.capture_logs() as records:
        async with running(target(handler)) as run:
            await run.inbox.put(entry(event(1)))
            (dead,) = await run.settled()

    reason = "3 attempts failed: ValueError: never"
    assert (dead.status, dead.attempts, dead.error) == ("dead", 3, reason)
    assert run.dead == [(1, reason)]
    assert [(r["event"], r["log_level"]) for r in records] == [
        ("delivery.failed", "warning"),
        ("delivery.failed", "warning"),
        ("delivery.dead", "error"),
    ]


async def test_give_up_makes_a_dead_letter_at_once() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise GiveUp("no such customer")

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (dead,) = await run.settled()

    assert (dead.status, dead.attempts, dead.error) == ("dead", 1, "gave up: no such customer")


async def test_retry_later_says_when() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise RetryLater("the shop is closed", after=3600)

    started = datetime.now(UTC)
    async with running(target(handler, route(max_lane_block=7200.0))) as run:
        await run.inbox.put(entry(event(1)))
        with fail_after(10):
            while (waiting := run.deliveries()[0]).due_at is None:
                await asyncio.sleep(0)

    assert (waiting.status, waiting.error) == ("pending", "the shop is closed")
    assert timedelta(seconds=3590) < waiting.due_at - started < timedelta(seconds=3610)


async def test_a_delivery_that_holds_its_lane_too_long_is_dead_and_the_lane_goes_on() -> None:
    async def handler(event: Event, context: Context) -> None:
        if event.id == "00000001":
            raise RetryLater("closed", after=301)

    async with running(target(handler, route(max_lane_block=0.05))) as run:
        await run.inbox.put(entry(event(1)))
        await run.inbox.put(entry(event(2)))
        first, second = await run.settled()

    assert (first.status, first.error) == ("dead", "held up its lane for max_lane_block (0.05 s): closed")
    assert first.attempts == 2  # the second one when its time was over, sooner than it asked for
    assert second.status == "done"


async def test_a_wait_that_the_policy_makes_longer_than_the_lane_may_be_held_is_cut_short() -> None:
    async def handler(event: Event, context: Context) -> None:
        if context.delivery.attempt == 1:
            raise ValueError

    slow = RetryPolicy(attempts=3, first=3600.0, factor=1.0, max=3600.0, jitter=0.0)
    async with running(target(handler, route(max_lane_block=0.05, retry=slow))) as run:
        await run.inbox.put(entry(event(1)))
        (only,) = await run.settled()

    assert (only.status, only.attempts) == ("done", 2)


async def test_a_delivery_whose_attempts_all_ended_with_the_process_is_dead_unhandled() -> None:
    called = []

    async def handler(event: Event, context: Context) -> None:
        called.append(event.id)

    run = Running(target(handler))
    await run.inbox.put(entry(event(1)))
    (delivery,) = run.inbox._deliveries.values()
    delivery.claim.round_attempt = 4  # as an inbox hands it out after three crashes
    async with create_task_group() as tasks:
        await tasks.start(run.dispatcher.run)
        (only,) = await run.settled()
        await run.dispatcher.stop(10)

    assert called == []
    assert (only.status, only.error) == (
        "dead",
        "3 attempts failed, the last one with the process that ran it",
    )


def hanging(release: threading.Event, begun: list[str], ended: list[str]) -> Callable[[Event, Context], None]:
    """Make a ``def`` handler that for the first event does not end before it is released."""

    def handler(event: Event, context: Context) -> None:
        begun.append(event.id)
        if event.id == "00000001" and context.delivery.attempt == 1:
            release.wait(10)
        ended.append(event.id)

    return handler


async def test_a_thread_that_passes_its_timeout_holds_its_lane_until_it_ends() -> None:
    release = threading.Event()
    begun: list[str] = []
    ended: list[str] = []

    with structlog.testing.capture_logs() as records:
        async with running(target(hanging(release, begun, ended), route(timeout=0.2))) as run:
            await run.inbox.put(entry(event(1, chat="a")))
            await run.inbox.put(entry(event(2, chat="a")))
            await run.inbox.put(entry(event(3, chat="b")))
            with fail_after(10):
                while not any(record["event"] == "handler.overdue" for record in records):
                    await asyncio.sleep(0.001)
            begun_meanwhile = list(begun)
            release.set()
            first, *_ = await run.settled()

    assert "00000002" not in begun_meanwhile
    assert [attempt.outcome for attempt in first.history][:: len(first.history) - 1] == ["timeout", "done"]
    of_lane = [id_ for id_ in ended if id_ != "00000003"]
    assert of_lane[:2] == ["00000001", "00000001"]
    assert of_lane == sorted(of_lane)


async def test_a_thread_that_does_not_end_holds_its_lane_no_longer_than_any_failure() -> None:
    release = threading.Event()
    begun: list[str] = []
    ended: list[str] = []

    try:
        of = route(timeout=0.1, max_lane_block=0.2)
        async with running(target(hanging(release, begun, ended), of)) as run:
            await run.inbox.put(entry(event(1)))
            await run.inbox.put(entry(event(2)))
            first, second = await run.settled()
    finally:
        release.set()

    assert first.status == "dead"
    assert first.error == "the handler still runs in its thread after max_lane_block (0.2 s)"
    assert second.status == "done"


async def test_threads_that_do_not_end_take_no_more_than_their_routes_share() -> None:
    release = threading.Event()
    begun: list[str] = []

    def handler(event: Event, context: Context) -> None:
        begun.append(event.id)
        if event.id < "00000003":
            release.wait(10)

    of = route(timeout=0.1, max_lane_block=0.2, concurrency=2)
    with structlog.testing.capture_logs() as logged:
        async with running(target(handler, of)) as run:
            for number in (1, 2, 3):
                await run.inbox.put(entry(event(number, chat=f"c{number}")))
            with fail_after(10):
                while not any(line["event"] == "handler.no_thread" for line in logged):
                    await asyncio.sleep(0.001)
                while sum(record.status == "dead" for record in run.deliveries()) < 2:
                    await asyncio.sleep(0.001)
            begun_meanwhile = list(begun)
            release.set()
            records = await run.settled()

    assert sorted(begun_meanwhile) == ["00000001", "00000002"]
    assert [record.status for record in records] == ["dead", "dead", "done"]


async def test_a_route_without_order_holds_up_no_lane() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise RetryLater("closed", after=301)

    async with running(target(handler, route(max_lane_block=300.0, order=Order.NONE))) as run:
        await run.inbox.put(entry(event(1)))
        with fail_after(10):
            while (waiting := run.deliveries()[0]).due_at is None:
                await asyncio.sleep(0)

    assert waiting.status == "pending"


async def test_a_handler_that_takes_too_long_is_ended_and_retried() -> None:
    async def handler(event: Event, context: Context) -> None:
        if context.delivery.attempt == 1:
            await sleep_forever()

    async with running(target(handler, route(timeout=0.01))) as run:
        await run.inbox.put(entry(event(1)))
        (done,) = await run.settled()

    assert [(a.outcome, a.error) for a in done.history] == [
        ("timeout", "no end after 0.01 s (timeout)"),
        ("done", None),
    ]


async def test_a_timeout_error_of_the_handlers_own_is_an_error() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise TimeoutError("the other side")

    async with running(target(handler, route(retry=RetryPolicy(attempts=1)))) as run:
        await run.inbox.put(entry(event(1)))
        (dead,) = await run.settled()

    assert [(a.outcome, a.error) for a in dead.history] == [("error", "TimeoutError: the other side")]


@pytest.mark.parametrize("of_all", [SystemExit(3), asyncio.CancelledError("stray")], ids=repr)
async def test_not_even_an_exit_leaves_its_delivery(of_all: BaseException) -> None:
    async def handler(event: Event, context: Context) -> None:
        if event.id == "00000001":
            raise of_all

    async with running(target(handler, route(retry=RetryPolicy(attempts=1)))) as run:
        await run.inbox.put(entry(event(1)))
        await run.inbox.put(entry(event(2)))
        first, second = await run.settled()

    assert (first.status, second.status) == ("dead", "done")


async def test_an_exit_in_a_thread_leaves_not_its_delivery_either() -> None:
    async with running(target(lambda *_: sys.exit(3), route(retry=RetryPolicy(attempts=1)))) as run:
        await run.inbox.put(entry(event(1)))
        (dead,) = await run.settled()

    assert dead.error == "1 attempts failed: SystemExit: 3"


async def test_one_failing_handler_does_not_silence_the_others() -> None:
    seen: list[str] = []

    async def failing(event: Event, context: Context) -> None:
        raise ValueError

    async def working(event: Event, context: Context) -> None:
        seen.append(event.id)

    async with running(target(failing, route("orders")), target(working, route("audit"))) as run:
        await run.inbox.put(entry(event(1), "orders", "audit"))
        await run.settled()

    assert seen == ["00000001"]


async def test_a_hanging_lane_delays_no_other_and_a_lane_keeps_its_order() -> None:
    release, seen = Flag(), []

    async def handler(event: Event, context: Context) -> None:
        if event.id == "00000001":
            await release.wait()
        seen.append(event.id)

    async with running(target(handler)) as run:
        for number, chat in [(1, "slow"), (2, "slow"), (3, "fast"), (4, "fast")]:
            await run.inbox.put(entry(event(number, chat=chat)))
        with fail_after(10):
            while len(seen) < 2:
                await asyncio.sleep(0)
        meanwhile = list(seen)
        release.set()
        await run.settled()

    assert meanwhile == ["00000003", "00000004"]
    assert seen == ["00000003", "00000004", "00000001", "00000002"]


async def test_a_delivery_older_than_max_age_is_dead_unhandled() -> None:
    seen: list[str] = []

    async def handler(event: Event, context: Context) -> None:
        seen.append(event.id)

    async with running(target(handler, route(max_age=60.0))) as run:
        await run.inbox.put(entry(event(1, received_at=datetime.now(UTC) - timedelta(seconds=61))))
        await run.inbox.put(entry(event(2, received_at=datetime.now(UTC) - timedelta(seconds=30))))
        first, second = await run.settled()

    assert (first.status, first.attempts, first.error) == (
        "dead",
        0,
        "not handled: older than max_age (60 s)",
    )
    assert second.status == "done"
    assert seen == ["00000002"]


async def test_secrets_in_what_a_handler_raises_are_taken_out() -> None:
    async def handler(event: Event, context: Context) -> None:
        raise GiveUp("token hunter2hunter2 was refused")

    async with running(target(handler), secrets=["hunter2hunter2"]) as run:
        await run.inbox.put(entry(event(1)))
        (dead,) = await run.settled()

    assert dead.error == "gave up: token [secret] was refused"
    assert "hunter2" not in repr(dead)


async def test_on_stop_what_runs_may_finish_and_nothing_more_is_begun() -> None:
    started, seen = Flag(), []

    async def handler(event: Event, context: Context) -> None:
        started.set()
        await asyncio.sleep(0.01)
        seen.append(event.id)

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.inbox.put(entry(event(2)))
        await started.wait()

    assert seen == ["00000001"]
    assert [record.status for record in run.deliveries()] == ["done", "pending"]
    assert not run.dispatcher.is_running


async def test_on_stop_what_does_not_finish_in_time_is_given_back() -> None:
    started = Flag()

    async def handler(event: Event, context: Context) -> None:
        started.set()
        await sleep_forever()

    with structlog.testing.capture_logs() as records:
        async with running(target(handler), grace=0.01) as run:
            await run.inbox.put(entry(event(1)))
            await started.wait()

    (record,) = run.deliveries()
    assert (record.status, record.attempts) == ("pending", 0)
    assert [(r["event"], r["log_level"]) for r in records] == [("delivery.interrupted", "warning")]


async def test_a_partial_of_an_async_function_is_awaited() -> None:
    seen: list[str] = []

    async def handler(prefix: str, event: Event, context: Context) -> None:
        seen.append(prefix + event.id)

    async with running(target(functools.partial(handler, "x"))) as run:
        await run.inbox.put(entry(event(1)))
        await run.settled()

    assert seen == ["x00000001"]
