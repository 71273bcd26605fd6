"""The operator's side of the SQLite inbox: reads, and the few changes a person may make.

Works on a connection of its own, whether a router runs on the file or not. What it changes it also
notes in the table ``changes``, where a running router finds it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from itertools import islice, takewhile
from pathlib import Path

from router import clock
from router.errors import NotFound
from router.events import Event
from router.inbox import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    Entry,
    EventFilter,
    EventRecord,
    NewDelivery,
    Replay,
    Replayed,
)
from router.inbox.keys import key_hash
from router.inbox.records import attempt_of, delivery_record, event_record, is_in_error
from router.inbox.sqlite.file import from_micros, open_existing, to_micros, unavailable
from router.inbox.sqlite.many import execute_many
from router.inbox.sqlite.put import INSERT_EVENTS, event_row
from router.inbox.sqlite.store import made, write
from router.inbox.store import StoreItem

_TOO_LARGE = 2**63
#: Bytes of a command line that are no UTF-8 come as these.
_SURROGATES = re.compile("[\ud800-\udfff]")
#: Deliveries, and events with their bodies, that are read at once: a read that lasts would keep the file
#: from being tidied up.
_PAGE, _PAGE_OF_EVENTS = 500, 100
_EVENTS = """
SELECT seq, id, type, instance, chat, status, received_at, transport, duplicates, changed, problems, body
FROM events"""
_DELIVERIES = """
SELECT d.id, e.id AS event, e.type, e.instance, e.chat, d.route, d.lane, d.status, d.attempts,
       e.received_at, d.due_at, d.settled_at, d.error, d.started_at, d.duration, d.plugin
FROM deliveries d JOIN events e ON e.seq = d.event"""
_COUNT = "SELECT d.route, count(*) FROM deliveries d JOIN events e ON e.seq = d.event"
_RETRY = """
UPDATE deliveries SET status = 'pending', round_attempts = 0, blocked = 0,
    due_at = NULL, settled_at = NULL
WHERE id = ? AND status = 'dead' RETURNING route, lane"""
_DISCARD = """
UPDATE deliveries SET status = 'discarded', due_at = NULL, settled_at = ?
WHERE id = ? AND status IN ('dead', 'pending', 'running') RETURNING route, lane"""
_NOTE_CHANGE = "INSERT INTO changes (route, lane) VALUES (?, ?)"
_FIND_KEY = "SELECT id FROM events WHERE key = ? AND seq != ?"
_ACCEPT = """
UPDATE events SET status = 'accepted', problems = NULL, type = ?, instance = ?, chat = ?,
    key = coalesce(?, key)
