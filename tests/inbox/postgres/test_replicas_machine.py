"""Anything that may happen to replicas on one database, in any order.

Each step lets them do all that they can, but for those whose connection is held. What they hand out is
held against the rows of the database. `HYPOTHESIS_PROFILE=long` runs many more and longer sequences.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

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

from router import clock
from router.inbox import Attempt, AttemptOutcome, Claim, Dead, Done, Duplicate, Outcome, Replay, Retry, Stored
from router.inbox import lanes as inbox_lanes
from router.inbox.lanes import Lanes
from router.inbox.postgres import inbox as postgres_inbox
from router.inbox.postgres import lease as postgres_lease
from router.inbox.postgres import statements
from router.inbox.postgres.database import Database
from router.inbox.postgres.ledger import PostgresLedger
from router.inbox.postgres.link import Link, Work
from tests.inbox.build import entry, event
from tests.inbox.homes import TRUNCATE, Clock, DeafInbox, Gate, LaneName, StandingLoop

ROUTES = {"orders": 2, "audit": 1}
LANES = [("orders", "a"), ("orders", "b"), ("orders", "c"), ("audit", "a"), ("audit", "b")]
#: Seconds that pass at once, and that a retry waits.
_A_WHILE = 60.0
_NEVER = 1e9
_MOST_REPLICAS = 3
#: Rounds in which all that is left has been done.
_ROUNDS = 60

which = st.integers(0, 30)
lane = st.sampled_from(LANES)
endings = st.sampled_from(["done", "done", "retry", "later", "dead"])
puts = st.lists(st.tuples(which, lane), max_size=4)


class LeaseLink(Link):
    """The connection of a lease; tells when something is done with it."""

    def __init__(self, database: Database, **given: Any) -> None:
        super().__init__(database, **given)
        self._count = 0
        self._has_done = asyncio.Condition()

    async def do(self, work: Work[Any], *, limit: float | None = None) -> Any:
        try:
            return await super().do(work, limit=limit)
        finally:
            async with self._has_done:
                self._count += 1
                self._has_done.notify_all()

    async def beat(self, hurry: Callable[[], None]) -> None:
        """Have it hear the last, and beat."""
        hurry()
        target = self._count + 2
        async with self._has_done:
            await self._has_done.wait_for(lambda: self._count >= target)


@dataclass(eq=False)
class Replica:
    inbox: DeafInbox
    #: The lease by which it hands out; `None` once others have ended it.
    lease: int | None
    is_held: bool = False
    claimers: list[asyncio.Task[Claim | None]] = field(default_factory=list)
    running: list[Claim] = field(default_factory=list)
    #: What is settled and not written yet, while it is held: delivery and mark.
    unwritten: list[tuple[int, str]] = field(default_factory=list)
    sent: list[asyncio.Task[Stored | Duplicate]] = field(default_factory=list)

    @property
    def gate(self) -> Gate:
        return cast("Gate", self.inbox._link)

    @property
    def lease_link(self) -> LeaseLink:
        return cast("LeaseLink", self.inbox._lease._link)


class ReplicasMachine(RuleBasedStateMachine):
    """What load balancers, handlers, operators, signals, crashes and stopped processes do to replicas.

    Args:
        url: Of a database with the tables of an inbox.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.failed = False
        self.clock = Clock()
        self.loop = StandingLoop(self.clock)
        self.patch = pytest.MonkeyPatch()
        self.time = ExitStack()
        self.time.enter_context(clock.taken_from(self.clock.now, lambda: self.clock.seconds))
        self.replicas: list[Replica] = []
        self.events = 0
        self.marks = 0
        self.carriers = 2
        #: Events that somebody was told are stored.
        self.stored: set[str] = set()
        #: Marks of outcomes that have to be there, by delivery, and of those that must not.
        self.valid: dict[int, str] = {}
        self.void: set[str] = set()
        self.discarded: set[int] = set()
        #: Lanes that an operator changed, of which their owners do not know.
        self.unnoticed: set[LaneName] = set()
        #: The last delivery that was handed out for the first time.
        self.first: dict[LaneName, int] = {}
        self.tried: set[int] = set()

    @initialize(waiting=st.integers(1, 3), page=st.integers(1, 2), ahead=st.sampled_from([1.0, 2.0]))
    def begin(self, waiting: int, page: int, ahead: float) -> None:
        defaults = cast("dict[str, Any]", Lanes.__init__.__kwdefaults__)
        self.patch.setitem(defaults, "max_waiting", waiting)
        self.patch.setattr(inbox_lanes, "PAGE", page)
        self.patch.setattr(statements, "PAGE_BYTES", 1_000)
        self.patch.setattr(postgres_inbox, "_AHEAD", ahead)
        self.patch.setattr(postgres_inbox, "_LIMIT", _NEVER)
        self.patch.setattr(postgres_inbox, "Link", Gate)
        self.patch.setattr(postgres_lease, "_LOOK", _NEVER)
        self.patch.setattr(postgres_lease, "Link", LeaseLink)
        self.db = Database(self.url).connect_now()
        self.db.execute(TRUNCATE)
        self.ledger = PostgresLedger(Database(self.url))
        self.failed = True
        for _ in range(2):
            self.open_one()
        self.failed = False

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        try:
            if not self.failed:
                self.drain()
        finally:
            for replica in [*self.replicas]:
                self.cancel(replica)
                self.run(replica.inbox.vanish())
            self.ledger.close()
            self.db.close()
            self.time.close()
            self.patch.undo()
            self.loop.close()

    # Intake and dispatch

    @rule(puts=puts, which=which, endings=st.lists(endings, max_size=3))
    def put_and_settle(self, puts: list[tuple[int, LaneName]], which: int, endings: list[str]) -> None:
        """All at once, wherever it is."""
        with self.step():
            self.settle(which, endings)
            for number, lane in puts:
                self.put(self.pick(number), lane)

    @rule(which=which, other=which, lane=lane)
    def put_one_twice(self, which: int, other: int, lane: LaneName) -> None:
        """GREEN-API sends a notification again, to another replica."""
        with self.step():
            key = f"twice{self.events}"
            self.put(self.pick(which), lane, key)
            self.put(self.pick(other), lane, key)

    def put(self, replica: Replica, lane: LaneName, key: str | None = None) -> None:
        self.events += 1
        route, chat = lane
        new = entry(event(self.events, chat=chat, received_at=self.clock.now()), route, key=key)
        replica.sent.append(self.loop.create_task(replica.inbox.put(new), name=new.event.id))

    def settle(self, which: int, endings: list[str]) -> None:
        for number, ending in enumerate(endings, which):
            running = [(replica, claim) for replica in self.replicas for claim in replica.running]
            if running:
                replica, claim = running[number % len(running)]
                self.do(partial(self.end, replica, claim, ending))

    def end(self, replica: Replica, claim: Claim, ending: str) -> None:
        self.marks += 1
        mark = f"p {self.marks}"
        is_done = ending == "done"
        attempt = Attempt(
            number=claim.attempt,
            started_at=self.clock.now(),
            duration=0.5,
            outcome=AttemptOutcome.DONE if is_done else AttemptOutcome.ERROR,
            error=None if is_done else ending,
            plugin=mark,
        )
        delays = {"retry": 0.0, "later": _A_WHILE}
        outcome: Outcome = Done(attempt) if is_done else Dead("no", attempt)
        if ending in delays:
            outcome = Retry(attempt, delays[ending])
        replica.running.remove(claim)
        replica.inbox.settle(claim, outcome)
        if claim.lease != replica.lease:
            self.void.add(mark)
            return
        replica.unwritten.append((claim.id, mark))
        if is_done:
            self.valid[claim.id] = mark

    @rule(which=which)
    def release(self, which: int) -> None:
        replica = self.pick(which)
        with self.step():
            for claim in replica.running[:1]:
                replica.running.remove(claim)
                self.do(partial(replica.inbox.release, claim))

    @rule(which=which)
    def start(self, which: int) -> None:
        replica = self.pick(which)
        with self.step():
            for claim in replica.running:
                self.do(partial(replica.inbox.started, claim))

    @rule(carriers=st.integers(0, 4))
    def change_carriers(self, carriers: int) -> None:
        with self.step():
            self.carriers = carriers
            for replica in self.replicas:
                for claimer in replica.claimers:
                    claimer.cancel()

    @rule()
    def wait(self) -> None:
        with self.step():
            self.clock.seconds += _A_WHILE

    # Operators

    @rule(verb=st.sampled_from(["retry", "discard"]), which=st.lists(which, min_size=1, max_size=2))
    def change(self, verb: str, which: list[int]) -> None:
        found = self.rows("SELECT id, route, lane FROM deliveries WHERE status IN ('dead', %s)", _OF[verb])
        chosen = {id_: (route, lane) for n in which if found for id_, route, lane in [found[n % len(found)]]}
        with self.step():
            changed = getattr(self.ledger, verb)(list(chosen))
            self.unnoticed |= {chosen[id_] for id_ in changed}
            if verb == "discard":
                self.discarded |= set(changed)

    @rule(which=which)
    def replay(self, which: int) -> None:
        found = self.rows(
            "SELECT event, route, lane FROM deliveries WHERE status NOT IN ('pending', 'running')"
        )
        if found:
            seq, route, lane = found[which % len(found)]
            ((event_id,),) = self.rows("SELECT id FROM events WHERE seq = %s", seq)
            with self.step():
                again = entry(event(int(event_id), chat=lane), route)
                self.ledger.replay([Replay(event=again.event, key=None, deliveries=again.deliveries)])
                self.unnoticed.add((route, lane))

    @rule()
    def hear(self) -> None:
        """All take up what an operator changed, and that there are free lanes."""
        with self.step():
            self.hear_all()

    def hear_all(self) -> None:
        for number, replica in enumerate(self.replicas):
            if not replica.is_held:
                self.marks += 1
                told = f'{{"route": "none", "lane": "{self.marks} {number}"}}'
                self.db.execute("SELECT pg_notify('router_changed', %s)", (told,))
                self.run(replica.inbox.listen_until(f"{self.marks} {number}"))
        if not any(replica.is_held for replica in self.replicas):
            self.settle_down()
            self.take_claims()
            self.unnoticed.clear()

    @rule(which=which)
    def beat(self, which: int) -> None:
        with self.step():
            self.beat_one(self.pick(which))

    def beat_one(self, replica: Replica) -> None:
        if not replica.is_held:
            self.run(replica.lease_link.beat(replica.inbox._lease.hurry))
            replica.lease = replica.inbox._lease.id

    # Replicas come, go, stand still and die

    @precondition(lambda self: len(self.replicas) < _MOST_REPLICAS)
    @rule()
    def join(self) -> None:
        with self.step():
            self.open_one()

    def open_one(self) -> None:
        inbox = DeafInbox(self.url, ROUTES, retention=_NEVER, lease=_NEVER)
        self.run(inbox.open())
        self.replicas.append(Replica(inbox, inbox._lease.id))

    @precondition(lambda self: len(self.replicas) > 1)
    @rule(which=which, endings=st.lists(endings, max_size=2))
    def leave(self, which: int, endings: list[str]) -> None:
        """As a signal does it: some of what runs is settled, some is given back, some is left as it is."""
        replica = self.pick(which)
        if replica.is_held or replica.lease is None:
            return
        with self.step():
            self.do(replica.inbox.stop_claims)
            self.settle_down()
            self.take_answers(replica)
            for ending in endings:
                for claim in replica.running[:1]:
                    self.do(partial(self.end, replica, claim, ending))
            for claim in replica.running[1:]:
                self.do(partial(replica.inbox.release, claim))
            self.cancel(replica)
            self.replicas.remove(replica)
            self.run(replica.inbox.close())

    @precondition(lambda self: len(self.replicas) > 1)
    @rule(which=which)
    def crash(self, which: int) -> None:
        """Its lease is ended some time, if not at once by the next step."""
        replica = self.pick(which)
        with self.step():
            self.forget_unwritten(replica)
            self.cancel(replica)
            self.replicas.remove(replica)
            self.run(replica.inbox.vanish())
            self.expire(replica.lease)

    @rule(which=which)
    def hold(self, which: int) -> None:
        """The network to its database stops, or it does."""
        replica = self.pick(which)
        with self.step():
            replica.is_held = True
            replica.gate.hold()

    @rule(which=which)
    def lapse(self, which: int) -> None:
        """The lease of one that is held, or of any other that could not renew it, is over."""
        replica = self.pick(which)
        if replica.lease is None:
            return
        with self.step():
            for claimer in replica.claimers:
                claimer.cancel()
            self.do(partial(replica.inbox._lanes.extend, self.clock.seconds))  # by its own clock
            self.forget_unwritten(replica)
            self.expire(replica.lease)
            replica.lease = None

    @rule()
    def take_over(self) -> None:
        with self.step():
            self.end_expired()

    @rule(which=which, beats=st.booleans())
    def go_on(self, which: int, beats: bool) -> None:
        """One that is held writes what it has, before or after it has seen that its lease is gone."""
        replica = self.pick(which)
        with self.step():
            self.let_go(replica, beats=beats)

    def let_go(self, replica: Replica, *, beats: bool) -> None:
        replica.is_held = False
        if beats:
            self.end_expired()
            self.beat_one(replica)
        replica.gate.let_go()
        self.settle_down()
        if replica.lease is None:
            self.end_expired()
            self.beat_one(replica)

    def expire(self, lease: int | None) -> None:
        self.db.execute("UPDATE replicas SET expires_at = '-infinity' WHERE id = %s", (lease,))

    def end_expired(self) -> None:
        self.db.execute("SELECT end_expired_leases(0)")

    def forget_unwritten(self, replica: Replica) -> None:
        for delivery, mark in replica.unwritten:
            self.valid.pop(delivery, None)
            self.void.add(mark)
        replica.unwritten.clear()

    def cancel(self, replica: Replica) -> None:
        for task in [*replica.claimers, *replica.sent]:
            task.cancel()
        self.turn()

    # What is held against the database

    @contextmanager
    def step(self) -> Iterator[None]:
        self.failed = True
        yield
        self.follow()
        self.check()
        self.failed = False

    def follow(self) -> None:
        self.settle_down()
        self.take_claims()
        idle = 0
        for replica in self.replicas:
            lacking = self.carriers - len(replica.running) - len(replica.claimers)
            if replica.lease is not None and lacking > 0:
                idle += lacking
                replica.claimers += [self.loop.create_task(replica.inbox.claim()) for _ in range(lacking)]
        if idle:
            self.follow()

    def take_claims(self) -> None:
        for replica in self.replicas:
            self.take_answers(replica)
            if not replica.is_held:
                replica.unwritten.clear()
        for replica in self.replicas:
            done = [claimer for claimer in replica.claimers if claimer.done()]
            replica.claimers = [claimer for claimer in replica.claimers if not claimer.done()]
            for claimer in done:
                if not claimer.cancelled():
                    claim = claimer.result()
                    assert claim is not None
                    self.take(replica, claim)

    def take_answers(self, replica: Replica) -> None:
        for put in [put for put in replica.sent if put.done()]:
            replica.sent.remove(put)
            answer = put.result()
            self.stored.add(answer.event_id if isinstance(answer, Duplicate) else put.get_name())

    def take(self, replica: Replica, claim: Claim) -> None:
        lane = (claim.route, claim.lane)
        assert claim.lease == replica.lease, f"{claim} of a lease that is over"
        others = [
            one
            for other in self.replicas
            for one in other.running
            if (one.route, one.lane) == lane and one.lease == other.lease
        ]
        assert not others, f"{claim} while {others} run"
        unwritten = [delivery for delivery, _ in replica.unwritten]
        ((first, is_shown, until),) = self.rows(
            """SELECT min(d.id), bool_or(d.id = %s AND d.status = 'running'), min(lanes.careful_until)
            FROM deliveries d JOIN lanes USING (route, lane)
            WHERE route = %s AND lane = %s AND status IN ('pending', 'running') AND d.id <> ALL (%s)""",
            claim.id,
            *lane,
            [one for one in unwritten if one != claim.id],
        )
        if lane not in self.unnoticed:
            assert claim.id == first, f"{claim} before {first}"
            assert claim.is_suspect is (claim.id <= until), claim
            assert is_shown or not claim.is_suspect
            if claim.id not in self.tried:
                assert claim.id > self.first.get(lane, 0), f"{claim} after {self.first[lane]}"
                self.first[lane] = claim.id
        self.tried.add(claim.id)
        replica.running.append(claim)

    def check(self) -> None:
        assert not self.rows(
            """SELECT id, route, lane FROM deliveries LEFT JOIN lanes USING (route, lane)
            WHERE status IN ('pending', 'running') AND lanes.last IS NULL"""
        ), "of no lane"
        owned = self.rows("SELECT route, lane, owner FROM lanes WHERE owner IS NOT NULL")
        live = {lease for (lease,) in self.rows("SELECT id FROM replicas")}
        assert {owner for _, _, owner in owned} <= live
        for replica in self.replicas:
            if replica.lease is not None and not replica.is_held:
                known = {(route, lane) for route, lane, _ in replica.inbox._lanes.known()}
                mine = {(route, lane) for route, lane, owner in owned if owner == replica.lease}
                assert mine <= known | replica.inbox._last.keys()
        written = self.rows("SELECT plugin FROM deliveries UNION ALL SELECT plugin FROM attempts")
        assert not self.void & {mark for (mark,) in written}, "an outcome of a lease that is over"

    # The end of a sequence

    def drain(self) -> None:
        """When all go on, all is done."""
        with self.step():
            for replica in self.replicas:
                if replica.is_held or replica.lease is None:
                    self.let_go(replica, beats=False)
            self.carriers = 4
        for _ in range(_ROUNDS):
            if not self.rows("SELECT FROM lanes") and not any(replica.sent for replica in self.replicas):
                break
            with self.step():
                self.end_expired()
                for replica in self.replicas:
                    self.beat_one(replica)
                self.hear_all()
                self.settle(0, ["done"] * 12)
                self.clock.seconds += _A_WHILE
        assert not self.rows("SELECT * FROM lanes")
        assert not self.rows("SELECT id FROM deliveries WHERE status IN ('pending', 'running')")
        assert self.stored <= {event_id for (event_id,) in self.rows("SELECT id FROM events")}
        assert not self.rows("SELECT seq FROM events WHERE seq NOT IN (SELECT event FROM deliveries)")
        done = dict(self.rows("SELECT id, plugin FROM deliveries WHERE status = 'done'"))
        assert self.valid.items() <= done.items() | {
            (delivery, mark) for delivery, mark in self.valid.items() if delivery in self.discarded
        }

    # The event loop

    def pick(self, number: int) -> Replica:
        return self.replicas[number % len(self.replicas)]

    def run(self, coroutine: Any) -> None:
        self.loop.run_until_complete(coroutine)

    def do(self, action: Callable[[], object]) -> None:
        async def do() -> None:
            action()

        self.run(do())

    def turn(self) -> None:
        async def until_idle() -> None:
            while not self.loop.is_idle():
                await asyncio.sleep(0)

        self.run(asyncio.sleep(0))
        self.run(until_idle())

    def settle_down(self) -> None:
        self.turn()
        while busy := [replica for replica in self.replicas if replica.gate.is_busy]:
            self.run(busy[0].gate.until_done())
            self.turn()

    def rows(self, statement: str, *values: object) -> list[Any]:
        return self.db.execute(statement.encode(), values).fetchall()


#: What else than dead letters an operator changes.
_OF = {"retry": "dead", "discard": "pending"}

_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
_SHORT = settings(max_examples=30, stateful_step_count=40, derandomize=True, database=None, **_COMMON)
_LONG = settings(max_examples=5_000, stateful_step_count=80, **_COMMON)
_IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


@pytest.mark.timeout(0 if _IS_LONG else 600)  # only what fails takes long
def test_whatever_happens_to_replicas_they_keep_what_they_promise(postgres_url: str) -> None:
    machine = cast("Any", partial(ReplicasMachine, postgres_url))
    with structlog.testing.capture_logs():
        run_state_machine_as_test(machine, settings=_LONG if _IS_LONG else _SHORT)
