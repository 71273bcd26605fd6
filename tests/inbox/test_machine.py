"""Anything that may happen to an inbox, in any order, against a model that is simple enough to be right.

After each step everything that was asked for is answered, so that what the inbox hands out, keeps and
shows can be compared with the model. `HYPOTHESIS_PROFILE=long` runs many more and longer sequences.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import orjson
import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from router.errors import InboxUnavailable
from router.events import DeliveryStatus, Event, EventStatus, Transport
from router.inbox import (
    Attempt,
    AttemptOutcome,
    Claim,
    Dead,
    DeliveryFilter,
    Done,
    Duplicate,
    Entry,
    EventFilter,
    Handled,
    NewDelivery,
    Outcome,
    Replay,
    Retry,
    Stored,
)
from router.normalize import normalize
from tests.inbox.homes import (
    DEDUP_WINDOW,
    MAX_FINISHED,
    MAX_UNFINISHED,
    Bounds,
    Home,
    MemoryHome,
    SqliteHome,
)
from tests.inbox.model import Delivery, Store, interrupted, same_claim

#: Route names and concurrency bounds, as one `routes.yaml` after the other has them.
ROUTES: list[dict[str, int]] = [
    {"orders": 3, "audit": 1, "each": 3},
    {"orders": 1, "each": 1},
    {"orders": 2, "audit": 2, "each": 1, "gone": 1},
]
ALL_ROUTES = {"orders": 3, "audit": 1, "each": 3, "gone": 1}
#: Seconds that pass at once: two of them are the dedup window, to the second.
A_WHILE = DEDUP_WINDOW / 2
_UNFINISHED = (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)

#: What a rule picks one of several with; as it shrinks, the first of them.
which = st.integers(0, 30)
carriers = st.integers(0, 6)
routes_of_event = st.lists(st.sampled_from(sorted(ALL_ROUTES)), unique=True, max_size=3)
endings = st.sampled_from(["done", "retry at once", "retry soon", "retry late", "dead", "too old"])


@dataclass(eq=False)
class Sent:
    """A put that is not answered yet."""

    entry: Entry
    answer: asyncio.Task[Stored | Duplicate]
    #: It can be stored, but for the disk.
    is_sound: bool


@dataclass(eq=False)
class Expected:
    """Whoever sent an event waits until each of these had an attempt."""

    deliveries: set[int]
    handled: list[Handled]
    #: One of them was discarded: it may never have an attempt.
    is_open: bool = False

    @property
    def is_waited_for(self) -> bool:
        return not all(handled.done() for handled in self.handled)


class InboxMachine(RuleBasedStateMachine):
    """What intake, dispatch, operators, signals, crashes and disks do to an inbox."""

    home: Home

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.sent_events = 0
        self.routes: Mapping[str, int] = ROUTES[0]
        #: Each waits for a claim or has one, as those of the dispatcher.
        self.carriers = 0
        #: Deliveries up to this one are shown as running before they are handed out: a run crashed.
        self.careful_until = 0
        #: Claims that are handed out, by delivery.
        self.running: dict[int, Claim] = {}
        #: Calls of `claim` that wait.
        self.claimers: list[asyncio.Task[Claim | None]] = []
        #: Lanes that an operator changed, which the inbox does not know yet.
        self.unnoticed: set[tuple[str, str]] = set()
        #: Deliveries that were discarded and may be handed out once more, because of that.
        self.stale: dict[int, datetime | None] = {}
        self.expected: dict[str, Expected] = {}
        #: The disk takes its time: nothing is answered.
        self.is_held = False
        #: Every write fails.
        self.is_broken = False
        #: An outcome waits to be written until they do not.
        self.has_kept = False
        #: The inbox knows that it cannot.
        self.is_stuck = False
        #: What surely is on the disk, and what was asked for since.
        self.durable: Store | None = None
        self.asked: list[Callable[[Store], object]] = []
        self.sent: list[Sent] = []

    def make(self, bounds: Bounds, deliver_changed: bool) -> Home:
        raise NotImplementedError

    @initialize(
        bounds=st.builds(
            Bounds,
            waiting=st.integers(1, 4),
            bytes=st.sampled_from([1, 1_000, 10_000]),
            lanes=st.integers(3, 4),
            page=st.integers(1, 3),
            page_bytes=st.sampled_from([1, 1_000]),
            discovery=st.integers(1, 3),
            concurrency=st.integers(3, 5),
        ),
        deliver_changed=st.booleans(),
        carriers=carriers,
    )
    def begin(self, bounds: Bounds, deliver_changed: bool, carriers: int) -> None:
        self.carriers = carriers
        self.concurrency = bounds.concurrency
        self.home = self.make(bounds, deliver_changed)
        self.store = Store(dedup_window=DEDUP_WINDOW, deliver_changed=deliver_changed)
        self.home.open(self.routes)

    def teardown(self) -> None:
        if not hasattr(self, "home"):
            return
        try:
            if not self.failed:
                self.drain()
        finally:
            for task in [*self.claimers, *(sent.answer for sent in self.sent)]:
                task.cancel()
            self.home.leave()

    # Intake

    @rule(
        senders=st.lists(st.tuples(st.sampled_from([1, 2]), st.sampled_from("abc")), min_size=1, max_size=5),
        routes=routes_of_event,
        awaited=st.booleans(),
    )
    def receive(self, senders: list[tuple[int, str]], routes: list[str], awaited: bool) -> None:
        """Instance and chat of each notification."""
        with self.step():
            for instance, chat in senders:
                number = self.sent_events + 1
                body = _body(f"M{number}", instance, chat, "hello")
                self.send(self.entry(body, f"key{number}", routes, awaited=awaited))

    @rule(
        which=which,
        text=st.sampled_from(["hello", "hello, with more", "hello, with other"]),
        is_turned_round=st.booleans(),
        routes=routes_of_event,
        awaited=st.booleans(),
    )
    def receive_again(
        self, which: int, text: str, is_turned_round: bool, routes: list[str], awaited: bool
    ) -> None:
        """The key of an earlier event, with the same or another content."""
        number = which % max(1, self.sent_events) + 1
        body = _body(f"M{number}", 1, "a", text)
        if is_turned_round:
            body = dict(reversed(body.items()))
        with self.step():
            self.send(self.entry(body, f"key{number}", routes, awaited=awaited))

    @precondition(lambda self: not self.is_steady)
    @rule(routes=routes_of_event)
    def receive_what_cannot_be_stored(self, routes: list[str]) -> None:
        number = self.sent_events + 1
        entry = self.entry(_body(f"M{number}", 1, "a", "hello"), f"key{number}", routes)
        too_large = replace(entry, event=replace(entry.event, instance=2**70))
        with self.step():
            self.send(too_large, is_sound=False)

    def entry(self, body: dict[str, Any], key: str, routes: list[str], *, awaited: bool = False) -> Entry:
        self.sent_events += 1
        event = normalize(
            body,
            id=f"{self.sent_events:08d}",
            received_at=self.home.clock.now(),
            transport=Transport.WEBHOOK,
        )
        return Entry(
            event=event,
            status=EventStatus.ACCEPTED if routes else EventStatus.UNROUTED,
            key=key,
            body=orjson.dumps(body),
            deliveries=[_delivery(event, route) for route in routes],
            awaited=awaited,
        )

    def send(self, entry: Entry, *, is_sound: bool = True) -> None:
        self.sent.append(Sent(entry, self.home.loop.create_task(self.home.inbox.put(entry)), is_sound))
        if is_sound and self.durable is not None:
            self.asked.append(lambda store: store.put(entry))

    # Dispatch

    @rule(carriers=carriers, releases=st.booleans())
    def change_carriers(self, carriers: int, releases: bool) -> None:
        """Also at the moment at which something that was released can be claimed."""
        with self.step():
            self.carriers = carriers
            released = list(self.running.values())[: int(releases)]
            busy = len(self.running) - len(released)
            surplus = self.claimers[: max(0, len(self.claimers) + busy - carriers)]
            self.home.do(
                *(partial(self.give_back, claim) for claim in released),
                *(claimer.cancel for claimer in surplus),
            )
            self.home.turn()
            self.claimers = [claimer for claimer in self.claimers if not claimer.cancelled()]

    @precondition(lambda self: self.running)
    @rule(which=which)
    def start(self, which: int) -> None:
        claim = self.pick(which)
        with self.step():
            self.home.do(partial(self.home.inbox.started, claim))
            self.ask(lambda store: store.start(claim.id))

    @precondition(lambda self: self.running)
    @rule(which=which)
    def release(self, which: int) -> None:
        with self.step():
            self.home.do(partial(self.give_back, self.pick(which)))

    @precondition(lambda self: self.running)
    @rule(which=which, endings=st.lists(endings, min_size=1, max_size=5))
    def settle(self, which: int, endings: list[str]) -> None:
        """One claim or, if there are, several within one turn of the event loop."""
        with self.step():
            claims = [self.pick(which + n) for n in range(min(len(endings), len(self.running)))]
            self.home.do(*map(partial, repeat(self.end), claims, endings))

    def pick(self, which: int) -> Claim:
        return list(self.running.values())[which % len(self.running)]

    def give_back(self, claim: Claim) -> None:
        del self.running[claim.id]
        self.home.inbox.release(claim)
        self.ask(lambda store: store.release(claim.id))

    def end(self, claim: Claim, ending: str) -> None:
        del self.running[claim.id]
        outcome = self.outcome(claim, ending)
        self.has_kept |= not self.is_steady and self.store.deliveries[claim.id].status in _UNFINISHED
        is_waited_for = claim.event.id in self.expected and self.expected[claim.event.id].is_waited_for
        self.home.inbox.settle(claim, outcome)
        now = self.home.clock.now()
        self.ask(lambda store: store.settle(claim.id, outcome, now))
        self.attempted(claim, outcome)
        is_discarded = self.store.deliveries[claim.id].status is DeliveryStatus.DISCARDED
        if is_discarded and isinstance(outcome, Retry) and (claim.route, claim.lane) in self.unnoticed:
            self.stale[claim.id] = now + timedelta(seconds=outcome.delay)
        if is_waited_for and isinstance(outcome, Retry) and not self.home.lasts:
            self.park(self.store.deliveries[claim.id])

    def outcome(self, claim: Claim, ending: str) -> Outcome:
        delay = {"retry at once": 0.0, "retry soon": A_WHILE, "retry late": 3 * A_WHILE}
        attempt = Attempt(
            number=claim.attempt,
            started_at=self.home.clock.now(),
            duration=0.5,
            outcome=AttemptOutcome.DONE if ending == "done" else AttemptOutcome.ERROR,
            error=None if ending == "done" else f"{ending} {claim.attempt}",
            plugin="p 1",
        )
        match ending:
            case "done":
                return Done(attempt)
            case "dead":
                return Dead("gave up", attempt)
            case "too old":
                return Dead("too old")
            case _:
                return Retry(attempt, delay[ending])

    def ask(self, apply: Callable[[Store], object]) -> None:
        """Change the model, and remember what is not confirmed yet."""
        apply(self.store)
        if self.durable is not None:
            self.asked.append(apply)

    # Whoever waits for the handlers

    def attempted(self, claim: Claim, outcome: Outcome) -> None:
        """Whoever waits for the event's handlers is told when each had its attempt; see `webhook.ack`."""
        expected = self.expected.get(claim.event.id)
        if expected is None:
            return
        expected.deliveries.discard(claim.id)
        if isinstance(outcome, Retry) and not self.home.lasts:
            self.told(claim.event.id, False)
        elif not expected.deliveries:
            self.told(claim.event.id, True)

    def told(self, event_id: str, result: bool) -> None:
        expected = self.expected.pop(event_id)
        if not expected.is_open:
            assert [handled.done() and handled.result() for handled in expected.handled] == [
                result for _ in expected.handled
            ]

    def park(self, delivery: Delivery) -> None:
        if delivery.status in _UNFINISHED:
            delivery.parked, delivery.due_at = True, None

    def unpark(self, event_id: str) -> None:
        for delivery in self.store.events[event_id].deliveries:
            if delivery.parked and delivery.status in _UNFINISHED:
                delivery.parked, delivery.late = False, True

    # Operators

    @precondition(lambda self: self.is_steady and self.dead())
    @rule(which=st.lists(which, min_size=1, max_size=3), is_noticed=st.booleans())
    def retry(self, which: list[int], is_noticed: bool) -> None:
        self.change("retry", self.dead(), which, is_noticed=is_noticed)

    @precondition(lambda self: self.is_steady and self.store.deliveries)
    @rule(which=st.lists(which, min_size=1, max_size=3), is_noticed=st.booleans())
    def discard(self, which: list[int], is_noticed: bool) -> None:
        self.change("discard", list(self.store.deliveries), which, is_noticed=is_noticed)

    def dead(self) -> list[int]:
        return [d.id for d in self.store.deliveries.values() if d.status is DeliveryStatus.DEAD]

    def change(self, verb: str, known: list[int], which: list[int], *, is_noticed: bool) -> None:
        chosen = [known[number % len(known)] for number in which]
        if not self.home.lasts:
            del chosen[1:]  # by one that is finished memory may forget another
        self.change_these(verb, [*chosen, 999], is_noticed=is_noticed)

    @precondition(lambda self: self.is_steady and self.running)
    @rule(which=which, is_noticed=st.booleans())
    def discard_what_runs(self, which: int, is_noticed: bool) -> None:
        self.change_these("discard", [self.pick(which).id], is_noticed=is_noticed)

    def change_these(self, verb: str, ids: list[int], *, is_noticed: bool) -> None:
        known = self.store.deliveries
        due = {number: known[number].due_at for number in ids if number in known}
        with self.step():
            changed = getattr(self.store, verb)(ids)
            assert getattr(self.home.ledger, verb)(ids) == changed
            for number in changed:
                self.unnoticed.add((known[number].route, known[number].lane))
                if verb == "discard":
                    self.stale[number] = due[number]
                    self.open_expected(known[number].event.entry.event.id)
            if self.unnoticed and (is_noticed or not self.home.lasts):
                self.noticed()

    @precondition(lambda self: self.is_steady and self.store.events)
    @rule(which=which, routes=routes_of_event, is_noticed=st.booleans())
    def replay(self, which: int, routes: list[str], is_noticed: bool) -> None:
        kept = list(self.store.events.values())[which % len(self.store.events)]
        event = kept.entry.event
        deliveries = [_delivery(event, route) for route in routes]
        with self.step():
            expected = self.store.replay(event.id, deliveries)
            replay = Replay(event=event, key=None, deliveries=deliveries)
            assert self.home.ledger.replay([replay]) == [expected]
            self.unnoticed |= {(d.route, d.lane) for d in deliveries if d.route in expected.routes}
            if self.unnoticed and (is_noticed or not self.home.lasts):
                self.noticed()

    def open_expected(self, event_id: str) -> None:
        if event_id in self.expected:
            self.expected[event_id].is_open = True

    @precondition(lambda self: self.is_steady and self.unnoticed)
    @rule()
    def notice(self) -> None:
        with self.step():
            self.noticed()

    def noticed(self) -> None:
        """What was handed out meanwhile is checked by what was known then."""
        self.home.settle_down()
        self.take_claims()
        self.home.notice()
        self.unnoticed.clear()
        self.stale.clear()

    # Time

    @rule(times=st.integers(1, 3))
    def wait(self, times: int) -> None:
        with self.step():
            self.home.clock.seconds += times * A_WHILE

    # The disk

    @property
    def is_steady(self) -> bool:
        return not self.is_held and not self.is_broken

    @property
    def disk(self) -> SqliteHome:
        return cast("SqliteHome", self.home)

    @precondition(lambda self: self.home.lasts and self.is_steady)
    @rule(breaks=st.booleans())
    def stop_the_disk(self, breaks: bool) -> None:
        """It takes its time, or every write fails."""
        self.is_held, self.is_broken = not breaks, breaks
        if breaks:
            self.disk.break_()
        else:
            self.disk.hold()
        self.begin_to_doubt()

    @precondition(lambda self: not self.is_steady)
    @rule(breaks=st.booleans())
    def let_the_disk_go_on(self, breaks: bool) -> None:
        """What gathered is written, or fails all at once."""
        with self.step():
            if self.is_broken:
                self.disk.mend()
                self.disk.look_again()
                self.is_broken = self.is_stuck = False
            else:
                if breaks:
                    self.disk.break_()
                self.disk.let_go()
                self.is_held, self.is_broken = False, breaks

    def begin_to_doubt(self) -> None:
        self.durable, self.asked = copy.deepcopy(self.store), []

    # Ends

    @precondition(lambda self: self.home.lasts and not self.is_held)
    @rule(routes=st.sampled_from(ROUTES), endings=st.lists(endings, max_size=2))
    def restart(self, routes: dict[str, int], endings: list[str]) -> None:
        """A graceful stop: nothing more is claimed, some claims are settled, some are given back."""
        with self.step():
            self.home.inbox.stop_claims()
            self.home.settle_down()
            assert all(claimer.result() is None for claimer in self.claimers if claimer.done())
            # What an earlier crash makes show as running before it runs cannot be shown on a broken disk.
            assert self.is_broken or all(claimer.done() for claimer in self.claimers)
            self.home.do(*(claimer.cancel for claimer in self.claimers))
            self.claimers.clear()
            self.home.do(*map(partial, repeat(self.end), list(self.running.values()), endings))
            self.home.do(*(partial(self.give_back, claim) for claim in list(self.running.values())[::2]))
            was_broken = self.is_broken
            self.disk.close()
            self.disk.mend()
            self.open_again(routes)
            assert self.careful_until == 0 or was_broken

    @precondition(lambda self: self.home.lasts)
    @rule(routes=st.sampled_from(ROUTES), cut=st.floats(0, 1))
    def crash(self, routes: dict[str, int], cut: float) -> None:
        with self.step():
            self.disk.crash(cut)
            self.home.do(*(task.cancel for task in [*self.claimers, *(sent.answer for sent in self.sent)]))
            self.home.turn()
            self.claimers.clear()
            self.sent.clear()
            self.open_again(routes)
            assert self.careful_until == len(self.store.deliveries)

    def open_again(self, routes: Mapping[str, int]) -> None:
        self.store = self.found()
        self.durable, self.asked = None, []
        self.is_held = self.is_broken = self.is_stuck = False
        self.running.clear()
        self.unnoticed.clear()
        self.stale.clear()
        self.expected.clear()
        self.routes = routes
        self.home.open(routes)
        self.careful_until = self.disk.careful_until
        self.store.recover()

    def found(self) -> Store:
        """Return what the disk holds: all that was confirmed, and a beginning of what was asked for since."""
        if self.durable is None:
            return self.store
        shown = self.shown()
        store = copy.deepcopy(self.durable)
        for apply in [None, *self.asked]:
            if apply is not None:
                apply(store)
            found = copy.deepcopy(store)
            for record in self.home.ledger.deliveries(DeliveryFilter(status=DeliveryStatus.RUNNING), 9_999):
                if record.id <= self.careful_until:  # it was shown as running, and not handed out yet
                    found.start(record.id)
            if found.shown() == shown:
                return found
        raise AssertionError(f"no beginning of what was asked for leads to {shown}")

    # What is held against the model

    @contextmanager
    def step(self) -> Iterator[None]:
        self.failed = True
        yield
        self.follow()
        self.check()
        self.failed = False

    def follow(self) -> None:
        """Take in what the inbox says until it has nothing more to say."""
        self.home.settle_down()
        self.take_answers()
        self.take_claims()
        idle = self.carriers - len(self.running) - len(self.claimers)
        if idle > 0:
            ask = self.home.inbox.claim
            self.claimers += [self.home.loop.create_task(ask()) for _ in range(idle)]
            self.follow()

    def take_answers(self) -> None:
        if self.is_held:
            assert not any(sent.answer.done() for sent in self.sent)
            return
        for sent in self.sent:
            assert sent.answer.done()
            if sent.answer.exception() is not None:
                assert isinstance(sent.answer.exception(), InboxUnavailable), sent.answer.exception()
                assert self.is_broken or not sent.is_sound or self.is_full
                continue
            assert not self.is_broken
            assert sent.is_sound
            self.answered(sent.entry, sent.answer.result())
        self.sent.clear()

    def answered(self, entry: Entry, answer: Stored | Duplicate) -> None:
        expected = self.store.put(entry)
        assert answer == replace(expected, handled=answer.handled)
        event_id = expected.event_id if isinstance(expected, Duplicate) else entry.event.id
        unfinished = self.unfinished(event_id)
        if isinstance(expected, Stored):
            assert (answer.handled is not None) is entry.awaited
        else:
            resumes = entry.awaited and not self.home.lasts and bool(unfinished)
            assert (answer.handled is not None) is resumes
        if answer.handled is None:
            return
        if not unfinished:
            assert answer.handled.result() is True
            return
        if isinstance(expected, Duplicate):
            self.unpark(event_id)
        self.expected.setdefault(event_id, Expected(unfinished, [])).handled.append(answer.handled)

    def unfinished(self, event_id: str) -> set[int]:
        kept = self.store.events.get(event_id)
        return {d.id for d in kept.deliveries if d.status in _UNFINISHED} if kept else set()

    @property
    def is_full(self) -> bool:
        return (
            not self.home.lasts
            and sum(not k.is_finished for k in self.store.events.values()) >= MAX_UNFINISHED
        )

    def take_claims(self) -> None:
        for claimer in [claimer for claimer in self.claimers if claimer.done()]:
            self.claimers.remove(claimer)
            claim = claimer.result()
            assert claim is not None
            self.take(claim)

    def take(self, claim: Claim) -> None:
        """Check that what is handed out is the first of its lane, and that nothing else runs for it."""
        assert not self.is_stuck, "an outcome cannot be written, and claims are handed out"
        delivery = self.store.deliveries[claim.id]
        said, expected = same_claim(claim, delivery)
        assert said == expected
        assert claim.id in self.allowed(claim.route, claim.lane), f"{claim} is not its lane's turn"
        assert self.has_place(claim.route), "more than the concurrency of the route, or than its share"
        assert all((other.route, other.lane) != (claim.route, claim.lane) for other in self.running.values())
        self.stale.pop(claim.id, None)
        self.running[claim.id] = claim
        if claim.id <= self.careful_until:
            self.ask(lambda store: store.start(claim.id))

    def has_place(self, route: str) -> bool:
        """Tell whether one more of a route may run: one that runs leaves a place for each that does not."""
        running = Counter(claim.route for claim in self.running.values())
        idle = len(self.routes) - len(running)
        return not running[route] or (
            running[route] < self.routes[route] and len(self.running) + idle < self.concurrency
        )

    def allowed(self, route: str, key: str) -> set[int]:
        """Return what may be handed out of a lane in which nothing runs."""
        now = self.home.clock.now()
        lane = self.store.lane(route, key)
        if (route, key) in self.unnoticed:
            stale = {number for number, due in self.stale.items() if due is None or due <= now}
            return stale | {delivery.id for delivery in lane if delivery.may_start(now)}
        first = [delivery for delivery in lane if not delivery.late][:1]
        late = [delivery for delivery in lane if delivery.late]
        return {delivery.id for delivery in [*first, *late] if delivery.may_start(now)}

    def claimable(self) -> set[int]:
        """Return what has to be handed out if somebody asks."""
        now = self.home.clock.now()
        found: set[int] = set()
        busy = {(claim.route, claim.lane) for claim in self.running.values()}
        for route in filter(self.has_place, self.routes):
            for key in {d.lane for d in self.store.deliveries.values() if d.route == route}:
                lane = self.store.lane(route, key)
                if (route, key) in busy | self.unnoticed or not lane:
                    continue
                if any(d.late for d in lane) and not all(d.may_start(now) for d in lane):
                    continue
                found |= self.allowed(route, key)
        return found

    def check(self) -> None:
        if self.is_held:
            return
        self.is_stuck = self.is_broken and self.has_kept
        if not self.is_broken:
            self.has_kept = False
            self.durable, self.asked = None, []
            assert self.home.inbox.problem() is None
            waiting = self.claimable() if self.claimers else set()
            assert not waiting, f"{waiting} can run, and nobody who asks is given any"
            self.forget()
            assert self.shown() == self.store.shown()
        for event_id, expected in self.expected.items():
            if expected.is_open:
                continue
            assert not any(handled.done() for handled in expected.handled), f"told too early of {event_id}"

    def shown(self) -> dict[str, Any]:
        return {
            "events": [
                (e.id, e.duplicates, e.changed) for e in self.home.ledger.events(EventFilter(), 9_999)
            ],
            "deliveries": [
                (
                    d.id,
                    d.route,
                    d.lane,
                    d.status,
                    d.attempts,
                    d.due_at,
                    d.error,
                    d.settled_at is not None,
                )
                for d in self.home.ledger.deliveries(DeliveryFilter(), 9_999)
            ],
        }

    def forget(self) -> None:
        """Memory drops what is finished, beyond so many events; nothing else does, and nothing else is."""
        if self.home.lasts:
            return
        held = {record.id for record in self.home.ledger.events(EventFilter(), 9_999)}
        for event_id in [event_id for event_id in self.store.events if event_id not in held]:
            assert self.store.events[event_id].is_finished
            self.store.forget(event_id)
            assert sum(kept.is_finished for kept in self.store.events.values()) >= MAX_FINISHED

    # The end of a sequence

    def drain(self) -> None:
        """All that is left is handed out, in the order of its lane, and settled."""
        if not self.is_steady:
            self.let_the_disk_go_on(breaks=False)
        if self.unnoticed:
            self.notice()
        self.empty()
        if self.home.lasts:
            self.restart(ALL_ROUTES, [])
            self.empty()
        left = [d.id for d in self.store.deliveries.values() if d.status in _UNFINISHED]
        assert not [n for n in left if self.store.deliveries[n].route in self.routes]
        assert {number: self.history(number) for number in self.store.histories()} == self.store.histories()

    def empty(self) -> None:
        """Let all that may run be done."""
        for delivery in list(self.store.deliveries.values()):
            if delivery.parked and delivery.status in _UNFINISHED:
                self.change_these("discard", [delivery.id], is_noticed=True)
        self.wait(3)
        self.change_carriers(6, releases=False)
        while self.running:
            self.settle(0, ["done"] * 6)
        assert not self.claimable()

    def history(self, number: int) -> list[Attempt]:
        kept = self.home.ledger.delivery(number).history
        is_cut_off = AttemptOutcome.INTERRUPTED
        return [interrupted(one.number) if one.outcome is is_cut_off else one for one in kept]


