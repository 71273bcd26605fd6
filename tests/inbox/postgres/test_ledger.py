"""What only the ledger of a PostgreSQL inbox has to promise: lanes, and what replicas are told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection, Notify
from psycopg.rows import TupleRow

from router.errors import InboxUnavailable, NotFound
from router.events import DeliveryStatus, EventStatus, Problem
from router.inbox import DeliveryFilter, Entry, EventFilter, NewDelivery, Replay, Replayed
from router.inbox.keys import key_hash
from router.inbox.postgres import changes
from router.inbox.postgres.database import Database
from router.inbox.postgres.ledger import PostgresLedger
from tests.conftest import eventually
from tests.inbox.build import NOW, entry, event

#: A replica that runs lanes.
OWNER = 7


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[PostgresLedger]:
    with closing(PostgresLedger(Database(postgres_url))) as ledger:
        yield ledger


class Db:
    """A connection that hears what replicas are told."""

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self.connection = connection
        self._heard: list[Notify] = []
        connection.add_notify_handler(self._heard.append)
        connection.execute("LISTEN router_changed; LISTEN router_free")

    def ask(self, statement: str, *values: object) -> list[Any]:
        cursor = self.connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def told(self) -> set[tuple[str, str]]:
        """Return what replicas were told since it was asked for last: the lane, ``*`` or ``free``."""
        self.ask("SELECT 1")  # what was committed before is heard with its answer
        heard, self._heard[:] = list(self._heard), []
        return {("free", "") if note.channel == "router_free" else _lane(note.payload) for note in heard}


@pytest.fixture
def db(postgres_url: str) -> Iterator[Db]:
    with Database(postgres_url).connect_now() as connection:
        yield Db(connection)


def _lane(payload: str) -> tuple[str, str]:
    if payload == "*":
        return "*", ""
    lane = json.loads(payload)
    return lane["route"], lane["lane"]


def lanes(db: Db) -> dict[tuple[str, str], int | None]:
    """Return the lanes and who runs each."""
    found = db.ask("SELECT route, lane, owner FROM lanes")
    return {(route, lane): owner for route, lane, owner in found}


def unfinished(db: Db) -> set[tuple[str, str]]:
    found = db.ask("SELECT DISTINCT route, lane FROM deliveries WHERE status IN ('pending', 'running')")
    return set(found)


def last(db: Db, route: str = "orders", lane: str = "a") -> Any:
    """Return the last two numbers of a lane."""
    return db.ask("SELECT last, previous FROM lanes WHERE route = %s AND lane = %s", route, lane)[0]


def run_by(db: Db, owner: int) -> None:
    """Let a replica run all lanes."""
    db.ask("UPDATE lanes SET owner = %s", owner)


def finish(db: Db, status: str, *ids: int, error: str | None = None) -> None:
    """Settle deliveries, as those that run lanes do: a lane with nothing left goes."""
    settle = """
        UPDATE deliveries SET status = %s, error = %s, settled_at = now(), due_at = now(), blocked = 9,
            round_attempts = 3, attempts = 3 WHERE id = ANY(%s)"""
    db.ask(settle, status, error, list(ids))
    db.ask("""
        DELETE FROM lanes l WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.route = l.route
            AND d.lane = l.lane AND d.status IN ('pending', 'running'))""")


def statuses(ledger: PostgresLedger) -> dict[int, DeliveryStatus]:
    return {d.id: d.status for d in ledger.deliveries(DeliveryFilter())}


# Lanes


def test_what_is_added_makes_its_lanes_free_and_tells_of_them(ledger: PostgresLedger, db: Db) -> None:
    assert ledger.add([entry(event(1), "orders", "audit"), entry(event(2, chat="b"))]) == [None, None]

    assert lanes(db) == {("orders", "a"): None, ("audit", "a"): None, ("orders", "b"): None}
    assert db.told() == {("free", "")}
    assert db.ask("SELECT count(*) FROM lanes WHERE free_since IS NULL") == [(0,)]


def test_whoever_runs_a_lane_is_told_of_what_is_added_and_does_not_know_its_last_number(
    ledger: PostgresLedger, db: Db
) -> None:
    ledger.add([entry(event(1))])
    run_by(db, OWNER)
    db.told()
    before, _ = last(db)

    ledger.add([entry(event(2)), entry(event(3, chat="b"))])

    assert db.told() == {("orders", "a"), ("free", "")}
    assert lanes(db) == {("orders", "a"): OWNER, ("orders", "b"): None}
    after, previous = last(db)
    assert (after > before, previous) == (True, before)
    assert db.ask("SELECT 1 FROM events WHERE seq = %s", after) == []


def test_events_have_numbers_in_the_order_in_which_they_are_added(ledger: PostgresLedger) -> None:
    ledger.add([entry(event(number)) for number in range(1, 21)])

    assert [e.id for e in ledger.each_event(EventFilter())] == [f"{n:08d}" for n in range(1, 21)]
    assert [d.event for d in ledger.each_delivery(DeliveryFilter())] == [f"{n:08d}" for n in range(1, 21)]


def test_a_retried_dead_letter_makes_the_lane_that_is_gone(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1))])
    finish(db, "dead", 1, error="no")
    db.told()
    assert lanes(db) == {}

    assert ledger.retry([1, 1, 404, 2**70]) == [1]

    assert lanes(db) == {("orders", "a"): None}
    assert db.told() == {("free", "")}
    row = db.ask("SELECT status, attempts, round_attempts, blocked, due_at, settled_at FROM deliveries")
    assert row == [("pending", 3, 0, 0.0, None, None)]


def test_whoever_runs_a_lane_is_told_of_a_retried_dead_letter_and_cannot_let_the_lane_go(
    ledger: PostgresLedger, db: Db
) -> None:
    ledger.add([entry(event(1)), entry(event(2))])
    finish(db, "dead", 1)
    run_by(db, OWNER)
    db.told()
    before, _ = last(db)

    ledger.retry([1])

    after, previous = last(db)
    assert (after > before, previous) == (True, before)
    assert db.told() == {("orders", "a")}
    assert lanes(db) == {("orders", "a"): OWNER}


def test_a_retry_of_what_is_not_dead_changes_nothing(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1)), entry(event(2, chat="b"))])
    finish(db, "done", 2)
    db.told()
    before = last(db)

    assert ledger.retry([1, 2]) == []

    assert (lanes(db), last(db), db.told()) == ({("orders", "a"): None}, before, set())


def test_a_free_lane_goes_with_the_last_delivery_that_is_discarded(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1)), entry(event(2))])

    assert ledger.discard([1]) == [1]
    assert lanes(db) == {("orders", "a"): None}
    assert ledger.discard([2, 1]) == [2]
    assert lanes(db) == {}
    assert set(statuses(ledger).values()) == {DeliveryStatus.DISCARDED}


def test_whoever_runs_a_lane_is_told_of_what_is_discarded_and_lets_the_lane_go(
    ledger: PostgresLedger, db: Db
) -> None:
    ledger.add([entry(event(1))])
    run_by(db, OWNER)
    db.ask("UPDATE deliveries SET status = 'running'")
    db.told()

    assert ledger.discard([1]) == [1]

    assert lanes(db) == {("orders", "a"): OWNER}
    assert db.told() == {("orders", "a")}


def test_a_discarded_dead_letter_is_of_no_matter_to_its_lane(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1)), entry(event(2))])
    finish(db, "dead", 1)
    db.told()
    before = last(db)

    assert ledger.discard([1]) == [1]

    assert (last(db), db.told()) == (before, set())
    assert ledger.delivery(1).settled_at is not None


def test_a_replayed_event_is_at_the_end_of_a_lane_that_is_run_or_made(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1), "orders", "audit"), entry(event(2))])
    finish(db, "done", 1, 2)
    run_by(db, OWNER)
    db.told()
    before, _ = last(db)
    of = Replay(event=event(1), key=None, deliveries=[NewDelivery("orders", "a"), NewDelivery("audit", "a")])

    assert ledger.replay([of], dry_run=True) == [Replayed(routes=("orders", "audit"))]
    assert db.told() == set()
    assert ledger.replay([of]) == [Replayed(routes=("orders", "audit"))]

    assert lanes(db) == {("orders", "a"): OWNER, ("audit", "a"): None}
    assert db.told() == {("orders", "a"), ("free", "")}
    assert last(db)[1] == before
    assert [d.id for d in ledger.deliveries(DeliveryFilter(status=DeliveryStatus.PENDING))] == [3, 4, 5]


def test_an_event_of_a_lane_is_never_the_last_number_that_its_replay_leaves(
    ledger: PostgresLedger, db: Db
) -> None:
    ledger.add([entry(event(1))])
    seq = db.ask("SELECT seq FROM events")[0][0]
    db.ask("UPDATE lanes SET last = %s", seq)  # as a replica leaves it
    finish(db, "done", 1)
    ledger.replay([Replay(event=event(1), key=None, deliveries=[NewDelivery("orders", "a")])])
    assert last(db)[0] != seq


def test_lanes_of_the_longest_names_are_all_read_again(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(1, chat="\x01" * 1_300))])  # 7,800 bytes as JSON has it
    run_by(db, OWNER)
    db.told()
    ledger.add([entry(event(2, chat="\x01" * 1_300))])
    assert db.told() == {("*", "")}


def test_there_is_a_lane_exactly_where_something_is_unfinished_whatever_is_changed(
    ledger: PostgresLedger, db: Db
) -> None:
    entries = [entry(event(n, chat=f"c{n % 5}"), "orders", "audit") for n in range(1, 21)]
    replays = [
        Replay(event=each.event, key=None, deliveries=each.deliveries) for each in entries if each.event
    ]
    ledger.add(entries)
    finish(db, "dead", *range(1, 21))
    finish(db, "done", *range(31, 37))
    for change in (
        lambda: ledger.discard([21, 22, 23, 1, 2]),
        lambda: ledger.retry(range(1, 9)),
        lambda: ledger.discard(range(1, 41)),
        lambda: ledger.replay(replays),
        lambda: ledger.discard(range(41, 60)),
        lambda: ledger.retry(range(1, 41)),
    ):
        change()
        assert set(lanes(db)) == unfinished(db)


# Beside others


def test_a_change_waits_for_nothing_that_a_writer_holds_but_the_lane(
    ledger: PostgresLedger, db: Db, postgres_url: str
) -> None:
    ledger.add([entry(event(1)), entry(event(2, chat="b"))])
    finish(db, "dead", 1, 2)
    with Database(postgres_url).connect_now() as writer, writer.transaction():
        writer.execute("INSERT INTO lanes (route, lane, last) VALUES ('orders', 'b', 1)")
        assert ledger.retry([1]) == [1]


def test_what_dies_while_another_dead_letter_is_retried_is_left_alone(
    ledger: PostgresLedger, db: Db, postgres_url: str
) -> None:
    ledger.add([entry(event(1)), entry(event(2)), entry(event(3, chat="b"))])
    finish(db, "dead", 1)
    writer = Database(postgres_url).connect_now()
    with writer, ThreadPoolExecutor() as threads, writer.transaction():
        writer.execute("SELECT FROM lanes WHERE lane = 'a' FOR UPDATE")
        retried = threads.submit(ledger.retry, [1, 3])
        eventually(lambda: db.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        finish(db, "dead", 3)

    assert retried.result() == [1]
    assert set(lanes(db)) == unfinished(db) == {("orders", "a")}


def test_a_key_that_somebody_else_takes_at_that_moment_makes_a_duplicate(
    ledger: PostgresLedger, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add([entry(event(1), key="k"), entry(event(2), key="old")])
    db.ask("UPDATE events SET key = NULL WHERE id = '00000001'")
    plan = changes._plan
    calls: list[int] = []

    def overtaken(*args: Any, **named: Any) -> Any:
        made = plan(*args, **named)
        if not calls:
            db.ask("UPDATE events SET key = %s WHERE id = '00000001'", key_hash("k"))
        calls.append(1)
        return made

    finish(db, "done", 1, 2)
    monkeypatch.setattr(changes, "_plan", overtaken)
    of = Replay(event=event(2), key="k", deliveries=[NewDelivery("orders", "a")])

    assert ledger.replay([of]) == [Replayed(duplicate_of="00000001")]
    assert (len(calls), lanes(db)) == (2, {})


def test_of_two_replays_of_one_key_the_second_is_a_duplicate(ledger: PostgresLedger) -> None:
    broken = [replace(event(number), type=None) for number in (1, 2)]
    ledger.add([Entry(event=e, status=EventStatus.INVALID, key=e.id, body=b"{}") for e in broken])
    replays = [Replay(event=e, key="k", deliveries=[NewDelivery("orders", "a")]) for e in broken]

    expected = [Replayed(routes=("orders",)), Replayed(duplicate_of="00000001")]
    assert ledger.replay(replays, dry_run=True) == expected
    assert ledger.replay(replays) == expected


def test_a_key_that_an_event_gave_up_is_free_for_the_next_one(ledger: PostgresLedger) -> None:
    ledger.add([entry(event(number), "gone", key=f"k{number}") for number in (1, 2)])
    new = [NewDelivery("orders", "a")]
    replays = [
        Replay(event=event(1), key="new", deliveries=new),
        Replay(event=event(2), key="k1", deliveries=new),
    ]
    assert ledger.replay(replays) == [Replayed(routes=("orders",))] * 2


# Reading


def test_values_that_the_database_cannot_hold_match_nothing(ledger: PostgresLedger) -> None:
    ledger.add([entry(event(1))])
    for text in ("\x00", "a\udcff"):
        assert ledger.events(EventFilter(chat=text)) == []
        assert ledger.events(EventFilter(route=text)) == []
        assert ledger.count(DeliveryFilter(type=text)) == {}
        assert ledger.deliveries(DeliveryFilter(error=text)) == []
        with pytest.raises(NotFound):
            ledger.event(text)
    assert ledger.events(EventFilter(instance=2**70)) == []
    assert ledger.discard([2**70, -(2**70)]) == []
    with pytest.raises(NotFound):
        ledger.delivery(2**70)
    assert ledger.store_items("\udcff") == ledger.store_items_of("\udcff") == []
    assert not ledger.store_delete("\udcff", "k")


def test_events_of_a_time_are_found_in_the_order_in_which_they_came(ledger: PostgresLedger) -> None:
    times = [3, 1, 2, 5, 4, 6]  # the clocks of replicas differ
    ledger.add(
        [entry(event(n, received_at=NOW + timedelta(seconds=second))) for n, second in enumerate(times, 1)]
    )
    where = EventFilter(since=NOW + timedelta(seconds=2), before=NOW + timedelta(seconds=6))
    ids = ["00000001", "00000003", "00000004", "00000005"]
    assert [e.id for e in ledger.each_event(where)] == ids
    assert [e.id for e in ledger.events(where)] == ids[::-1]
    assert [e.id for e in ledger.events(where, 1)] == ids[-1:]
    assert ledger.events(EventFilter(before=NOW)) == list(ledger.each_event(EventFilter(before=NOW))) == []


def test_an_error_is_looked_for_on_every_page(ledger: PostgresLedger, db: Db) -> None:
    ledger.add([entry(event(n, chat=f"c{n}")) for n in range(1, 1_101)])
    finish(db, "dead", *range(1, 1_101), error="no")
    finish(db, "dead", 700, 1_100, error="STRASSE")
    where = DeliveryFilter(error="straße")
    assert [d.id for d in ledger.deliveries(where)] == [700, 1_100]
    assert [d.id for d in ledger.deliveries(where, 1)] == [700]
    assert ledger.count(where) == {"orders": 2}
    assert ledger.deliveries(where, 0) == []


def test_a_delivery_is_shown_with_its_history_and_an_event_with_its_problems(
    ledger: PostgresLedger, db: Db
) -> None:
    problems = (Problem("$", "json", "expected a JSON object \x00"),)
    body = b"\xff\x00"
    ledger.add([replace(entry(event(1), "orders", "audit"), body=body, problems=problems)])
    db.ask(
        "INSERT INTO attempts (delivery, number, started_at, duration, outcome, error) "
        "VALUES (1, 1, now(), 0.5, 'error', 'no'), (2, 1, now(), 0.5, 'timeout', 'slow')",
    )
    db.ask(
        "UPDATE deliveries SET status = 'done', attempts = 2, started_at = now(), duration = 1 WHERE id = 1",
    )

    record = ledger.event("00000001")

    assert (record.body, tuple(record.problems), record.received_at) == (body, problems, NOW)
    histories = {d.route: [(a.number, a.outcome.value) for a in d.history] for d in record.deliveries}
    assert histories == {"orders": [(1, "error"), (2, "done")], "audit": [(1, "timeout")]}
    assert ledger.delivery(1) == record.deliveries[0]


def test_a_database_without_tables_is_told_from_an_inbox(postgres_url: str, db: Db) -> None:
    db.ask("INSERT INTO migrations (number) VALUES (999)")
    with pytest.raises(InboxUnavailable, match="tables of version 999"):
        PostgresLedger(Database(postgres_url))
    db.ask("DROP SCHEMA router CASCADE")
    with pytest.raises(InboxUnavailable, match=r"no inbox in .*router serve"):
        PostgresLedger(Database(postgres_url))


def test_a_database_that_goes_away_is_told_in_one_line(ledger: PostgresLedger, db: Db) -> None:
    db.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(InboxUnavailable, match=r"^inbox postgresql://.*terminating connection"):
        ledger.events(EventFilter())
    with pytest.raises(InboxUnavailable):
        ledger.retry([1])


# What handlers keep


def test_values_are_listed_by_scope_and_key(ledger: PostgresLedger) -> None:
    for scope in ("outbox/1", "outbox/11", "outbox/2", "once/é", "once/\x00"):
        for key in ("b", "a"):
            ledger.store_set(scope, key, scope.encode())
    ledger.store_set("outbox/1", "a", b"new")
    ledger.store_set("outbox/1", "over", b"", ttl=1e-6)

    listed = [(item.scope, item.key) for item in ledger.store_items("outbox/1")]
    assert listed == [("outbox/1", "a"), ("outbox/1", "b"), ("outbox/11", "a"), ("outbox/11", "b")]
    assert [(i.key, i.value, i.expires_at) for i in ledger.store_items_of("outbox/1")] == [
        ("a", b"new", None),
        ("b", b"outbox/1", None),
    ]
    assert [item.scope for item in ledger.store_items()][::2] == [
        "once/\x00",
        "once/é",
        "outbox/1",
        "outbox/11",
        "outbox/2",
    ]
    assert len(ledger.store_items("", 3)) == 3


def test_a_value_that_a_person_keeps_is_nobodys_to_take_back(ledger: PostgresLedger, db: Db) -> None:
    db.ask("INSERT INTO store (scope, key, value, token) VALUES ('s', 'k', '', 1)")
    ledger.store_set("s", "k", b"new")
    assert db.ask("SELECT value, token FROM store") == [(b"new", None)]


def test_a_value_that_is_deleted_was_there_unless_it_was_over(ledger: PostgresLedger) -> None:
    ledger.store_set("s", "k", b"")
    ledger.store_set("s", "over", b"", ttl=1e-6)
    assert [ledger.store_delete("s", key) for key in ("k", "k", "over", "none")] == [
        True,
        False,
        False,
        False,
    ]


# Plans


@pytest.fixture(scope="module")
def much(postgres_server: str, postgres_template: str) -> Iterator[PostgresLedger]:
    """An inbox as it is after a while: most is done, few of it is of interest."""
    with psycopg.connect(postgres_server.replace("NAME", "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE much TEMPLATE {postgres_template}".encode())
    database = Database(postgres_server.replace("NAME", "much"))
    with database.connect_now() as db:
        db.execute(_MUCH)
        db.execute("VACUUM ANALYZE")
    with closing(PostgresLedger(database)) as ledger:
        yield ledger


_MUCH = """
INSERT INTO events (id, key, type, instance, chat, status, transport, received_at, body)
SELECT lpad(to_hex(n), 32, '0'), decode(md5(n::text), 'hex'), 'incomingMessageReceived', n % 10,
    'c' || n % 999, CASE WHEN n % 5000 = 0 THEN 'unknown' ELSE 'accepted' END, 'webhook',
    timestamptz '2026-11-24T12:00:00Z' + n * interval '1 second', convert_to(repeat('x', 300), 'UTF8')
