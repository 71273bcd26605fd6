"""Events whose handlers somebody waits for, since ``webhook.ack`` is ``handled``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from router.inbox import Claim, Handled, Outcome, Retry


@dataclass(slots=True)
class _Awaited:
    #: Ids of the deliveries that have not had their attempt.
    untried: set[int]
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

    def expect(self, event_id: str, delivery_ids: Iterable[int]) -> Handled:
        """Return what is set once each of these deliveries has had an attempt; see `Handled`."""
        handled: Handled = asyncio.get_running_loop().create_future()
        untried = set(delivery_ids)
        if not untried:
            handled.set_result(True)
            return handled
        self._events.setdefault(event_id, _Awaited(untried)).waiting.append(handled)
        return handled

    def ended(self, claim: Claim, outcome: Outcome) -> bool:
        """Take in how an attempt ended; return whether somebody waited for it."""
        awaited = self._events.get(claim.event.id)
        if awaited is None:
            return False
        awaited.untried.discard(claim.id)
        somebody_waits = not all(handled.done() for handled in awaited.waiting)
        failed = isinstance(outcome, Retry) and not self._keeps_failed
        if failed or not awaited.untried or not somebody_waits:
            del self._events[claim.event.id]
            awaited.tell(not failed)
        return somebody_waits
