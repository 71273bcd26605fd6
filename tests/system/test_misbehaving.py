"""Plugins that misbehave on purpose, beside a good one: it goes on, the log names them, SIGTERM ends all."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import ready, send, sending

pytestmark = pytest.mark.system

GOOD = "{name: all, type: incomingMessageReceived, handler: keep}"
BAD = "{name: bad, type: incomingMessageReceived, handler: bad, timeout: 1s, retry: {attempts: 1}}"
OPTIONAL = BAD.replace("}}", "}, required: false}")
GRACE = 2
#: What is configured, so that no test waits for long.
SETTINGS = f"delivery: {{shutdown_grace: {GRACE}s}}"
#: Seconds after which the router leaves without what does not end: the grace, five, and half a second.
LEAVES = GRACE + 5.5
#: A machine that has other things to do.
SLACK = 5.0
#: Registers ``bad``.
REGISTERED = """

@hookimpl
def register_handlers(register):
    register("bad", bad)
"""
IMPORTS = "import asyncio, os, sys, threading, time\nfrom router import hookimpl\n"

Named = Callable[[Router], bool]


def failed(record: dict[str, object]) -> bool:
    return record["plugin"] == "bad" or str(record["plugin"]).startswith("bad ")


def by(event: str, error: str = "") -> Named:
    """Return whether a line of this event names the plugin, or the route and handler of it."""

    def named(router: Router) -> bool:
        records = router.logged(event)
        return any(
            (failed(record) if "plugin" in record else (record["route"], record["handler"]) == ("bad", "bad"))
            and error in str(record)
            for record in records
        )

    return named


@dataclass(frozen=True)
class Misbehaviour:
    source: str
    named: Named
    route: str | None = BAD
    settings: str = ""
    #: Only when the router stops.
    at_stop: bool = False
    #: A path that is asked for.
    page: str = ""


def handler(body: str) -> str:
    return f"async def bad(event, context):\n{body}\n" + REGISTERED


MISBEHAVIOURS = {
    "import error": Misbehaviour(
        "import nowhere_to_be_found", by("plugin.failed", "ModuleNotFoundError"), route=OPTIONAL
    ),
    "exit at import": Misbehaviour("sys.exit(4)", by("plugin.failed", "SystemExit: 4"), route=OPTIONAL),
    "exit at import, named": Misbehaviour(
        "sys.exit(4)",
        by("plugin.failed", "SystemExit: 4"),
        route=None,
        settings="plugins: [{name: bad, required: false}]",
    ),
    "hook raises": Misbehaviour(
        "@hookimpl\ndef register_handlers(register): raise RuntimeError('no licence')",
        by("plugin.failed", "no licence"),
        route=OPTIONAL,
    ),
    "hook hangs 3 s": Misbehaviour(
        "async def bad(event): ...\n" + REGISTERED.replace('register("', 'time.sleep(3), register("'),
        lambda router: "plugin 'bad' (plugins/bad.py): its hook register_handlers" in router.log.read_text(),
    ),
    "startup raises": Misbehaviour(
        handler(" ...") + "@hookimpl\nasync def startup(): sys.exit(3)",
        by("plugin.failed", "SystemExit: 3"),
        route=OPTIONAL,
    ),
    "startup cancels its task": Misbehaviour(
        handler(" ...") + "@hookimpl\nasync def startup(): asyncio.current_task().cancel()",
        by("plugin.failed", "CancelledError"),
        route=OPTIONAL,
    ),
    "task raises CancelledError": Misbehaviour(
        handler(" ...")
        + "async def work(): raise asyncio.CancelledError\n"
        + "@hookimpl\nasync def startup(tasks): tasks.start_soon(work)",
        by("plugin.failed", "CancelledError"),
    ),
    "task swallows cancellation": Misbehaviour(
        handler(" ...")
        + "async def work():\n"
        + "    while True:\n"
        + "        try: await asyncio.sleep(3600)\n"
        + "        except asyncio.CancelledError: pass\n"
        + "@hookimpl\nasync def startup(tasks): tasks.start_soon(work)",
        by("plugin.failed", "did not end"),
        at_stop=True,
    ),
    "handler raises BaseException": Misbehaviour(
        handler(" raise type('Odd', (BaseException,), {})('odd')"), by("delivery.dead", "odd")
    ),
    "handler exits": Misbehaviour(handler(" sys.exit(3)"), by("delivery.dead", "SystemExit: 3")),
    "handler leaks tasks that exit": Misbehaviour(
        "async def exits(exc):\n await asyncio.sleep(0.01)\n raise exc\n"
        + handler(" for exc in (SystemExit(3), KeyboardInterrupt()):\n  asyncio.create_task(exits(exc))\n"),
        by("plugin.task_exit", "KeyboardInterrupt"),
    ),
    "handler leaks threads": Misbehaviour(
        handler(" threading.Thread(target=threading.Event().wait).start()"),
        lambda router: bool(router.logged("router.left")),
        at_stop=True,
    ),
    "handler blocks": Misbehaviour(
        handler(" if event.text == 'chat0 1': time.sleep(1)"), by("handler.blocking")
    ),
    "handler hangs": Misbehaviour(handler(" await asyncio.Event().wait()"), by("delivery.dead", "timeout")),
    "handler swallows cancellation": Misbehaviour(
        handler(
            " while True:\n"
            "  try: await asyncio.sleep(3600)\n"
            "  except asyncio.CancelledError: context.logger.warning('swallowed', plugin='bad')\n"
        ),
        by("swallowed"),
    ),
    "handler returns garbage": Misbehaviour(
        handler(" context.logger.warning('garbage', plugin='bad')\n return [object(), asyncio.sleep]"),
        by("garbage"),
    ),
    "class whose stop hangs": Misbehaviour(
        "class bad:\n"
        " async def start(self): ...\n"
        " async def stop(self): await asyncio.Event().wait()\n"
        " async def __call__(self, event): ...\n" + REGISTERED,
        by("plugin.failed", "the stop of its handler 'bad' for route 'bad' did not end"),
        at_stop=True,
    ),
    "class whose def stop hangs": Misbehaviour(
        "class bad:\n"
        " def stop(self): threading.Event().wait()\n"
        " async def __call__(self, event): ...\n" + REGISTERED,
        by("plugin.failed", "the stop of its handler 'bad' for route 'bad' did not end"),
        at_stop=True,
    ),
    "page exits": Misbehaviour(
        "def page(request): sys.exit(3)\n@hookimpl\ndef register_pages(register): register('/page', page)",
        by("plugin.page_failed", "SystemExit: 3"),
        route=None,
        page="/plugins/bad/page",
    ),
    "page hangs in its thread": Misbehaviour(
        "import structlog\n"
        "def page(request):\n"
        " structlog.get_logger().warning('hangs', plugin='bad')\n"
        " threading.Event().wait()\n"
        "@hookimpl\ndef register_pages(register): register('/page', page)",
        by("hangs"),
        route=None,
        page="/plugins/bad/page",
    ),
    "alert channel hangs": Misbehaviour(
        "import structlog\n"
        "async def bad(event): sys.exit(3)\n" + REGISTERED + "async def channel(alert):\n"
        " await asyncio.Event().wait()\n"
        "@hookimpl\ndef register_alert_channels(register): register('bad', channel)",
        lambda router: any(record["channel"] == "bad" for record in router.logged("alert.not_sent")),
        settings="alerts: [{handler: bad}]",
        at_stop=True,
    ),
    "alert channel leaks a task that exits": Misbehaviour(
        "async def exits():\n sys.exit(3)\n"
        "async def bad(event): sys.exit(3)\n"
        + REGISTERED
        + "async def channel(alert): asyncio.create_task(exits())\n"
        "@hookimpl\ndef register_alert_channels(register): register('bad', channel)",
        by("plugin.task_exit", "SystemExit: 3"),
        settings="alerts: [{handler: bad}]",
    ),
}


@contextmanager
def asking(router: Router, path: str) -> Iterator[None]:
    """Ask for a page, and do not wait for the answer."""
    with socket.create_connection(("127.0.0.1", router.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


@pytest.mark.parametrize("bad", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
async def test_a_plugin_that_misbehaves_concerns_no_other(
    tmp_path: Path, bad: Misbehaviour, report: Report
) -> None:
    settings = f"{SETTINGS}\n{bad.settings}"
    with Router(tmp_path, *filter(None, [GOOD, bad.route]), settings=settings) as router:
        (tmp_path / "plugins" / "bad.py").write_text(IMPORTS + bad.source)
        router.start()
        with asking(router, bad.page) if bad.page else nullcontext():
            async with sending(router) as sender:
                await sender.until(100)
                if not bad.at_stop:
                    await until(lambda: bad.named(router), what="a line that names the plugin")
            verdict = await judge(router, sender.answered)
            assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
            assert (await ready(router)).status == 200
            assert (await send(router, "last", 1)).status == 200
            assert not (await judge(router, {"last": 1})).lost

            since = time.monotonic()
            assert router.stop() == 0, router.tail()
            duration = time.monotonic() - since
            report(f"{verdict}; stopped in {duration:.1f} s")
            assert bad.named(router), router.tail()
            assert duration < LEAVES + SLACK


STARTS = {
    "raises": "@hookimpl\nasync def startup(): raise OSError('no broker')",
    "exits": "@hookimpl\nasync def startup(): sys.exit(4)",
    "leaves a thread behind": (
        "@hookimpl\nasync def startup():\n"
        " threading.Thread(target=threading.Event().wait).start()\n"
        " raise OSError('no broker')"
    ),
    "leaves a task behind": (
        "async def stubborn():\n"
        "    while True:\n"
        "        try: await asyncio.sleep(3600)\n"
        "        except asyncio.CancelledError: pass\n"
        "@hookimpl\nasync def startup(tasks):\n"
        " tasks.start_soon(stubborn)\n"
        " await asyncio.sleep(0)\n"
        " raise OSError('no broker')"
    ),
}


@pytest.mark.parametrize("source", STARTS.values(), ids=STARTS.keys())
async def test_a_router_that_cannot_start_ends_and_says_why(tmp_path: Path, source: str) -> None:
    with Router(tmp_path) as router:
        (tmp_path / "plugins" / "bad.py").write_text(IMPORTS + source)
        assert not router.try_to_start()
        assert router.wait() == 3
        assert "plugin 'bad' (plugins/bad.py): its hook startup failed: " in router.log.read_text()
