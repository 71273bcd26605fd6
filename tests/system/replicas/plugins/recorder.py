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


def _say(text: str) -> None:
    """Note something else, in a file that all processes share."""
    said = os.open(Path(os.environ["RECORDS"]).parent / "said", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(said, f"{text}\n".encode())
    os.close(said)


async def once(event: Event, context: Context, options: Options) -> None:
    """Say of which numbers this is the first, of whatever chat."""
    _note("start", event, context)
    number = (event.text or "").split()[1]
    if await context.once(number):
        _say(f"first {number}")
    await asyncio.sleep(options.takes)
    _note("end", event, context)


async def remember(event: Event, context: Context, options: Options) -> None:
    """Say what the plugin remembers as the last number of the chat, and remember this one."""
    _note("start", event, context)
    number = int((event.text or "").split()[1])
    _say(f"last {event.chat} {await context.state.get('last', 0)} {number}")
    await context.state.set("last", number)
    await asyncio.sleep(options.takes)
    _note("end", event, context)


async def answer(event: Event, context: Context, options: Options) -> None:
    """Reply with the same text, and take some time afterwards."""
    _note("start", event, context)
    await context.reply(event.text or "")
    await asyncio.sleep(options.takes)
    _note("end", event, context)


@hookimpl
def register_handlers(register: Callable[..., None]) -> None:
    for handler in (keep, deadly, once, remember, answer):
        register(handler.__name__, handler, options=Options)
