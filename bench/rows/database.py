"""What an event costs PostgreSQL, and what a replica costs it that has nothing to do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from bench import open_loop
from bench.figures import Figure
from bench.inbox_database import Statement
from bench.postgres import Postgres, postgres
from bench.replicas import Replicas, Turn
from bench.rows import Effort, Row

ABOUT = """\
What scaling is planned with: see [Scaling](../explanation/scaling.md). Two routers under the load of *Several
replicas on PostgreSQL*, and at 200 notifications a second, all to one of the two: the less there is to do,
the fewer share a transaction.

- *Transactions* are those that write; *calls* are statements that were sent to PostgreSQL, counted by its
  extension `pg_stat_statements`, and each waits for its answer.
- *WAL* are the bytes of the write-ahead log, with the whole pages that it takes in after a checkpoint (one
  was made right before).
- *On the disk* are the tables with their indexes: an event of 400 bytes of JSON with one settled delivery.
- *Idle* is what a replica asks for that has nothing to do.
- *A call of `write`* is how a replica writes all that it has at hand; what follows are its statements.
  Counting them costs something, so the other figures are of turns in which they were not.
"""

_ROUTE = "{name: all, type: incomingMessageReceived, handler: nothing}"
_RATE = 200
#: Statements in `write` that are told of: those that take the most time.
_LONGEST = 6


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Count what is done under full load, at a small one, and with none."""
    seconds = effort.seconds * 2
    with (
        postgres(folder, preload="pg_stat_statements") as database,
        Replicas(folder, database, _ROUTE) as replicas,
    ):

        def few(run: str) -> Turn:
            url = replicas.servers[0].url
            return replicas.turn(
                lambda: open_loop.answers(url, run, rate=_RATE, seconds=seconds, folder=folder).sent
            )

        replicas.join(2)
        replicas.take_turn("warm-up", 1)
        many = _costs("full load", replicas.take_turn("many", seconds))
        less = _costs(f"at {_RATE}/s", few("few"))
        database.inbox.count_statements()
        idle = _idle(database, len(replicas.servers), effort.idle / 2)
        database.inbox.count_statements()
        calls_of_few = _calls(f"at {_RATE}/s", database, few("counted few"))
        database.inbox.count_statements()
        calls_of_many = _calls("full load", database, replicas.take_turn("counted", seconds))
        longest = _longest(database.inbox.statements())
    return [calls_of_many, *many, calls_of_few, *less, *idle, *longest]


def _costs(name: str, turn: Turn) -> list[Figure]:
    """Return the share of each event in what PostgreSQL and the routers do."""
    events, usage = turn.usage.events, turn.usage
    costs = {
        "transactions": (usage.transactions, "", f"{events:,} events, {events / turn.seconds:,.0f}/s"),
        "WAL": (usage.wal, "bytes", ""),
        "on the disk": (usage.size, "bytes", ""),
        "processor time of PostgreSQL": (turn.database.total * 1e6, "µs", ""),
        "processor time of the routers": (turn.replicas.total * 1e6, "µs", ""),
    }
    return [
        Figure(name=f"{name}, an event: {what}", value=value / events, unit=unit, detail=detail)
        for what, (value, unit, detail) in costs.items()
    ]


def _calls(name: str, database: Postgres, turn: Turn) -> Figure:
    calls = sum(one.calls for one in database.inbox.statements() if one.is_sent)
    return Figure(name=f"{name}, an event: calls", value=calls / turn.usage.events, unit="")


def _idle(database: Postgres, replicas: int, seconds: float) -> list[Figure]:
    """Return what each replica asks for while there is nothing to do."""
    inbox = database.inbox
    inbox.clean()
    inbox.count_statements()
    usage, began = inbox.usage(), time.monotonic()
    time.sleep(seconds)
    share = 1 / (time.monotonic() - began) / replicas
    calls, used = sum(one.calls for one in inbox.statements() if one.is_sent), inbox.usage() - usage
    connections = inbox.connections() / replicas
    return [
        Figure(name="idle, each replica: connections", value=connections, unit=""),
        Figure(name="idle, each replica: calls", value=calls * share, unit="/s"),
        Figure(name="idle, each replica: transactions", value=used.transactions * share, unit="/s"),
        Figure(name="idle, each replica: WAL", value=used.wal * share, unit="bytes/s"),
    ]


def _longest(statements: Sequence[Statement]) -> list[Figure]:
    """Return what of the time in ``write`` goes into each of its statements, under full load."""
    (write,) = [one for one in statements if one.is_sent and "FROM write(" in one.text]
    parts = [one for one in statements if not one.is_sent][:_LONGEST]
    return [
        Figure(
            name="full load, a call of `write`",
            value=write.took / write.calls,
            unit="ms",
            detail=f"{write.calls:,} calls",
        ),
        *(
            Figure(
                name=f"of which `{_head(part.text)}`",
                value=part.took / write.took * 100,
                unit="%",
                detail=f"{part.calls:,} calls, {part.took / part.calls:.2f} ms each",
            )
            for part in parts
        ),
    ]


def _head(statement: str) -> str:
    """Return what a statement writes to, or how it begins."""
    text = " ".join(statement.split())
    written = re.search(r"(INSERT INTO|UPDATE|DELETE FROM) \w+", text)
    return written[0] if written else text[:40]


ROW = Row(name="database", title="What an event costs PostgreSQL", about=ABOUT, measure=measure)
