"""Whatever one handler does, the others' deliveries go on, and the dispatcher stops.

Each test lets a bad delivery run, and then expects good ones to be done while it still does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked

from router.context import Context
from router.dispatch import Dispatcher, Target
from router.events import Event
from router.inbox import Inbox
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite.inbox import SqliteInbox
from router.redaction import Redactor
from router.retry import RetryPolicy
from tests.inbox.build import entry, event
from tests.test_dispatch import route, target

#: Seconds after which a test gives up.
PATIENCE = 10.0
#: What inboxes hand out at once if they are not told otherwise.
CONCURRENCY = 256
ONCE = RetryPolicy(attempts=1)

Handle = Callable[[Event, Context], Any]
MakeInbox = Callable[[Sequence[Target]], Inbox]


@pytest.fixture(params=["memory", "sqlite"])
def make_inbox(request: pytest.FixtureRequest, tmp_path: Path) -> MakeInbox:
    def make(targets: Sequence[Target]) -> Inbox:
        routes = {t.route.name: t.route.concurrency for t in targets}
        return (
            MemoryInbox(routes) if request.param == "memory" else SqliteInbox(tmp_path / "inbox.db", routes)
        )

    return make


class Done:
    """The events that a good handler got, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._news = asyncio.Condition()

    async def __call__(self, event: Event, context: Context) -> None:
        async with self._news:
            self.events.append(event.id)
            self._news.notify_all()

    async def wait_for(self, *numbers: int) -> None:
        with fail_after(PATIENCE):
            async with self._news:
                await self._news.wait_for(lambda: {f"{number:08d}" for number in numbers} <= {*self.events})


class Running:
    """A dispatcher that runs."""

    def __init__(self, inbox: Inbox, dispatcher: Dispatcher) -> None:
        self.inbox = inbox
        self.dispatcher = dispatcher

    async def put(self, number: int, route: str = "orders", *, chat: str = "a") -> None:
        await self.inbox.put(entry(event(number, chat=chat), route))


@asynccontextmanager
async def running(
    make_inbox: MakeInbox, *targets: Target, concurrency: int = 8, grace: float = 0.1
) -> AsyncIterator[Running]:
    """Run a dispatcher, and see that it stops although something may hang."""
    inbox = make_inbox(targets)
    dispatcher = Dispatcher(
        inbox,
        {t.route.name: t for t in targets},
        concurrency=concurrency,
        redact=Redactor([]),
        on_dead=lambda *_: None,
    )
    await inbox.open()
    try:
        async with create_task_group() as tasks:
            await tasks.start(dispatcher.run)
            yield Running(inbox, dispatcher)
            with fail_after(PATIENCE):
                await dispatcher.stop(grace)
        assert not dispatcher.is_running
    finally:
        await inbox.close()


def bad(handler: Handle, **settings: Any) -> Target:
    return target(handler, route("bad", **{"timeout": 3600.0, "retry": ONCE, **settings}))


def good(handler: Handle, **settings: Any) -> Target:
    return target(handler, route("good", **settings))


async def test_a_hot_chat_delays_no_other_chat_of_its_route(make_inbox: MakeInbox) -> None:
    done, left = Done(), asyncio.Event()

    async def handler(event: Event, context: Context) -> None:
        if event.chat == "hot":
            await left.wait()
        await done(event, context)

    async with running(make_inbox, target(handler)) as run:
        await asyncio.gather(*[run.put(number, chat="hot") for number in range(1, 1001)])
        await run.put(2001, chat="cold")
        await run.put(2002, chat="cold")
        await done.wait_for(2001, 2002)
        meanwhile = list(done.events)
        left.set()
        await done.wait_for(*range(1, 1001))

    assert meanwhile == ["00002001", "00002002"]
    assert done.events[2:] == [f"{number:08d}" for number in range(1, 1001)]


async def test_a_slow_route_delays_no_other_route(make_inbox: MakeInbox) -> None:
    done = Done()
    turns = 0

    async def slow(event: Event, context: Context) -> None:
        nonlocal turns
        while len(done.events) < 200:
            turns += 1
            await asyncio.sleep(0.001)

    async with running(make_inbox, bad(slow), good(done)) as run:
        for number in range(100):
            await run.put(number, "bad", chat=str(number))
        for number in range(100, 300):
            await run.put(number, "good", chat=str(number))
        await done.wait_for(*range(100, 300))

    assert turns


async def hanging(event: Event, context: Context) -> None:
    await sleep_forever()


async def test_a_hanging_async_def_delays_no_other_route(make_inbox: MakeInbox) -> None:
    done = Done()
    async with running(make_inbox, bad(hanging), good(done)) as run:
        for number in range(20):
            await run.put(number, "bad", chat=str(number))
        await run.put(20, "good")
        await done.wait_for(20)


async def test_a_hanging_async_def_delays_no_other_lane_of_its_route(make_inbox: MakeInbox) -> None:
    done = Done()

    async def handler(event: Event, context: Context) -> None:
        await (sleep_forever() if event.chat == "bad" else done(event, context))

    async with running(make_inbox, bad(handler)) as run:
        await run.put(1, "bad", chat="bad")
        await run.put(2, "bad", chat="bad")
        await run.put(3, "bad", chat="good")
        await run.put(4, "bad", chat="good")
        await done.wait_for(3, 4)


