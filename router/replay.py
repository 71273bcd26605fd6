"""Replay: a stored event is read, checked and matched again, as if it had come in today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from router.errors import NotFound
from router.events import Event, EventStatus, Problem
from router.inbox import EventRecord, Ledger, NewDelivery, Replay, Replayed
from router.jsontext import parse
from router.normalize import dedup_key, normalize
from router.pace import Pace
from router.routing import Table
from router.validation import Validator

#: Statuses of events that came in as one of a known type: they have its dedup key.
_KEYED: Final = frozenset({EventStatus.ACCEPTED, EventStatus.UNROUTED})
#: Events in one transaction: their bodies, which may be large, are in memory together.
_BATCH: Final = 100


class ReplayResult(StrEnum):
    """What became of an event that was to be replayed. Only one that is replayed is changed."""

    #: It has a new delivery for each route that takes it, or for the one that was named.
    REPLAYED = "replayed"
    #: Those routes have an unfinished delivery of it already, so that no second one was added.
    WAITING = "waiting"
    #: No route takes it, or not the one that was named.
    UNMATCHED = "unmatched"
    #: It breaks its schema still, or is no JSON object.
    INVALID = "invalid"
    #: Another event is the same notification.
    DUPLICATE = "duplicate"
    #: It was deleted meanwhile.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ReplayedEvent:
    """An event that was to be replayed, and what became of it."""

    #: As it was before.
    event: EventRecord
    result: ReplayResult
    #: Why it was not replayed, or not for all routes: one line for a person.
    reason: str | None = None
    #: Routes for which it has a new delivery.
    routes: Sequence[str] = ()
    problems: Sequence[Problem] = ()

    @property
    def status(self) -> EventStatus:
        """The event's status now."""
        return EventStatus.ACCEPTED if self.result is ReplayResult.REPLAYED else self.event.status


class Replayer:
    """Replays events.

    Args:
        ledger: Where they are, and where their new deliveries go.
        validator: Knows today's schemas.
        table: Today's routes.
        route: Deliver to this route only.

    Raises:
        NotFound: There is no such route.
    """

    def __init__(
        self, ledger: Ledger, validator: Validator, table: Table, *, route: str | None = None
    ) -> None:
        names = [each.name for each in table.routes]
        if route is not None and route not in names:
            raise NotFound(f"there is no route {route!r}; the routes are {', '.join(names) or 'none'}")
        self._ledger = ledger
        self._validator = validator
        self._table = table
        self._route = route

    def replay(
        self, events: Iterable[EventRecord], pace: Pace, *, dry_run: bool = False
    ) -> Iterator[list[ReplayedEvent]]:
        """Replay events in the given order; yield what became of those of each transaction.

        Args:
            events: Those to replay.
            pace: How fast.
            dry_run: Say what would become of them, and change nothing.
        """
        for batch in pace.batches(events, _BATCH):
            judged = [(record, self._judge(record)) for record in batch]
            replays = [verdict for _, verdict in judged if isinstance(verdict, Replay)]
            done = iter(self._ledger.replay(replays, dry_run=dry_run))
            yield [
                _told(record, next(done)) if isinstance(verdict, Replay) else verdict
                for record, verdict in judged
            ]

    def _judge(self, record: EventRecord) -> Replay | ReplayedEvent:
        """Return the deliveries to add, or why there are none."""
        data = parse(record.body)
        if isinstance(data, Problem):
            return _invalid(record, [data])
        if problems := self._validator.problems(data):
            return _invalid(record, problems)
        event = normalize(
            data,
            id=record.id,
            received_at=record.received_at,
            transport=record.transport,
            instance=record.instance,
        )
        routes = [route for route in self._table.match(event) if self._route in {None, route.name}]
        if not routes:
            return ReplayedEvent(record, ReplayResult.UNMATCHED, self._why_not(event))
        return Replay(
            event=event,
            key=None if record.status in _KEYED else dedup_key(event),
            deliveries=[NewDelivery(route.name, route.lane(event)) for route in routes],
        )

    def _why_not(self, event: Event) -> str:
        if self._route is None:
            return "no route takes it"
        reason = next(each.reason for each in self._table.explain(event) if each.route == self._route)
        return f"route {self._route} does not take it: {reason}"


def _invalid(record: EventRecord, problems: Sequence[Problem]) -> ReplayedEvent:
    reason = f"{problems[0].path}: {problems[0].message}"
    if len(problems) > 1:
        reason += f", and {len(problems) - 1} more"
    return ReplayedEvent(record, ReplayResult.INVALID, reason, problems=problems)


def _told(record: EventRecord, done: Replayed) -> ReplayedEvent:
    waiting = f"not yet done for {', '.join(done.waiting)}" if done.waiting else None
    if done.routes:
        return ReplayedEvent(record, ReplayResult.REPLAYED, waiting, routes=done.routes)
    if done.waiting:
        return ReplayedEvent(record, ReplayResult.WAITING, waiting)
    if done.duplicate_of:
        reason = f"event {done.duplicate_of} is the same notification"
        return ReplayedEvent(record, ReplayResult.DUPLICATE, reason)
    return ReplayedEvent(record, ReplayResult.GONE, "it was deleted meanwhile")
