"""What plugins hold and run beside handlers starts before the first delivery and stops after the last."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import CancelScope, fail_after, sleep_forever
from anyio import Event as Flag

from router import PluginRoute, PluginTasks, hookimpl, plugins
from router.alerts import Alerts
from router.context import Context, Delivery, current_delivery
from router.errors import PluginError
from router.events import Event
from router.handlers import RouteHandler
from router.lifecycle import Lifecycle
from router.plugins import Plugin, Wanted
from tests.conftest import Log
from tests.inbox.build import entry, event
from tests.test_app import CALL, Folder, taken, variant
from tests.test_dispatch import route, running, target

#: Seconds after which a test gives up.
PATIENCE = 10.0


class Odd(BaseException):
    """An exception that is no `Exception`."""


async def swallow(left: asyncio.Event, cancelled: asyncio.Event) -> None:
    """Do not end when cancelled, until told to leave."""
    while not left.is_set():
        try:
            await left.wait()
        except asyncio.CancelledError:
            cancelled.set()


class Stubborn:
    """Does not end when it is cancelled; does at the end of the block."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []

    async def __call__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        await swallow(self.left, self.cancelled)

    async def __aenter__(self) -> Stubborn:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left.set()
        await asyncio.gather(*self._tasks)


def plugin(name: str, **members: Any) -> Any:
    """Return a plugin whose hooks are these functions, and which registers these classes of handlers."""
    offered = {key: value for key, value in members.items() if isinstance(value, type)}
    hooks = {key: staticmethod(hookimpl(value)) for key, value in members.items() if key not in offered}

    @hookimpl
    def register_handlers(register: Any) -> None:
        for handler_name, handler in offered.items():
            register(handler_name, handler)

    return type(name, (), {"register_handlers": staticmethod(register_handlers), **hooks})()


class Given:
    """A lifecycle of some plugins, with a route for each of their handlers."""

    def __init__(self, *given: Any, optional: Callable[[str, str | None], bool] = lambda *_: False) -> None:
        self.found = plugins.load(Wanted(), None, given)
        assert not self.found.problems, self.found.problems
        self.held: list[str] = []
        self.alerts = Alerts(600)
        self.handlers = [
            RouteHandler(route(f"{name}-route", handler=name, options={}), registered)
            for name, registered in self.found.handlers.items()
        ]
        self._optional = optional

    def lifecycle(self, *, start_within: float = PATIENCE, stop_within: float = PATIENCE) -> Lifecycle:
        return Lifecycle(
            self.found.active,
            self.handlers,
            is_optional=self._is_optional,
            hold=self.held.append,
            alerts=self.alerts,
            start_within=start_within,
            stop_within=stop_within,
        )

    def _is_optional(self, plugin: Plugin, route: str | None) -> bool:
        return self._optional(plugin.name, route)

    async def run(self, **limits: float) -> None:
        """Start and stop."""
        with fail_after(PATIENCE):
            lifecycle = self.lifecycle(**limits)
            await lifecycle.start(None)
            await lifecycle.stop()


@asynccontextmanager
async def started(*given: Any, **limits: float) -> AsyncIterator[Lifecycle]:
    with fail_after(PATIENCE):
        lifecycle = Given(*given).lifecycle(**limits)
        await lifecycle.start(None)
        yield lifecycle
        await lifecycle.stop()


def noting(notes: list[str], name: str = "handler") -> type:
    """Return a class of handlers that notes what becomes of it."""

    class Noting:
        def __init__(self) -> None:
            notes.append(f"{name} made")

        async def start(self) -> None:
            notes.append(f"{name} started")

        async def stop(self) -> None:
            notes.append(f"{name} stopped")

        async def __call__(self, event: Event) -> None:
            notes.append(f"{name} called")

    return Noting


def hooks(notes: list[str], name: str = "plugin") -> dict[str, Callable[..., Any]]:
    """Return hooks that note their calls."""

    async def startup() -> None:
        notes.append(f"{name} started")

    async def shutdown() -> None:
        notes.append(f"{name} stopped")

    return {"startup": startup, "shutdown": shutdown}


# Order


