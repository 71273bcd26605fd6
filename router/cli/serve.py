"""``router serve``: run the router."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
from starlette.applications import Starlette

from router import logs
from router.app import build, load
from router.cli.listening import COULD_NOT_START, CannotListen, listen
from router.cli.options import ConfigOption
from router.cli.protocol import Protocol
from router.config import Config
from router.errors import InboxInUse, InboxUnavailable
from router.redaction import Redactor

_log = structlog.get_logger("router")

#: Seconds that open connections get when the router stops; each is answered within milliseconds.
_CONNECTION_GRACE = 5
#: Seconds that cancelled handlers get to end, before the process ends without them.
_LAST_GRACE = 5
#: Longer than a proxy in front keeps its connections (nginx: 60 s), so that it never uses a closed one.
_KEEP_ALIVE = 65
#: New objects after which Python looks for cyclic garbage.
_COLLECT_AFTER = 50_000


def serve(
    config: ConfigOption = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="ROUTER_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0: any.", envvar="ROUTER_PORT", min=0, max=65535)
    ] = 8080,
) -> None:
    """Run the router until it is told to stop (SIGTERM, Ctrl-C)."""
    loaded = load(config, os.environ)
    lines = logs.configure(
        loaded.config.logging, Redactor(loaded.config.secrets), sys.stdout.buffer, cache=True
    )
    try:
        with listen(host, port) as listener:
            app = build(loaded)
            server = _server(app)
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                last = runner.run(_run(app, server, listener, loaded.config, lines))
            last.cancel()
    except (CannotListen, InboxInUse, InboxUnavailable) as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(COULD_NOT_START) from None


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
    app: Starlette, server: uvicorn.Server, listener: socket.socket, config: Config, lines: logs.Lines
) -> threading.Timer:
    """Serve until told to stop; return what will end the process if something in it does not end."""
    # Once stopped, uvicorn raises the signals it caught again: coming back to this handler they do nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    _spare_the_collector()
    with lines.gathered():
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
        last = _leave_after(config.delivery.shutdown_grace + _LAST_GRACE)
    _log.info("router.stopped")
    return last


def _leave_after(seconds: float) -> threading.Timer:
    """End the process after some time, whatever is left in it: a handler may refuse to be cancelled."""

    def leave() -> None:
        _log.warning("router.left", reason="a handler or a task of one goes on although it was cancelled")
        os._exit(0)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
    return timer
