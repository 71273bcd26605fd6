"""The operator's side of the PostgreSQL inbox: reads, and the few changes a person may make.

Works on a connection of its own, whether routers run on the database or not. Those that run are told
of what it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg.rows import dict_row

from router import clock
from router.errors import NotFound
from router.inbox import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    Entry,
    EventFilter,
    EventRecord,
    Replay,
    Replayed,
)
from router.inbox.postgres import changes
from router.inbox.postgres.database import Database
from router.inbox.postgres.filters import bound, of_deliveries, of_events
from router.inbox.records import attempt_of, delivery_record, event_record, is_in_error
from router.inbox.store import StoreItem, expiry

T = TypeVar("T")
_Row = dict[str, Any]

#: Seconds that a statement may take: more than one of a router, since some have to look at everything.
_STATEMENT: Final = 120
#: Deliveries, and events with their bodies, that are read at once: a read that lasts would keep the tables
#: from being tidied up.
_PAGE, _PAGE_OF_EVENTS = 500, 100
#: How often a change is tried that others get in the way of.
_TRIES: Final = 5

_EVENTS: Final = """
SELECT seq, id, type, instance, chat, status, received_at, transport, duplicates, changed, problems, body
FROM events"""
# The numbers of events that came within a time are close together. An addition, or the planner would look
# for the first of them by going through all.
_SPAN: Final = """
SELECT coalesce(min(seq + 0), 0) AS first, coalesce(max(seq + 0), 0) AS last FROM events
WHERE received_at >= coalesce(%s, '-infinity'::timestamptz)
    AND received_at < coalesce(%s, 'infinity'::timestamptz)"""
_WHOLE_SPAN: Final = "SELECT 0 AS first, coalesce(max(seq), 0) AS last FROM events"
_DELIVERIES: Final = """
SELECT d.id, e.id AS event, e.type, e.instance, e.chat, d.route, d.lane, d.status, d.attempts,
       e.received_at, d.due_at, d.settled_at, d.error, d.started_at, d.duration, d.plugin
