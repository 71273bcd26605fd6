"""What the statements of the writer have to promise: how they find what they write, what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from psycopg.rows import TupleRow

from router.inbox import Claim, Done, Outcome, Retry
from router.inbox.postgres import statements
from router.inbox.postgres.database import Database
from router.inbox.postgres.requests import Settle
from tests.inbox.build import NOW, attempt, event, failed

#: The replica that writes.
ME = 1


@pytest.fixture
def db(postgres_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection as a writer has it, with twenty deliveries that wait; all is one transaction."""
    with Database(postgres_url).connect_now() as connection:
        connection.execute(statements.PLAN_BY_INDEX.encode())
        connection.execute("INSERT INTO replicas (name, expires_at) VALUES ('me', 'infinity')")
        connection.execute(
            "INSERT INTO deliveries (event, route, lane) SELECT n, 'orders', n FROM generate_series(1, 20) n"
        )
        with connection.transaction():
            yield connection


def settles(outcome: Outcome) -> Sequence[Settle]:
    return [Settle(Claim(number, "orders", "a", event(number)), outcome) for number in range(1, 21)]


def unfinished_were_walked(db: psycopg.Connection[TupleRow]) -> bool:
    """Tell whether an index was read that has all deliveries that were unfinished since the last VACUUM."""
    row = db.execute("SELECT pg_stat_get_xact_numscans('deliveries_unfinished'::regclass)").fetchone()
    assert row is not None, "a function has one row"
    return bool(row[0])


def statuses(db: psycopg.Connection[TupleRow]) -> set[str]:
    return {status for (status,) in db.execute("SELECT status FROM deliveries")}


def test_what_is_done_is_found_by_its_id(db: psycopg.Connection[TupleRow]) -> None:
    db.execute(statements.WRITE.encode(), statements.write_values(ME, [], [], settles(Done(attempt())), []))
    assert (statuses(db), unfinished_were_walked(db)) == ({"done"}, False)


def test_what_failed_is_found_by_its_id(db: psycopg.Connection[TupleRow]) -> None:
    db.execute(statements.FAIL.encode(), (ME, statements.failures(settles(Retry(failed(), 5.0)))))
    assert (statuses(db), unfinished_were_walked(db)) == ({"pending"}, False)


def test_what_runs_is_found_by_its_id(db: psycopg.Connection[TupleRow]) -> None:
    ids = list(range(1, 21))
    db.execute(statements.START.encode(), (ME, ids, [NOW] * 20))
    assert (statuses(db), unfinished_were_walked(db)) == ({"running"}, False)
    db.execute(statements.RELEASE.encode(), (ME, ids))
    assert (statuses(db), unfinished_were_walked(db)) == ({"pending"}, False)


@pytest.mark.parametrize(
    ("of", "values"),
    [
        (
            "text",
            ["plain", "", None, "NULL", " a, b ", "{}", 'say "so"', "back\\slash", "\\", "new\nline", "é 👋"],
        ),
        ("bigint", [1, -(2**63), 2**63 - 1, None]),
        ("integer", []),
        ("double precision", [0.1, 1e-05, 1e300, None]),
        ("boolean", [True, False]),
        ("timestamptz", [NOW, NOW.replace(microsecond=123456), None]),
        ("bytea", [b"", b"\x00\xff", b'{"a": 1}']),
    ],
)
def test_an_array_holds_what_it_was_made_of(
    db: psycopg.Connection[TupleRow], of: str, values: list[object]
) -> None:
    kind = "b" if of == "bytea" else "s"
    row = db.execute(f"SELECT %{kind}::{of}[]".encode(), (statements.array(of, values),)).fetchone()
    assert row == (values,)
