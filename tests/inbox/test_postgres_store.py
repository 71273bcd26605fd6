"""What only a store that several replicas share has to promise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import count

import anyio.lowlevel
import psycopg
import pytest
from anyio import fail_after

from router.errors import InboxUnavailable
from router.inbox.postgres import store as postgres_store
from router.inbox.postgres.database import Database
from router.inbox.postgres.store import PostgresStore
from router.inbox.store import Store
from tests.inbox.relay import Relay
from tests.postgres import Server


@pytest.fixture
def database(postgres_url: str) -> Database:
    return Database(postgres_url)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(database)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def stores(database: Database) -> AsyncIterator[list[PostgresStore]]:
    """Those of three replicas."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(database)) for _ in range(3)]


@pytest.fixture
async def relay(postgres_url: str) -> AsyncIterator[Relay]:
    async with Relay(postgres_url).running() as relay:
        yield relay


@pytest.fixture
async def far(database: Database, relay: Relay) -> AsyncIterator[PostgresStore]:
    """A store that reaches the database through the relay, and is not patient."""
    async with opened(Database(relay.url)) as store:
        yield store


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_store, "_PATIENCE", 0.0)


async def until_back(store: Store) -> None:
    """Wait until the store answers again."""
    with fail_after(20):
        while True:
            try:
                await store.get("s", "whatever")
            except InboxUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_of_many_replicas_that_add_at_once_one_does(stores: list[PostgresStore]) -> None:
    for turn in range(60):
        values = [b"%d" % number for number in range(48)]
        answers = await asyncio.gather(
            *(stores[number % 3].add("s", f"{turn}", value) for number, value in enumerate(values))
        )
        assert answers.count(None) == 1, turn
        assert {answer for answer in answers if answer is not None} == {values[answers.index(None)]}


async def test_a_value_that_is_over_is_followed_by_one(stores: list[PostgresStore]) -> None:
    for turn in range(20):
        await stores[0].add("s", f"{turn}", b"over", ttl=1e-6)
        answers = await asyncio.gather(*(store.add("s", f"{turn}", b"new", ttl=60.0) for store in stores * 5))
        assert (answers.count(None), answers.count(b"new")) == (1, 14), turn


async def test_replicas_that_want_the_same_keys_do_not_wait_for_each_other(
    stores: list[PostgresStore],
) -> None:
    rng = random.Random(7)

    async def ask(store: Store) -> None:
        key = f"{rng.randrange(8)}"
        match rng.randrange(3):
            case 0:
                await store.add("s", key, b"added")
            case 1:
                await store.set("s", key, b"set")
            case _:
                await store.delete("s", key)

    for _ in range(50):
        await asyncio.gather(*(ask(store) for store in stores for _ in range(40)))


async def test_what_one_replica_keeps_all_see(stores: list[PostgresStore]) -> None:
    await stores[0].set("s", "k", b"one")
    assert [await store.get("s", "k") for store in stores] == [b"one"] * 3
    await stores[1].delete("s", "k")
    assert [await store.get("s", "k") for store in stores] == [None] * 3


async def test_a_lone_surrogate_is_part_of_a_key(stores: list[PostgresStore]) -> None:
    await stores[0].set("s", "\ud800", b"one")
    assert await stores[1].get("s", "\ud800") == b"one"


