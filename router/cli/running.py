"""Running the router in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from importlib.metadata import version as version_of
from typing import NoReturn

import structlog
import uvicorn
from starlette.applications import Starlette

from router import clock, logs
from router.app import build
from router.cli.listening import COULD_NOT_START
from router.cli.protocol import Protocol
from router.config import Config
from router.containment import contain_tasks
from router.errors import RouterError
from router.loading import Loaded

_log = structlog.get_logger("router")

#: Seconds that open connections get when the router stops; each is answered within milliseconds.
_CONNECTION_GRACE = 5
#: Seconds that cancelled handlers get to end, before the process ends without them.
_LAST_GRACE = 5
#: Seconds that threads get once everything has stopped: asyncio would wait for them for minutes.
_THREAD_GRACE = 0.5
#: Longer than a proxy in front keeps its connections (nginx: 60 s), so that it never uses a closed one.
_KEEP_ALIVE = 65
#: New objects after which Python looks for cyclic garbage.
_COLLECT_AFTER = 50_000


#: Given what stops the router, runs something of its own as long as the router runs.
Beside = Callable[[Callable[[], None]], AbstractAsyncContextManager[None]]


def _nothing(_: Callable[[], None]) -> AbstractAsyncContextManager[None]:
    return nullcontext()


def run(loaded: Loaded, listener: socket.socket, lines: logs.Lines, beside: Beside = _nothing) -> None:
    """Run the router until SIGTERM or Ctrl-C.

    Args:
        loaded: The configuration and the plugins it names.
        listener: Where notifications are posted.
        lines: Writes the log.
        beside: What runs in the same event loop.

    Raises:
        InboxInUse: Another process runs a router on this inbox.
        InboxUnavailable: The inbox cannot be opened.
        PluginError: A plugin that is required did not start.
    """
    app = build(loaded)
    server = _server(app)
    others = set(threading.enumerate())
    error: RouterError | None = None
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        try:
            last = runner.run(_run(app, server, listener, loaded.config, lines, beside))
        except RouterError as exc:
            error = exc
            last = _leave_after(
                _THREAD_GRACE, f"{exc}; and something that was begun goes on", COULD_NOT_START
            )
    last.cancel()
    _leave_if_threads_go_on(others, error)
    if error is not None:
        raise error


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",  # entered in _run, where its errors can be told
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the webhook reads X-Forwarded-For itself
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_CONNECTION_GRACE,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return uvicorn.Server(config)


async def _run(
    app: Starlette,
    server: uvicorn.Server,
    listener: socket.socket,
    config: Config,
    lines: logs.Lines,
    beside: Beside,
) -> threading.Timer:
    """Serve until told to stop; return what will end the process if something in it does not end."""
    # Once stopped, uvicorn raises the signals it caught again: coming back to this handler they do nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    _spare_the_collector()
    contain_tasks(asyncio.get_running_loop())
    with lines.gathered():
        async with beside(partial(setattr, server, "should_exit", True)):
            return await _serve(app, server, listener, config)


def _spare_the_collector() -> None:
    """Look for cyclic garbage less often, and not among what stays: a tenth of the work under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


async def _serve(
    app: Starlette, server: uvicorn.Server, listener: socket.socket, config: Config
) -> threading.Timer:
    async with app.router.lifespan_context(app):
        host, port = listener.getsockname()[:2]
        _log.info(
            "router.started",
            webhook=f"http://{f'[{host}]' if ':' in host else host}:{port}{config.webhook.path}",
            routes=[route.name for route in config.routes],
            version=version_of("green-event-router"),
        )
        await server.serve(sockets=[listener])
        _log.info("router.stopping")
        last = _leave_after(
            config.delivery.shutdown_grace + _LAST_GRACE, "a handler or a task of one goes on"
        )
    _log.info("router.stopped")
    last.cancel()
    return _leave_after(_THREAD_GRACE, "a thread goes on: of a handler, or one that looks up a name")


def _leave_if_threads_go_on(others: Collection[threading.Thread], error: RouterError | None) -> None:
    """End the process if Python would wait for a thread: for as long as that goes on."""
    last = clock.seconds() + _THREAD_GRACE
    waited_for = [each for each in threading.enumerate() if each not in others and not each.daemon]
    for thread in waited_for:
        thread.join(max(0.0, last - clock.seconds()))
        if thread.is_alive():
            about = f"{error}; and " if error else ""
            _leave(f"{about}the thread {thread.name} goes on", COULD_NOT_START if error else 0)


def _leave(reason: str, code: int) -> NoReturn:
    _log.warning("router.left", reason=reason)
    os._exit(code)


def _leave_after(seconds: float, reason: str, code: int = 0) -> threading.Timer:
    """End the process after some time, whatever is left in it: a handler may refuse to be cancelled."""
    timer = threading.Timer(seconds, _leave, [reason, code])
    timer.daemon = True
    timer.start()
    return timer
