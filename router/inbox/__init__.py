"""The contract of the inbox: the durable store, and the only place where intake and delivery meet.

Intake calls `Inbox.put`; dispatch calls `Inbox.claim` and settles each claim once; an operator's
commands read and change the same store through a `Ledger`, whether a router runs on it or not.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from router.events import DeliveryStatus, Event, EventStatus, Problem, Transport
from router.inbox.pollers import Pollers
from router.inbox.store import Store, StoreItem


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One (event, route) to store with the event."""

    route: str
    #: The order key within the route: deliveries with the same key run one at a time.
    lane: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event as intake hands it in."""

    event: Event
    status: EventStatus
    #: What makes two notifications the same one; unique within the dedup window.
    key: str
    #: The body as it came: bytes, since it may hold NUL, lone surrogates or no JSON at all.
    body: bytes
    problems: Sequence[Problem] = ()
    deliveries: Sequence[NewDelivery] = ()
    #: Somebody waits until its handlers have run: ``webhook.ack`` is ``handled``.
    awaited: bool = False


#: Becomes true when each delivery of an event has had an attempt and none has to be sent again for it,
#: false when the inbox cannot keep one that failed.
Handled = Future[bool]


@dataclass(frozen=True, slots=True)
class Stored:
    """The entry is committed."""

    #: For an awaited entry.
    handled: Handled | None = None
    #: Id of the event that was seen with the same key and other content, if there is one.
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An event with the same key is in the inbox; the new one was counted on it and not stored."""

    #: Id of the event first seen.
    event_id: str
    #: Whether its content differs from the event first seen.
    changed: bool
    #: For an awaited entry whose event is still being handled.
    handled: Handled | None = None


@dataclass(slots=True, eq=False)
class Claim:
    """A delivery that may run now: the first of its lane, and nothing else of its lane runs."""

    #: Id of the delivery; ids of a lane ascend in order of arrival.
    id: int
    route: str
    lane: str
    event: Event
    #: Which attempt this is, from 1, over the whole life of the delivery.
    attempt: int = 1
    #: The same, but counted from the last time a person retried it: what the retry policy counts.
    round_attempt: int = 1
    #: Seconds for which its failed attempts of this round, and the waits after them, held up its lane.
    blocked: float = 0.0
    #: Bytes of the event's body.
    size: int = 0
    #: Under which lease it was claimed, where several replicas share an inbox: void with it.
    lease: int = 0
    #: It may have taken a process down: it is shown as running before it runs.
    is_suspect: bool = False
    #: It ran when a process ended: of those one runs at a time, so that the innocent ones do not end with it.
    was_cut_off: bool = False