FROM deliveries d JOIN events e ON e.seq = d.event"""
# An outer join, which is left out where nothing is asked about the events.
_COUNT: Final = "SELECT d.route, count(*) FROM deliveries d LEFT JOIN events e ON e.seq = d.event"
_FAILED: Final = "SELECT * FROM attempts WHERE delivery = ANY(%s) ORDER BY delivery, number"

_VALUES: Final = """
SELECT scope, key, value, expires_at FROM store
WHERE scope >= %s AND scope < %s AND (expires_at IS NULL OR expires_at > %s) ORDER BY scope, key LIMIT %s"""
_SET_VALUE: Final = """
INSERT INTO store (scope, key, value, expires_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (scope, key)
DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at, token = NULL"""
_DELETE_VALUE: Final = """
DELETE FROM store WHERE scope = %s AND key = %s RETURNING expires_at IS NULL OR expires_at > %s"""


class PostgresLedger:
    """A `Ledger` on a PostgreSQL inbox.

    Raises:
        InboxUnavailable: There is no inbox in the database, or it cannot be reached.
    """

    def __init__(self, database: Database) -> None:
        self._unavailable = database.unavailable
        with self._unavailable():
            self._db = database.connect_now()
            try:
                database.require_tables(self._db)
                self._db.execute(f"SET statement_timeout = '{_STATEMENT}s'")
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def events(self, where: EventFilter, limit: int = 50) -> list[EventRecord]:
        """See `Ledger.events`."""
        clause, values = of_events(where)
        statement = f"{_EVENTS} WHERE {clause} AND seq BETWEEN %s AND %s ORDER BY seq DESC LIMIT %s"
        return [_event(row) for row in self._read(statement, (*values, *self._span(where), limit))]

    def each_event(self, where: EventFilter) -> Iterator[EventRecord]:
        """See `Ledger.each_event`."""
        first, last = self._span(where)
        clause, values = of_events(where)
        statement = f"{_EVENTS} WHERE {clause} AND seq <= %s AND seq > %s ORDER BY seq LIMIT %s"
        rows = self._pages(statement, (*values, last), "seq", _PAGE_OF_EVENTS, after=first - 1)
        return (_event(row) for row in rows)

    def event(self, event_id: str) -> EventRecord:
        """See `Ledger.event`."""
        asked = bound(event_id)
        statement = f"{_EVENTS} WHERE id >= %s AND id < %s || 'g' LIMIT 2"
        found = self._read(statement, (asked, asked)) if event_id else []
        if len(found) != 1:
            how_many = "no event has" if not found else "more than one event has"
            raise NotFound(f"{how_many} an id that begins with {event_id!r}: see 'router events list'")
        rows = self._read(f"{_DELIVERIES} WHERE d.event = %s ORDER BY d.id", (found[0]["seq"],))
        return _event(found[0], self._with_history(rows))

    def deliveries(self, where: DeliveryFilter, limit: int = 50) -> list[DeliveryRecord]:
        """See `Ledger.deliveries`."""
        page = _PAGE if where.error is not None else min(limit, _PAGE)
        return list(islice(self._each_delivery(where, page), limit))

    def each_delivery(self, where: DeliveryFilter) -> Iterator[DeliveryRecord]:
        """See `Ledger.each_delivery`."""
        return self._each_delivery(where, _PAGE)

    def count(self, where: DeliveryFilter) -> dict[str, int]:
        """See `Ledger.count`."""
        if where.error is not None:
            return dict(sorted(Counter(delivery.route for delivery in self.each_delivery(where)).items()))
        clause, values = of_deliveries(where)
        rows = self._read(f"{_COUNT} WHERE {clause} GROUP BY d.route", values)
        return dict(sorted((row["route"], row["count"]) for row in rows))

    def delivery(self, delivery_id: int) -> DeliveryRecord:
        """See `Ledger.delivery`."""
        rows = self._read(f"{_DELIVERIES} WHERE d.id = %s", (bound(delivery_id),))
        if not rows:
            raise NotFound(f"no delivery has the id {delivery_id}: see 'router dead list'")
        return self._with_history(rows)[0]

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.retry`."""
        ids = _possible(delivery_ids)
        retried = self._change(lambda: changes.retry(self._db, ids))
        return [delivery_id for delivery_id in ids if delivery_id in retried]

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.discard`."""
        ids, now = _possible(delivery_ids), clock.now()
        dead = self._change(lambda: changes.discard_dead(self._db, ids, now))
        return [delivery_id for delivery_id in ids if delivery_id in dead or self._discard(delivery_id, now)]

    def replay(self, replays: Sequence[Replay], *, dry_run: bool = False) -> list[Replayed]:
        """See `Ledger.replay`."""
        return self._change(lambda: changes.replay(self._db, replays, dry_run=dry_run))

    def add(self, entries: Sequence[Entry]) -> list[str | None]:
        """See `Ledger.add`."""
        return self._change(lambda: changes.add(self._db, entries))

    def store_items(self, scope_prefix: str = "", limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items`."""
        return self._values(scope_prefix, b"\xff", limit)

    def store_items_of(self, scope: str, limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items_of`."""
        return self._values(scope, b"\x00", limit)

    def store_set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Ledger.store_set`."""
        row = (_utf8(scope), _utf8(key), value, expiry(ttl))
        with self._unavailable():
            self._db.execute(_SET_VALUE, row)

    def store_delete(self, scope: str, key: str) -> bool:
        """See `Ledger.store_delete`."""
        with self._unavailable():
            row = self._db.execute(_DELETE_VALUE, (_utf8(scope), _utf8(key), clock.now())).fetchone()
            return row is not None and row[0] is True

    def _read(self, statement: str, values: Sequence[object]) -> list[_Row]:
        with self._unavailable(), self._db.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values, prepare=False).fetchall()

    def _pages(
        self, statement: str, values: Sequence[object], key: str, limit: int, *, after: int = 0
    ) -> Iterator[_Row]:
        """Yield the rows of a statement page by page, each page those whose ``key`` is after the last one.

        The statement's last parameters are that key and the limit.
        """
        while True:
            page = self._read(statement, (*values, after, limit))
            yield from page
            if len(page) < limit:
                return
            after = page[-1][key]

    def _each_delivery(self, where: DeliveryFilter, page: int) -> Iterator[DeliveryRecord]:
        clause, values = of_deliveries(where)
        statement = f"{_DELIVERIES} WHERE {clause} AND d.id > %s ORDER BY d.id LIMIT %s"
        for row in self._pages(statement, values, "id", page):
            # PostgreSQL knows small letters in some of its locales only.
            if where.error is None or is_in_error(where.error, row["error"]):
                yield _delivery(row)

    def _span(self, where: EventFilter) -> tuple[int, int]:
        """Return the first and the last sequence number that the events of a time may have."""
        if where.since is None and where.before is None:
            rows = self._read(_WHOLE_SPAN, ())
        else:
            rows = self._read(_SPAN, (where.since, where.before))
        return rows[0]["first"], rows[0]["last"]

    def _with_history(self, rows: Sequence[_Row]) -> list[DeliveryRecord]:
        failed: dict[int, list[Attempt]] = {row["id"]: [] for row in rows}
        for attempt in self._read(_FAILED, (list(failed),)):
            failed[attempt["delivery"]].append(attempt_of(attempt, _as_it_is))
        return [_delivery(row, failed[row["id"]]) for row in rows]

    def _values(self, scope: str, end: bytes, limit: int) -> list[StoreItem]:
        """Read the values of a scope, and of those that begin like it and go on with less than ``end``."""
        first = _utf8(scope)
        return [_store_item(row) for row in self._read(_VALUES, (first, first + end, clock.now(), limit))]

    def _discard(self, delivery_id: int, at: datetime) -> bool:
        return self._change(lambda: changes.discard_unfinished(self._db, delivery_id, at))

    def _change(self, change: Callable[[], T]) -> T:
        """Do something within a transaction; again where somebody else changed the same just then."""
        with self._unavailable():
            for _ in range(_TRIES - 1):
                with (
                    suppress(DeadlockDetected, SerializationFailure, UniqueViolation),
                    self._db.transaction(),
                ):
                    return change()
            with self._db.transaction():
                return change()


def _possible(delivery_ids: Sequence[int]) -> list[int]:
    """Return the ids, each once, without those that no delivery can have."""
    return [delivery_id for delivery_id in dict.fromkeys(delivery_ids) if bound(delivery_id) is not None]


def _utf8(text: str) -> bytes:
    """Return a scope or a key as the table holds it."""
    return text.encode("utf-8", "surrogatepass")


def _as_it_is(moment: datetime) -> datetime:
    return moment


def _event(row: _Row, deliveries: Sequence[DeliveryRecord] = ()) -> EventRecord:
    return event_record(row, _as_it_is, deliveries)


def _delivery(row: _Row, failed: Sequence[Attempt] | None = None) -> DeliveryRecord:
    return delivery_record(row, _as_it_is, failed)


def _store_item(row: _Row) -> StoreItem:
    return StoreItem(
        scope=row["scope"].decode("utf-8", "surrogatepass"),
        key=row["key"].decode("utf-8", "surrogatepass"),
        value=row["value"],
        expires_at=row["expires_at"],
    )
