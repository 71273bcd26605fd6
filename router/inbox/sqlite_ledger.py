"""The operator's side of the SQLite inbox: reads, and the few changes a person may make.

Works on a connection of its own, whether a router runs on the file or not. What it changes it also
notes in the table ``changes``, where a running router finds it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from router.errors import NotFound
from router.events import DeliveryStatus, EventStatus, Problem, Transport
from router.inbox import (
    Attempt,
    AttemptOutcome,
    DeliveryFilter,
    DeliveryRecord,
    EventFilter,
    EventRecord,
)
from router.inbox.sqlite_file import from_micros, open_existing, to_micros, unavailable

_TOO_LARGE = 2**63
#: Bytes of a command line that are no UTF-8 come as these.
_SURROGATES = re.compile("[\ud800-\udfff]")
_EVENT_COLUMNS = """
seq, id, type, instance, chat, status, received_at, transport, duplicates, changed, problems, body"""
_DELIVERY = """
SELECT d.id, e.id AS event, e.type, e.instance, e.chat, d.route, d.lane, d.status, d.attempts,
       e.received_at, d.due_at, d.settled_at, d.error, d.started_at, d.duration, d.plugin
FROM deliveries d JOIN events e ON e.seq = d.event"""


class SqliteLedger:
    """A `Ledger` on a SQLite inbox.

    Raises:
        InboxUnavailable: There is no inbox at ``path``, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_existing(path)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def events(self, where: EventFilter) -> list[EventRecord]:
        """See `Ledger.events`."""
        clause, values = _where(
            {"type": where.type, "instance": where.instance, "chat": where.chat, "status": where.status}
        )
        statement = f"SELECT {_EVENT_COLUMNS} FROM events {clause} ORDER BY seq DESC LIMIT ?"
        with unavailable(self._path):
            return [_event(row, ()) for row in self._db.execute(statement, (*values, where.limit))]

    def event(self, event_id: str) -> EventRecord:
        """See `Ledger.event`."""
        statement = f"SELECT {_EVENT_COLUMNS} FROM events WHERE id >= ? AND id < ? || 'g' LIMIT 2"
        with unavailable(self._path):
            asked = _bound(event_id)
            found = self._db.execute(statement, (asked, asked)).fetchall() if event_id else []
            if len(found) != 1:
                how_many = "no event has" if not found else "more than one event has"
                raise NotFound(f"{how_many} an id that begins with {event_id!r}: see 'router events list'")
            deliveries = self._db.execute(f"{_DELIVERY} WHERE d.event = ? ORDER BY d.id", (found[0]["seq"],))
            return _event(found[0], [_delivery(row, self._history(row)) for row in deliveries])

    def deliveries(self, where: DeliveryFilter) -> list[DeliveryRecord]:
        """See `Ledger.deliveries`."""
        clause, values = _where(
            {
                "d.status": where.status,
                "d.route": where.route,
                "e.type": where.type,
                "e.instance": where.instance,
                "e.chat": where.chat,
            }
        )
        with unavailable(self._path):
            rows = self._db.execute(f"{_DELIVERY} {clause} ORDER BY d.id LIMIT ?", (*values, where.limit))
            return [_delivery(row, ()) for row in rows]

    def delivery(self, delivery_id: int) -> DeliveryRecord:
        """See `Ledger.delivery`."""
        with unavailable(self._path):
            row = self._db.execute(f"{_DELIVERY} WHERE d.id = ?", (_bound(delivery_id),)).fetchone()
            if row is None:
                raise NotFound(f"no delivery has the id {delivery_id}: see 'router dead list'")
            return _delivery(row, self._history(row))

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.retry`."""
        return self._change(
            delivery_ids,
            """UPDATE deliveries SET status = 'pending', round_attempts = 0, blocked = 0,
                   due_at = NULL, settled_at = NULL
               WHERE id = ? AND status = 'dead' RETURNING route, lane""",
        )

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.discard`."""
        now = to_micros(datetime.now(UTC))
        return self._change(
            delivery_ids,
            f"""UPDATE deliveries SET status = 'discarded', due_at = NULL, settled_at = {now}
                WHERE id = ? AND status IN ('dead', 'pending', 'running') RETURNING route, lane""",
        )

    def _change(self, delivery_ids: Sequence[int], statement: str) -> list[int]:
        changed = []
        with unavailable(self._path), self._transaction():
            for delivery_id in delivery_ids:
                lane = self._db.execute(statement, (delivery_id,)).fetchone()
                if lane is not None:
                    changed.append(delivery_id)
                    self._db.execute("INSERT INTO changes (route, lane) VALUES (?, ?)", tuple(lane))
        return changed

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _history(self, delivery: sqlite3.Row) -> list[Attempt]:
        statement = "SELECT * FROM attempts WHERE delivery = ? ORDER BY number"
        failed = [_attempt(row) for row in self._db.execute(statement, (delivery["id"],))]
        return failed if delivery["started_at"] is None else [*failed, _last_attempt(delivery)]


def _where(conditions: dict[str, object]) -> tuple[str, list[object]]:
    asked = {column: _bound(value) for column, value in conditions.items() if value is not None}
    clause = " AND ".join(f"{column} = ?" for column in asked)
    return (f"WHERE {clause}" if asked else ""), list(asked.values())


def _bound(value: object) -> object:
    """Return a value as SQLite takes it: ``NULL``, which equals nothing, for what it cannot hold."""
    if isinstance(value, int) and not -_TOO_LARGE <= value < _TOO_LARGE:
        return None
    if isinstance(value, str) and _SURROGATES.search(value):
        return None
    return value


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _event(row: sqlite3.Row, deliveries: Sequence[DeliveryRecord]) -> EventRecord:
    problems: list[Any] = orjson.loads(row["problems"]) if row["problems"] else []
    return EventRecord(
        id=row["id"],
        type=row["type"],
        instance=row["instance"],
        chat=row["chat"],
        status=EventStatus(row["status"]),
        received_at=from_micros(row["received_at"]),
        transport=Transport(row["transport"]),
        duplicates=row["duplicates"],
        changed=row["changed"],
        problems=tuple(Problem(*problem) for problem in problems),
        body=row["body"],
        deliveries=tuple(deliveries),
    )


def _delivery(row: sqlite3.Row, history: Sequence[Attempt]) -> DeliveryRecord:
    return DeliveryRecord(
        id=row["id"],
        event=row["event"],
        type=row["type"],
        instance=row["instance"],
        chat=row["chat"],
        route=row["route"],
        lane=row["lane"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        received_at=from_micros(row["received_at"]),
        due_at=_moment(row["due_at"]),
        settled_at=_moment(row["settled_at"]),
        error=row["error"],
        history=tuple(history),
    )


def _attempt(row: sqlite3.Row) -> Attempt:
    return Attempt(
        number=row["number"],
        started_at=from_micros(row["started_at"]),
        duration=row["duration"],
        outcome=AttemptOutcome(row["outcome"]),
        error=row["error"],
        traceback=row["traceback"],
        plugin=row["plugin"],
    )


def _last_attempt(delivery: sqlite3.Row) -> Attempt:
    """Return the attempt that is done: it stands in its delivery."""
    return Attempt(
        number=delivery["attempts"],
        started_at=from_micros(delivery["started_at"]),
        duration=delivery["duration"],
        outcome=AttemptOutcome.DONE,
        plugin=delivery["plugin"],
    )
