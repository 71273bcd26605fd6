"""What time it is: asked here and nowhere else, so that a test can let hours pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial


class _Source:
    """Where the time comes from."""

    def __init__(self) -> None:
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)
        self.seconds: Callable[[], float] = time.monotonic


_source = _Source()


def now() -> datetime:
    """Return the time of day, UTC; in a test with `router.testing` that of its clock."""
    return _source.now()


def seconds() -> float:
    """Return seconds that no setting of the clock changes, for the difference between two of them."""
    return _source.seconds()


@contextmanager
def taken_from(now: Callable[[], datetime], seconds: Callable[[], float]) -> Iterator[None]:
    """Let the time of this process come from somewhere else while the block lasts."""
    before = _source.now, _source.seconds
    _source.now, _source.seconds = now, seconds
    try:
        yield
    finally:
        _source.now, _source.seconds = before
