"""Replicas on one database: each polled instance has one poller among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from functools import partial
from math import ceil
from typing import Any

import anyio
import psycopg
import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.abc import TaskGroup
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router.inbox.postgres.database import Database
from router.inbox.postgres.link import NO_LEASE
from router.inbox.postgres.pollers import PostgresPollers
from router.transports.polling import Poller, Turns
from tests.conftest import Log

INSTANCES = range(1, 11)


class Replica:
    """One run of a router, as far as polling goes. Its heart beats when it is told to.

    Args:
        connection: Its own.
        tasks: Own what it polls with.
        at_work: Who polls each instance now, of all replicas.
    """

    def __init__(
        self, connection: AsyncConnection[TupleRow], tasks: TaskGroup, at_work: dict[int, Replica]
    ) -> None:
        self._db = connection
        self._tasks = tasks
        self.at_work = at_work
        self.pollers = PostgresPollers(self._note_hurry)
        self.is_in_hurry = False
        self.id = 0
        self._turns: list[Turns] = []
        #: Not set: what is being stored takes its time.
        self.may_end = anyio.Event()
        self.may_end.set()
        #: Set when its heart beats for the first time.
        self.asks = anyio.Event()

    @property
    def polled(self) -> list[int]:
        return sorted(instance for instance, replica in self.at_work.items() if replica is self)

    async def join(self, instances: Iterable[int] = INSTANCES) -> None:
        await self.start(instances)
        await self.beat()

    async def start(self, instances: Iterable[int] = INSTANCES) -> None:
        await self.register()
        self._turns = [Turns(self.pollers, number, partial(_Poller, self, number)) for number in instances]
        for turns in self._turns:
            self._tasks.start_soon(turns.run)

    async def register(self) -> None:
        (self.id,) = (
            await self.execute(
                "INSERT INTO replicas (name, expires_at) VALUES ('r', now() + interval '1 h') RETURNING id"
            )
        )[0]

    async def beat(self) -> None:
        await wait_all_tasks_blocked()
        self.is_in_hurry = False
        self.asks.set()
        await self.pollers.beat(self._db, self.id)
        await wait_all_tasks_blocked()

    def stop(self) -> None:
        for turns in self._turns:
            turns.stop()

    async def be_late(self) -> None:
        """Let its lease be over, without noticing."""
        await self.execute("UPDATE replicas SET expires_at = now() - interval '1 s' WHERE id = %s", self.id)

    async def execute(self, statement: str, *values: Any) -> list[Any]:
        cursor = await self._db.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []

    def _note_hurry(self) -> None:
        self.is_in_hurry = True


class _Poller(Poller):
    """Notes that it polls."""

    def __init__(self, replica: Replica, instance: int) -> None:
        self._replica = replica
        self._instance = instance
        self._told = anyio.Event()

    async def run(self) -> None:
        assert self._instance not in self._replica.at_work, "it is polled twice"
        self._replica.at_work[self._instance] = self._replica
        await self._told.wait()
        await self._replica.may_end.wait()
        del self._replica.at_work[self._instance]

    def stop(self) -> None:
        self._told.set()

    def forget(self) -> None:
        pass


class Cluster:
    """Replicas on one database."""

    def __init__(self, database: Database, tasks: TaskGroup, stack: AsyncExitStack) -> None:
        self._database = database
        self._tasks = tasks
        self._stack = stack
        self._at_work: dict[int, Replica] = {}

    async def replica(self) -> Replica:
        connection = await self._database.connect()
        self._stack.push_async_callback(connection.close)
        return Replica(connection, self._tasks, self._at_work)

    async def joined(self, instances: Iterable[int] = INSTANCES) -> Replica:
        replica = await self.replica()
        await replica.join(instances)
        return replica

    async def settled(self, *replicas: Replica) -> list[int]:
        """Let hearts beat until nothing moves any more; return how many instances each polls."""
        before: object = None
        while before != (before := [replica.polled for replica in replicas]):
            for _ in range(2):
                for replica in replicas:
                    await replica.beat()
        return [len(replica.polled) for replica in replicas]


@pytest.fixture
async def cluster(postgres_url: str) -> AsyncIterator[Cluster]:
    database = Database(postgres_url)
    database.prepare()
    async with AsyncExitStack() as stack, create_task_group() as tasks:
        yield Cluster(database, tasks, stack)
        tasks.cancel_scope.cancel()


async def test_one_replica_polls_all(cluster: Cluster, log: Log) -> None:
    one = await cluster.replica()
    await one.start()
    await wait_all_tasks_blocked()
    assert one.is_in_hurry, "nothing is polled before its heart beats"
    await one.beat()
    assert one.polled == [*INSTANCES]
    assert [record["idInstance"] for record in log.named("polling.taken")] == [*INSTANCES]


async def test_who_joins_has_its_share_within_two_beats(cluster: Cluster, log: Log) -> None:
    one, two = await cluster.joined(), await cluster.joined()
    assert two.polled == []

    await one.beat()
    assert one.is_in_hurry, "what was asked back has ended, and others wait for it"
    await one.beat()
    await two.beat()

    assert [len(one.polled), len(two.polled)] == [5, 5]
    assert sorted(one.polled + two.polled) == [*INSTANCES]
    assert len(log.named("polling.given_up")) == 5


@pytest.mark.parametrize("count", [2, 3, 4, 12])
async def test_no_replica_has_more_than_its_share(cluster: Cluster, count: int) -> None:
    replicas = [await cluster.joined() for _ in range(count)]
    found = await cluster.settled(*replicas)
    assert (sum(found), max(found)) == (len(INSTANCES), ceil(len(INSTANCES) / count))


async def test_what_is_being_stored_holds_its_instance(cluster: Cluster) -> None:
    one, two = await cluster.joined(), await cluster.joined()
    one.may_end = anyio.Event()

    assert await cluster.settled(one, two) == [10, 0]
    one.may_end.set()

    assert await cluster.settled(one, two) == [5, 5]


async def test_what_a_replica_leaves_others_take(cluster: Cluster) -> None:
    one, two, three = [await cluster.joined() for _ in range(3)]
    await cluster.settled(one, two, three)

    one.stop()
    await wait_all_tasks_blocked()
    assert one.is_in_hurry, "others wait for what it leaves"
    await one.beat()
    await two.beat()
    await three.beat()

    assert [len(replica.polled) for replica in (one, two, three)] == [0, 5, 5]


async def test_what_a_dead_replica_polled_others_take(cluster: Cluster) -> None:
    one, two, three = [await cluster.joined() for _ in range(3)]
    await cluster.settled(one, two, three)
    mine = len(one.polled)

    await one.be_late()
    await two.beat()
    assert len(one.polled) == mine, "it may still poll, as long as its lease was not ended"
    ended = await two.execute("SELECT id, freed_pollers FROM end_expired_leases(0)")
    one.pollers.lost()

    assert ended == [(one.id, mine)]
    assert await cluster.settled(two, three) == [5, 5]
    assert one.polled == []


async def test_who_was_taken_for_dead_comes_back_as_another(cluster: Cluster) -> None:
    one, two = await cluster.joined(), await cluster.joined()
    await cluster.settled(one, two)
    await one.be_late()
    await two.execute("SELECT end_expired_leases(0)")

    with pytest.raises(psycopg.Error) as caught:
        await one.beat()
    one.pollers.lost()
    await wait_all_tasks_blocked()

    assert caught.value.sqlstate == NO_LEASE
    assert one.polled == []
    await one.register()
    assert await cluster.settled(two, one) == [5, 5]


async def test_a_lease_that_was_held_after_all_goes_on(cluster: Cluster) -> None:
    one = await cluster.joined()
    one.pollers.lost()
    await wait_all_tasks_blocked()
    assert one.polled == []

    await one.beat()

    assert one.polled == [*INSTANCES]


async def test_an_answer_that_comes_after_the_lease_is_over_gives_nothing(cluster: Cluster) -> None:
    one = await cluster.replica()
    await one.start()

    async with create_task_group() as tasks:
        tasks.start_soon(one.beat)
        await one.asks.wait()
        one.pollers.lost()

    assert one.polled == []


async def test_who_stops_before_it_has_its_answer_keeps_nothing(cluster: Cluster) -> None:
    one = await cluster.replica()
    await one.start()

    async with create_task_group() as tasks:
        tasks.start_soon(one.beat)
        await one.asks.wait()
        one.stop()
    await one.beat()

    assert one.polled == []
    assert await one.execute("SELECT count(*), count(owner) FROM pollers") == [(10, 0)]


async def test_hearts_that_beat_at_the_same_moment_share_as_well(cluster: Cluster) -> None:
    replicas = [await cluster.replica() for _ in range(3)]
    async with create_task_group() as tasks:
        for replica in replicas:
            tasks.start_soon(replica.join, range(1, 31))

    for turn in range(20):
        async with create_task_group() as tasks:
            for replica in replicas:
                tasks.start_soon(replica.beat)
        if turn % 7 == 6:
            replicas[turn % 3].pollers.lost()

    shares = await cluster.settled(*replicas)
    assert (sum(shares), max(shares)) == (30, 10)


@pytest.mark.parametrize(
    "lists",
    [
        [range(1, 11), range(1, 11), range(1, 13)],
        [range(1, 11), range(1, 13), range(1, 13)],
        [range(1, 11), range(1, 3)],
        [range(1, 11), range(11, 13)],
        [range(1, 11), range(5, 15), range(9, 21)],
    ],
)
async def test_replicas_whose_settings_differ_poll_all_that_any_of_them_lists(
    cluster: Cluster, lists: list[range]
) -> None:
    replicas = [await cluster.joined(instances) for instances in lists]
    await cluster.settled(*replicas)
    assert sorted(replicas[0].at_work) == sorted({instance for listed in lists for instance in listed})


async def test_who_polls_nothing_asks_for_nothing(cluster: Cluster) -> None:
    one = await cluster.joined([])
    assert await one.execute("SELECT polled FROM replicas") == [([],)]
    assert await one.execute("SELECT * FROM pollers") == []
    two = await cluster.joined()
    assert await cluster.settled(one, two) == [0, 10]
