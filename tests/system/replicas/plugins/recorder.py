"""Handlers that note when they start and end, in a file that only their process writes.

Each line is written by one ``write`` at the end of the file: what a killed process wrote is kept by the
kernel. On one machine the clock is the same for all processes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from router import Context, Duration, Event, hookimpl


@dataclass
class Options:
    """How long a handler takes, and a file while which is there it fails."""

    takes: Duration = Duration(0)
    broken: str = ""


@cache
def _file() -> int:
    path = Path(os.environ["RECORDS"]) / f"{os.environ['REPLICA']}-{os.getpid()}"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(what: str, event: Event, context: Context) -> None:
    facts = [time.monotonic(), what, os.environ["REPLICA"], context.delivery.route, event.text, event.id]
    os.write(_file(), f"{' '.join(map(str, facts))} {context.delivery.attempt}\n".encode())


async def keep(event: Event, context: Context, options: Options) -> None:
    """Take some time; ``cut`` is noted if it does not get it all, ``fail`` if it fails."""
    _note("start", event, context)
    what = "cut"
    try:
        await asyncio.sleep(options.takes)
        what = "fail" if options.broken and Path(options.broken).exists() else "end"
    finally:
        _note(what, event, context)
    if what == "fail":
        raise RuntimeError("it is broken")


async def deadly(event: Event, context: Context, options: Options) -> None:
    """Take the process down, if the chat says so."""
    if (event.text or "").startswith("deadly"):
        _note("start", event, context)
        os._exit(1)
    await keep(event, context, options)


@hookimpl
def register_handlers(register: Callable[..., None]) -> None:
    register("keep", keep, options=Options)
    register("deadly", deadly, options=Options)
