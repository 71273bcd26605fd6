"""``router serve``: run the router."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from router import logs
from router.cli.listening import COULD_NOT_START, CannotListen, listen
from router.cli.options import ConfigOption
from router.cli.running import run
from router.errors import InboxInUse, InboxUnavailable, PluginError
from router.loading import load
from router.redaction import Redactor


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
            run(loaded, listener, lines)
    except (CannotListen, InboxInUse, InboxUnavailable, PluginError) as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(COULD_NOT_START) from None