@pytest.mark.parametrize("limit", [3600.0, 0.01], ids=["before its timeout", "after its timeout"])
async def test_a_hanging_def_delays_no_other_route_async_or_not(make_inbox: MakeInbox, limit: float) -> None:
    done, also_done = Done(), Done()
    loop = asyncio.get_running_loop()
    left = threading.Event()

    def hanging(event: Event, context: Context) -> None:
        left.wait(PATIENCE)

    def plain(event: Event, context: Context) -> None:
        asyncio.run_coroutine_threadsafe(also_done(event, context), loop).result()

    plain_target = target(plain, route("plain"))
    try:
        async with running(make_inbox, bad(hanging, timeout=limit), good(done), plain_target) as run:
            for number in range(20):
                await run.put(number, "bad", chat=str(number))
            await run.put(20, "good")
            await run.put(21, "plain")
            await done.wait_for(20)
            await also_done.wait_for(21)
    finally:
        left.set()


async def test_a_handler_that_swallows_cancellation_delays_no_other_and_the_dispatcher_stops(
    make_inbox: MakeInbox,
) -> None:
    done, left, cancelled = Done(), asyncio.Event(), asyncio.Event()

    async def stubborn(event: Event, context: Context) -> None:
        while not left.is_set():
            try:
                await left.wait()
            except asyncio.CancelledError:
                cancelled.set()

    async with running(make_inbox, bad(stubborn, timeout=0.01), good(done), grace=PATIENCE) as run:
        for number in range(4):
            await run.put(number, "bad", chat=str(number))
        with fail_after(PATIENCE):
            await cancelled.wait()
        await run.put(4, "good")
        await done.wait_for(4)
        left.set()


class Odd(BaseException):
    """An exception that is no `Exception`."""


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, SystemExit, StopIteration, Odd]
)
@pytest.mark.parametrize("is_async", [True, False], ids=["async def", "def"])
async def test_whatever_a_handler_raises_ends_its_own_delivery_only(
    make_inbox: MakeInbox, raised: type[BaseException], is_async: bool
) -> None:
    done = Done()

    async def raising(event: Event, context: Context) -> None:
        raise raised("odd")

    def plain(event: Event, context: Context) -> None:
        raise raised("odd")

    async with running(make_inbox, bad(raising if is_async else plain), good(done), concurrency=2) as run:
        for number in range(4):  # more than there are carriers
            await run.put(number, "bad", chat=str(number))
        await run.put(4, "good")
        await done.wait_for(4)
        assert run.dispatcher.is_running


@pytest.mark.parametrize("ends", [sleep_forever, ValueError], ids=["hangs", "fails"])
async def test_tasks_that_a_handler_leaves_behind_are_no_matter_to_others(
    make_inbox: MakeInbox, ends: Callable[[], Any]
) -> None:
    done = Done()
    tasks: set[asyncio.Task[None]] = set()

    async def left_behind() -> None:
        ended = ends()
        if isinstance(ended, Exception):
            raise ended
        await ended

    async def spawning(event: Event, context: Context) -> None:
        tasks.update(asyncio.create_task(left_behind()) for _ in range(10))

    async with running(make_inbox, bad(spawning), good(done)) as run:
        for number in range(4):
            await run.put(number, "bad", chat=str(number))
        await run.put(4, "good")
        await done.wait_for(4)

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_handler_that_cancels_its_own_task_ends_its_own_delivery_only(make_inbox: MakeInbox) -> None:
    done = Done()

    async def suicidal(event: Event, context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with running(make_inbox, bad(suicidal), good(done), concurrency=2) as run:
        for number in range(4):
            await run.put(number, "bad", chat=str(number))
        await run.put(4, "good")
        await done.wait_for(4)
        assert run.dispatcher.is_running


async def test_a_cancellation_that_comes_after_its_handler_reaches_no_other_handler(
    make_inbox: MakeInbox,
) -> None:
    done = Done()
    reached: list[str] = []

    async def suicidal(event: Event, context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def attentive(event: Event, context: Context) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            reached.append(event.id)
        await done(event, context)

    async with running(make_inbox, bad(suicidal), good(attentive), concurrency=1) as run:
        await asyncio.gather(
            *[run.put(number, "bad", chat=str(number)) for number in range(4)],
            *[run.put(number, "good", chat=str(number)) for number in range(4, 8)],
        )
        await done.wait_for(*range(4, 8))

    assert reached == []


async def test_a_route_that_hangs_leaves_carriers_to_others_even_if_it_may_have_all(
    make_inbox: MakeInbox,
) -> None:
    done, started = Done(), Done()

    async def hanging(event: Event, context: Context) -> None:
        await started(event, context)
        await sleep_forever()

    targets = [bad(hanging, concurrency=CONCURRENCY), good(done)]
    async with running(make_inbox, *targets, concurrency=CONCURRENCY) as run:
        for number in range(CONCURRENCY + 10):
            await run.put(number, "bad", chat=str(number))
        await started.wait_for(*range(CONCURRENCY - 1))
        await wait_all_tasks_blocked()
        await run.put(1000, "good")
        await done.wait_for(1000)
