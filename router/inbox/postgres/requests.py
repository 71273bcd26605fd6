"""What the writer is asked for: values that say what, and what follows from it in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from router import clock
from router.errors import InboxUnavailable
from router.inbox import Claim, Duplicate, Entry, Outcome, Retry, Stored

#: A lane: route and order key.
LaneName = tuple[str, str]
#: A delivery that waits, with the seconds until it is due, if it waits for a retry.
Waiting = tuple[Claim, float | None]


class Put:
    """Store one event, unless it was seen before."""

    kept = False

    def __init__(self, entry: Entry, answer: asyncio.Future[Stored | Duplicate]) -> None:
        self.entry = entry
        self.answer = answer
        #: The dedup key under which it is tried: another than the entry's for one that changed.
        self.key = entry.key
        #: The event that was seen with the entry's key and other content: sequence number and id.
        self.changed: tuple[int, str] | None = None
        self.is_resolved = False

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell the asker that it was not stored; it may have been nevertheless."""
        if not self.answer.done():
            self.answer.set_exception(exc)


class OfClaim:
    """Something about a claim: void with the lease under which it was claimed."""

    kept = True

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    def refused(self, exc: InboxUnavailable) -> None:
        """Nobody waits for it."""


class Start(OfClaim):
    """Show a delivery as running.

    Args:
        claim: Which.
        answer: Set once that is committed, if somebody waits for it.
    """

    def __init__(self, claim: Claim, answer: asyncio.Future[None] | None = None) -> None:
        super().__init__(claim)
        self.since = clock.now()
        self._answer = answer

    def done(self) -> None:
        """Let whoever waits go on."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell whoever waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)


class Release(OfClaim):
    """Show a delivery as pending again."""


class Settle(OfClaim):
    """Record how an attempt ended."""

    def __init__(self, claim: Claim, outcome: Outcome) -> None:
        super().__init__(claim)
        self.outcome = outcome
        self.at = clock.now()

    @property
    def due_at(self) -> datetime | None:
        """When the next attempt is due, if there is to be one."""
        outcome = self.outcome
        return self.at + timedelta(seconds=outcome.delay) if isinstance(outcome, Retry) else None


class OfLane:
    """Something about a lane."""

    kept = True

    def __init__(self, lane: LaneName) -> None:
        self.lane = lane

    def refused(self, exc: InboxUnavailable) -> None:
        """Nobody waits for it."""


class LetGo(OfLane):
    """Remove a lane in which nothing is left, if nothing has come after the event ``last``."""

    def __init__(self, lane: LaneName, last: int) -> None:
        super().__init__(lane)
        self.last = last


class GiveBack(OfLane):
    """Leave a lane to others."""


class Reread(OfLane):
    """Forget what is known of a lane, in its turn: others may have changed it."""


class Load(OfLane):
    """Read the next deliveries of a lane, at most ``most`` of them."""

    def __init__(self, lane: LaneName, most: int) -> None:
        super().__init__(lane)
        self.most = most


class Discover:
    """Take free lanes of a route, at most ``most`` of them at that moment."""

    kept = True

    def __init__(self, route: str, most: Callable[[], int]) -> None:
        self.route = route
        self.most = most

    def refused(self, exc: InboxUnavailable) -> None:
        """Nobody waits for it."""


class Announce:
    """Tell the other replicas that there are free lanes."""

    kept = True

    def refused(self, exc: InboxUnavailable) -> None:
        """Nobody waits for it."""


Request = Put | Start | Release | Settle | LetGo | GiveBack | Reread | Load | Discover | Announce
#: Those that are written in one call.
Written = Put | Settle | LetGo


def groups(batch: Sequence[Request]) -> list[list[Request]]:
    """Return the requests in the order in which they are carried out, those of one kind together.

    What is shown of a claim and how it ended keep their order. Lanes are read last: after all that was
    asked for before, and told after it.
    """
    ordered: list[list[Request]] = []
    shown: list[Request] = []
    written: list[Request] = []
    read: list[Request] = []
    for request in batch:
        match request:
            case Start() | Release():
                if any(isinstance(earlier, Settle) for earlier in written):
                    ordered += [shown, written]
                    shown, written = [], []
                shown.append(request)
            case Put() | Settle() | LetGo():
                if shown and isinstance(request, Settle):
                    ordered += [shown]
                    shown = []
                written.append(request)
            case _:
                read.append(request)
    return [group for group in [*ordered, shown, written, *_by_kind(read)] if group]


def _by_kind(requests: Sequence[Request]) -> list[list[Request]]:
    kinds: dict[type[Any], list[Request]] = {GiveBack: [], Reread: [], Discover: [], Load: [], Announce: []}
    for request in requests:
        kinds[type(request)].append(request)
    return list(kinds.values())
