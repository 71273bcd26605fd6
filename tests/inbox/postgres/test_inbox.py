"""What only an inbox that several replicas share has to promise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest
from anyio import fail_after, move_on_after, sleep

from router.errors import InboxUnavailable
from router.events import DeliveryStatus
from router.inbox import Dead, DeliveryFilter, Done, Retry, Stored
from router.inbox.postgres.database import Database
from router.inbox.postgres.inbox import PostgresInbox
from router.inbox.postgres.ledger import PostgresLedger
from tests.conftest import Log
from tests.inbox.build import ROUTES, attempt, claim, entry, event, failed
from tests.inbox.relay import Relay


@asynccontextmanager
async def opened(url: str, **settings: float) -> AsyncIterator[PostgresInbox]:
    inbox = PostgresInbox(url, ROUTES, **settings)  # type: ignore[arg-type]
    await inbox.open()
    await until(lambda: inbox._lanes.would_take("orders", "any"))  # it knows that there is nothing
    try:
        yield inbox
    finally:
        await inbox.close()


@pytest.fixture
async def two(postgres_url: str) -> AsyncIterator[tuple[PostgresInbox, PostgresInbox]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(opened(postgres_url)),
            await stack.enter_async_context(opened(postgres_url)),
        )


async def until(condition: Callable[[], object]) -> None:
    with fail_after(15):
        while not condition():
            await sleep(0.01)


async def no_claim(inbox: PostgresInbox) -> bool:
    """Whether nothing is handed out, for so long that it would have been."""
    with move_on_after(0.2):
        await inbox.claim()
        return False
    return True


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    options = "-c search_path=router"
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def statuses(url: str) -> list[tuple[object, ...]]:
    return ask(url, "SELECT id, status, attempts FROM deliveries ORDER BY id")


async def drain(inbox: PostgresInbox) -> None:
    """Wait until all that was settled is written."""
    number = random.randrange(10**6, 10**7)
    await inbox.put(entry(event(number, chat="last"), "nowhere", key=f"last{number}"))


async def test_a_lane_is_run_by_one_replica_whoever_stores_in_it(
    two: tuple[PostgresInbox, PostgresInbox], postgres_url: str
) -> None:
    one, other = two
    await one.put(entry(event(1)))
    for number in (2, 3):
        await other.put(entry(event(number)))

    assert await no_claim(other)
    for number in (1, 2, 3):
        claimed = await claim(one)
        assert claimed.event.id == f"{number:08d}"
        one.settle(claimed, Done(attempt()))
    await drain(one)
    assert ask(postgres_url, "SELECT lane FROM lanes WHERE route = 'orders'") == []


async def test_what_others_stored_in_between_comes_in_its_turn(
    two: tuple[PostgresInbox, PostgresInbox],
) -> None:
    one, other = two
    await one.put(entry(event(1)))
    await other.put(entry(event(2)))
    await one.put(entry(event(3)))

    order = []
    for _ in range(3):
        claimed = await claim(one)
        order.append(claimed.event.id)
        one.settle(claimed, Done(attempt()))
    assert order == ["00000001", "00000002", "00000003"]


async def test_lanes_that_one_has_no_room_for_are_run_by_another(
    two: tuple[PostgresInbox, PostgresInbox],
) -> None:
    one, other = two
    for number in range(1, 9):  # it may run two at once, and has four lanes at most
        await one.put(entry(event(number, chat=f"chat{number}")))

    with fail_after(5):
        first, second = await claim(other), await claim(other)
    assert {first.lane, second.lane} <= {f"chat{number}" for number in range(5, 9)}
    assert [(await claim(one)).lane, (await claim(one)).lane] == ["chat1", "chat2"]


async def test_a_replica_that_stops_gives_its_lanes_to_the_others_at_once(
    two: tuple[PostgresInbox, PostgresInbox],
) -> None:
    one, other = two
    await one.put(entry(event(1, chat="a")))
    await one.put(entry(event(2, chat="b")))
    running = await claim(one)

    one.stop_claims()

    with fail_after(5):
        assert (await claim(other)).event.id == "00000002"
    one.settle(running, Retry(failed(), 0.0))
    with fail_after(5):
        again = await claim(other)
    assert (again.event.id, again.attempt) == ("00000001", 2)


async def test_a_replica_that_was_taken_for_dead_writes_no_outcome(
    two: tuple[PostgresInbox, PostgresInbox], postgres_url: str, log: Log
) -> None:
    one, other = two
    await one.put(entry(event(1)))
    await one.put(entry(event(2)))
    stale = await claim(one)
    one.started(stale)
    await drain(one)

    ask(postgres_url, f"SELECT end_lease({stale.lease}, true)")
    with fail_after(5):
        again = await claim(other)
        assert (again.event.id, again.attempt) == ("00000001", 2)
    one.settle(stale, Dead("it ran for too long", failed()))
    await drain(one)
    assert statuses(postgres_url)[0] == (1, "running", 1)  # what the other one said, since it is suspect
    assert [record["count"] for record in log.named("inbox.stale_settles")] == [1]
    assert len(log.named("inbox.lease_lost")) == 1

    other.settle(again, Done(attempt(2)))
    assert (await claim(other)).event.id == "00000002"
    await drain(other)
    assert statuses(postgres_url)[0] == (1, "done", 2)


async def test_a_replica_that_lost_its_lease_takes_a_new_one_and_goes_on(postgres_url: str, log: Log) -> None:
    async with opened(postgres_url) as inbox:
        await inbox.put(entry(event(1)))
        stale = await claim(inbox)
        ask(postgres_url, f"SELECT end_lease({stale.lease}, false)")
        await inbox.put(entry(event(2)))

        assert await no_claim(inbox)  # the stale one still runs here: nothing of its lane beside it
        inbox.settle(stale, Done(attempt()))
        again = await claim(inbox)
        assert (again.event.id, again.lease) == ("00000001", stale.lease + 1)
        inbox.settle(again, Done(attempt()))
        assert (await claim(inbox)).event.id == "00000002"


async def test_nothing_is_handed_out_when_the_lease_is_over(postgres_url: str) -> None:
    async with Relay(postgres_url).running() as relay, opened(relay.url, lease=2.0) as inbox:
        await inbox.put(entry(event(1)))
        relay.swallow()
        await until(inbox.problem)
        await sleep(1.5)  # what is measured is time: seven tenths of the lease
        assert await no_claim(inbox)
        relay.accept()
        with fail_after(15):
            assert (await claim(inbox)).event.id == "00000001"


async def test_outcomes_are_written_when_the_database_is_back(postgres_url: str, log: Log) -> None:
    async with Relay(postgres_url).running() as relay, opened(relay.url) as inbox:
        await inbox.put(entry(event(1)))
        await inbox.put(entry(event(2)))
        running = await claim(inbox)

        relay.refuse()
        await until(inbox.problem)
        with pytest.raises(InboxUnavailable, match=r"inbox postgresql://"):
            await inbox.put(entry(event(3, chat="c")))
        inbox.settle(running, Done(attempt()))
        assert await no_claim(inbox)

        relay.accept()
        with fail_after(15):
            assert (await claim(inbox)).event.id == "00000002"
        await drain(inbox)
        assert statuses(postgres_url)[0] == (1, "done", 1)
        assert inbox.problem() is None
        assert [name for _, name in log.events if "database" in name] == [
            "inbox.database_lost",
            "inbox.database_back",
        ]


async def test_what_was_stored_though_the_answer_was_lost_is_known_and_runs(postgres_url: str) -> None:
    async with Relay(postgres_url).running() as relay, opened(relay.url) as inbox:
        await inbox.put(entry(event(9), "nowhere"))  # from now on it is one question and one answer
        relay.lose_answers(1)
        with pytest.raises(InboxUnavailable):
            await inbox.put(entry(event(1)))
        await until(lambda: inbox.problem() is None)

        assert not isinstance(await inbox.put(entry(event(1))), Stored)
        with fail_after(15):
            assert (await claim(inbox)).event.id == "00000001"


async def test_what_no_index_can_hold_is_refused_alone(postgres_url: str) -> None:
    noise = "".join(random.choices([chr(code) for code in range(0x4E00, 0x9F00)], k=5000))
    async with opened(postgres_url) as inbox:
        refused, stored = await asyncio.gather(
            inbox.put(entry(event(1, chat=noise))), inbox.put(entry(event(2))), return_exceptions=True
        )
        assert isinstance(refused, InboxUnavailable)
        assert stored == Stored()
        assert inbox.problem() is None


async def test_an_error_may_hold_anything(postgres_url: str) -> None:
    async with opened(postgres_url) as inbox:
        await inbox.put(entry(event(1)))
        inbox.settle(await claim(inbox), Dead("a\0b\ud800", failed()))
        await drain(inbox)
        ledger = PostgresLedger(Database(postgres_url))
        found = ledger.deliveries(DeliveryFilter(status=DeliveryStatus.DEAD))
        ledger.close()
        assert [delivery.error for delivery in found] == ["a\ufffdb\ufffd"]


async def test_of_a_replica_that_died_all_that_waits_is_shown_before_it_runs(postgres_url: str) -> None:
    """Or a handler that takes its process down would take down one replica after another."""
    async with opened(postgres_url) as inbox:
        for number in (1, 2):
            await inbox.put(entry(event(number)))
        dead = await claim(inbox)
        ask(postgres_url, f"SELECT end_lease({dead.lease}, true)")
        await until(lambda: inbox._lease.id == dead.lease + 1)
        inbox.settle(dead, Done(attempt()))
        again = await claim(inbox)
        assert again.is_suspect
        assert statuses(postgres_url)[0] == (1, "running", 0)


async def test_of_those_that_ran_when_a_replica_died_one_runs_at_a_time(postgres_url: str) -> None:
    """Or the innocent ones would end with the one that takes its process down, each time."""
    async with opened(postgres_url) as inbox:
        for chat in ("a", "b"):
            await inbox.put(entry(event(ord(chat), chat=chat)))
        claims = [await claim(inbox), await claim(inbox)]
        for one in claims:
            inbox.started(one)
        await drain(inbox)
        ask(postgres_url, f"SELECT end_lease({claims[0].lease}, true)")
        await until(lambda: inbox._lease.id == claims[0].lease + 1)
        for one in claims:
            inbox.settle(one, Done(attempt()))

        first = await claim(inbox)
        assert await no_claim(inbox)
        inbox.settle(first, Done(attempt(2)))
        assert (await claim(inbox)).attempt == 2


async def test_a_claim_that_is_void_before_it_runs_is_not_handed_out(postgres_url: str) -> None:
    async with opened(postgres_url) as inbox:
        await inbox.put(entry(event(1)))
        stale = await claim(inbox)
        stale.is_suspect = True
        ask(postgres_url, f"SELECT end_lease({stale.lease}, true)")
        await until(lambda: inbox._lease.id == stale.lease + 1)
        with fail_after(5):
            assert not await inbox._show_running(stale)
        with fail_after(5):
            assert (await claim(inbox)).lease == stale.lease + 1


def test_of_many_that_start_at_once_one_makes_the_tables(postgres_server: str) -> None:
    name = f"at_once_{random.randrange(10**9)}"
    ask(postgres_server.replace("NAME", "postgres"), f"CREATE DATABASE {name}")
    url = postgres_server.replace("NAME", name)
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(Database(url).prepare) for _ in range(8)]:
            done.result()
    assert ask(url, "SELECT number FROM migrations ORDER BY number") == [(1,)]
    ask(postgres_server.replace("NAME", "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def test_a_role_that_may_make_no_schema_uses_the_one_that_was_made_for_it(postgres_server: str) -> None:
    number = random.randrange(10**9)
    admin = postgres_server.replace("NAME", "postgres")
    ask(admin, f"CREATE ROLE least_{number} LOGIN")
    ask(admin, f"CREATE DATABASE least_{number}")
    url = postgres_server.replace("NAME", f"least_{number}")
    ask(url, f"CREATE SCHEMA router AUTHORIZATION least_{number}")

    Database(url.replace("postgres@", f"least_{number}@")).prepare()

    assert ask(url, "SELECT number FROM migrations") == [(1,)]
    ask(admin, f"DROP DATABASE least_{number} WITH (FORCE)")
    ask(admin, f"DROP ROLE least_{number}")


def test_an_older_router_refuses_the_tables_of_a_newer_one(postgres_url: str) -> None:
    ask(postgres_url, "INSERT INTO migrations (number) VALUES (99)")
    with pytest.raises(InboxUnavailable, match="newer version of the router"):
        Database(postgres_url).prepare()
    with pytest.raises(InboxUnavailable, match="tables of version 99"):
        PostgresLedger(Database(postgres_url))


def test_a_password_is_in_no_message() -> None:
    database = Database("postgresql://router:s3cretpassword@127.0.0.1:1/inbox")
    with pytest.raises(InboxUnavailable) as error:
        database.prepare()
    assert "postgresql://127.0.0.1:1/inbox" in str(error.value)
    assert "s3cretpassword" not in str(error.value)
