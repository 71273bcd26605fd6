"""How many deliveries wait, told in the log while they are many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

#: Seconds between two lines.
_EVERY = 10.0
#: So many are a backlog.
_MANY = 1_000

_log = structlog.get_logger("router.inbox")


class Backlog:
    """Counts what waits and what is settled. Belongs to the running event loop.

    Args:
        recount: Asks for a new count of what waits, answered by `counted`.
    """

    def __init__(self, recount: Callable[[], None] = lambda: None) -> None:
        #: Deliveries that are not settled.
        self.waiting = 0
        #: An operator changed what waits: it has to be counted anew. Of a million that takes 50 ms, so
        #: it is not done with each change.
        self.is_stale = False
        self._recount = recount
        self._settled = 0
        self._is_long = False
        self._timer: asyncio.TimerHandle | None = None

    def settled(self) -> None:
        """Take in that one is no longer unfinished."""
        self.waiting -= 1
        self._settled += 1

    def counted(self, waiting: int) -> None:
        """Take in a new count."""
        self.waiting, self.is_stale = waiting, False

    def watch(self) -> None:
        """Tell now and then, until `stop`, how it goes: ``inbox.draining``, at its end ``inbox.drained``."""
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self.watch)
        if self.is_stale:
            self._recount()
        settled, self._settled = self._settled, 0
        if self.waiting >= _MANY:
            self._is_long = True
            _log.info("inbox.draining", waiting=self.waiting, settled_per_second=round(settled / _EVERY, 1))
        elif self._is_long:
            self._is_long = False
            _log.info("inbox.drained", waiting=self.waiting)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