async def test_plugins_start_first_and_stop_last_and_handlers_handle_in_between() -> None:
    notes: list[str] = []
    given = Given(
        plugin("a", **hooks(notes, "a"), one=noting(notes, "one")),
        plugin("b", **hooks(notes, "b"), two=noting(notes, "two")),
    )
    lifecycle = given.lifecycle()
    await lifecycle.start(None)
    (one, _) = given.handlers
    async with running(target(one.call, one.route)) as run:
        await run.inbox.put(entry(event(1), "one-route"))
        await run.settled()
    await lifecycle.stop()
    assert notes == [
        "a started",
        "b started",
        "one made",
        "one started",
        "two made",
        "two started",
        "one called",
        "two stopped",
        "one stopped",
        "b stopped",
        "a stopped",
    ]


async def test_what_is_def_starts_and_stops_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    class Handler:
        def start(self) -> None:
            threads.append(threading.current_thread())

        def stop(self) -> None:
            threads.append(threading.current_thread())

        def __call__(self) -> None: ...

    await Given(plugin("a", it=Handler)).run()
    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_each_route_has_an_object_of_its_own_made_with_what_it_asks_for() -> None:
    made: list[tuple[Any, str]] = []

    class Handler:
        def __init__(self, route: str, http: Any) -> None:
            made.append((http, route))

        async def __call__(self) -> None: ...

    given = Given(plugin("a", it=Handler))
    (first,) = given.handlers
    given.handlers.append(RouteHandler(route("second", options={}), first.registered))
    lifecycle = given.lifecycle()
    http: Any = "the client"
    await lifecycle.start(http)
    await lifecycle.stop()
    assert made == [(http, "it-route"), (http, "second")]


async def test_a_startup_hook_is_told_of_the_routes_that_use_the_plugin() -> None:
    told: list[Sequence[PluginRoute]] = []

    async def startup(routes: Sequence[PluginRoute]) -> None:
        told.append(routes)

    await Given(plugin("a", startup=startup, it=noting([])), plugin("b", other=noting([]))).run()
    assert told == [[PluginRoute("it-route", "it", {})]]


# What does not start


def raising(exception: BaseException) -> Callable[[], Any]:
    async def fail() -> None:
        raise exception

    return fail


def starting(start: Callable[..., Any], stop: Callable[..., Any] = lambda: None) -> type:
    """Return a class of handlers that starts and stops so."""
    members = {"start": staticmethod(start), "stop": staticmethod(stop), "__call__": lambda self, event: None}
    return type("Handler", (), members)


