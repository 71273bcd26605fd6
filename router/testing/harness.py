"""The router in a test: the real parts, on an inbox in memory, with a GREEN-API and a clock of its own."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any, Protocol, Self

import orjson

from router import config, loading, units
from router.app import make_inbox
from router.config import AckMode, Config, InboxKind, Instance
from router.containment import contain_tasks
from router.errors import NotFound
from router.events import DeliveryStatus, Event, JsonObject, Receipt, Transport
from router.inbox import Claim, DeliveryFilter, DeliveryRecord
from router.inbox.memory import MemoryInbox
from router.jsontext import dump
from router.loading import Loaded
from router.pipeline import Pipeline
from router.testing import report
from router.testing.clock import Clock, Patience, Time
from router.testing.events import INSTANCES
from router.testing.log import Log
from router.testing.recording import RecordingGreenApi, Sent
from router.testing.report import Received
from router.testing.samples import meant

#: Where files of ``plugins_dir`` are among the modules.
_FILES = "router_plugins_dir."
#: Looks, a millisecond apart, after which a thread has begun with what it was given.
_LOOKS = 200
_NOWHERE = "https://green-api.invalid"

#: The text of a ``routes.yaml``, or its path, or the list of its routes.
Routes = str | Path | Sequence[Mapping[str, Any]]


class RouterHarness:
    """A router that runs in a test, from a notification to the end of its deliveries.

    ``async with RouterHarness(routes) as router`` starts it as ``router serve`` does: routes, plugins and
    options are checked, handlers started. Deliveries are handled in `settle` and `advance`. Time stands
    still but for `advance`: all that waits for it waits for the test.

    Args:
        routes: The text of a ``routes.yaml``, or its path, or the list of its routes.
        plugins: Modules, classes or objects that are plugins, and names of installed ones. What the routes
            name is found without being given here if it is installed.
        instances: ``idInstance`` of those that have an API, where the routes list no instances.
        environ: What ``${NAME}`` in the routes stands for.
        start: The time at which the test begins, with its zone; the real one by default.
        patience: Seconds, of the real clock, that a thread or the network is waited for while nothing
            happens.

    Raises:
        ConfigError: On entering; with every problem of the routes and the plugins, as at the router's start.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        plugins: Sequence[object] = (),
        instances: Sequence[int] = tuple(INSTANCES.values()),
        environ: Mapping[str, str] | None = None,
        start: datetime | None = None,
        patience: float = 5.0,
    ) -> None:
        self._routes = routes
        self._plugins = plugins
        self._instances = instances
        self._environ = environ or {}
        self._patience = patience
        #: What time it is.
        self.clock = Clock(time := Time(start))
        #: The GREEN-API that handlers talk to.
        self.api = RecordingGreenApi()
        self._time = time
        self._log = Log()
        self._received: list[Received] = []
        #: What is not waited for any more: it hangs.
        self._given_up: set[Claim] = set()
        # While it runs
        self._exits = ExitStack()
        self._pipeline: Pipeline | None = None
        self._runs: asyncio.Task[None] | None = None
        self._ends = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            self._exits.enter_context(_modules_restored())
            loaded = _in_memory(loading.complete(self._document(), self._plugins), self._instances)
            self._exits.enter_context(self._time.taken_over())
            self._exits.enter_context(self._log.taken(loaded.config.secrets))
            self._exits.enter_context(_tasks_contained())
            self._pipeline = Pipeline(loaded, make_inbox(loaded.config), self.api)
            await self._start(self._pipeline)
        except BaseException:
            self._exits.close()
            raise
        self._time.stop()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runs is not None, "it was entered"
        with self._exits:
            self._time.go_on()
            self._ends.set()
            await self._end(self._runs)

    # What a test does

    async def send(self, notification: Event | Mapping[str, Any] | bytes) -> Receipt:
        """Let a notification come in; return what GREEN-API would be told.

        Args:
            notification: An event, of which the body is sent; or a body.
        """
        body, transport = _sent(notification)
        receipt = await self._running.intake.receive(body, transport)
        self._received.append(Received.read(body, receipt, transport))
        return receipt

    async def settle(self) -> None:
        """Let everything be done that can be done now, without time passing.

        A handler that sleeps, waits for its retry or hangs is left as it is; one that waits for a thread or
        for the network is waited for, while anything happens within ``patience``.
        """
        await self._settle()

    async def advance(self, time: float | str | timedelta) -> None:
        """Let time pass, and everything be done that becomes due meanwhile, each at its time.

        Args:
            time: Seconds, or as in ``routes.yaml``: ``"90s"``, ``"10m"``, ``"48h"``.

        Raises:
            ValueError: It is no duration, or would go back.
        """
        end = self._time.seconds() + _seconds(time)
        await self._settle()
        while (due := self._time.next_timer()) is not None and due <= end:
            self._time.move_to(max(due, self._time.seconds()))
            await self._settle()
        self._time.move_to(max(end, self._time.seconds()))
        await self._settle()

    # What there is to see

    @property
    def replies(self) -> list[str]:
        """The texts that were sent with ``sendMessage``, in order."""
        return [str(sent.arguments.get("message")) for sent in self.api.sent if sent.method == "sendMessage"]

    def deliveries(self, route: str | None = None) -> list[DeliveryRecord]:
        """Return the deliveries, of one route or all, oldest first, each with its attempts.

        Raises:
            NotFound: There is no such route.
        """
        if route is not None:
            self._check_route(route)
        inbox = self._inbox
        for _, claim in self._at_work():
            inbox.started(claim)  # the router says so only of what takes a while
        listed = inbox.deliveries(DeliveryFilter(route=route), limit=sys.maxsize)
        return [inbox.delivery(record.id) for record in listed]

    @property
    def dead(self) -> list[DeliveryRecord]:
        """The dead letters."""
        return [record for record in self.deliveries() if record.status is DeliveryStatus.DEAD]

    @property
    def logs(self) -> list[JsonObject]:
        """Every line that was logged, from DEBUG on: ``event``, ``level`` and what else it says."""
        return self._log.lines

    @property
    def alerts(self) -> list[JsonObject]:
        """The lines that told of an alert, or that it is over."""
        return [line for line in self.logs if str(line["event"]).startswith("alert.")]

    def report(self) -> str:
        """Say, for a person, what came in, what became of it, and what still runs."""
        return report.written(
            self._received,
            self._running.table,
            self.deliveries(),
            self._at_work(),
            self.api,
            self.logs,
            self._time.now,
        )

    # What a test expects

    def assert_done(self, route: str | None = None, *, count: int | None = None) -> None:
        """Hold that deliveries are done: all there are, and at least one.

        Args:
            route: Those of one route only.
            count: How many there are.
        """
        __tracebackhide__ = True
        found = self.deliveries(route)
        done = [record for record in found if record.status is DeliveryStatus.DONE]
        wanted = f"expected {_number(count)}{_of(route)} to be done"
        if not found or len(done) != len(found) or (count is not None and len(done) != count):
            self._fail(f"{wanted}, found {_counted(found)}")

    def assert_dead(self, route: str | None = None, *, reason: str = "") -> None:
        """Hold that there is a dead letter.

        Args:
            route: Of this route.
            reason: A part of why it is dead.
        """
        __tracebackhide__ = True
        found = self.deliveries(route)
        dead = [str(record.error) for record in found if record.status is DeliveryStatus.DEAD]
        if not any(reason in error for error in dead):
            why = f" because of {reason!r}" if reason else ""
            but = f"dead because of {' and '.join(map(repr, dead))}" if dead else _counted(found)
            self._fail(f"expected a dead letter{_of(route)}{why}, found {but}")

    def assert_replied(self, text: str) -> None:
        """Hold that a text was sent, word by word."""
        __tracebackhide__ = True
        if text not in self.replies:
            found = _listed(map(repr, self.replies), "no reply")
            self._fail(f"expected the reply {text!r}, found {found}")

    def assert_no_reply(self) -> None:
        """Hold that no text was sent."""
        __tracebackhide__ = True
        if self.replies:
            self._fail(f"expected no reply, found {_listed(map(repr, self.replies), '')}")

    def assert_sent(self, method: str, **arguments: Any) -> None:
        """Hold that a method of GREEN-API was called, with these arguments among others."""
        __tracebackhide__ = True
        if not any(sent.method == method and _has(sent.arguments, arguments) for sent in self.api.sent):
            sent = _listed(map(report.call, self.api.sent), "nothing was sent")
            self._fail(f"expected {report.call(Sent(0, method, arguments))}, found {sent}")

    def _fail(self, message: str) -> None:
        __tracebackhide__ = True
        raise AssertionError(f"{message}\n\n{self.report()}")

    # Start and end

    def _document(self) -> config.Document:
        if isinstance(self._routes, Path):
            return config.read(self._routes, self._environ)
        here = Path("routes.yaml")
        if isinstance(self._routes, str):
            return config.parse(dedent(self._routes), here, self._environ)
        return config.parse(dump({"routes": list(self._routes)}, indent=True), here, self._environ)

    async def _start(self, pipeline: Pipeline) -> None:
        """Run the router in a task of its own: a fixture may end in another one than it began in."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with pipeline.running():
                started.set_result(None)
                await self._ends.wait()

        self._runs = asyncio.create_task(run(), name="RouterHarness")
        await asyncio.wait({self._runs, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._runs.done():  # it has failed
            self._runs.result()

    async def _end(self, runs: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait({runs}, timeout=self._patience)
        if not done:
            hanging = ", ".join(report.at_work(self._at_work()))
            runs.cancel()
            raise RuntimeError(f"a handler does not end when it is cancelled: {hanging}")
        runs.result()

    # What is left to do

    async def _settle(self) -> None:
        """Return when nothing is ready twice in a row, and nothing is waited for."""
        patience, calm = Patience(self._patience), 0
        while not patience.is_over(self._progress()):
            calm = 0 if await self._time.turn() else calm + 1
            if calm >= 2:
                if not self._is_waited_for(calm):
                    return
                self._time.wait_for_the_world()
        self._given_up.update(claim for _, claim in self._at_work())

    def _is_waited_for(self, looks: int) -> bool:
        """Tell whether something from outside may let a handler go on.

        A thread that was just given something to do may not have begun, so it takes some looks to say no.
        """
        works = any(
            claim not in self._given_up and not self._time.is_slept(task) for task, claim in self._at_work()
        )
        return works and (looks < _LOOKS or self._time.can_be_woken())

    def _progress(self) -> tuple[int, ...]:
        return self._log.size, len(self.api.sent), len(self.api.failed)

    @property
    def _running(self) -> Pipeline:
        assert self._pipeline is not None, "a RouterHarness is used inside its context"
        return self._pipeline

    def _at_work(self) -> list[tuple[asyncio.Task[object], Claim]]:
        dispatcher = self._running.dispatcher
        return dispatcher.at_work() if dispatcher is not None else []

    @property
    def _inbox(self) -> MemoryInbox:
        inbox = self._running.inbox
        assert isinstance(inbox, MemoryInbox), "it was made for that"
        return inbox

    def _check_route(self, route: str) -> None:
        known = [each.name for each in self._running.table.routes]
        if route not in known:
            raise NotFound(f"no route is named {route!r}{meant(route, known)}")


class StartRouter(Protocol):
    """The fixture ``router_harness``: starts a router that ends with the test."""

    async def __call__(
        self,
        routes: Routes,
        *,
        plugins: Sequence[object] = (),
        instances: Sequence[int] = ...,
        environ: Mapping[str, str] | None = None,
        start: datetime | None = None,
        patience: float = ...,
    ) -> RouterHarness:
        """Start a router; see `RouterHarness`."""


def _in_memory(loaded: Loaded, instances: Sequence[int]) -> Loaded:
    """Return what was loaded, for a router that keeps nothing and is answered when an event is stored."""
    settings = loaded.config
    given = tuple(Instance(id=each, api_url=_NOWHERE, token="token") for each in instances)  # noqa: S106
    changed: Config = replace(
        settings,
        inbox=replace(settings.inbox, kind=InboxKind.MEMORY),
        webhook=replace(settings.webhook, ack=AckMode.STORED),
        delivery=replace(settings.delivery, shutdown_grace=0.0),
        instances=settings.instances or given,
    )
    return replace(loaded, config=changed)


@contextmanager
def _tasks_contained() -> Iterator[None]:
    """Keep tasks of plugins from ending the loop while the block lasts, as the router does."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    contain_tasks(loop)
    try:
        yield
    finally:
        loop.set_task_factory(before)


