"""What an inbox holds, as simply as it can be said: dicts and lists, and one thing after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from router.events import DeliveryStatus
from router.inbox import (
    Attempt,
    AttemptOutcome,
    Claim,
    Dead,
    Done,
    Duplicate,
    Entry,
    NewDelivery,
    Outcome,
    Replayed,
    Retry,
    Stored,
)

_UNFINISHED = (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
_INTERRUPTED = "the process ended while the handler ran"
_PENDING, _RUNNING, _DONE, _DEAD, _DISCARDED = DeliveryStatus


@dataclass(eq=False)
class Kept:
    """An event that is in the store."""

    entry: Entry
    duplicates: int = 0
    changed: int = 0
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return all(delivery.status not in _UNFINISHED for delivery in self.deliveries)

    def shown(self) -> tuple[object, ...]:
        return self.entry.event.id, self.duplicates, self.changed


@dataclass(eq=False)
class Delivery:
    id: int
    event: Kept
    route: str
    lane: str
    status: DeliveryStatus = _PENDING
    attempts: int = 0
    round_attempts: int = 0
    due_at: datetime | None = None
    #: Seconds for which its failed attempts of this round held up its lane.
    blocked: float = 0.0
    error: str | None = None
    history: list[Attempt] = field(default_factory=list)
    #: Memory only: it waits until its event is sent again, and its lane went on.
    parked: bool = False
    #: Memory only: it was parked, so that its place in the lane is lost.
    late: bool = False
    #: Memory only: its event is not shown any more.
    is_forgotten: bool = False

    def shown(self) -> tuple[object, ...]:
        is_settled = self.status not in _UNFINISHED
        return self.id, self.route, self.lane, self.status, self.attempts, self.due_at, self.error, is_settled

    def may_start(self, now: datetime) -> bool:
        return self.status in _UNFINISHED and not self.parked and (self.due_at is None or self.due_at <= now)


class Store:
    """The events and deliveries, and what each request makes of them."""

    def __init__(self, *, dedup_window: float, deliver_changed: bool) -> None:
        self._window = timedelta(seconds=dedup_window)
        self._deliver_changed = deliver_changed
        self._keys: dict[tuple[str, ...], Kept] = {}
        self.events: dict[str, Kept] = {}
        self.deliveries: dict[int, Delivery] = {}

    def put(self, entry: Entry) -> Stored | Duplicate:
        """Store the entry, or count it; return the answer, of which ``handled`` is left out."""
        key: tuple[str, ...] = (entry.key,)
        seen = self._seen(key, entry)
        if seen is None:
            return self._store(key, entry)
        changed = entry.event.data != seen.entry.event.data
        if changed and self._deliver_changed:
            key = (entry.key, repr(sorted(entry.event.data.items())))
            again = self._seen(key, entry)
            if again is None:
                seen.changed += 1
                return self._store(key, entry, changed=seen.entry.event.id)
            seen, changed = again, False
        seen.duplicates += not changed
        seen.changed += changed
        return Duplicate(seen.entry.event.id, changed)

    def _seen(self, key: tuple[str, ...], entry: Entry) -> Kept | None:
        seen = self._keys.get(key)
        if seen is None or entry.event.received_at - seen.entry.event.received_at > self._window:
            return None
        return seen

    def _store(self, key: tuple[str, ...], entry: Entry, changed: str | None = None) -> Stored:
        kept = self.events[entry.event.id] = self._keys[key] = Kept(entry)
        for new in entry.deliveries:
            self._add(kept, new)
        return Stored(changed=changed)

    def _add(self, kept: Kept, new: NewDelivery) -> None:
        number = len(self.deliveries) + 1
        self.deliveries[number] = delivery = Delivery(number, kept, new.route, new.lane)
        kept.deliveries.append(delivery)

    def start(self, delivery_id: int) -> None:
        delivery = self.deliveries[delivery_id]
        if delivery.status is _PENDING:
            delivery.status = _RUNNING

    def release(self, delivery_id: int) -> None:
        delivery = self.deliveries[delivery_id]
        if delivery.status is _RUNNING:
            delivery.status = _PENDING

    def settle(self, delivery_id: int, outcome: Outcome, now: datetime) -> None:
        delivery = self.deliveries[delivery_id]
        if delivery.status not in _UNFINISHED:  # it was discarded while it ran
            return
        if outcome.attempt is not None:
            delivery.attempts += 1
            delivery.round_attempts += 1
            delivery.history.append(outcome.attempt)
        delivery.due_at = None
        match outcome:
            case Done():
                delivery.status, delivery.error = _DONE, None
            case Dead():
                delivery.status, delivery.error = _DEAD, outcome.reason
            case Retry():
                delivery.status, delivery.error = _PENDING, outcome.attempt.error
                delivery.due_at = now + timedelta(seconds=outcome.delay)
                delivery.blocked += outcome.attempt.duration + outcome.delay

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        return list(self._change(delivery_ids, (_DEAD,), _PENDING))

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        return list(self._change(delivery_ids, (_DEAD, *_UNFINISHED), _DISCARDED))

    def _change(
        self, delivery_ids: Sequence[int], old: Sequence[DeliveryStatus], new: DeliveryStatus
    ) -> Iterator[int]:
        for delivery_id in delivery_ids:
            delivery = self.deliveries.get(delivery_id)
            if delivery is not None and delivery.status in old and not delivery.is_forgotten:
                delivery.status, delivery.due_at = new, None
                delivery.round_attempts, delivery.blocked = 0, 0.0
                yield delivery_id

    def replay(self, event_id: str, deliveries: Sequence[NewDelivery]) -> Replayed:
        kept = self.events[event_id]
        unfinished = {delivery.route for delivery in kept.deliveries if delivery.status in _UNFINISHED}
        new = [delivery for delivery in deliveries if delivery.route not in unfinished]
        for delivery in new:
            self._add(kept, delivery)
        return Replayed(
            routes=tuple(delivery.route for delivery in new),
            waiting=tuple(delivery.route for delivery in deliveries if delivery not in new),
        )

    def recover(self) -> None:
        """A new run begins: what the one before it was shown to run has had an attempt."""
        for delivery in self.deliveries.values():
            if delivery.status is _RUNNING:
                delivery.attempts += 1
                delivery.round_attempts += 1
                delivery.status, delivery.due_at, delivery.error = _PENDING, None, _INTERRUPTED
                delivery.history.append(interrupted(delivery.attempts))

    def forget(self, event_id: str) -> None:
        """Memory only: an event that is finished is dropped; its key is still known."""
        for delivery in self.events.pop(event_id).deliveries:
            delivery.is_forgotten = True

    def lane(self, route: str, key: str) -> list[Delivery]:
        """Return what is to be done in a lane, in order."""
        return [
            delivery
            for delivery in self.deliveries.values()
            if (delivery.route, delivery.lane) == (route, key)
            and delivery.status in _UNFINISHED
            and not delivery.parked
        ]

    def shown(self) -> dict[str, Any]:
        """Return what an operator is to see."""
        return {
            "events": [kept.shown() for kept in reversed(self.events.values())],
            "deliveries": [d.shown() for d in self.deliveries.values() if not d.is_forgotten],
        }

    def histories(self) -> dict[int, list[Attempt]]:
        """Return the attempts that are kept; of what was discarded while it ran, that is not promised."""
        return {
            d.id: d.history
            for d in self.deliveries.values()
            if not d.is_forgotten and d.status is not _DISCARDED
        }


def interrupted(number: int) -> Attempt:
    """Return an attempt that a crash ended. When it began is not told."""
    return Attempt(
        number=number,
        started_at=datetime.min.replace(tzinfo=UTC),
        duration=0.0,
        outcome=AttemptOutcome.INTERRUPTED,
        error=_INTERRUPTED,
    )


def same_claim(claim: Claim, delivery: Delivery) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return what a claim says, and what it is to say."""
    said = (claim.route, claim.lane, claim.event)
    expected = (delivery.route, delivery.lane, delivery.event.entry.event)
    if delivery.status not in _UNFINISHED:  # it was discarded, and its attempts count no more
        return said, expected
    return (
        (*said, claim.attempt, claim.round_attempt, claim.blocked),
        (*expected, delivery.attempts + 1, delivery.round_attempts + 1, delivery.blocked),
    )