RAISED = {
    "Exception": (ValueError("no"), "ValueError: no"),
    "SystemExit": (SystemExit(3), "SystemExit: 3"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "BaseException": (Odd("no"), "Odd: no"),
    "CancelledError": (asyncio.CancelledError("no"), "CancelledError: no"),
    "GeneratorExit": (GeneratorExit(), "GeneratorExit"),
}
STARTS: dict[str, tuple[Callable[[Callable[..., Any]], Any], str]] = {
    "hook": (lambda fail: plugin("bad", startup=fail), "its hook startup"),
    "start": (
        lambda fail: plugin("bad", it=starting(fail)),
        "the start of its handler 'it' for route 'it-route'",
    ),
}


@pytest.mark.parametrize(("exception", "told"), RAISED.values(), ids=RAISED.keys())
@pytest.mark.parametrize(("make", "what"), STARTS.values(), ids=STARTS.keys())
async def test_what_fails_to_start_is_named_and_what_had_started_is_stopped(
    make: Callable[[Callable[..., Any]], Any], what: str, exception: BaseException, told: str
) -> None:
    notes: list[str] = []
    given = Given(plugin("good", **hooks(notes), handler=noting(notes)), make(raising(exception)))
    with pytest.raises(PluginError) as raised:
        await given.run()
    assert raised.value.plugin == "bad"
    assert raised.value.message.startswith(f"{what} failed: {told} ({__file__}:")
    assert notes[-1] == "plugin stopped"
    assert notes.count("handler started") == notes.count("handler stopped")


async def test_a_class_that_cannot_be_made_is_named() -> None:
    class Handler:
        def __init__(self) -> None:
            sys.exit("no licence")

        async def __call__(self) -> None: ...

    with pytest.raises(PluginError, match=r"the start of its handler 'it' .* failed: SystemExit: no licence"):
        await Given(plugin("bad", it=Handler)).run()


@pytest.mark.parametrize(("make", "what"), STARTS.values(), ids=STARTS.keys())
async def test_what_hangs_at_the_start_is_cut_off_and_named(
    make: Callable[[Callable[..., Any]], Any], what: str
) -> None:
    with pytest.raises(PluginError, match=f"{what} did not end within 0.01 s"):
        await Given(make(sleep_forever)).run(start_within=0.01)


@pytest.mark.parametrize(("make", "what"), STARTS.values(), ids=STARTS.keys())
async def test_what_swallows_its_cancellation_at_the_start_is_left_behind(
    make: Callable[[Callable[..., Any]], Any], what: str
) -> None:
    async with Stubborn() as stubborn:

        async def start() -> None:
            await stubborn()

        with pytest.raises(PluginError, match=f"{what} did not end within 0.01 s"):
            await Given(make(start)).run(start_within=0.01)


async def test_a_def_start_that_hangs_is_left_behind() -> None:
    left = threading.Event()
    try:
        with pytest.raises(PluginError, match=r"the start of its handler 'it' .* did not end within 0.01 s"):
            await Given(plugin("bad", it=starting(left.wait))).run(start_within=0.01)
    finally:
        left.set()


@pytest.mark.parametrize(("make", "what"), STARTS.values(), ids=STARTS.keys())
async def test_what_cancels_its_task_at_the_start_cancels_nobody_else(
    log: Log, make: Callable[[Callable[..., Any]], Any], what: str
) -> None:
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    notes: list[str] = []
    good = plugin("good", **hooks(notes), handler=noting(notes))
    given = Given(make(suicidal), good, optional=lambda name, _: name == "bad")
    await given.run()
    (failed,) = log.named("plugin.failed")
    assert failed["error"] == f"{what} failed: CancelledError"
    assert "plugin started" in notes
    assert notes[-1] == "plugin stopped"


async def test_a_start_that_is_cut_off_from_outside_stops_what_had_started() -> None:
    notes: list[str] = []
    reached = Flag()

    async def hang() -> None:
        reached.set()
        await sleep_forever()

    given = Given(plugin("a", **hooks(notes)), plugin("b", startup=hang))
    start = asyncio.create_task(given.lifecycle().start(None))
    await reached.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert notes == ["plugin started", "plugin stopped"]


@pytest.mark.parametrize(("make", "what"), STARTS.values(), ids=STARTS.keys())
async def test_what_is_slow_to_start_is_told_while_it_is(
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Callable[..., Any]], Any],
    what: str,
) -> None:
    monkeypatch.setattr("router.plugins.loading.SLOW", 0.01)

    async def slow() -> None:
        while not log.named("plugin.slow"):
            await asyncio.sleep(0.001)

    await Given(make(slow)).run()
    (told,) = log.named("plugin.slow")
    assert (told["level"], told["plugin"], told["doing"]) == ("WARNING", "bad", what)


async def test_a_context_that_startup_sets_is_its_own() -> None:
    async def startup() -> None:
        current_delivery.set(Delivery(1, "e", "r", "h", 1))

    async with started(plugin("a", startup=startup)):
        assert current_delivery.get() is None


# What the router can do without


async def test_the_routes_of_an_optional_plugin_that_does_not_start_are_held(log: Log) -> None:
    notes: list[str] = []
    given = Given(
        plugin("bad", startup=raising(OSError("no broker")), one=noting(notes, "one")),
        plugin("good", two=noting(notes, "two")),
        optional=lambda name, _: name == "bad",
    )
    await given.run()
    assert (given.held, notes) == (["one-route"], ["two made", "two started", "two stopped"])
    (failed,), (alert,) = log.named("plugin.failed"), log.named("alert.raised")
    assert (failed["level"], failed["plugin"], failed["held"]) == ("ERROR", "bad", ["one-route"])
    assert failed["error"].startswith("its hook startup failed: OSError: no broker (")
    assert (alert["kind"], alert["subject"]) == ("plugin_failed", "bad")


