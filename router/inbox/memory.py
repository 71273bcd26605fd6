"""The inbox without a disk: whatever it holds is lost with the process.

GREEN-API's own queue is what lasts: it is answered when the handlers are done, and a notification
whose handler failed waits until GREEN-API sends it again. What is finished is forgotten but for its
dedup key, dead letters are kept up to a bound, and when too much is unfinished nothing more is taken in.
What handlers keep is in `MemoryStore`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from router import clock
from router.errors import InboxUnavailable, NotFound
from router.events import DeliveryStatus, EventStatus
from router.inbox import (
    Attempt,
    Claim,
    Dead,
    DeliveryFilter,
    DeliveryRecord,
    Done,
    Duplicate,
    Entry,
    EventFilter,
    EventRecord,
    Handled,
    NewDelivery,
    Outcome,
    Replay,
    Replayed,
    Retry,
    Stored,
)
from router.inbox.awaited import Awaited
from router.inbox.lanes import Lanes
from router.inbox.memory_store import MemoryStore
from router.inbox.pollers import AllOurs
from router.inbox.records import is_in_error
from router.inbox.store import StoreItem, doubt_scope, outbox_scope
from router.jsontext import same_content
from router.normalize import content_hash

#: Events that have an unfinished delivery; more than that are refused.
_MAX_UNFINISHED = 10_000
#: Events that are kept after they are finished, for a person to look at, and keys to tell duplicates by.
_MAX_FINISHED = 1_000
_MAX_KEYS = 200_000

_UNFINISHED = {DeliveryStatus.PENDING, DeliveryStatus.RUNNING}


@dataclass(slots=True, eq=False)
class _Stored:
    entry: Entry
    duplicates: int = 0
    changed: int = 0
    deliveries: list[_Delivery] = field(default_factory=list)

    def is_unfinished(self) -> bool:
        return any(delivery.status in _UNFINISHED for delivery in self.deliveries)


@dataclass(slots=True, eq=False)
class _Delivery:
    claim: Claim
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    #: It waits for GREEN-API to send its event again.
    parked: bool = False
    due_at: datetime | None = None
    #: The same in loop time.
    due: float | None = None
    settled_at: datetime | None = None
    error: str | None = None
    history: list[Attempt] = field(default_factory=list)


class MemoryInbox:
    """An `Inbox` and its `Ledger` in this process's memory.

    Args:
        routes: Concurrency bound by route name.
        concurrency: Deliveries that run at once, over all routes.
        dedup_window: Seconds within which a key counts as seen.
        deliver_changed: Store a notification whose key was seen with other content as an event of its own.
        max_unfinished: Events with unfinished deliveries that are held at most.
    """

    def __init__(
        self,
        routes: Mapping[str, int],
        *,
        concurrency: int = 256,
        dedup_window: float = 48 * 3600,
        deliver_changed: bool = False,
        max_unfinished: int = _MAX_UNFINISHED,
    ) -> None:
        self._dedup_window = timedelta(seconds=dedup_window)
        self._deliver_changed = deliver_changed
        self._max_unfinished = max_unfinished
        self.store = MemoryStore()
        self.pollers = AllOurs()
        self._lanes = Lanes(routes, concurrency=concurrency, load=self._load, discover=self._discover)
        self._awaited = Awaited(keeps_failed=False)
        self._ids = itertools.count(1)
        self._events: OrderedDict[str, _Stored] = OrderedDict()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._keys: OrderedDict[str, _Stored] = OrderedDict()
        self._deliveries: dict[int, _Delivery] = {}

    async def open(self) -> None:
        """See `Inbox.open`."""

    async def close(self) -> None:
        """See `Inbox.close`."""
        self.stop_claims()

    async def put(self, entry: Entry) -> Stored | Duplicate:
        """See `Inbox.put`."""
        key = entry.key
        seen = self._seen(key, entry)
        if seen is not None:
            changed = not same_content(entry.body, seen.entry.body)
            if changed and self._deliver_changed:
                key = f"{key} {content_hash(entry.event.data)}"
                again = self._seen(key, entry)
                if again is None:
                    stored = self._store(key, entry)
                    seen.changed += 1
                    return replace(stored, changed=seen.entry.event.id)
                seen, changed = again, False
            seen.duplicates += not changed
            seen.changed += changed
            return Duplicate(seen.entry.event.id, changed, self._resume(seen) if entry.awaited else None)
        return self._store(key, entry)

    def hold(self, route: str) -> None:
        """See `Inbox.hold`."""
        self._lanes.leave(route)

    async def claim(self) -> Claim | None:
        """See `Inbox.claim`."""
        return await self._lanes.claim()

    def stop_claims(self) -> None:
        """See `Inbox.stop_claims`."""
        self._lanes.stop()

    def started(self, claim: Claim) -> None:
        """See `Inbox.started`."""
        delivery = self._deliveries.get(claim.id)
        if delivery is not None and delivery.status is DeliveryStatus.PENDING:
            delivery.status = DeliveryStatus.RUNNING

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """See `Inbox.settle`."""
        is_awaited = self._awaited.ended(claim, outcome)
        delivery = self._deliveries.get(claim.id)
        if delivery is None or delivery.status not in _UNFINISHED:  # discarded while it ran
            self._lanes.finished(claim)
            return
        if outcome.attempt is not None:
            delivery.attempts = outcome.attempt.number
            delivery.history.append(outcome.attempt)
        match outcome:
            case Retry():
                delivery.parked = is_awaited
                self._wait(delivery, claim, outcome)
                return
            case Done():
                delivery.status, delivery.error = DeliveryStatus.DONE, None
            case Dead():
                delivery.status, delivery.error = DeliveryStatus.DEAD, outcome.reason
        delivery.due_at = delivery.due = None
        delivery.settled_at = clock.now()
        self._lanes.finished(claim)
        self._forget_finished(claim.event.id)

    def release(self, claim: Claim) -> None:
        """See `Inbox.release`."""
        delivery = self._deliveries.get(claim.id)
        if delivery is not None and delivery.status is DeliveryStatus.RUNNING:
            delivery.status = DeliveryStatus.PENDING
        self._lanes.changed(claim.route, claim.lane)
        self._lanes.finished(claim)

    def problem(self) -> str | None:
        """See `Inbox.problem`."""
        return None

    def _seen(self, key: str, entry: Entry) -> _Stored | None:
        seen = self._keys.get(key)
        if seen is None or entry.event.received_at - seen.entry.event.received_at > self._dedup_window:
            return None
        return seen

    def _store(self, key: str, entry: Entry) -> Stored:
        if len(self._events) - len(self._finished) >= self._max_unfinished:
            raise InboxUnavailable(
                f"inbox memory:// holds {self._max_unfinished} events that are not handled yet, its limit"
            )
        stored = self._events[entry.event.id] = self._keys[key] = _Stored(replace(entry, key=key))
        self._keys.move_to_end(key)  # one that was known before counts from now on
        while len(self._keys) > _MAX_KEYS:
            self._keys.popitem(last=False)
        for new in entry.deliveries:
            self._add(stored, new)
        self._forget_finished(entry.event.id)
        ids = [delivery.claim.id for delivery in stored.deliveries]
        return Stored(self._awaited.expect(entry.event.id, ids) if entry.awaited else None)

    def _add(self, stored: _Stored, new: NewDelivery) -> None:
        claim = Claim(next(self._ids), new.route, new.lane, stored.entry.event)
        self._deliveries[claim.id] = delivery = _Delivery(claim)
        stored.deliveries.append(delivery)
        self._lanes.add(claim)

    def _resume(self, seen: _Stored) -> Handled | None:
        """Let run again what failed while somebody waited for it: GREEN-API has sent it again for that."""
        unfinished = [delivery for delivery in seen.deliveries if delivery.status in _UNFINISHED]
        if not unfinished:
            return None
        for delivery in unfinished:
            if delivery.parked:
                delivery.parked = False
                self._lanes.add(delivery.claim)
        return self._awaited.expect(seen.entry.event.id, [delivery.claim.id for delivery in unfinished])

    def _wait(self, delivery: _Delivery, claim: Claim, outcome: Retry) -> None:
        delivery.status = DeliveryStatus.PENDING
        delivery.error = outcome.attempt.error
        delivery.claim = replace(
            claim,
            attempt=claim.attempt + 1,
            round_attempt=claim.round_attempt + 1,
            blocked=claim.blocked + outcome.attempt.duration + outcome.delay,
        )
        if delivery.parked:
            delivery.due_at = delivery.due = None
            self._lanes.finished(claim)
            return
        delivery.due_at = clock.now() + timedelta(seconds=outcome.delay)
        delivery.due = asyncio.get_running_loop().time() + outcome.delay
        self._lanes.retry(delivery.claim, delivery.due)

    def _forget_finished(self, event_id: str) -> None:
        """Mark an event that has nothing left to do, and drop the oldest of those."""
        if self._events[event_id].is_unfinished():
            return
        self._finished[event_id] = None
        while len(self._finished) > _MAX_FINISHED:
            oldest, _ = self._finished.popitem(last=False)
            for delivery in self._events.pop(oldest).deliveries:
                del self._deliveries[delivery.claim.id]
                self.store.forget_scope(outbox_scope(delivery.claim.id))
                self.store.forget_scope(doubt_scope(delivery.claim.id))

    # What Lanes asks for; answered as a store would, a little later

    def _load(self, route: str, lane: str, _: int) -> None:
        asyncio.get_running_loop().call_soon(self._answer_load, route, lane)

    def _answer_load(self, route: str, lane: str) -> None:
        waiting = [
            delivery
            for delivery in self._deliveries.values()
            if delivery.status is DeliveryStatus.PENDING
            and not delivery.parked
            and (delivery.claim.route, delivery.claim.lane) == (route, lane)
        ]
        waiting.sort(key=lambda delivery: delivery.claim.id)
        page = [(delivery.claim, delivery.due) for delivery in waiting]
        # Only the first of a lane is ever held up: one that waits for a retry begins a page of its own.
        held = next((index for index, (_, due) in enumerate(page) if index and due is not None), len(page))
        self._lanes.loaded(route, lane, page[:held], more=held < len(page))

    def _discover(self, route: str, cursor: int) -> None:
        keys = dict.fromkeys(
            delivery.claim.lane
            for delivery in self._deliveries.values()
            if delivery.claim.route == route and delivery.status is DeliveryStatus.PENDING
        )
        asyncio.get_running_loop().call_soon(
            lambda: self._lanes.discovered(route, keys, cursor=cursor, more=False)
        )

    # The ledger

    def events(self, where: EventFilter, limit: int = 50) -> list[EventRecord]:
        """See `Ledger.events`."""
        newest_first = reversed(self._events.values())
        found = (_event_record(stored, ()) for stored in newest_first if _is_meant(stored, where))
        return list(itertools.islice(found, limit))

    def each_event(self, where: EventFilter) -> Iterator[EventRecord]:
        """See `Ledger.each_event`."""
        return reversed(self.events(where, sys.maxsize))

    def event(self, event_id: str) -> EventRecord:
        """See `Ledger.event`."""
        found = [stored for key, stored in self._events.items() if event_id and key.startswith(event_id)]
        if len(found) != 1:
            how_many = "no event has" if not found else "more than one event has"
            raise NotFound(f"{how_many} an id that begins with {event_id!r}: see 'router events list'")
        deliveries = [_delivery_record(delivery, with_history=True) for delivery in found[0].deliveries]
        return _event_record(found[0], deliveries)

    def deliveries(self, where: DeliveryFilter, limit: int = 50) -> list[DeliveryRecord]:
        """See `Ledger.deliveries`."""
        records = (_delivery_record(delivery, with_history=False) for delivery in self._deliveries.values())
        return list(itertools.islice((record for record in records if _is_asked_for(record, where)), limit))

    def each_delivery(self, where: DeliveryFilter) -> Iterator[DeliveryRecord]:
        """See `Ledger.each_delivery`."""
        return iter(self.deliveries(where, sys.maxsize))

    def count(self, where: DeliveryFilter) -> dict[str, int]:
        """See `Ledger.count`."""
        return dict(sorted(Counter(record.route for record in self.each_delivery(where)).items()))

    def delivery(self, delivery_id: int) -> DeliveryRecord:
        """See `Ledger.delivery`."""
        if delivery_id not in self._deliveries:
            raise NotFound(f"no delivery has the id {delivery_id}: see 'router dead list'")
        return _delivery_record(self._deliveries[delivery_id], with_history=True)

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.retry`."""
        return self._change(delivery_ids, {DeliveryStatus.DEAD}, DeliveryStatus.PENDING)

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.discard`."""
        return self._change(delivery_ids, {DeliveryStatus.DEAD, *_UNFINISHED}, DeliveryStatus.DISCARDED)

    def _change(
        self, delivery_ids: Sequence[int], old: set[DeliveryStatus], new: DeliveryStatus
    ) -> list[int]:
        changed = []
        for delivery_id in delivery_ids:
            delivery = self._deliveries.get(delivery_id)
            if delivery is None or delivery.status not in old:
                continue
            changed.append(delivery_id)
            delivery.status = new
            pending = new is DeliveryStatus.PENDING
            delivery.settled_at = None if pending else clock.now()
            delivery.claim = replace(
                delivery.claim, attempt=delivery.attempts + 1, round_attempt=1, blocked=0.0
            )
            delivery.due_at = delivery.due = None
            if pending:
                self._finished.pop(delivery.claim.event.id, None)
            else:
                self._forget_finished(delivery.claim.event.id)
            self._lanes.changed(delivery.claim.route, delivery.claim.lane)
        return changed

    def replay(self, replays: Sequence[Replay], *, dry_run: bool = False) -> list[Replayed]:
        """See `Ledger.replay`."""
        return [self._replay(replay, dry_run=dry_run) for replay in replays]

    def add(self, entries: Sequence[Entry]) -> list[str | None]:
        """See `Ledger.add`."""
        return [self._add_new(entry) for entry in entries]

    def store_items(self, scope_prefix: str = "", limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items`."""
        return self.store.items(scope_prefix, limit)

    def store_items_of(self, scope: str, limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items_of`."""
        return self.store.items_of(scope, limit)

    def store_set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Ledger.store_set`."""
        self.store.keep(scope, key, value, ttl=ttl)

    def store_delete(self, scope: str, key: str) -> bool:
        """See `Ledger.store_delete`."""
        return self.store.forget(scope, key)

    def _add_new(self, entry: Entry) -> str | None:
        if seen := self._keys.get(entry.key):
            return seen.entry.event.id
        self._store(entry.key, entry)
        return None

    def _replay(self, replay: Replay, *, dry_run: bool) -> Replayed:
        stored = self._events.get(replay.event.id)
        if stored is None:
            return Replayed()
        other = stored if replay.key is None else self._keys.get(replay.key, stored)
        if other is not stored:
            return Replayed(duplicate_of=other.entry.event.id)
        unfinished = {d.claim.route for d in stored.deliveries if d.status in _UNFINISHED}
        new = [delivery for delivery in replay.deliveries if delivery.route not in unfinished]
        if new and not dry_run:
            self._accept(stored, replay)
            for delivery in new:
                self._add(stored, delivery)
        return Replayed(
            routes=tuple(delivery.route for delivery in new),
            waiting=tuple(delivery.route for delivery in replay.deliveries if delivery not in new),
        )

    def _accept(self, stored: _Stored, replay: Replay) -> None:
        entry = stored.entry
        key = entry.key if replay.key is None else replay.key
        stored.entry = replace(entry, event=replay.event, status=EventStatus.ACCEPTED, key=key, problems=())
        if replay.key is not None:
            if self._keys.get(entry.key) is stored:  # and not another one's by now
                del self._keys[entry.key]
            self._keys[key] = stored
        self._finished.pop(replay.event.id, None)


def _is_meant(stored: _Stored, where: EventFilter) -> bool:
    event = stored.entry.event
    fields = {"type": where.type, "instance": where.instance, "chat": where.chat}
    return (
        _has(event, fields)
        and where.status in {None, stored.entry.status}
        and _is_within(event.received_at, where.since, where.before)
        and (
            (where.delivery is None and where.route is None)
            or any(
                where.delivery in {None, delivery.status} and where.route in {None, delivery.claim.route}
                for delivery in stored.deliveries
            )
        )
    )


def _is_asked_for(record: DeliveryRecord, where: DeliveryFilter) -> bool:
    names = ("status", "route", "type", "instance", "chat")
    return (
        _has(record, {name: getattr(where, name) for name in names})
        and (where.error is None or is_in_error(where.error, record.error))
        and _is_within(record.settled_at, where.since, where.before)
    )


def _has(thing: object, fields: Mapping[str, object]) -> bool:
    return all(value is None or getattr(thing, name) == value for name, value in fields.items())


def _is_within(moment: datetime | None, since: datetime | None, before: datetime | None) -> bool:
    if since is None and before is None:
        return True
    return moment is not None and (since is None or since <= moment) and (before is None or moment < before)


def _event_record(stored: _Stored, deliveries: Iterable[DeliveryRecord]) -> EventRecord:
    entry, event = stored.entry, stored.entry.event
    return EventRecord(
        id=event.id,
        type=event.type,
        instance=event.instance,
        chat=event.chat,
        status=entry.status,
        received_at=event.received_at,
        transport=event.transport,
        duplicates=stored.duplicates,
        changed=stored.changed,
        problems=tuple(entry.problems),
        body=entry.body,
        deliveries=tuple(deliveries),
    )


def _delivery_record(delivery: _Delivery, *, with_history: bool) -> DeliveryRecord:
    claim, event = delivery.claim, delivery.claim.event
    return DeliveryRecord(
        id=claim.id,
        event=event.id,
        type=event.type,
        instance=event.instance,
        chat=event.chat,
        route=claim.route,
        lane=claim.lane,
        status=delivery.status,
        attempts=delivery.attempts,
        received_at=event.received_at,
        due_at=delivery.due_at,
        settled_at=delivery.settled_at,
        error=delivery.error,
        history=tuple(delivery.history) if with_history else (),
    )
