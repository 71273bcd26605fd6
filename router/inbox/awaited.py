"""Events whose handlers somebody waits for, since ``webhook.ack`` is ``handled``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from router.inbox import Handled, Outcome, Retry


@dataclass(slots=True)
class _Awaited:
    #: Deliveries that have not had their attempt.
    unfinished: int
    waiting: list[Handled] = field(default_factory=list)

    def tell(self, result: bool) -> None:
        for handled in self.waiting:
            if not handled.done():
                handled.set_result(result)


class Awaited:
    """Tells who waits for an event when each of its deliveries has had its attempt.

    Args:
        keeps_failed: The inbox itself keeps a delivery that failed and tries it again.
    """

    def __init__(self, *, keeps_failed: bool) -> None:
        self._keeps_failed = keeps_failed
        self._events: dict[str, _Awaited] = {}

    def expect(self, event_id: str, deliveries: int) -> Handled:
        """Return what is set once that many deliveries have had their attempt; see `Handled`."""
        handled: Handled = asyncio.get_running_loop().create_future()
        if not deliveries:
            handled.set_result(True)
            return handled
        self._events.setdefault(event_id, _Awaited(deliveries)).waiting.append(handled)
        return handled

    def ended(self, event_id: str, outcome: Outcome) -> bool:
        """Take in how an attempt ended; return whether somebody waited for it."""
        awaited = self._events.get(event_id)
        if awaited is None:
            return False
        awaited.unfinished -= 1
        somebody_waits = not all(handled.done() for handled in awaited.waiting)
        failed = isinstance(outcome, Retry) and not self._keeps_failed
        if failed or not awaited.unfinished or not somebody_waits:
            del self._events[event_id]
            awaited.tell(not failed)
        return somebody_waits
