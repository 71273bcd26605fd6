"""Old events go, unfinished ones stay, and no replica waits for another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router.inbox import DeliveryFilter, EventFilter, NewDelivery, Replay
from router.inbox.postgres.database import Database
from router.inbox.postgres.ledger import PostgresLedger
from router.inbox.postgres.retention import Retention
from tests.inbox.build import entry, event

LONG_AGO = datetime.now(UTC) - timedelta(days=8)
WEEK = 7 * 86400.0

Db = AsyncConnection[TupleRow]


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[PostgresLedger]:
    with closing(PostgresLedger(Database(postgres_url))) as ledger:
        yield ledger


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Db]:
    async with await Database(postgres_url).connect() as connection:
        yield connection


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Db]:
    """The connection of another replica."""
    async with await Database(postgres_url).connect() as connection:
        yield connection


async def fill(ledger: PostgresLedger, db: Db, *statuses: str, received_at: datetime = LONG_AGO) -> None:
    """Store an event for each status, with a delivery that has it and an attempt that failed."""
    ledger.add(
        [
            entry(event(number, chat=f"c{number}", received_at=received_at))
            for number in range(1, len(statuses) + 1)
        ]
    )
    await db.execute(
        "UPDATE deliveries SET status = given.status FROM unnest(%s::text[]) WITH ORDINALITY "
        "AS given (status, id) WHERE deliveries.id = given.id",
        (list(statuses),),
    )
    await db.execute(
        "DELETE FROM lanes USING deliveries d WHERE d.lane = lanes.lane AND d.status NOT IN "
        "('pending', 'running')"
    )
    await db.execute(
        "INSERT INTO attempts (delivery, number, started_at, duration, outcome) "
        "SELECT id, 1, now(), 1, 'error' FROM deliveries"
    )


async def remove_old(db: Db) -> int:
    """Do what a replica does until there is nothing more to do; return the number of steps."""
    retention, steps = Retention(WEEK), 1
    while await retention.step(db) < 1:
        steps += 1
    return steps


def left(ledger: PostgresLedger) -> list[str]:
    return [record.id for record in ledger.each_event(EventFilter())]


async def count(db: Db, table: str) -> int:
    row = await (await db.execute(f"SELECT count(*) FROM {table}".encode())).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("status", "goes"),
    [("done", True), ("discarded", True), ("dead", False), ("pending", False), ("running", False)],
)
async def test_an_old_event_goes_only_when_its_delivery_is_finished(
    ledger: PostgresLedger, db: Db, status: str, goes: bool
) -> None:
    await fill(ledger, db, status)

    await remove_old(db)

    kept = 0 if goes else 1
    assert [await count(db, table) for table in ("events", "deliveries", "attempts")] == [kept] * 3


async def test_an_old_event_goes_only_when_all_of_its_deliveries_are_finished(
    ledger: PostgresLedger, db: Db
) -> None:
    ledger.add([entry(event(n, received_at=LONG_AGO), "orders", "audit") for n in (1, 2)])
    ledger.add([entry(event(3, received_at=LONG_AGO), "gone")])
    await db.execute("UPDATE deliveries SET status = 'done' WHERE id <> 2")

    await remove_old(db)

    assert left(ledger) == ["00000001"]
    assert await count(db, "deliveries") == 2


async def test_an_old_event_without_deliveries_goes(ledger: PostgresLedger, db: Db) -> None:
    await fill(ledger, db, "done")
    await db.execute("DELETE FROM deliveries")
    await remove_old(db)
    assert left(ledger) == []


async def test_what_is_not_old_stays(ledger: PostgresLedger, db: Db) -> None:
    await fill(ledger, db, "done", received_at=datetime.now(UTC) - timedelta(days=6))
    await remove_old(db)
    assert left(ledger) == ["00000001"]


async def test_old_ones_go_from_behind_many_unfinished_ones_and_those_are_looked_at_again(
    ledger: PostgresLedger, db: Db
) -> None:
    await fill(ledger, db, *["dead"] * 250, *["done"] * 250)
    retention = Retention(WEEK)

    pauses = [await retention.step(db) for _ in range(6)]
    assert (len(left(ledger)), [pause < 1 for pause in pauses]) == (250, [True] * 5 + [False])

    await db.execute("UPDATE deliveries SET status = 'discarded'")
    pauses = [await retention.step(db) for _ in range(4)]
    assert (left(ledger), [pause < 1 for pause in pauses]) == ([], [True] * 3 + [False])


async def test_an_outbox_goes_with_its_delivery(ledger: PostgresLedger, db: Db) -> None:
    await fill(ledger, db, "done", "dead")
    for scope in ("outbox/1", "in-doubt/1", "outbox/11", "outbox/2", "in-doubt/2", "once/1"):
        ledger.store_set(scope, "k", b"")

    await remove_old(db)

    scopes = [item.scope for item in ledger.store_items()]
    assert scopes == ["in-doubt/2", "once/1", "outbox/11", "outbox/2"]


async def test_values_go_when_they_are_over_a_few_at_a_time(ledger: PostgresLedger, db: Db) -> None:
    await db.execute(
        "INSERT INTO store (scope, key, value, expires_at) "
        "SELECT 's', n::text::bytea, '', '2026-01-01Z'::timestamptz FROM generate_series(1, 500) AS n"
    )
    ledger.store_set("s", "for ever", b"")
    ledger.store_set("s", "for long", b"", ttl=1e9)
    retention = Retention(WEEK)

    seen = [(await retention.step(db) < 1, await count(db, "store")) for _ in range(3)]

    assert seen == [(True, 302), (True, 102), (False, 2)]


# Beside others


async def test_what_somebody_holds_is_passed_over_and_goes_later(
    ledger: PostgresLedger, db: Db, other: Db
) -> None:
    await fill(ledger, db, "done", "done")
    ledger.store_set("s", "over", b"", ttl=1e-6)
    async with other.transaction():
        await other.execute("SELECT FROM events WHERE id = '00000001' FOR UPDATE")
        await other.execute("UPDATE store SET value = 'new'")
        await remove_old(db)
        assert left(ledger) == ["00000001"]
        assert await count(db, "store") == 1

    await remove_old(db)
    assert (left(ledger), await count(db, "store")) == ([], 0)


async def test_a_value_that_is_renewed_meanwhile_stays(ledger: PostgresLedger, db: Db, other: Db) -> None:
    ledger.store_set("s", "k", b"", ttl=1e-6)
    async with other.transaction():
        await other.execute("UPDATE store SET expires_at = NULL")
        await remove_old(db)
    await remove_old(db)
    assert [item.key for item in ledger.store_items()] == ["k"]


async def test_where_another_replica_is_at_it_nothing_is_done(
    ledger: PostgresLedger, db: Db, other: Db
) -> None:
    await fill(ledger, db, "done")
    async with other.transaction():
        await Retention(WEEK).step(other)  # not committed yet
        pause = await Retention(WEEK).step(db)
    assert pause >= 1
    assert left(ledger) == []


async def test_an_event_that_is_replayed_in_time_stays_with_all_its_deliveries(
    ledger: PostgresLedger, db: Db
) -> None:
    await fill(ledger, db, "done", "done")
    ledger.replay([Replay(event=event(1), key=None, deliveries=[NewDelivery("orders", "c1")])])

    await remove_old(db)

    assert left(ledger) == ["00000001"]
    assert [d.status for d in ledger.deliveries(DeliveryFilter())] == ["done", "pending"]


async def test_any_number_of_replicas_removes_what_is_old_once(
    ledger: PostgresLedger, db: Db, other: Db
) -> None:
    await fill(ledger, db, *["done", "dead"] * 300)
    first, second = Retention(WEEK), Retention(WEEK)
    pauses = [0.0]
    while min(pauses) < 1:
        pauses = [await first.step(db), await second.step(other)]
    assert len(left(ledger)) == 300
    assert await count(db, "attempts") == 300


async def test_it_is_found_by_an_index_what_is_old(ledger: PostgresLedger, db: Db) -> None:
    await fill(ledger, db, *["dead"] * 500)
    await db.execute("ANALYZE; LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0")
    await db.execute("SET auto_explain.log_nested_statements = on; SET client_min_messages = log")
    plans: list[str] = []
    db.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    retention = Retention(WEEK)
    for _ in range(3):
        await retention.step(db)
    pages = [plan for plan in plans if "most_events" in plan]
    assert pages != []
    assert all("Index Only Scan using events_received" in plan for plan in pages), plans
