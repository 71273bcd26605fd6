from __future__ import annotations

import asyncio
import functools
import gc
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from anyio import create_task_group, fail_after

from router.context import Context
from router.dispatch import Dispatcher, Target
from router.events import Event
from router.inbox import Claim, DeliveryFilter
from router.inbox.memory import MemoryInbox
from router.redaction import Redactor
from router.watchdog import Watchdog
from tests.inbox.build import entry, event
from tests.test_dispatch import route

Record = MutableMapping[str, Any]

#: Seconds after which a test gives up.
PATIENCE = 30.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Told:
    """What the watchdog tells; whoever blocks can wait for that."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.blocking = threading.Event()

    def __call__(self, _: Any, __: str, record: Record) -> Record:
        if record["event"] in {"handler.blocking", "loop.blocking", "loop.freed"}:
            self.records.append({**record, "thread": threading.current_thread().name})
        if record["event"] in {"handler.blocking", "loop.blocking"}:
            self.blocking.set()
        raise structlog.DropEvent

    def facts(self) -> list[tuple[str, Record]]:
        """Return the records without their durations and places."""
        left_out = {"event", "duration", "where", "called_from", "thread", "event_id", "attempt"}
        return [(r["event"], {k: v for k, v in r.items() if k not in left_out}) for r in self.records]

    @property
    def line(self) -> str:
        """The innermost line of this module that the first record names."""
        return str(self.records[0]["called_from"] or self.records[0]["where"])


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    structlog.configure(processors=[told])
    # What thousands of earlier tests left behind is collected now, and not for half a second in a handler.
    gc.collect()
    gc.disable()
    yield told
    gc.enable()
    structlog.reset_defaults()


def target(handler: Callable[..., Any], name: str = "orders", handler_name: str = "h") -> Target:
    is_async = asyncio.iscoroutinefunction(handler)
    of = route(name, handler=handler_name, concurrency=64, timeout=PATIENCE)
    return Target(route=of, handler=handler, is_async=is_async, plugin="test 1.0", options={})


class Running:
    """A dispatcher that runs on an inbox in memory."""

    def __init__(self, *targets: Target) -> None:
        self.inbox = MemoryInbox({t.route.name: t.route.concurrency for t in targets})
        self.dispatcher = Dispatcher(
            self.inbox,
            {t.route.name: t for t in targets},
            concurrency=64,
            redact=Redactor([]),
            on_dead=lambda *_: None,
        )

    async def handled(self) -> None:
        """Wait until no delivery is left to do."""
        with fail_after(PATIENCE):
            while {record.status for record in self.inbox.deliveries(DeliveryFilter(), 1000)} - {"done"}:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*targets: Target) -> AsyncIterator[Running]:
    run = Running(*targets)
    async with create_task_group() as tasks:
        await tasks.start(run.dispatcher.run)
        yield run
        await run.dispatcher.stop(PATIENCE)


def sleeping(until: threading.Event) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until.is_set() and time.monotonic() < deadline:
        time.sleep(0.3)


def computing(until: threading.Event) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until.is_set() and time.monotonic() < deadline:
        pass


def elsewhere() -> Callable[[threading.Event], Awaitable[None]]:
    """Return a coroutine function of a library's module, which waits there until something is said."""
    names: dict[str, Any] = {"__name__": "acme.library", "sleep": time.sleep, "turns": int(PATIENCE / 0.3)}
    source = "async def work(said):\n    for _ in range(turns): said.is_set() or sleep(0.3)\n"
    exec(compile(source, "/lib/acme/library.py", "exec"), names)
    work: Callable[[threading.Event], Awaitable[None]] = names["work"]
    return work


@pytest.mark.parametrize("block", [sleeping, computing])
async def test_a_handler_that_blocks_is_named_while_it_does_and_the_end_is_told(
    told: Told, block: Callable[[threading.Event], None]
) -> None:
    async def handler(event: Event, context: Context) -> None:
        block(told.blocking)

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.handled()

    facts = {"plugin": "test 1.0", "handler": "h", "route": "orders", "delivery": 1}
    assert told.facts() == [("handler.blocking", facts), ("loop.freed", facts)]
    assert [(r["event_id"], r["attempt"]) for r in told.records] == [("00000001", 1)] * 2
    begun, ended = told.records
    assert 0.25 <= begun["duration"] <= ended["duration"] < PATIENCE
    assert begun["thread"] == "watchdog"
    assert told.line.startswith(f"{__file__}:")
    assert told.line.endswith(f" {block.__name__}")