async def test_the_shutdown_of_a_plugin_that_did_not_start_is_not_called() -> None:
    notes: list[str] = []
    shutdown = hooks(notes)["shutdown"]
    bad = plugin("bad", startup=raising(OSError()), shutdown=shutdown, it=starting(lambda: None))
    await Given(bad, optional=lambda *_: True).run()
    assert notes == []


async def test_a_route_whose_optional_handler_does_not_start_is_held_and_the_plugins_others_go_on(
    log: Log,
) -> None:
    notes: list[str] = []
    bad = plugin("a", **hooks(notes), one=starting(raising(OSError("no broker"))), two=noting(notes, "two"))
    given = Given(bad, optional=lambda _, route: route == "one-route")
    await given.run()
    assert given.held == ["one-route"]
    assert notes == ["plugin started", "two made", "two started", "two stopped", "plugin stopped"]
    assert [record["held"] for record in log.named("plugin.failed")] == [["one-route"]]


async def test_tasks_of_a_plugin_that_does_not_start_are_cancelled() -> None:
    cancelled = Flag()

    async def work() -> None:
        try:
            await sleep_forever()
        finally:
            cancelled.set()

    async def startup(tasks: PluginTasks) -> None:
        tasks.start_soon(work)
        await asyncio.sleep(0)
        raise OSError

    given = Given(plugin("a", startup=startup), optional=lambda *_: True)
    await given.lifecycle().start(None)
    assert cancelled.is_set()


# What does not stop

STOPS: dict[str, tuple[Callable[[Callable[..., Any]], Any], str]] = {
    "hook": (lambda stop: plugin("bad", shutdown=stop), "its hook shutdown"),
    "stop": (
        lambda stop: plugin("bad", it=starting(lambda: None, stop)),
        "the stop of its handler 'it' for route 'it-route'",
    ),
}


@pytest.mark.parametrize(("exception", "told"), RAISED.values(), ids=RAISED.keys())
@pytest.mark.parametrize(("make", "what"), STOPS.values(), ids=STOPS.keys())
async def test_what_fails_to_stop_is_named_and_all_others_stop(
    log: Log, make: Callable[[Callable[..., Any]], Any], what: str, exception: BaseException, told: str
) -> None:
    notes: list[str] = []
    good = [
        plugin(name, **hooks(notes, name), **{f"of-{name}": noting(notes, f"of-{name}")}) for name in "ac"
    ]
    await Given(good[0], make(raising(exception)), good[1]).run()
    assert notes[-4:] == ["of-c stopped", "of-a stopped", "c stopped", "a stopped"]
    (failed,) = log.named("plugin.failed")
    assert (failed["level"], failed["plugin"]) == ("ERROR", "bad")
    assert failed["error"].startswith(f"{what} failed: {told} ({__file__}:")


@pytest.mark.parametrize("swallows", [False, True], ids=["hangs", "swallows its cancellation"])
@pytest.mark.parametrize(("make", "what"), STOPS.values(), ids=STOPS.keys())
async def test_what_hangs_at_the_stop_is_named_and_all_others_stop(
    log: Log, make: Callable[[Callable[..., Any]], Any], what: str, swallows: bool
) -> None:
    notes: list[str] = []
    good = plugin("good", **hooks(notes), handler=noting(notes))
    async with Stubborn() as stubborn:

        async def stop() -> None:
            await (stubborn() if swallows else sleep_forever())

        await Given(good, make(stop)).run(stop_within=0.01)
    assert notes[-2:] == ["handler stopped", "plugin stopped"]
    (failed,) = log.named("plugin.failed")
    assert (failed["plugin"], failed["error"]) == ("bad", f"{what} did not end within 0.01 s")


async def test_a_def_stop_that_hangs_is_named_and_left_behind(log: Log) -> None:
    left = threading.Event()
    try:
        await Given(plugin("bad", it=starting(lambda: None, left.wait))).run(stop_within=0.01)
    finally:
        left.set()
    assert [record["plugin"] for record in log.named("plugin.failed")] == ["bad"]