WHERE seq = ?"""
_FIND_UNFINISHED = "SELECT route FROM deliveries WHERE event = ? AND status IN ('pending', 'running')"
_ADD_DELIVERY = "INSERT INTO deliveries (event, route, lane) VALUES (?, ?, ?)"
_VALUES = """
SELECT scope, key, value, expires_at FROM store
WHERE scope >= ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY scope, key"""
_DELETE_VALUE = "DELETE FROM store WHERE scope = ? AND key = ?"
_VALUE = "SELECT 1 FROM store WHERE scope = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)"


class SqliteLedger:
    """A `Ledger` on a SQLite inbox.

    Raises:
        InboxUnavailable: There is no inbox at ``path``, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_existing(path)
        self._db.row_factory = sqlite3.Row
        # LIKE takes small letters for capital ones in ASCII only.
        self._db.create_function("is_in_error", 2, is_in_error, deterministic=True)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def events(self, where: EventFilter, limit: int = 50) -> list[EventRecord]:
        """See `Ledger.events`."""
        clause, values = _of_events(where)
        with unavailable(self._path):
            rows = self._db.execute(f"{_EVENTS} {clause} ORDER BY seq DESC LIMIT ?", (*values, limit))
            return [_event(row) for row in rows]

    def each_event(self, where: EventFilter) -> Iterator[EventRecord]:
        """See `Ledger.each_event`."""
        with unavailable(self._path):
            last = self._db.execute("SELECT max(seq) FROM events").fetchone()[0]
        clause, values = _of_events(where)
        statement = f"{_EVENTS} {clause} AND seq <= ? AND seq > ? ORDER BY seq LIMIT ?"
        rows = self._rows(statement, (*values, last), "seq", _PAGE_OF_EVENTS)
        return (_event(row) for row in rows)

    def event(self, event_id: str) -> EventRecord:
        """See `Ledger.event`."""
        with unavailable(self._path):
            asked = _bound(event_id)
            statement = f"{_EVENTS} WHERE id >= ? AND id < ? || 'g' LIMIT 2"
            found = self._db.execute(statement, (asked, asked)).fetchall() if event_id else []
            if len(found) != 1:
                how_many = "no event has" if not found else "more than one event has"
                raise NotFound(f"{how_many} an id that begins with {event_id!r}: see 'router events list'")
            rows = self._db.execute(f"{_DELIVERIES} WHERE d.event = ? ORDER BY d.id", (found[0]["seq"],))
            return _event(found[0], [_delivery(row, self._failed(row["id"])) for row in rows])

    def deliveries(self, where: DeliveryFilter, limit: int = 50) -> list[DeliveryRecord]:
        """See `Ledger.deliveries`."""
        clause, values = _of_deliveries(where)
        with unavailable(self._path):
            rows = self._db.execute(f"{_DELIVERIES} {clause} ORDER BY d.id LIMIT ?", (*values, limit))
            return [_delivery(row) for row in rows]

    def each_delivery(self, where: DeliveryFilter) -> Iterator[DeliveryRecord]:
        """See `Ledger.each_delivery`."""
        clause, values = _of_deliveries(where)
        statement = f"{_DELIVERIES} {clause} AND d.id > ? ORDER BY d.id LIMIT ?"
        return (_delivery(row) for row in self._rows(statement, values, "id", _PAGE))

    def count(self, where: DeliveryFilter) -> dict[str, int]:
        """See `Ledger.count`."""
        clause, values = _of_deliveries(where)
        with unavailable(self._path):
            rows = self._db.execute(f"{_COUNT} {clause} GROUP BY d.route ORDER BY d.route", values)
            return dict(rows.fetchall())

    def delivery(self, delivery_id: int) -> DeliveryRecord:
        """See `Ledger.delivery`."""
        with unavailable(self._path):
            row = self._db.execute(f"{_DELIVERIES} WHERE d.id = ?", (_bound(delivery_id),)).fetchone()
            if row is None:
                raise NotFound(f"no delivery has the id {delivery_id}: see 'router dead list'")
            return _delivery(row, self._failed(row["id"]))

    def retry(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.retry`."""
        return self._change(_RETRY, [(delivery_id,) for delivery_id in delivery_ids])

    def discard(self, delivery_ids: Sequence[int]) -> list[int]:
        """See `Ledger.discard`."""
        now = to_micros(clock.now())
        return self._change(_DISCARD, [(now, delivery_id) for delivery_id in delivery_ids])

    def replay(self, replays: Sequence[Replay], *, dry_run: bool = False) -> list[Replayed]:
        """See `Ledger.replay`."""
        with unavailable(self._path), nullcontext() if dry_run else self._transaction():
            return [self._replay(replay, dry_run=dry_run) for replay in replays]

    def add(self, entries: Sequence[Entry]) -> list[str | None]:
        """See `Ledger.add`."""
        with unavailable(self._path), self._transaction():
            return [self._add_new(entry) for entry in entries]

    def store_items(self, scope_prefix: str = "", limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items`."""
        return self._values(scope_prefix, lambda scope: scope.startswith(scope_prefix), limit)

    def store_items_of(self, scope: str, limit: int = 50) -> list[StoreItem]:
        """See `Ledger.store_items_of`."""
        return self._values(scope, scope.__eq__, limit)

    def store_set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Ledger.store_set`."""
        with unavailable(self._path):
            write(self._db, {(scope, key): made(value, ttl)})

    def store_delete(self, scope: str, key: str) -> bool:
        """See `Ledger.store_delete`."""
        bound = (_bound(scope), _bound(key))
        now = to_micros(clock.now())
        with unavailable(self._path), self._transaction():
            found = self._db.execute(_VALUE, (*bound, now)).fetchone()
            self._db.execute(_DELETE_VALUE, bound)
            return found is not None

    def _values(self, first_scope: str, is_meant: Callable[[str], bool], limit: int) -> list[StoreItem]:
        """Read the values of all scopes from the first one on, for as long as they are meant."""
        now = to_micros(clock.now())
        with unavailable(self._path), closing(self._db.execute(_VALUES, (_bound(first_scope), now))) as rows:
            meant = takewhile(lambda row: is_meant(row["scope"]), rows)
            return [_store_item(row) for row in islice(meant, limit)]

    def _rows(self, statement: str, values: Sequence[object], key: str, limit: int) -> Iterator[sqlite3.Row]:
        """Yield the rows of a statement page by page, each page those whose ``key`` is after the last one.

        The statement's last parameters are that key and the limit.
        """
        after = 0
        while True:
            with unavailable(self._path):
                page = self._db.execute(statement, (*values, after, limit)).fetchall()
            yield from page
            if len(page) < limit:
                return
            after = page[-1][key]

    def _change(self, statement: str, rows: Iterable[tuple[int, ...]]) -> list[int]:
        changed = []
        lanes = set()
        with unavailable(self._path), self._transaction():
            for row in rows:
                lane = self._db.execute(statement, row).fetchone()
                if lane is not None:
                    changed.append(row[-1])
                    lanes.add(tuple(lane))
            self._db.executemany(_NOTE_CHANGE, sorted(lanes))
        return changed

    def _replay(self, replay: Replay, *, dry_run: bool) -> Replayed:
        found = self._db.execute("SELECT seq FROM events WHERE id = ?", (replay.event.id,)).fetchone()
        if found is None:
            return Replayed()
        seq = found["seq"]
        key = None if replay.key is None else key_hash(replay.key)
        other = self._db.execute(_FIND_KEY, (key, seq)).fetchone()
        if other is not None:
            return Replayed(duplicate_of=other["id"])
        unfinished = {row["route"] for row in self._db.execute(_FIND_UNFINISHED, (seq,))}
        new = [delivery for delivery in replay.deliveries if delivery.route not in unfinished]
        if new and not dry_run:
            self._accept(seq, replay.event, key)
            self._deliver(seq, new)
        return Replayed(
            routes=tuple(delivery.route for delivery in new),
            waiting=tuple(delivery.route for delivery in replay.deliveries if delivery not in new),
        )

    def _add_new(self, entry: Entry) -> str | None:
        seq = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM events").fetchone()[0]
        row = event_row(seq, entry, entry.key)
        if not execute_many(self._db, INSERT_EVENTS, [row]):
            found = self._db.execute(_FIND_KEY, (key_hash(entry.key), seq)).fetchone()
            return str(found["id"])
        self._deliver(seq, entry.deliveries)
        return None

    def _accept(self, seq: int, event: Event, key: bytes | None) -> None:
        self._db.execute(_ACCEPT, (event.type, event.instance, event.chat, key, seq))

    def _deliver(self, seq: int, deliveries: Sequence[NewDelivery]) -> None:
        for delivery in deliveries:
            self._db.execute(_ADD_DELIVERY, (seq, delivery.route, delivery.lane))
            self._db.execute(_NOTE_CHANGE, (delivery.route, delivery.lane))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _failed(self, delivery_id: int) -> list[Attempt]:
        statement = "SELECT * FROM attempts WHERE delivery = ? ORDER BY number"
        return [attempt_of(row, from_micros) for row in self._db.execute(statement, (delivery_id,))]


def _of_events(where: EventFilter) -> tuple[str, list[object]]:
    clause, values = _where(
        ("type = ?", where.type),
        ("instance = ?", where.instance),
        ("chat = ?", where.chat),
        ("status = ?", where.status),
        ("received_at >= ?", _micros(where.since)),
        ("received_at < ?", _micros(where.before)),
    )
    of_delivery, more = _where(("status = ?", where.delivery), ("route = ?", where.route))
    if more:
        # Not EXISTS, which looks at each event: where few have such a delivery an index knows them.
        clause += f" AND seq IN (SELECT event FROM deliveries {of_delivery})"
    return clause, [*values, *more]


def _of_deliveries(where: DeliveryFilter) -> tuple[str, list[object]]:
    return _where(
        ("d.status = ?", where.status),
        ("d.route = ?", where.route),
        ("e.type = ?", where.type),
        ("e.instance = ?", where.instance),
        ("e.chat = ?", where.chat),
        ("is_in_error(?, d.error)", where.error),
        ("d.settled_at >= ?", _micros(where.since)),
        ("d.settled_at < ?", _micros(where.before)),
    )


def _where(*conditions: tuple[str, object]) -> tuple[str, list[object]]:
    """Return a clause and its parameters; a condition without a value is left out."""
    asked = [(condition, _bound(value)) for condition, value in conditions if value is not None]
    clause = " AND ".join(["WHERE true", *(condition for condition, _ in asked)])
    return clause, [value for _, value in asked]


def _bound(value: object) -> object:
    """Return a value as SQLite takes it: ``NULL``, which equals nothing, for what it cannot hold."""
    if isinstance(value, int) and not -_TOO_LARGE <= value < _TOO_LARGE:
        return None
    if isinstance(value, str) and _SURROGATES.search(value):
        return None
    return value


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _event(row: sqlite3.Row, deliveries: Sequence[DeliveryRecord] = ()) -> EventRecord:
    return event_record(row, from_micros, deliveries)


def _delivery(row: sqlite3.Row, failed: Sequence[Attempt] | None = None) -> DeliveryRecord:
    return delivery_record(row, from_micros, failed)


def _store_item(row: sqlite3.Row) -> StoreItem:
    return StoreItem(
        scope=row["scope"], key=row["key"], value=row["value"], expires_at=_moment(row["expires_at"])
    )