async def test_the_line_of_the_plugin_is_told_where_a_library_blocks_for_it(told: Told) -> None:
    work = elsewhere()

    async def handler(event: Event, context: Context) -> None:
        await work(told.blocking)

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.handled()

    assert told.records[0]["where"] == "/lib/acme/library.py:2 work"
    assert told.line.endswith(".handler")
    assert told.facts()[0][1]["handler"] == "h"


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="needs the clock of another thread")
async def test_a_call_that_lets_no_other_thread_run_is_told_when_it_ends(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None:
        sum(range(2_000_000 << context.delivery.id))

    async with running(target(handler)) as run:
        for number in range(1, 7):
            if not told.blocking.is_set():
                await run.inbox.put(entry(event(number)))
                await run.handled()

    assert [name for name, _ in told.facts()] == ["handler.blocking", "loop.freed"]
    assert told.line.endswith(".handler")


async def test_a_task_that_a_handler_left_behind_is_named_by_the_modules_on_its_stack(told: Told) -> None:
    tasks = []

    async def left_behind() -> None:
        sleeping(told.blocking)

    async def handler(event: Event, context: Context) -> None:
        tasks.append(asyncio.create_task(left_behind()))

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.handled()
        await asyncio.gather(*tasks)

    facts = {"plugin": "test 1.0", "handler": "h", "route": "orders"}
    assert told.facts() == [("handler.blocking", facts), ("loop.freed", facts)]
    assert told.line.endswith(" sleeping")


async def test_what_handlers_of_one_module_do_not_share_is_not_told_of_a_task_left_behind(told: Told) -> None:
    async def one(event: Event, context: Context) -> None: ...
    async def other(event: Event, context: Context) -> None: ...
    async def left_behind() -> None:
        sleeping(told.blocking)

    async with running(target(one, "orders", "one"), target(other, "audit", "other")):
        await asyncio.create_task(left_behind())

    facts = {"plugin": "test 1.0", "handler": None, "route": None}
    assert told.facts() == [("handler.blocking", facts), ("loop.freed", facts)]


async def test_what_is_no_handlers_is_told_without_one(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None: ...

    async with running(target(handler)):
        await asyncio.ensure_future(elsewhere()(told.blocking))

    assert told.facts() == [("loop.blocking", {}), ("loop.freed", {})]
    assert told.records[0]["where"] == "/lib/acme/library.py:2 work"


async def test_a_plain_function_may_block_its_thread(told: Told) -> None:
    looked = threading.Event()

    def handler(event: Event, context: Context) -> None:
        assert looked.wait(PATIENCE)

    async with running(target(handler), target(watched(told, looked), "other")) as run:
        await run.inbox.put(entry(event(1)))
        await run.inbox.put(entry(event(2), "other"))
        await run.handled()

    assert {record["route"] for record in told.records} == {"other"}


def watched(told: Told, looked: threading.Event) -> Callable[[Event, Context], Awaitable[None]]:
    """Return a handler that blocks until it is told of, and says so."""

    async def handler(event: Event, context: Context) -> None:
        sleeping(told.blocking)
        looked.set()

    return handler


# No false alarm


def compute(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


async def test_many_short_handlers_are_no_block_however_long_a_turn_of_the_loop_takes(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None:
        compute(0.01)
        await asyncio.sleep(0)
        compute(0.01)

    async with running(target(handler)) as run:
        for number in range(64):
            await run.inbox.put(entry(event(number, chat=str(number))))
        await run.handled()

    assert told.records == []


async def test_a_handler_that_lets_others_run_again_and_again_is_no_block(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None:
        for _ in range(30):
            compute(0.04)
            await asyncio.sleep(0)

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.handled()

    assert told.records == []


async def test_one_lane_after_the_other_in_the_same_carrier_is_no_block(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None:
        compute(0.01)

    async with running(target(handler)) as run:
        for number in range(60):
            await run.inbox.put(entry(event(number)))
        await run.handled()

    assert told.records == []


async def test_one_claim_after_the_other_in_one_step_is_no_block(told: Told) -> None:
    now = [Claim(0, "orders", "a", event(0))]

    async def handler(event: Event, context: Context) -> None: ...

    with Watchdog(lambda _: now[-1], {"orders": target(handler)}):
        for number in range(60):
            now.append(Claim(number, "orders", "a", event(number)))
            compute(0.01)

    assert told.records == []


async def test_many_short_tasks_that_are_no_carriers_are_no_block(told: Told) -> None:
    async def short() -> None:
        compute(0.01)

    with Watchdog(lambda _: None, {}):
        await asyncio.gather(*[short() for _ in range(60)])

    assert told.records == []


async def test_the_watchdog_goes_with_the_dispatcher(told: Told) -> None:
    async def handler(event: Event, context: Context) -> None: ...

    async with running(target(functools.partial(handler))):
        assert "watchdog" in {thread.name for thread in threading.enumerate()}
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
