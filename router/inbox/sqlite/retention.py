"""Removing what is old, a few at a time: the file stops growing and nobody waits for it."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta

from router import clock
from router.inbox.sqlite.file import to_micros
from router.inbox.store import DOUBTS, OUTBOX

#: Events that are looked at in one step, and values that are removed.
_STEP, _VALUES = 50, 200
#: Pause after a step while there is more to look at, and when there is not, in seconds.
_SOON, _LATER = 0.02, 60.0

_PAGE = "SELECT seq, received_at FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
# The last event and the last delivery stay: their numbers must not be given again.
_FINISHED = """
SELECT e.seq FROM events e JOIN json_each(?) old ON e.seq = old.value
WHERE e.seq < (SELECT max(seq) FROM events) AND NOT EXISTS (
    SELECT 1 FROM deliveries d WHERE d.event = e.seq AND (
        d.status NOT IN ('done', 'discarded') OR d.id = (SELECT max(id) FROM deliveries)))"""
_DELETE_ATTEMPTS = """
DELETE FROM attempts WHERE delivery IN (
    SELECT d.id FROM json_each(?) old JOIN deliveries d ON d.event = old.value)"""
_DELETE_OUTBOXES = f"""
DELETE FROM store WHERE scope IN (
    SELECT owner.value || d.id FROM json_each(?) old JOIN deliveries d ON d.event = old.value
    JOIN json_each('["{OUTBOX}", "{DOUBTS}"]') owner)"""
_DELETE_DELIVERIES = "DELETE FROM deliveries WHERE event IN (SELECT value FROM json_each(?))"
_DELETE_EVENTS = "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))"
_DELETE_EXPIRED = """
DELETE FROM store WHERE (scope, key) IN (
    SELECT scope, key FROM store WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"""


class Retention:
    """Removes events whose time is over and whose deliveries are all done or discarded, and expired values.

    Args:
        seconds: How long an event is kept.
    """

    def __init__(self, seconds: float) -> None:
        self._kept = timedelta(seconds=seconds)
        self._cursor = 0
        #: Seconds until `step` should be called again.
        self.pause = _SOON

    def step(self, db: sqlite3.Connection) -> None:
        """Remove the next few that may go, in transactions of their own."""
        there_is_more = [self._look_at_events(db), _remove_expired(db)]
        self.pause = _SOON if any(there_is_more) else _LATER

    def _look_at_events(self, db: sqlite3.Connection) -> bool:
        oldest_kept = to_micros(clock.now() - self._kept)
        page = db.execute(_PAGE, (self._cursor, _STEP)).fetchall()
        old = [seq for seq, received_at in page if received_at < oldest_kept]
        if old:
            _remove(db, old)
            self._cursor = page[-1][0]
        else:  # from here on all are new; what was passed over, since it was unfinished, is looked at again
            self._cursor = 0
        return bool(old)


def _remove(db: sqlite3.Connection, old: list[int]) -> None:
    db.execute("BEGIN IMMEDIATE")
    finished = [seq for (seq,) in db.execute(_FINISHED, (json.dumps(old),))]
    for statement in (_DELETE_ATTEMPTS, _DELETE_OUTBOXES, _DELETE_DELIVERIES, _DELETE_EVENTS):
        db.execute(statement, (json.dumps(finished),))
    db.execute("COMMIT")


def _remove_expired(db: sqlite3.Connection) -> bool:
    now = to_micros(clock.now())
    return db.execute(_DELETE_EXPIRED, (now, _VALUES)).rowcount == _VALUES
