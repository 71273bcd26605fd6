"""The task that turns days into Parquet when they are over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog
from anyio import sleep, to_thread

from router import now
from router_archive.days import logs_until

#: Seconds between two looks.
_EVERY = 600.0
#: A day that is over gets this long for what is still being delivered.
_LATE = timedelta(minutes=10)

Logger = structlog.typing.FilteringBoundLogger


async def convert_for_ever(folders: Sequence[Path], logger: Logger) -> None:
    """Convert what is over, now and again and again."""
    while True:
        await in_thread(partial(convert_what_is_over, folders, logger))
        await sleep(_EVERY)


async def in_thread(work: Callable[[Callable[[], bool]], None]) -> None:
    """Run ``work`` in a thread, which is told when it is to stop, and is not waited for then."""
    stop = threading.Event()
    try:
        await to_thread.run_sync(work, stop.is_set, abandon_on_cancel=True)
    finally:
        stop.set()


def convert_what_is_over(folders: Sequence[Path], logger: Logger, is_stopped: Callable[[], bool]) -> None:
    """Convert each day of each folder. One that fails is told of, and hinders no other."""
    from router_archive.parquet import Busy, Stopped, convert  # noqa: PLC0415 - pyarrow is not always there

    for folder in folders:
        for log in logs_until(folder, (now() - _LATE).date()) if folder.is_dir() else ():
            try:
                done = convert(log, is_stopped)
            except Stopped:
                return
            except Busy:
                break
            except Exception as exc:  # a damaged file, a full disk: the lines are still there
                error = f"{type(exc).__name__}: {exc}"
                logger.error("archive.parquet_failed", file=str(log), error=error)  # noqa: TRY400 - in one line
            else:
                facts = {"rows": done.rows, "damaged": done.damaged}
                logger.info("archive.parquet_written", file=str(done.file), **facts)
