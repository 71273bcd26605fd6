"""The inbox in PostgreSQL, seen from outside: what is settled, in which order, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import psycopg
from psycopg.rows import TupleRow

from bench.figures import CannotMeasure

#: Seconds that deliveries get to be settled once the load has ended, and how often they are looked for.
_PATIENCE, _LOOK_EVERY = 60.0, 0.02
#: Deliveries that began before the one that is before them in their lane had ended, to the millisecond.
_OVERLAPS = """
SELECT count(*) FROM (
    SELECT started_at, lag(started_at + (duration - 0.001) * interval '1 second') OVER lanes AS free_at
    FROM deliveries WINDOW lanes AS (PARTITION BY route, lane ORDER BY id)) AS calls
WHERE started_at < free_at"""
# A connection of wrk sends its next notification once the last was answered, and it comes to a chat again
# after all the others: so no two of a chat are on their way at a time, but of the hot one. That has only the
# order in which its notifications were stored.
_TURNED_ROUND = """
SELECT count(*) FROM (
    SELECT number, lag(number) OVER (PARTITION BY route, lane, run ORDER BY started_at, id) AS before
    FROM (SELECT d.*, regexp_replace(sent, '-[0-9]+$', '') AS run,
                 substring(sent, '[0-9]+$')::integer AS number
          FROM (SELECT d.id, route, lane, started_at,
                       convert_from(body, 'UTF8')::jsonb ->> 'idMessage' AS sent
                FROM deliveries d JOIN events e ON e.seq = d.event
                WHERE chat <> '78000000000@c.us') AS d) AS d) AS calls
WHERE number < before"""
_REPEATED = "SELECT count(*) FROM deliveries WHERE attempts > 1"
_USAGE = """
SELECT (SELECT count(*) FROM events), txid_snapshot_xmax(txid_current_snapshot()),
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
    (SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
     WHERE relnamespace = 'router'::regnamespace AND relkind = 'r')"""
_STATEMENTS = """
SELECT query, toplevel, sum(calls)::bigint, sum(total_exec_time) FROM public.pg_stat_statements
WHERE userid = 'router'::regrole GROUP BY query, toplevel ORDER BY 4 DESC"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server has done since it was made."""

    events: int
    #: Transactions that wrote something.
    transactions: int
    #: Bytes of the write-ahead log.
    wal: int
    #: Bytes of all tables of the router, with their indexes.
    size: int

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, and how often it was carried out since statements are counted."""

    text: str
    #: Whether a router sent it; else a function of the database called it.
    is_sent: bool
    calls: int
    #: Milliseconds in all.
    took: float


class InboxDatabase:
    """An inbox that routers run on.

    Args:
        url: For a superuser.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def deliveries(self) -> dict[str, int]:
        """Return how many deliveries there are of each status."""
        with self._open() as db:
            return dict(db.execute("SELECT status, count(*) FROM deliveries GROUP BY status").fetchall())

    def wait_until_settled(self) -> None:
        """Wait until no delivery waits or runs.

        Raises:
            CannotMeasure: That takes too long.
        """
        deadline = time.monotonic() + _PATIENCE
        query = "SELECT EXISTS (SELECT FROM deliveries WHERE status IN ('pending', 'running'))"
        with self._open() as db:
            while db.execute(query).fetchone() == (True,):
                if time.monotonic() > deadline:
                    raise CannotMeasure(f"not all deliveries were settled within {_PATIENCE:g} s")
                time.sleep(_LOOK_EVERY)

    def connections(self) -> int:
        """Return how many connections routers have."""
        with self._open() as db:
            return int(_one(db, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'router'")[0])

    def usage(self) -> Usage:
        """Return what has been used up to now."""
        with self._open() as db:
            return Usage(*_one(db, _USAGE))

    def violations(self) -> int:
        """Return how many deliveries were handled out of order, beside another of their lane, or again."""
        with self._open() as db:
            return sum(int(_one(db, query)[0]) for query in (_OVERLAPS, _TURNED_ROUND, _REPEATED))

    def clean(self) -> None:
        """Do now what autovacuum and the checkpointer would do at some time."""
        with self._open() as db:
            db.execute("VACUUM ANALYZE")
            db.execute("CHECKPOINT")

    def count_statements(self) -> None:
        """Count statements anew from now on; the server has to have loaded ``pg_stat_statements``."""
        with self._open() as db:
            db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")
            db.execute("ALTER SYSTEM SET pg_stat_statements.track = 'all'")
            db.execute("SELECT pg_reload_conf()")
            db.execute("SELECT public.pg_stat_statements_reset()")

    def statements(self) -> list[Statement]:
        """Return what was carried out since `count_statements`, what took the longest first."""
        with self._open() as db:
            return [Statement(*row) for row in db.execute(_STATEMENTS)]

    @contextmanager
    def _open(self) -> Iterator[psycopg.Connection[TupleRow]]:
        with psycopg.connect(self._url, autocommit=True, options="-c search_path=router") as db:
            yield db


def _one(db: psycopg.Connection[TupleRow], query: str) -> TupleRow:
    row = db.execute(query.encode()).fetchone()
    assert row is not None, "an aggregate has one row"
    return row