FROM generate_series(1, 30000) AS n;
INSERT INTO deliveries (event, route, lane, status, error, settled_at)
SELECT n, CASE WHEN n % 10 = 0 THEN 'audit' ELSE 'orders' END, 'c' || n % 999,
    CASE WHEN n % 1000 = 0 THEN 'dead' WHEN n > 29900 THEN 'pending' ELSE 'done' END,
    CASE WHEN n % 1000 = 0 THEN 'no' END, timestamptz '2026-11-24T12:00:00Z' + n * interval '1 second'
FROM generate_series(1, 30000) AS n;
INSERT INTO attempts (delivery, number, started_at, duration, outcome)
SELECT id, 1, settled_at, 1, 'error' FROM deliveries;
INSERT INTO store (scope, key, value)
SELECT convert_to('outbox/' || n, 'UTF8'), 'k', 'v' FROM generate_series(1, 30000) AS n"""

LATE = NOW + timedelta(seconds=29_000)
EARLY = NOW + timedelta(seconds=1_000)


@pytest.mark.parametrize(
    "question",
    [
        lambda ledger: ledger.events(EventFilter()),
        lambda ledger: ledger.events(EventFilter(chat="c1", since=LATE)),
        lambda ledger: ledger.events(EventFilter(status=EventStatus.UNKNOWN)),
        lambda ledger: ledger.events(EventFilter(since=LATE)),
        lambda ledger: ledger.events(EventFilter(before=EARLY)),
        lambda ledger: ledger.events(EventFilter(delivery=DeliveryStatus.DEAD)),
        lambda ledger: ledger.events(EventFilter(delivery=DeliveryStatus.PENDING, route="audit")),
        lambda ledger: next(ledger.each_event(EventFilter(since=LATE))),
        lambda ledger: next(ledger.each_event(EventFilter(status=EventStatus.UNKNOWN))),
        lambda ledger: ledger.event("0" * 28 + "7530"),
        lambda ledger: ledger.delivery(1_000),
        lambda ledger: ledger.deliveries(DeliveryFilter(status=DeliveryStatus.DEAD)),
        lambda ledger: ledger.deliveries(DeliveryFilter(status=DeliveryStatus.DEAD, chat="c1", before=LATE)),
        lambda ledger: ledger.deliveries(DeliveryFilter(status=DeliveryStatus.DEAD, error="x")),
        lambda ledger: ledger.deliveries(DeliveryFilter(status=DeliveryStatus.PENDING, route="audit")),
        lambda ledger: ledger.deliveries(DeliveryFilter()),
        lambda ledger: ledger.count(DeliveryFilter(status=DeliveryStatus.DEAD, before=LATE)),
        lambda ledger: ledger.count(DeliveryFilter(status=DeliveryStatus.PENDING)),
        lambda ledger: ledger.store_items("outbox/"),
        lambda ledger: ledger.store_items_of("outbox/9"),
    ],
)
def test_what_an_operator_asks_for_is_found_by_an_index(
    much: PostgresLedger, question: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = PostgresLedger._read

    def explained(ledger: PostgresLedger, statement: str, values: Any) -> Any:
        asked.extend(row["QUERY PLAN"] for row in read(ledger, f"EXPLAIN {statement}", values))
        return read(ledger, statement, values)

    monkeypatch.setattr(PostgresLedger, "_read", explained)
    question(much)

    plan = "\n".join(asked)
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan, plan