async def test_more_than_a_batch_is_answered(
    stores: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_MOST", 5)
    monkeypatch.setattr(postgres_store, "_MOST_BYTES", 100)
    values = {f"{number}": bytes(number) for number in range(150)}

    await asyncio.gather(*(stores[0].set("s", key, value) for key, value in values.items()))
    mixed = [stores[0].get("s", key) for key in values for _ in range(2)]

    assert await asyncio.gather(*mixed) == [value for value in values.values() for _ in range(2)]


async def test_a_key_that_no_index_takes_fails_alone(stores: list[PostgresStore]) -> None:
    rng = random.Random(7)
    longest = "".join(chr(rng.randrange(0x10000, 0x20000)) for _ in range(650))

    answers = await asyncio.gather(
        stores[0].add("", longest, b"one"),
        stores[0].add("s", longest, b"one"),
        stores[0].add("s", "k", b"one"),
        return_exceptions=True,
    )

    assert (answers[0], type(answers[1]), answers[2]) == (None, ValueError, None)
    assert "have 1 and 2600 bytes: expected up to 2600 together" in str(answers[1])


async def test_whoever_stops_waiting_holds_up_nobody(stores: list[PostgresStore]) -> None:
    first = asyncio.ensure_future(stores[0].add("s", "k", b"one"))
    await anyio.lowlevel.checkpoint()
    first.cancel()
    with fail_after(5):
        assert await stores[0].add("s", "k", b"two") == b"one"


async def test_a_handler_that_outlives_the_store_is_told_so(database: Database) -> None:
    async with opened(database) as store:
        asked_before = asyncio.ensure_future(store.add("s", "k", b"one"))
        await anyio.lowlevel.checkpoint()
    assert await asked_before is None
    with pytest.raises(InboxUnavailable, match="is closed: the router stops"):
        await store.get("s", "k")


async def test_a_database_that_is_not_there_is_told(free_tcp_port: int) -> None:
    store = PostgresStore(Database(f"postgresql://nobody@127.0.0.1:{free_tcp_port}/none"))
    with pytest.raises(InboxUnavailable, match=r"postgresql://127\.0\.0\.1"):
        await store.open()


# The connection is lost


async def test_an_add_whose_answer_was_lost_is_known_again(far: PostgresStore, relay: Relay) -> None:
    relay.lose_answers(1)
    answers = await asyncio.gather(
        far.add("s", "k", b"one"), far.add("s", "other", b"one", ttl=60.0), far.add("s", "k", b"two")
    )
    assert [*answers] == [None, None, b"one"]
    assert relay.lost == 1


async def test_an_add_that_was_refused_has_not_been(
    far: PostgresStore, relay: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    await far.set("s", "set", b"before")
    relay.lose_answers(1)
    refused = await asyncio.gather(
        far.add("s", "k", b"one"), far.add("s", "set", b"one"), return_exceptions=True
    )
    assert [type(answer) for answer in refused] == [InboxUnavailable] * 2
    await until_back(far)
    async with opened(database) as other:
        assert [await other.get("s", "set"), await other.add("s", "k", b"two")] == [b"before", None]


async def test_a_refused_add_leaves_what_others_wrote_meanwhile(
    far: PostgresStore, relay: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    relay.lose_answers(1)
    relay.refuse()
    with pytest.raises(InboxUnavailable):
        await far.add("s", "k", b"one")
    async with opened(database) as other:
        assert await other.get("s", "k") == b"one"
        await other.set("s", "k", b"two")
        relay.accept()
        await until_back(far)
        assert await other.get("s", "k") == b"two"


async def test_while_the_database_is_away_who_asks_is_told_at_once(
    far: PostgresStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    relay.refuse()
    with pytest.raises(InboxUnavailable, match=r"postgresql://127\.0\.0\.1"):
        await far.get("s", "k")
    attempts = relay.attempts
    for _ in range(100):
        with pytest.raises(InboxUnavailable, match=r"postgresql://127\.0\.0\.1"):
            await far.get("s", "k")
    assert relay.attempts <= attempts + 1
    relay.accept()
    await until_back(far)


async def test_a_database_that_does_not_answer_is_away(
    far: PostgresStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far._link, "_limit", 0.1)
    impatient(monkeypatch)
    relay.swallow()
    with fail_after(10), pytest.raises(InboxUnavailable):
        await far.get("s", "k")
    relay.accept()
    await until_back(far)


async def test_what_is_closed_while_the_database_is_away_waits_for_nothing(
    database: Database, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    with fail_after(10):
        async with opened(Database(relay.url)) as store:
            relay.refuse()
            with pytest.raises(InboxUnavailable):
                await store.get("s", "k")
    with pytest.raises(InboxUnavailable, match="is closed"):
        await store.get("s", "k")


async def first(store: Store, key: str) -> bool:
    """Ask for a key until there is an answer."""
    while True:
        try:
            return await store.add("s", key, b"") is None
        except InboxUnavailable:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("patience", [0.0, 3.0])
async def test_of_each_key_one_is_the_first_whatever_happens_to_the_connections(
    stores: list[PostgresStore], postgres_url: str, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(postgres_store, "_PATIENCE", patience)
    is_done = False
    ended = 0

    def end_backends() -> int:
        with closing(psycopg.connect(postgres_url, autocommit=True)) as db:
            return db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).rowcount

    async def interfere() -> None:
        nonlocal ended
        while not is_done:
            ended += await asyncio.to_thread(end_backends)
            await asyncio.sleep(0.1)  # time enough to come back

    interference = asyncio.ensure_future(interfere())
    for turn in count():
        if turn >= 60 and ended > 5:
            break
        keys = [f"{turn}/{number}" for number in range(20)]
        firsts = await asyncio.gather(*(first(store, key) for key in keys for store in stores))
        assert [sum(firsts[i : i + 3]) for i in range(0, 60, 3)] == [1] * 20
    is_done = True
    await interference


@pytest.mark.parametrize("patience", [0.0, 3.0])
async def test_of_each_key_one_is_the_first_also_when_the_server_is_killed(
    own_postgres: Server, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(postgres_store, "_PATIENCE", patience)
    database = Database(own_postgres.url.replace("NAME", "postgres"))
    database.prepare()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(database)) for _ in range(3)]
        for turn in range(2):
            keys = [f"{turn}/{number}" for number in range(1000)]
            asked = [asyncio.ensure_future(first(store, key)) for key in keys for store in stores]
            while not any(one.done() for one in asked):
                await asyncio.sleep(0)
            assert not all(one.done() for one in asked)
            own_postgres.kill()
            await asyncio.to_thread(own_postgres.start_again)
            firsts = await asyncio.gather(*asked)
            assert [sum(firsts[i : i + 3]) for i in range(0, 3000, 3)] == [1] * 1000