async def test_all_stop_although_the_router_is_cancelled() -> None:
    notes: list[str] = []
    lifecycle = Given(plugin("a", **hooks(notes), handler=noting(notes))).lifecycle()
    await lifecycle.start(None)

    with CancelScope() as scope:
        scope.cancel()
        await lifecycle.stop()
    assert notes[-2:] == ["handler stopped", "plugin stopped"]


# Tasks


def with_tasks(name: str, *funcs: Callable[[], Any]) -> Any:
    async def startup(tasks: PluginTasks) -> None:
        for func in funcs:
            tasks.start_soon(func)

    return plugin(name, startup=startup)


class Working:
    """A task that goes on until it is cancelled."""

    def __init__(self) -> None:
        self.is_cancelled = False

    async def __call__(self) -> None:
        try:
            await sleep_forever()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


@pytest.mark.parametrize(("exception", "told"), RAISED.values(), ids=RAISED.keys())
async def test_a_task_that_fails_is_told_with_its_plugin_and_stops_nobody(
    log: Log, exception: BaseException, told: str
) -> None:
    own, others = Working(), Working()
    async with started(with_tasks("bad", raising(exception), own), with_tasks("good", others)):
        while not log.named("plugin.failed"):
            await asyncio.sleep(0)
        assert (own.is_cancelled, others.is_cancelled) == (False, False)
    (failed,), (alert,) = log.named("plugin.failed"), log.named("alert.raised")
    assert (failed["level"], failed["plugin"], failed["held"]) == ("ERROR", "bad", [])
    expected = f"its task raising.<locals>.fail failed: {told} ({__file__}:"
    assert failed["error"].startswith(expected)
    assert (alert["kind"], alert["subject"]) == ("plugin_failed", "bad")
    assert (own.is_cancelled, others.is_cancelled) == (True, True)


async def test_a_task_that_is_no_async_function_is_told(log: Log) -> None:
    async with started(with_tasks("bad", lambda: None)):
        while not log.named("plugin.failed"):
            await asyncio.sleep(0)
    assert "its task with_tasks" not in str(log.named("plugin.failed"))
    assert "<lambda> failed: TypeError: " in log.named("plugin.failed")[0]["error"]


async def test_a_task_that_ends_is_not_told(log: Log) -> None:
    ended = Flag()

    async def work() -> None:
        ended.set()

    async with started(with_tasks("a", work)):
        await ended.wait()
    assert log.named("plugin.failed") == []


async def test_tasks_are_cancelled_after_shutdown() -> None:
    working, seen = Working(), []

    async def startup(tasks: PluginTasks) -> None:
        tasks.start_soon(working)
        await asyncio.sleep(0)

    async def shutdown() -> None:
        seen.append(working.is_cancelled)

    await Given(plugin("a", startup=startup, shutdown=shutdown)).run()
    assert (seen, working.is_cancelled) == ([False], True)


async def test_a_task_may_clean_up_when_it_is_cancelled(log: Log) -> None:
    notes: list[str] = []
    begun = Flag()

    async def work() -> None:
        try:
            begun.set()
            await sleep_forever()
        finally:
            await asyncio.sleep(0.01)
            notes.append("flushed")

    async with started(with_tasks("a", work)):
        await begun.wait()
    assert (notes, log.named("plugin.failed")) == (["flushed"], [])


async def test_a_task_that_fails_when_it_is_cancelled_is_told(log: Log) -> None:
    begun = Flag()

    async def work() -> None:
        try:
            begun.set()
            await sleep_forever()
        finally:
            raise OSError("cannot flush")

    async with started(with_tasks("a", work)):
        await begun.wait()
    (failed,) = log.named("plugin.failed")
    assert "work failed: OSError: cannot flush" in failed["error"]


async def test_a_task_that_swallows_its_cancellation_is_named_and_left_behind(log: Log) -> None:
    async with Stubborn() as stubborn:
        async with started(with_tasks("bad", stubborn)):
            await asyncio.sleep(0)
        assert stubborn.cancelled.is_set()
        (failed,) = log.named("plugin.failed")
    assert failed["plugin"] == "bad"
    assert failed["error"].endswith("did not end within 1 s after it was cancelled")