class AttemptOutcome(StrEnum):
    """How one call of a handler ended."""

    #: It returned.
    DONE = "done"
    #: It raised `RetryLater`.
    RETRY_LATER = "retry_later"
    #: It raised `GiveUp`.
    GAVE_UP = "gave_up"
    #: It ran longer than the route's ``timeout``.
    TIMEOUT = "timeout"
    #: It raised anything else.
    ERROR = "error"
    #: The process ended while it ran.
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of a handler, as it is kept."""

    number: int
    started_at: datetime
    #: Seconds.
    duration: float
    outcome: AttemptOutcome
    #: One line for a person; ``None`` when it is done.
    error: str | None = None
    traceback: str | None = None
    #: Name and version of the plugin that ran, such as ``archive 0.1.0``.
    plugin: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned; the delivery is finished."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Retry:
    """The delivery waits at the head of its lane; how long is no matter of any clock that can be set."""

    attempt: Attempt
    #: Seconds until the next attempt.
    delay: float


@dataclass(frozen=True, slots=True)
class Dead:
    """The delivery becomes a dead letter and its lane goes on; ``reason`` is one line for a person."""

    reason: str
    #: ``None`` when it died without being handled (too old).
    attempt: Attempt | None = None


Outcome = Done | Retry | Dead


def next_attempt(claim: Claim, outcome: Retry) -> Claim:
    """Return what waits after an attempt that failed."""
    return replace(
        claim,
        attempt=claim.attempt + 1,
        round_attempt=claim.round_attempt + 1,
        blocked=claim.blocked + outcome.attempt.duration + outcome.delay,
        was_cut_off=False,
    )


class Inbox(Protocol):
    """The store of one running router. All methods belong to the event loop that called `open`."""

    @property
    def store(self) -> Store:
        """What handlers keep, from `open` to `close`."""

    @property
    def pollers(self) -> Pollers:
        """Which instances this process polls, from `open` to `close`."""

    async def open(self) -> None:
        """Open or create the store; what an earlier run left unfinished can be claimed.

        Raises:
            InboxInUse: Another process runs a router on it.
            InboxUnavailable: It cannot be opened.
        """

    async def close(self) -> None:
        """Write what is settled and release the store. Claims that are not settled stay pending."""

    async def put(self, entry: Entry) -> Stored | Duplicate:
        """Store an event with its deliveries in one transaction; return when that is committed.

        Raises:
            InboxUnavailable: Nothing was stored.
        """

    def hold(self, route: str) -> None:
        """Let the deliveries of a route wait for the next start. Called before any is claimed."""

    async def claim(self) -> Claim | None:
        """Wait for a delivery that may run now; ``None`` once `stop_claims` was called."""

    def stop_claims(self) -> None:
        """Hand out no more claims; waiting calls of `claim` return ``None``."""

    def started(self, claim: Claim) -> None:
        """Show the claimed delivery as running. Called for those that take a while, and only once."""

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """Record how the claimed delivery ended and let its lane go on.

        Durable with the next commit. An outcome that cannot be written now is kept and written
        later; no claims are handed out meanwhile.
        """

    def release(self, claim: Claim) -> None:
        """Give a claim back unsettled: the attempt does not count, the delivery stays pending."""

    def problem(self) -> str | None:
        """Say why the inbox cannot be written, or ``None`` when the last attempt to write went well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event as an operator sees it."""

    id: str
    type: str | None
    instance: int | None
    chat: str | None
    status: EventStatus
    received_at: datetime
    transport: Transport
    #: How often the same notification came again.
    duplicates: int
    #: How often it came again with other content.
    changed: int
    problems: Sequence[Problem]
    body: bytes
    deliveries: Sequence[DeliveryRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """A delivery as an operator sees it."""

    id: int
    #: Id of its event.
    event: str
    type: str | None
    instance: int | None
    chat: str | None
    route: str
    lane: str
    status: DeliveryStatus
    attempts: int
    received_at: datetime
    #: When the next attempt is due, for a delivery that waits for one.
    due_at: datetime | None
    settled_at: datetime | None
    #: Why the last attempt failed, or why it is dead.
    error: str | None
    #: Every attempt that is kept, oldest first; filled only where a single delivery is shown.
    history: Sequence[Attempt] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; ``None`` leaves a field open."""

    type: str | None = None
    instance: int | None = None
    chat: str | None = None
    status: EventStatus | None = None
    #: Received at this time or later.
    since: datetime | None = None
    #: Received before this time.
    before: datetime | None = None
    #: With a delivery of this status; of ``route``, where both are given.
    delivery: DeliveryStatus | None = None
    #: With a delivery of this route.
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries; ``None`` leaves a field open."""

    status: DeliveryStatus | None = None
    route: str | None = None
    type: str | None = None
    instance: int | None = None
    chat: str | None = None
    #: A part of the error, in small or capital letters.
    error: str | None = None
    #: Settled at this time or later.
    since: datetime | None = None
    #: Settled before this time.
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stored event as it is read and routed today, to be delivered again."""

    event: Event
    #: The dedup key that it gets; ``None``: it keeps its own.
    key: str | None
    deliveries: Sequence[NewDelivery]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the ledger did about a `Replay`; all empty when the event is no longer there."""

    #: Routes for which it has a new delivery.
    routes: tuple[str, ...] = ()
    #: Routes for which it has an unfinished delivery already: no second one was added.
    waiting: tuple[str, ...] = ()
    #: Another event that has its key: nothing was done.
    duplicate_of: str | None = None


class Ledger(Protocol):
    """What an operator reads in the inbox and changes about it. Synchronous; safe beside a running router."""

    def events(self, where: EventFilter, limit: int = 50) -> list[EventRecord]:
        """List events, newest first, without their deliveries."""

    def each_event(self, where: EventFilter) -> Iterator[EventRecord]:
        """Go through the events that are there now, oldest first, however many, without their deliveries."""

    def event(self, event_id: str) -> EventRecord:
        """Return one event with its deliveries; a prefix of the id will do while it is unique.

        Raises:
            NotFound: No event, or more than one, has that id.
        """

    def deliveries(self, where: DeliveryFilter, limit: int = 50) -> list[DeliveryRecord]:
        """List deliveries, oldest first."""

    def each_delivery(self, where: DeliveryFilter) -> Iterator[DeliveryRecord]:
        """Go through deliveries, oldest first, however many."""

    def count(self, where: DeliveryFilter) -> dict[str, int]:
        """Count deliveries by route, in the order of the routes' names."""

    def delivery(self, delivery_id: int) -> DeliveryRecord:
        """Return one delivery with its history.

        Raises:
            NotFound: No delivery has that id.
        """

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        """Make dead letters pending again, in their lane's order; return the ids of those that were dead."""

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        """Mark unfinished or dead deliveries as not to be handled; return the ids of those that were."""

    def replay(self, replays: Sequence[Replay], *, dry_run: bool = False) -> list[Replayed]:
        """Add deliveries of events, each at the end of its lane; return what was done about each event.

        An event that gets one is accepted from then on, and has the facts that are read in it today.
        With ``dry_run`` nothing is changed.
        """

    def add(self, entries: Sequence[Entry]) -> list[str | None]:
        """Store events that did not come by a transport, in one transaction, at the end of their lanes.

        Returns:
            For each the id of the event that has its key, whatever the dedup window says: it was not
            stored then, nor counted. ``None``: it was stored.
        """

    def store_items(self, scope_prefix: str = "", limit: int = 50) -> list[StoreItem]:
        """List what handlers keep in scopes that begin so, by scope and key."""

    def store_items_of(self, scope: str, limit: int = 50) -> list[StoreItem]:
        """List what handlers keep in one scope, by key."""

    def store_set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Keep a value in place of any that was there; see `Store`."""

    def store_delete(self, scope: str, key: str) -> bool:
        """Forget a value; return whether it was there."""
