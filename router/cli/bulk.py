"""What commands that change many things have in common: choosing them, and stopping half-way."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from threading import Event as Flag
from typing import TypeVar

import typer

from router.cli.output import progress
from router.errors import RouterError
from router.inbox import DeliveryFilter, EventFilter
from router.pace import Pace

T = TypeVar("T")

#: Exit code of what Ctrl-C ended.
INTERRUPTED = 130


def require_choice(
    ids: Sequence[object] | None, where: DeliveryFilter | EventFilter, *, everything: bool
) -> None:
    """Refuse a command line that names none, or several, of ids, a filter and all.

    Nobody is to change all there is because a filter was forgotten.

    Raises:
        BadParameter: It says what was expected, as wrong usage.
    """
    is_filtered = any(getattr(where, field.name) is not None for field in fields(where))
    if [bool(ids), is_filtered, everything].count(True) != 1:
        raise typer.BadParameter("expected either ids, or a filter such as --type, or --all")


def carry_out(
    work: Callable[[Pace], Iterable[Sequence[T]]],
    take: Callable[[Sequence[T]], None],
    *,
    rate: int | None,
    total: int | None,
) -> bool:
    """Do the work batch by batch, each batch handed on once it is done; return whether it was finished.

    Ctrl-C lets the batch that runs end. How much was done is then said, and likewise before an error.
    """
    stop, done = Flag(), 0
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with progress(total) as advance:
            for batch in work(Pace(rate, stop.wait)):
                take(batch)
                advance(len(batch))
                done += len(batch)
    except RouterError:
        _tell(done, total)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        _tell(done, total)
    return not stop.is_set()


def _tell(done: int, total: int | None) -> None:
    print(f"stopped: {done} done" if total is None else f"stopped: {done} of {total} done", file=sys.stderr)
