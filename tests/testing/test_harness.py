"""`RouterHarness`: the real router in a test, and its time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import structlog

from router import (
    BlockingContext,
    Context,
    Event,
    PluginRoute,
    PluginTasks,
    RegisterHandler,
    RetryLater,
    hookimpl,
    now,
)
from router.errors import ConfigError, PluginError, QuotaExceeded
from router.testing import RouterHarness, make_event

NINE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def plugin(**handlers: Any) -> object:
    """A plugin that offers these handlers."""

    class Plugin:
        @hookimpl
        def register_handlers(self, register: RegisterHandler) -> None:
            for name, handler in handlers.items():
                register(name, handler)

    return Plugin()


def harness(handler: Callable[..., Any], *, patience: float = 5.0, **settings: Any) -> RouterHarness:
    """A router with one route, ``messages``, to one handler."""
    route = {"name": "messages", "type": "incomingMessageReceived", "handler": "handle", **settings}
    return RouterHarness([route], plugins=[plugin(handle=handler)], start=NINE, patience=patience)


async def nothing(event: Event, context: Context) -> None:
    """Handle nothing."""


async def test_an_event_goes_from_intake_to_its_handler() -> None:
    seen: list[tuple[str | None, Any]] = []

    async def handle(event: Event, context: Context) -> None:
        seen.append((event.text, context.options["words"]))
        context.logger.info("seen", words=context.options["words"])

    async with harness(handle, options={"words": "Hi"}) as router:
        receipt = await router.send(make_event(text="Hello"))
        await router.settle()
        router.assert_done("messages", count=1)

    assert (receipt.status, seen) == ("accepted", [("Hello", "Hi")])
    assert [line["words"] for line in router.logs if line["event"] == "seen"] == ["Hi"]


async def test_what_comes_in_gets_the_receipt_that_a_transport_gets() -> None:
    event = make_event(text="Hello")
    async with harness(nothing) as router:
        receipts = [
            await router.send(event),
            await router.send(event),
            await router.send(make_event("incomingCall").data),
            await router.send(b'{"typeWebhook": "incomingMessageReceived"}'),
            await router.send(b"no JSON"),
            await router.send(make_event("paymentReceived", data={})),
        ]
    assert [receipt.status.value for receipt in receipts] == [
        "accepted",
        "duplicate",
        "unrouted",
        "invalid",
        "invalid",
        "unknown",
    ]
    assert [alert["kind"] for alert in router.alerts] == ["invalid", "invalid", "unknown_type"]


ROUTES = """
    version: 1
    instances:
      - {id: 1101000001, token: "${TOKEN}"}
    inbox: {url: "memory://"}
    routes:
      - name: messages
        type: incomingMessageReceived
        handler: handle
