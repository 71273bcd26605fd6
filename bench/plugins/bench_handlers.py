"""The handlers of the router that is measured."""

from __future__ import annotations

import asyncio
import atexit
import time
from pathlib import Path

from router import Context, Event, RegisterHandler, hookimpl

_starts: list[str] = []


async def nothing(_: Event, __: Context) -> None:
    """Be done at once."""


async def record(event: Event, context: Context) -> None:
    """Note when it was called, in memory, so that noting it costs next to nothing; then take ``seconds``."""
    received, started = event.received_at.timestamp(), time.time()
    _starts.append(f"{event.id},{event.chat},{received:.6f},{started:.6f}")
    seconds = context.options.get("seconds")
    if seconds:
        await asyncio.sleep(seconds)


async def slow(_: Event, __: Context) -> None:
    """Take 100 ms."""
    await asyncio.sleep(0.1)


async def hang(_: Event, __: Context) -> None:
    """Never end."""
    await asyncio.Event().wait()


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer them."""
    for handler in (nothing, record, slow, hang):
        register(handler.__name__, handler)


@atexit.register
def _write() -> None:
    """Write what was noted, where the router runs."""
    if _starts:
        Path("starts.csv").write_text("\n".join(_starts) + "\n", "utf-8")