def _delivery(event: Event, route: str) -> NewDelivery:
    lanes = {"audit": f"{event.instance}", "each": event.id}
    return NewDelivery(route, lanes.get(route, f"{event.instance}|{event.chat}"))


def _body(number: str, instance: int, chat: str, text: str) -> dict[str, Any]:
    return {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": instance, "typeInstance": "whatsapp"},
        "idMessage": number,
        "senderData": {"chatId": chat},
        "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": text}},
    }


#: Where a sync costs nothing: a crash is played with copies of the files, the disk has no part in it.
_IN_MEMORY = Path("/dev/shm")


class SqliteMachine(InboxMachine):
    def make(self, bounds: Bounds, deliver_changed: bool) -> Home:
        self.folder = TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
        return SqliteHome(bounds, Path(self.folder.name), deliver_changed=deliver_changed)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class MemoryMachine(InboxMachine):
    def make(self, bounds: Bounds, deliver_changed: bool) -> Home:
        return MemoryHome(bounds, deliver_changed=deliver_changed)


_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
_SHORT = settings(stateful_step_count=40, derandomize=True, database=None, **_COMMON)
_LONG = settings(max_examples=5_000, stateful_step_count=80, **_COMMON)
_IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


@pytest.mark.timeout(0 if _IS_LONG else 600)  # only what fails takes long
@pytest.mark.parametrize(
    ("machine", "sequences"), [(SqliteMachine, 120), (MemoryMachine, 240)], ids=["sqlite", "memory"]
)
def test_whatever_happens_to_an_inbox_it_keeps_what_it_promises(
    machine: type[InboxMachine], sequences: int
) -> None:
    with structlog.testing.capture_logs():
        run_state_machine_as_test(
            machine, settings=_LONG if _IS_LONG else settings(_SHORT, max_examples=sequences)
        )
