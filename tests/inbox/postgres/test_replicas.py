"""Anything that may happen to several replicas on one database, in any order.

``ROUTER_TEST_STORIES`` runs more than the few of `make test`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
import pytest
from anyio import fail_after

from router.inbox import Claim, Dead, Done, Duplicate, Retry, Stored
from router.inbox import lanes as inbox_lanes
from router.inbox.postgres.database import Database
from router.inbox.postgres.inbox import PostgresInbox
from router.inbox.postgres.ledger import PostgresLedger
from tests.inbox.build import attempt, entry, event, failed
from tests.system.replicas.judge import RULES

SEEDS = range(int(os.environ.get("ROUTER_TEST_STORIES", "2")))
ROUTES = {"orders": 2, "audit": 1}
CHATS = "abcde"
STEPS = 80
#: Steps at the end in which nothing fails, so that nothing is mended by what follows a failure.
QUIET_STEPS = 30
#: Claims that a replica has at once, at most.
CARRIERS = 3


@dataclass(eq=False)
class Replica:
    """An inbox with those that wait for a claim, and what was claimed."""

    inbox: PostgresInbox
    claimers: list[asyncio.Task[Claim | None]] = field(default_factory=list)
    running: list[Claim] = field(default_factory=list)

    def claim_again(self) -> None:
        while len(self.claimers) + len(self.running) < CARRIERS:
            self.claimers.append(asyncio.ensure_future(self.inbox.claim()))


class Story:
    """Replicas on one database, and what was seen of them."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = Random(seed)
        self.replicas: list[Replica] = []
        self.events = 0
        self.stored: set[str] = set()
        #: Leases that are over: what was claimed under them is void.
        self.over: set[int] = set()
        #: Deliveries by lane, as they were first handed out while their claim counted.
        self.first: dict[tuple[str, str], list[int]] = {}
        #: Claims that count, by lane.
        self.valid: dict[tuple[str, str], Claim] = {}
        #: Deliveries that a person retried, which come again before later ones.
        self.retried: set[int] = set()
        self.told: list[str] = []

    def ask(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=router") as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    async def open(self) -> None:
        inbox = PostgresInbox(self.url, ROUTES, concurrency=4, lease=600)
        await inbox.open()
        self.replicas.append(Replica(inbox))

    # What may happen

    async def put(self) -> None:
        some = self.random.sample(self.replicas, k=self.random.randint(1, len(self.replicas)))
        puts = [self._put(replica) for replica in some for _ in range(self.random.randint(1, 3))]
        await asyncio.gather(*puts)

    async def _put(self, replica: Replica) -> None:
        self.events += 1
        of = event(self.events, chat=self.random.choice(CHATS))
        routes = self.random.choice([["orders"], ["orders", "audit"]])
        result = await replica.inbox.put(entry(of, *routes))
        assert isinstance(result, Stored)
        self.stored.add(of.id)

    async def put_again(self) -> None:
        """The same at two replicas at once, as a load balancer may do it."""
        self.events += 1
        of = event(self.events, chat=self.random.choice(CHATS))
        puts = [
            replica.inbox.put(
                entry(of if n == 0 else event(self.events + 10**6, chat=of.chat or ""), key=f"twice{of.id}")
            )
            for n, replica in enumerate(self.replicas)
        ]
        results = await asyncio.gather(*puts)
        assert sum(isinstance(result, Stored) for result in results) == 1
        assert sum(isinstance(result, Duplicate) for result in results) == len(results) - 1

    async def settle(self) -> None:
        for replica in self.replicas:
            for claim in self.random.sample(replica.running, k=self.random.randint(0, len(replica.running))):
                self._settle(replica, claim)

    def _settle(self, replica: Replica, claim: Claim, *, done: bool = False) -> None:
        replica.running.remove(claim)
        self._no_longer_valid(claim)
        chance = 0.0 if done else self.random.random()
        if chance < 0.6:
            replica.inbox.settle(claim, Done(attempt(claim.attempt)))
        elif chance < 0.8:
            replica.inbox.settle(claim, Retry(failed(claim.attempt), self.random.choice([0.0, 0.02])))
        elif chance < 0.9:
            replica.inbox.settle(claim, Dead("no", failed(claim.attempt)))
        else:
            replica.inbox.release(claim)

    async def start(self) -> None:
        for replica in self.replicas:
            for claim in replica.running:
                if not claim.is_suspect and self.random.random() < 0.3:
                    replica.inbox.started(claim)

    async def take_for_dead(self) -> None:
        """End a lease as another replica does when it was not renewed; its replica does not know yet."""
        replica = self.random.choice(self.replicas)
        lease = replica.inbox._lease.id
        if lease is None:
            return
        self.over.add(lease)
        for claim in [claim for claim in self.valid.values() if claim.lease == lease]:
            self._no_longer_valid(claim)
        self.ask("SELECT end_lease(%s, true)", lease)

    async def leave_and_join(self) -> None:
        replica = self.random.choice(self.replicas)
        self.replicas.remove(replica)
        replica.inbox.stop_claims()
        await self._see(replica)
        for claim in [*replica.running]:
            self._settle(replica, claim)
        await replica.inbox.close()
        await self.open()

    async def operate(self) -> None:
        with closing(PostgresLedger(Database(self.url))) as ledger:
            dead = [row[0] for row in self.ask("SELECT id FROM deliveries WHERE status = 'dead'")]
            some = self.random.sample(dead, k=min(2, len(dead)))
            self.retried.update(some)
            await asyncio.to_thread(ledger.retry, some)
            waiting = self.ask("SELECT id FROM deliveries WHERE status = 'pending'")
            for (delivery,) in self.random.sample(waiting, k=min(1, len(waiting))):
                await asyncio.to_thread(ledger.discard, [delivery])

    # What is seen

    async def see(self) -> None:
        """Take what is handed out now."""
        for replica in self.replicas:
            replica.claim_again()
        await asyncio.sleep(self.random.choice([0.0, 0.003, 0.01]))
        for replica in self.replicas:
            await self._see(replica)

    async def _see(self, replica: Replica) -> None:
        for claimer in [claimer for claimer in replica.claimers if claimer.done()]:
            replica.claimers.remove(claimer)
            claim = claimer.result()
            if claim is not None:
                replica.running.append(claim)
                self._handed_out(claim)

    def _handed_out(self, claim: Claim) -> None:
        if claim.lease in self.over:
            return  # its replica does not know yet; its outcome is refused
        lane = (claim.route, claim.lane)
        assert lane not in self.valid, f"{claim} beside {self.valid[lane]}"
        self.valid[lane] = claim
        order = self.first.setdefault(lane, [])
        if claim.id not in order and claim.id not in self.retried:
            assert all(claim.id > earlier for earlier in order), f"{claim.id} after {order}"
            order.append(claim.id)

    def _no_longer_valid(self, claim: Claim) -> None:
        lane = (claim.route, claim.lane)
        if self.valid.get(lane) is claim:
            del self.valid[lane]

    async def end(self) -> None:
        """Let all go on until nothing is left to do."""
        with fail_after(30):
            while self.ask("SELECT 1 FROM deliveries WHERE status IN ('pending', 'running')"):
                await self.see()
                for replica in self.replicas:
                    for claim in [*replica.running]:
                        self._settle(replica, claim, done=True)
        for replica in self.replicas:
            replica.inbox.stop_claims()
            await asyncio.gather(*replica.claimers)
            await replica.inbox.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_nothing_is_lost_nor_out_of_turn(
    seed: int, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_lanes, "PAGE", Random(seed).choice([1, 2, 32]))
    story = Story(postgres_url, seed)
    for _ in range(3):
        await story.open()
    steps = [story.put] * 5 + [story.settle] * 6 + [story.start] * 2 + [story.put_again]
    steps += [story.take_for_dead, story.leave_and_join, story.operate]
    for number in range(STEPS + QUIET_STEPS):
        step = story.random.choice(steps if number < STEPS else [story.put, story.settle])
        story.told.append(step.__name__)
        await step()
        await story.see()
    await story.end()

    wrong = {rule: rows for rule, statement in RULES.items() if (rows := story.ask(statement))}
    wrong.pop("attempts that do not count up", None)  # a person's retry counts anew
    assert wrong == {}
    ids = {row[0] for row in story.ask("SELECT id FROM events")}
    assert story.stored <= ids
