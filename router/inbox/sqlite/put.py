"""Storing events with their deliveries, unless they were seen before."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from router.errors import InboxUnavailable
from router.inbox import Claim, Duplicate, Entry, NewDelivery, Stored
from router.inbox.awaited import Awaited
from router.inbox.backlog import Backlog
from router.inbox.keys import Dedup, key_hash
from router.inbox.lanes import Lanes
from router.inbox.problems import dump_problems
from router.inbox.sqlite.file import from_micros, to_micros
from router.inbox.sqlite.many import Row, execute_many
from router.jsontext import same_content
from router.normalize import content_hash

_STORED = Stored()

_LAST = "SELECT coalesce(max(seq), 0), (SELECT coalesce(max(id), 0) FROM deliveries) FROM events"
INSERT_EVENTS = """
INSERT INTO events (seq, id, key, type, instance, chat, status, transport, received_at, problems, body)
VALUES ROWS ON CONFLICT (key) DO NOTHING"""
_INSERT_DELIVERIES = "INSERT INTO deliveries (id, event, route, lane) VALUES ROWS"
_FIND_KEY = "SELECT seq, id, received_at, body FROM events WHERE key = ?"
_FORGET_KEY = "UPDATE events SET key = NULL WHERE seq = ?"
_COUNT_DUPLICATE = "UPDATE events SET duplicates = duplicates + ?, changed = changed + ? WHERE seq = ?"


class Put:
    """A request to store one event."""

    kept = False

    def __init__(
        self,
        entry: Entry,
        dedup: Dedup,
        lanes: Lanes,
        backlog: Backlog,
        awaited: Awaited,
        answer: asyncio.Future[Stored | Duplicate],
    ) -> None:
        self.entry = entry
        self.dedup = dedup
        self.answer = answer
        self.result: Stored | Duplicate = _STORED
        #: Ids of its deliveries, once they are stored.
        self.ids: range = range(0)
        self._lanes = lanes
        self._backlog = backlog
        self._awaited = awaited

    def done(self) -> None:
        """Answer, and hand the deliveries to their lanes: in the event loop, once committed."""
        event = self.entry.event
        result = self.result
        if self.entry.awaited and isinstance(result, Stored):
            result = Stored(self._awaited.expect(event.id, self.ids), result.changed)
        if not self.answer.done():
            self.answer.set_result(result)
        self._backlog.waiting += len(self.ids)
        size = len(self.entry.body)
        for delivery_id, delivery in zip(self.ids, self.entry.deliveries, strict=False):
            self._lanes.add(Claim(delivery_id, delivery.route, delivery.lane, event, size=size))

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell the asker that nothing was stored."""
        if not self.answer.done():
            self.answer.set_exception(exc)


def store(db: sqlite3.Connection, puts: Sequence[Put]) -> None:
    """Store the events of all requests: in the writer, inside a transaction that others share."""
    last_event, last_delivery = db.execute(_LAST).fetchone()
    seqs = range(last_event + 1, last_event + 1 + len(puts))
    rows = [event_row(seq, put.entry, put.entry.key) for seq, put in zip(seqs, puts, strict=True)]
    are_all_new = execute_many(db, INSERT_EVENTS, rows) == len(rows)
    deliveries: list[Row] = []
    for seq, put in zip(seqs, puts, strict=True):
        put.result, put.ids = _STORED, range(0)
        if are_all_new or _is_new(db, seq, put, put.entry.key):
            first = last_delivery + 1 + len(deliveries)
            put.ids = range(first, first + len(put.entry.deliveries))
            deliveries += _delivery_rows(put.ids, seq, put.entry.deliveries)
    execute_many(db, _INSERT_DELIVERIES, deliveries)


def _is_new(db: sqlite3.Connection, seq: int, put: Put, key: str) -> bool:
    """Tell an event that was just inserted as ``seq`` from one whose key was there; count the latter.

    One whose key is there but counts no longer, or not for this content, is inserted after all.
    """
    found, event_id, received_at, body = db.execute(_FIND_KEY, (key_hash(key),)).fetchone()
    if found == seq:
        return True
    entry, dedup = put.entry, put.dedup
    if entry.event.received_at - from_micros(received_at) > dedup.window:
        db.execute(_FORGET_KEY, (found,))
        execute_many(db, INSERT_EVENTS, [event_row(seq, entry, key)])
        return True
    changed = not same_content(entry.body, body)
    if changed and dedup.deliver_changed and key == entry.key:
        other = f"{key} {content_hash(entry.event.data)}"
        execute_many(db, INSERT_EVENTS, [event_row(seq, entry, other)])
        if not _is_new(db, seq, put, other):
            return False
        put.result = Stored(changed=event_id)
        db.execute(_COUNT_DUPLICATE, (0, 1, found))
        return True
    db.execute(_COUNT_DUPLICATE, (not changed, changed, found))
    put.result = Duplicate(event_id, changed)
    return False


def event_row(seq: int, entry: Entry, key: str) -> Row:
    """Return an event as `INSERT_EVENTS` takes it."""
    event = entry.event
    return (
        seq,
        event.id,
        key_hash(key),
        event.type,
        event.instance,
        event.chat,
        entry.status.value,
        event.transport.value,
        to_micros(event.received_at),
        dump_problems(entry.problems),
        entry.body,
    )


def _delivery_rows(ids: range, seq: int, deliveries: Sequence[NewDelivery]) -> list[Row]:
    return [(id_, seq, new.route, new.lane) for id_, new in zip(ids, deliveries, strict=True)]