@contextmanager
def _modules_restored() -> Iterator[None]:
    """Let files of ``plugins_dir`` be modules while the block lasts."""
    before = {name: module for name, module in sys.modules.items() if name.startswith(_FILES)}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.startswith(_FILES)]:
            del sys.modules[name]
        sys.modules.update(before)


def _sent(notification: Event | Mapping[str, Any] | bytes) -> tuple[bytes, Transport]:
    if isinstance(notification, Event):
        return orjson.dumps(notification.data), notification.transport
    body = notification if isinstance(notification, bytes) else orjson.dumps(notification)
    return body, Transport.WEBHOOK


def _seconds(time: float | str | timedelta) -> float:
    try:
        seconds = time.total_seconds() if isinstance(time, timedelta) else time
        seconds = units.seconds(seconds) if isinstance(seconds, str) else float(seconds)
    except ValueError:
        raise ValueError(
            f"expected seconds, or a duration such as '90s', '10m' or '48h', found {time!r}"
        ) from None
    if seconds < 0:
        raise ValueError(f"time does not go back: expected 0 or more, found {time!r}")
    return seconds


def _of(route: str | None) -> str:
    return f" of route {route!r}" if route is not None else ""


def _number(count: int | None) -> str:
    if count is None:
        return "every delivery"
    return f"{count} delivery" if count == 1 else f"{count} deliveries"


def _counted(records: Sequence[DeliveryRecord]) -> str:
    statuses = Counter(record.status.value for record in records)
    return ", ".join(f"{number} {status}" for status, number in statuses.items()) or "no delivery"


def _listed(things: Iterable[str], nothing: str) -> str:
    return ", ".join(things) or nothing


def _has(found: JsonObject, wanted: Mapping[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in wanted.items())