"""


async def test_routes_may_be_text_a_file_or_a_list(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    given: list[Any] = [
        ROUTES,
        tmp_path / "routes.yaml",
        [{"name": "messages", "type": "incomingMessageReceived", "handler": "handle"}],
    ]
    for routes in given:
        async with RouterHarness(
            routes, plugins=[plugin(handle=nothing)], environ={"TOKEN": "a token"}
        ) as router:
            await router.send(make_event())
            await router.settle()
            router.assert_done(count=1)


async def test_problems_are_told_as_at_the_start_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        async with RouterHarness(
            "routes:\n- {name: a, type: '*', handler: handel}", plugins=[plugin(handle=nothing)]
        ):
            pass
    assert str(caught.value).startswith(
        "routes.yaml:2:33: route 'a' names handler 'handel'; installed handlers "
    )
    assert str(caught.value).endswith("; did you mean 'handle'?")


def modules_of_files() -> set[str]:
    return {name for name in sys.modules if name.startswith("router_plugins_dir")}


async def test_files_of_a_folder_are_plugins_and_leave_no_trace(tmp_path: Path) -> None:
    modules = modules_of_files()
    (tmp_path / "mine").mkdir()
    for words in ("one", "two"):
        (tmp_path / "mine" / "hello.py").write_text(
            "from router import hookimpl\n"
            f"async def hello(event, context): context.logger.info('said', words={words!r})\n"
            "@hookimpl\ndef register_handlers(register): register('hello', hello)\n"
        )
        (tmp_path / "routes.yaml").write_text(
            "plugins_dir: mine\nroutes:\n- {name: a, type: '*', handler: hello}\n"
        )
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        async with RouterHarness(tmp_path / "routes.yaml") as router:
            await router.send(make_event())
            await router.settle()
        sys.dont_write_bytecode = before
        assert [line["words"] for line in router.logs if line["event"] == "said"] == [words]
    assert modules_of_files() == modules


# Time


async def test_a_retry_waits_for_its_time() -> None:
    attempts: list[datetime] = []

    async def handle(event: Event, context: Context) -> None:
        attempts.append(now())
        raise RetryLater("not yet", after=600)

    async with harness(handle, retry={"attempts": 3}, max_lane_block="2h") as router:
        await router.send(make_event())
        await router.settle()
        assert attempts == [NINE]
        await router.advance("9m")
        await router.advance(59)
        assert len(attempts) == 1
        await router.advance(timedelta(seconds=1))
        assert attempts == [NINE, NINE + timedelta(minutes=10)]
        (record,) = router.deliveries()
        assert (record.due_at, record.status) == (NINE + timedelta(minutes=20), "pending")
        await router.advance("1h")
        assert attempts[2] == NINE + timedelta(minutes=20)
        router.assert_dead("messages", reason="3 attempts failed: not yet")


async def test_a_chain_of_waits_is_gone_through_in_order_each_at_its_time() -> None:
    seen: list[datetime] = []

    async def handle(event: Event, context: Context) -> None:
        for seconds in (1, 2, 3600):
            await anyio.sleep(seconds)
            seen.append(now())

    async with harness(handle, timeout="2h") as router:
        await router.send(make_event())
        await router.advance("3h")
        router.assert_done()
    assert seen == [NINE + timedelta(seconds=seconds) for seconds in (1, 3, 3603)]


async def test_a_handler_that_sleeps_or_hangs_runs_into_its_timeout() -> None:
    async def handle(event: Event, context: Context) -> None:
        await anyio.sleep_forever() if event.text == "hang" else await asyncio.sleep(60)

    async with harness(handle, timeout="30s", retry={"attempts": 1}, order="none") as router:
        await router.send(make_event(text="hang"))
        await router.send(make_event(text="sleep"))
        await router.settle()
        await router.advance(29)
        assert [record.status for record in router.deliveries()] == ["running", "running"]
        await router.advance(2)
        assert [record.error for record in router.dead] == [
            "1 attempts failed: no end after 30 s (timeout)"
        ] * 2


async def test_a_lane_is_held_no_longer_than_it_may_be() -> None:
    async def handle(event: Event, context: Context) -> None:
        await asyncio.sleep(100)
        raise ValueError

    async with harness(
        handle, timeout="5m", max_lane_block="5m", retry={"attempts": 9, "max": "1s"}
    ) as router:
        await router.send(make_event())
        await router.advance("1h")
        router.assert_dead(reason="held up its lane for max_lane_block (300 s)")
        assert [round(attempt.duration, 3) for attempt in router.dead[0].history] == [100.0, 100.0, 100.0]


async def test_what_is_too_old_is_not_handled() -> None:
    async def handle(event: Event, context: Context) -> None:
        await asyncio.sleep(10)

    async with harness(handle, max_age="5s") as router:
        await router.send(make_event())
        await router.send(make_event())
        await router.advance("1m")
        assert [record.status for record in router.deliveries()] == ["done", "dead"]
        router.assert_dead(reason="older than max_age (5 s)")


async def test_a_key_is_forgotten_after_the_dedup_window() -> None:
    event = make_event()
    async with harness(nothing) as router:
        receipts = [(await router.send(event)).status]
        await router.advance("47h")
        receipts.append((await router.send(event)).status)
        await router.advance("2h")
        receipts.append((await router.send(event)).status)
    assert [status.value for status in receipts] == ["accepted", "duplicate", "accepted"]


async def test_everybody_sees_the_same_time() -> None:
    seen: list[datetime] = []

    def handle(event: Event, context: Context) -> None:
        seen.append(now())

    async with harness(handle) as router:
        assert router.clock.now == now() == NINE
        await router.advance("2d")
        event = make_event()
        await router.send(event)
        await router.settle()
        (record,) = router.deliveries()
    later = NINE + timedelta(days=2)
    assert [event.received_at, record.received_at, record.settled_at, *seen] == [later] * 4
    assert event.timestamp == later.timestamp()
    told = [
        line["timestamp"]
        for line in router.logs
        if line["event"] in {"notification.accepted", "delivery.done"}
    ]
    assert told == ["2026-11-26T09:00:00Z"] * 2


async def test_a_silent_instance_is_told_of() -> None:
    routes = ROUTES.replace("{id: 1101000001,", "{id: 1101000001, quiet_after: 6h,")
    async with RouterHarness(
        routes, plugins=[plugin(handle=nothing)], environ={"TOKEN": "a token"}
    ) as router:
        await router.advance("5h")
        assert router.alerts == []
        await router.advance("1h")
        assert [(alert["event"], alert["kind"]) for alert in router.alerts] == [("alert.raised", "quiet")]
        await router.send(make_event(instance=1101000001))
        assert router.alerts[1]["event"] == "alert.recovered"


async def test_days_pass_in_no_time_while_nothing_runs() -> None:
    async with harness(nothing) as router:
        began = time.process_time()
        await router.advance("7d")
        assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (-1, "time does not go back: expected 0 or more, found -1"),
        ("soon", "expected seconds, or a duration such as '90s', '10m' or '48h', found 'soon'"),
    ],
)
async def test_what_is_no_duration_is_refused(given: Any, message: str) -> None:
    async with harness(nothing) as router:
        with pytest.raises(ValueError) as caught:
            await router.advance(given)
    assert str(caught.value) == message


def test_a_time_to_start_at_has_a_zone() -> None:
    with pytest.raises(ValueError, match="expected a time with a zone, found 2026-11-24 09:00:00"):
        RouterHarness([], start=datetime(2026, 11, 24, 9, 0))  # noqa: DTZ001


# What handlers are given


async def test_a_reply_is_sent_once_however_often_the_handler_runs() -> None:
    async def handle(event: Event, context: Context) -> None:
        await context.reply(f"Hello {event.sender_name}")
        if context.delivery.attempt == 1:
            raise RetryLater("once more", after=60)

    async with harness(handle) as router:
        await router.send(make_event(sender_name="Anna"))
        await router.settle()
        assert router.replies == ["Hello Anna"]
        await router.advance("1m")
        router.assert_done()
        assert router.replies == ["Hello Anna"]
        router.assert_sent("sendMessage", chatId="79001234567@c.us", message="Hello Anna")


async def test_a_reply_of_a_def_handler_is_sent() -> None:
    def handle(event: Event, context: BlockingContext) -> None:
        context.reply("Hello")
        context.state.set("seen", 1, ttl=60)

    async with harness(handle) as router:
        await router.send(make_event())
        await router.settle()
        router.assert_done()
        router.assert_replied("Hello")


async def test_an_answer_that_is_lost_is_in_doubt() -> None:
    async def handle(event: Event, context: Context) -> None:
        await context.reply("Hello")

    async with harness(handle) as router:
        router.api.lose_answer("sendMessage")
        await router.send(make_event())
        await router.settle()
        router.assert_dead(reason="gave up: ")
        assert router.replies == ["Hello"]
        assert "send.in_doubt" in [line["event"] for line in router.logs]


async def test_a_refused_send_is_tried_again_by_the_routes_policy() -> None:
    async def handle(event: Event, context: Context) -> None:
        await context.reply("Hello")

    async with harness(handle, retry={"attempts": 2, "first": "10s", "jitter": 0}) as router:
        router.api.answer("sendMessage", QuotaExceeded)
        await router.send(make_event())
        await router.settle()
        router.assert_no_reply()
        await router.advance("10s")
        router.assert_done()
        router.assert_replied("Hello")


async def test_state_is_forgotten_in_time() -> None:
    async def handle(event: Event, context: Context) -> None:
        seen = await context.state.get("seen")
        await context.state.set("seen", True, ttl=600)
        if not seen and await context.once("greeting"):
            await context.reply("Welcome")
        elif not seen:
            await context.reply("Welcome back")

    async with harness(handle) as router:
        for wait in ("9m", "11m", "0s"):
            await router.send(make_event())
            await router.advance(wait)
    assert router.replies == ["Welcome", "Welcome back"]


async def test_a_chat_that_goes_back_and_forth_is_cut_off_until_it_pauses() -> None:
    async def handle(event: Event, context: Context) -> None:
        await context.reply("Hello")

    async with harness(handle) as router:
        for _ in range(25):
            await router.send(make_event())
            await router.settle()
        assert len(router.replies) == 20
        await router.advance("10m")
        await router.send(make_event())
        await router.settle()
        assert len(router.replies) == 21


async def test_plugins_are_started_and_stopped_as_by_the_router() -> None:
    told: list[str] = []

    class Counter:
        def __init__(self, route: str) -> None:
            self._route = route

        async def start(self) -> None:
            await asyncio.sleep(0.01)  # while the router starts, time passes
            told.append(f"start {self._route}")

        async def __call__(self, event: Event) -> None:
            told.append(f"handle {event.text}")

        async def stop(self) -> None:
            await asyncio.sleep(0.01)
            told.append(f"stop {self._route}")

    class Plugin:
        @hookimpl
        def register_handlers(self, register: RegisterHandler) -> None:
            register("handle", Counter)

        @hookimpl
        async def startup(self, tasks: PluginTasks, routes: Sequence[PluginRoute]) -> None:
            tasks.start_soon(self.tick)
            told.append(f"startup {routes[0].name}")

        async def tick(self) -> None:
            while True:
                await asyncio.sleep(3600)
                told.append("tick")

        @hookimpl
        async def shutdown(self) -> None:
            told.append("shutdown")

    routes = [{"name": "messages", "type": "*", "handler": "handle"}]
    async with RouterHarness(routes, plugins=[Plugin]) as router:
        await router.send(make_event(text="Hello"))
        await router.advance("2h")
    assert told == [
        "startup messages",
        "start messages",
        "handle Hello",
        "tick",
        "tick",
        "stop messages",
        "shutdown",
    ]


async def test_a_plugin_that_does_not_start_is_told_as_at_the_start() -> None:
    class Plugin:
        @hookimpl
        def register_handlers(self, register: RegisterHandler) -> None:
            register("handle", nothing)

        @hookimpl
        async def startup(self) -> None:
            raise ConnectionError("no broker")

    before = surroundings()
    with pytest.raises(PluginError, match="its hook startup failed: ConnectionError: no broker"):
        async with RouterHarness([{"name": "a", "type": "*", "handler": "handle"}], plugins=[Plugin]):
            pass
    assert surroundings() == before


async def test_an_instance_that_is_not_listed_has_no_api() -> None:
    async def handle(event: Event, context: Context) -> None:
        await context.reply("Hello")

    async with harness(handle) as router:
        await router.send(make_event(instance=5))
        await router.settle()
        router.assert_dead(reason="routes.yaml has no token of instance 5")


async def test_a_task_of_a_plugin_cannot_end_the_test() -> None:
    left: list[asyncio.Task[None]] = []

    async def leave() -> None:
        raise SystemExit(3)

    async def handle(event: Event, context: Context) -> None:
        left.append(asyncio.create_task(leave()))

    async with harness(handle) as router:
        await router.send(make_event())
        await router.settle()
    assert [type(task.exception()) for task in left] == [RuntimeError]
    assert "plugin.task_exit" in [line["event"] for line in router.logs]


# What comes from outside


async def test_a_def_handler_is_waited_for() -> None:
    def handle(event: Event, context: Context) -> None:
        time.sleep(0.2)

    async with harness(handle) as router:
        await router.send(make_event())
        await router.settle()
        router.assert_done()


async def test_a_thread_of_a_handler_is_waited_for() -> None:
    async def handle(event: Event, context: Context) -> None:
        await anyio.to_thread.run_sync(time.sleep, 0.1)
        await asyncio.to_thread(time.sleep, 0.1)

    async with harness(handle) as router:
        await router.send(make_event())
        await router.settle()
        router.assert_done()


async def test_the_network_is_waited_for() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            time.sleep(0.1)
            connection.sendall(b"hello\n")

    async def handle(event: Event, context: Context) -> None:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            context.logger.info("read", line=(await reader.readline()).decode())
        finally:
            writer.close()
            await writer.wait_closed()

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        async with harness(handle) as router:
            await router.send(make_event())
            await router.settle()
            router.assert_done()
    thread.join()
    assert [line["line"] for line in router.logs if line["event"] == "read"] == ["hello\n"]


async def test_another_process_is_waited_for_with_no_thread_at_work() -> None:
    command = ["sh", "-c", "sleep 0.5; echo hello"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220 - asyncio's has a thread

        async def handle(event: Event, context: Context) -> None:
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, other.stdout)
            await reader.readline()
            transport.close()

        async with harness(handle) as router:
            await router.send(make_event())
            await router.settle()
            router.assert_done()


async def test_whoever_sends_does_not_wait_for_handlers_whatever_the_routes_say() -> None:
    async def handle(event: Event, context: Context) -> None:
        await asyncio.Event().wait()

    async with RouterHarness(ROUTES, plugins=[plugin(handle=handle)], environ={"TOKEN": "a token"}) as router:
        await router.send(make_event())
        await router.settle()
        assert [record.status for record in router.deliveries()] == ["running"]


# Handlers that hang


async def test_settle_does_not_wait_for_what_nothing_can_wake() -> None:
    async def handle(event: Event, context: Context) -> None:
        await asyncio.Event().wait()

    async with harness(handle, patience=3600) as router:
        await router.send(make_event())
        await router.settle()
        assert "still running:\n  messages, attempt 1: " in router.report()
        assert "test_harness.py:" in router.report()


@contextmanager
def busy_thread() -> Iterator[None]:
    """Let a thread wait that has nothing to do with the router, as those of pytest-xdist do."""
    reads, writes = os.pipe()

    def wait() -> None:
        os.read(reads, 1)

    busy = threading.Thread(target=wait)
    busy.start()
    try:
        yield
    finally:
        os.write(writes, b".")
        busy.join()
        os.close(reads)
        os.close(writes)


async def test_settle_does_not_wait_for_threads_that_were_there_before() -> None:
    async def handle(event: Event, context: Context) -> None:
        await asyncio.Event().wait()

    with busy_thread():
        async with harness(handle, patience=3600) as router:
            await router.send(make_event())
            await router.settle()
            assert "still running:\n  messages, attempt 1: " in router.report()


async def test_settle_does_not_wait_for_what_sleeps_whatever_else_goes_on() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.001):
            pass

    async def handle(event: Event, context: Context) -> None:
        await asyncio.create_task(asyncio.sleep(10))

    busy = threading.Thread(target=work)
    busy.start()
    try:
        async with harness(handle, patience=3600) as router:
            await router.send(make_event())
            await router.settle()
            await router.advance("10s")
            router.assert_done()
    finally:
        stop.set()
        busy.join()


async def test_settle_gives_up_on_what_does_nothing_for_too_long() -> None:
    release = threading.Event()

    def handle(event: Event, context: Context) -> None:
        release.wait(50)

    async with harness(
        handle, timeout="30s", retry={"attempts": 1}, max_lane_block="1m", patience=0.2
    ) as router:
        await router.send(make_event())
        await router.settle()
        with pytest.raises(AssertionError, match="found 1 running") as caught:
            router.assert_done()
        await router.advance("2m")
        router.assert_dead(reason="the handler still runs in its thread after max_lane_block (60 s)")
        release.set()
    assert "still running:\n  messages, attempt 1: " in str(caught.value)
    assert "in test_settle_gives_up_on_what_does_nothing_for_too_long.<locals>.handle" in str(caught.value)


async def test_settle_gives_up_on_what_spins() -> None:
    async def handle(event: Event, context: Context) -> None:
        while True:
            await asyncio.sleep(0)

    async with harness(handle, patience=0.2) as router:
        await router.send(make_event())
        await router.settle()
        assert "in test_settle_gives_up_on_what_spins.<locals>.handle" in router.report()


async def test_a_handler_that_does_not_end_is_named_at_the_end() -> None:
    stop = False

    async def handle(event: Event, context: Context) -> None:
        while not stop:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    router = await harness(handle, patience=0.2).__aenter__()
    await router.send(make_event())
    await router.settle()
    with pytest.raises(
        RuntimeError, match="a handler does not end when it is cancelled: messages, attempt 1: "
    ):
        await router.__aexit__()
    stop = True
    await anyio.wait_all_tasks_blocked()


# Isolation


def surroundings() -> Any:
    root = logging.getLogger()
    return SimpleNamespace(
        handlers=list(root.handlers),
        level=root.level,
        structlog=structlog.get_config() if structlog.is_configured() else None,
        modules=[name for name in sys.modules if name.startswith("router_plugins_dir")],
        time="time" in vars(asyncio.get_running_loop()),
        warnings=warnings.showwarning,
        tasks=len(asyncio.all_tasks()),
        factory=asyncio.get_running_loop().get_task_factory(),
    )


async def test_what_was_before_is_there_again_afterwards() -> None:
    before = surroundings()
    for _ in range(2):
        async with harness(nothing) as router:
            await router.send(make_event())
            await router.settle()
            await router.advance("1h")
            assert len(router.deliveries()) == 1
        assert surroundings() == before
    assert abs(now() - datetime.now(UTC)) < timedelta(minutes=1)


async def test_what_was_before_is_there_again_after_a_failure() -> None:
    before = surroundings()
    with pytest.raises(ConfigError):
        async with RouterHarness("routes: 5"):
            pass

    async def failing() -> None:
        async with harness(nothing) as router:
            await router.send(make_event())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert surroundings() == before


async def test_structlog_is_as_it_was_configured() -> None:
    structlog.configure(cache_logger_on_first_use=False, processors=[])
    before = structlog.get_config()
    try:
        async with harness(nothing):
            assert structlog.get_config() != before
        assert structlog.get_config() == before
    finally:
        structlog.reset_defaults()


async def test_pytest_gets_its_share_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(event: Event, context: Context) -> None:
        logging.getLogger("mine").warning("hello")

    async with harness(handle) as router:
        await router.send(make_event())
        await router.settle()
    assert "hello" in caplog.messages
    assert [line["route"] for line in router.logs if line["event"] == "hello"] == ["messages"]


async def test_pytest_gets_warnings() -> None:
    async def handle(event: Event, context: Context) -> None:
        warnings.warn("odd", UserWarning, stacklevel=1)

    async def run() -> None:
        async with harness(handle) as router:
            await router.send(make_event())
            await router.settle()

    with pytest.warns(UserWarning, match="odd"):
        await run()


async def test_structlog_that_was_not_configured_is_not_afterwards() -> None:
    structlog.reset_defaults()
    async with harness(nothing):
        assert structlog.is_configured()
    assert not structlog.is_configured()


async def test_one_loop_has_one_harness_at_a_time() -> None:
    async with harness(nothing):
        with pytest.raises(RuntimeError, match="close the other RouterHarness first"):
            async with harness(nothing):
                pass
    async with harness(nothing) as router:
        await router.send(make_event())


def test_it_runs_with_asyncio_alone() -> None:
    async def main() -> None:
        async with harness(nothing) as router:
            await router.send(make_event())
            await router.settle()
            router.assert_done()

    asyncio.run(main())


async def test_it_may_be_closed_in_another_task_than_it_was_opened_in() -> None:
    router = harness(nothing)
    await asyncio.create_task(router.__aenter__())
    await router.send(make_event())
    await router.settle()
    await asyncio.create_task(router.__aexit__())
    assert router.logs != []