async def test_a_task_may_begin_others_as_long_as_the_plugin_runs() -> None:
    working, begun = Working(), Flag()
    kept: list[PluginTasks] = []

    async def startup(tasks: PluginTasks) -> None:
        kept.append(tasks)

    async def begin() -> None:
        kept[0].start_soon(working)
        kept[0].start_soon(tell)

    async def tell() -> None:
        begun.set()

    async with started(plugin("a", startup=startup)):
        kept[0].start_soon(begin)
        await begun.wait()
    assert working.is_cancelled
    with pytest.raises(RuntimeError, match="comes too late"):
        kept[0].start_soon(working)


async def test_a_task_that_a_handler_begins_is_none_of_its_delivery() -> None:
    seen: list[Delivery | None] = []
    ended = Flag()
    kept: list[PluginTasks] = []

    async def startup(tasks: PluginTasks) -> None:
        kept.append(tasks)

    async def work() -> None:
        seen.append(current_delivery.get())
        ended.set()

    async def handler(event: Event, context: Context) -> None:
        kept[0].start_soon(work)
        await ended.wait()

    async with started(plugin("a", startup=startup)), running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.settled()
    assert seen == [None]


# A route that waits for its plugin: the whole router


WAITING = """
routes:
  - {name: calls, type: incomingCall, handler: record}
  - {name: waiting, type: incomingCall, handler: mended, concurrency: 1, required: false}
"""
MENDED = """
from router import hookimpl

handled = []

class Handler:
    async def start(self):
        ...

    async def __call__(self, event):
        handled.append(event.id)

@hookimpl
def register_handlers(register):
    register("mended", Handler)

@hookimpl
async def startup():
    ...
"""
#: What the operator mends.
BROKEN = {
    "import": ("raise RuntimeError('no licence')", WAITING),
    "exit at import": ("import sys\nsys.exit(4)", WAITING),
    "startup": (MENDED.replace("async def startup():\n    ...", "async def startup():\n    1 / 0"), WAITING),
    "start": (
        MENDED.replace("async def start(self):\n        ...", "async def start(self):\n        1 / 0"),
        WAITING,
    ),
    "startup of a plugin that is named": (
        MENDED.replace("async def startup():\n    ...", "async def startup():\n    1 / 0"),
        "plugins: [{name: shop, required: false}]" + WAITING.replace(", required: false", ""),
    ),
    "start of a plugin that is named": (
        MENDED.replace("async def start(self):\n        ...", "async def start(self):\n        1 / 0"),
        "plugins: [{name: shop, required: false}]" + WAITING.replace(", required: false", ""),
    ),
}


@pytest.mark.parametrize(("broken", "routes"), BROKEN.values(), ids=BROKEN.keys())
async def test_events_wait_for_a_plugin_that_is_not_required_and_are_delivered_in_order_once_it_is_mended(
    tmp_path: Path, log: Log, broken: str, routes: str
) -> None:
    folder = Folder(tmp_path)
    folder.configure(routes=routes)
    shop = folder.plugins / "shop.py"
    shop.write_text(broken)
    ids = []
    with fail_after(30):
        async with folder.serving() as client:
            for number in range(300):
                body = variant(CALL, idMessage=f"M{number}")
                ids.append((await client.post("/webhook", content=body)).json()["id"])
            others = [(await taken())[0] for _ in ids]
            assert (await client.get("/readyz")).status_code == 200
    assert sorted(others) == sorted(ids)
    waiting = {record.status for record in folder.deliveries if record.route == "waiting"}
    assert waiting == {"pending"}
    failed = log.named("plugin.failed")
    assert [(record["plugin"], record["held"]) for record in failed] == [("shop", ["waiting"])]
    (alert,) = log.named("alert.raised")
    assert (alert["kind"], alert["subject"], alert["held"]) == ("plugin_failed", "shop", ["waiting"])

    shop.write_text(MENDED)
    with fail_after(30):
        async with folder.serving():
            handled = sys.modules["router_plugins_dir.shop"].handled
            while len(handled) < len(ids):
                await asyncio.sleep(0.01)
    assert handled == ids
