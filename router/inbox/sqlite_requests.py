"""What the SQLite writer is asked for: each a few statements, and what follows once they are committed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson

from router.errors import InboxUnavailable
from router.events import Event, Problem, Transport
from router.inbox import Attempt, Claim, Dead, Done, Duplicate, Entry, Outcome, Retry, Stored
from router.inbox.awaited import Awaited
from router.inbox.lanes import Lanes
from router.inbox.sqlite_file import from_micros, to_micros
from router.jsontext import parse, same_content
from router.normalize import content_hash, normalize

#: Deliveries of a lane that are read at once.
_PAGE = 32
#: Waiting deliveries that are looked through at once for lanes not known yet.
_DISCOVERY = 1_000

_STORED = Stored()

_INSERT_EVENT = """
INSERT INTO events (id, key, type, instance, chat, status, transport, received_at, problems, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"""
_INSERT_DELIVERY = "INSERT INTO deliveries (event, route, lane) VALUES (?, ?, ?)"
_FIND_KEY = "SELECT seq, id, received_at, body FROM events WHERE key = ?"
_COUNT_DUPLICATE = "UPDATE events SET duplicates = duplicates + ?, changed = changed + ? WHERE seq = ?"
_START = "UPDATE deliveries SET status = 'running' WHERE id = ? AND status = 'pending'"
_RELEASE = "UPDATE deliveries SET status = 'pending' WHERE id = ? AND status = 'running'"
_SETTLE_DONE = """
UPDATE deliveries SET status = 'done', attempts = ?, started_at = ?, duration = ?, plugin = ?,
    settled_at = ?, due_at = NULL, error = NULL
WHERE id = ? AND status IN ('pending', 'running')"""
_SETTLE_RETRY = """
UPDATE deliveries SET status = 'pending', attempts = ?, round_attempts = ?, due_at = ?, error = ?,
    blocked_since = coalesce(blocked_since, ?)
WHERE id = ? AND status IN ('pending', 'running')"""
_SETTLE_DEAD = """
UPDATE deliveries SET status = 'dead', attempts = ?, settled_at = ?, due_at = NULL, error = ?
WHERE id = ? AND status IN ('pending', 'running')"""
_INSERT_ATTEMPT = """
INSERT OR REPLACE INTO attempts (delivery, number, started_at, duration, outcome, error, traceback, plugin)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_LOAD_LANE = """
SELECT d.id, d.attempts, d.round_attempts, d.blocked_since, d.due_at,
       e.id, e.instance, e.received_at, e.transport, e.body
FROM deliveries d JOIN events e ON e.seq = d.event
WHERE d.route = ? AND d.lane = ? AND d.status = 'pending' ORDER BY d.id LIMIT ?"""
_DISCOVER = """
SELECT id, lane FROM deliveries INDEXED BY deliveries_waiting
WHERE route = ? AND status = 'pending' AND id > ? ORDER BY id LIMIT ?"""


class Request(Protocol):
    """What the writer is asked for. ``run`` may be called again, after a rollback."""

    #: While the file cannot be written, whether to keep the request and do it later, in its place.
    kept: bool

    def run(self, db: sqlite3.Connection) -> None:
        """Do it: in the writer, inside a transaction that others share."""

    def done(self) -> None:
        """Take it further: in the event loop, once committed."""

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell the asker that it was not done: in the event loop."""


@dataclass(frozen=True, slots=True)
class Dedup:
    window: timedelta
    deliver_changed: bool


class Put:
    """Store an event with its deliveries, unless it was seen before."""

    kept = False

    def __init__(
        self,
        entry: Entry,
        dedup: Dedup,
        lanes: Lanes,
        awaited: Awaited,
        answer: asyncio.Future[Stored | Duplicate],
    ) -> None:
        self._entry = entry
        self._dedup = dedup
        self._lanes = lanes
        self._awaited = awaited
        self.answer = answer
        self._result: Stored | Duplicate = _STORED
        self._ids: list[int] = []

    def run(self, db: sqlite3.Connection) -> None:
        entry = self._entry
        self._ids = []
        self._result = _STORED
        seq = self._insert(db, entry.key)
        if seq is None:
            seq = self._seen_before(db, entry.key)
        if seq is not None:
            for delivery in entry.deliveries:
                self._ids.append(_insert(db, _INSERT_DELIVERY, (seq, delivery.route, delivery.lane)))

    def done(self) -> None:
        event = self._entry.event
        if self._entry.awaited and self._result is _STORED:
            self._result = Stored(self._awaited.expect(event.id, len(self._ids)))
        if not self.answer.done():
            self.answer.set_result(self._result)
        for delivery_id, delivery in zip(self._ids, self._entry.deliveries, strict=False):
            self._lanes.add(
                Claim(
                    id=delivery_id,
                    route=delivery.route,
                    lane=delivery.lane,
                    event=event,
                    attempt=1,
                    round_attempt=1,
                    blocked_since=None,
                )
            )

    def refused(self, exc: InboxUnavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def _insert(self, db: sqlite3.Connection, key: str) -> int | None:
        """Return the new event's ``seq``, or ``None`` if the key is there."""
        event, entry = self._entry.event, self._entry
        cursor = db.execute(
            _INSERT_EVENT,
            (
                event.id,
                key,
                event.type,
                event.instance,
                event.chat,
                entry.status,
                event.transport,
                to_micros(event.received_at),
                _dump_problems(entry.problems),
                entry.body,
            ),
        )
        return cursor.lastrowid if cursor.rowcount else None

    def _seen_before(self, db: sqlite3.Connection, key: str) -> int | None:
        """Count the duplicate; return the ``seq`` of the event if it is to be stored after all."""
        entry = self._entry
        seq, event_id, received_at, body = db.execute(_FIND_KEY, (key,)).fetchone()
        if entry.event.received_at - from_micros(received_at) > self._dedup.window:
            db.execute("UPDATE events SET key = NULL WHERE seq = ?", (seq,))
            return self._insert(db, key)
        changed = not same_content(entry.body, body)
        if changed and self._dedup.deliver_changed and key == entry.key:
            other = f"{key} {content_hash(entry.event.data)}"
            return self._insert(db, other) or self._seen_before(db, other)
        db.execute(_COUNT_DUPLICATE, (not changed, changed, seq))
        self._result = Duplicate(event_id, changed)
        return None


class Start:
    """Show a delivery as running."""

    kept = True

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def run(self, db: sqlite3.Connection) -> None:
        db.execute(_START, (self._claim.id,))

    def done(self) -> None:
        pass

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class Release(Start):
    """Show a delivery as pending again."""

    def run(self, db: sqlite3.Connection) -> None:
        db.execute(_RELEASE, (self._claim.id,))


class Settle:
    """Record how an attempt ended."""

    kept = True

    def __init__(self, claim: Claim, outcome: Outcome) -> None:
        self._claim = claim
        self._outcome = outcome
        self._at = to_micros(datetime.now(UTC))

    def run(self, db: sqlite3.Connection) -> None:
        claim, outcome, attempt = self._claim, self._outcome, self._outcome.attempt
        match outcome:
            case Done():
                values = (
                    outcome.attempt.number,
                    to_micros(outcome.attempt.started_at),
                    outcome.attempt.duration,
                    outcome.attempt.plugin,
                    self._at,
                    claim.id,
                )
                db.execute(_SETTLE_DONE, values)
                return
            case Retry():
                due_at = to_micros(outcome.due_at)
                number, error = outcome.attempt.number, outcome.attempt.error
                db.execute(_SETTLE_RETRY, (number, claim.round_attempt, due_at, error, self._at, claim.id))
            case Dead():
                number = attempt.number if attempt else claim.attempt - 1
                db.execute(_SETTLE_DEAD, (number, self._at, outcome.reason, claim.id))
        if attempt is not None:
            db.execute(_INSERT_ATTEMPT, _attempt_row(claim.id, attempt))

    def done(self) -> None:
        pass

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class Load:
    """Read the next deliveries of a lane."""

    kept = True

    def __init__(self, route: str, lane: str, lanes: Lanes) -> None:
        self._route = route
        self._lane = lane
        self._lanes = lanes
        self._page: list[tuple[Claim, int | None]] = []
        self._more = False

    def run(self, db: sqlite3.Connection) -> None:
        rows = db.execute(_LOAD_LANE, (self._route, self._lane, _PAGE)).fetchall()
        page = [self._read(*row) for row in rows]
        # Only the first of a lane is ever held up: one that waits for a retry begins a page of its own.
        held = next((index for index, (_, due) in enumerate(page) if index and due is not None), len(page))
        self._page = page[:held]
        self._more = held < len(page) or len(page) == _PAGE

    def _read(
        self,
        delivery_id: int,
        attempts: int,
        round_attempts: int,
        blocked_since: int | None,
        due_at: int | None,
        *event: Any,
    ) -> tuple[Claim, int | None]:
        claim = Claim(
            id=delivery_id,
            route=self._route,
            lane=self._lane,
            event=_revive(*event),
            attempt=attempts + 1,
            round_attempt=round_attempts + 1,
            blocked_since=None if blocked_since is None else from_micros(blocked_since),
        )
        return claim, due_at

    def done(self) -> None:
        page = [(claim, None if due is None else loop_time(from_micros(due))) for claim, due in self._page]
        self._lanes.loaded(self._route, self._lane, page, more=self._more)

    def refused(self, exc: InboxUnavailable) -> None:
        self._lanes.loaded(self._route, self._lane, [], more=False)


class Discover:
    """Look through a route's waiting deliveries for lanes."""

    kept = True

    def __init__(self, route: str, cursor: int, lanes: Lanes) -> None:
        self._route = route
        self._cursor = cursor
        self._lanes = lanes
        self._keys: dict[str, None] = {}
        self._more = False

    def run(self, db: sqlite3.Connection) -> None:
        rows = db.execute(_DISCOVER, (self._route, self._cursor, _DISCOVERY)).fetchall()
        self._keys = dict.fromkeys(lane for _, lane in rows)
        self._more = len(rows) == _DISCOVERY
        if rows:
            self._cursor = rows[-1][0]

    def done(self) -> None:
        self._lanes.discovered(self._route, self._keys, cursor=self._cursor, more=self._more)

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class ReadChanges:
    """Learn which lanes an operator's command changed."""

    kept = True

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._changed: dict[tuple[str, str], None] = {}

    def run(self, db: sqlite3.Connection) -> None:
        rows = db.execute("SELECT route, lane FROM changes ORDER BY seq").fetchall()
        self._changed = dict.fromkeys(rows)
        if rows:
            db.execute("DELETE FROM changes")

    def done(self) -> None:
        for route, lane in self._changed:
            self._lanes.changed(route, lane)

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class Probe:
    """Write something that changes nothing, to learn whether the file can be written again."""

    kept = False

    def run(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version}")

    def done(self) -> None:
        pass

    def refused(self, exc: InboxUnavailable) -> None:
        pass


def _insert(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> int:
    row_id = db.execute(statement, values).lastrowid
    assert row_id is not None, "an INSERT leaves the id of its row"
    return row_id


def loop_time(moment: datetime) -> float:
    return asyncio.get_running_loop().time() + (moment - datetime.now(UTC)).total_seconds()


def _revive(event_id: str, instance: int | None, received_at: int, transport: str, body: bytes) -> Event:
    data = parse(body)
    return normalize(
        data if isinstance(data, dict) else {},
        id=event_id,
        received_at=from_micros(received_at),
        transport=Transport(transport),
        instance=instance,
    )


def _dump_problems(problems: Sequence[Problem]) -> str | None:
    if not problems:
        return None
    return orjson.dumps([(problem.path, problem.rule, problem.message) for problem in problems]).decode()


def _attempt_row(delivery_id: int, attempt: Attempt) -> tuple[object, ...]:
    return (
        delivery_id,
        attempt.number,
        to_micros(attempt.started_at),
        attempt.duration,
        attempt.outcome,
        attempt.error,
        attempt.traceback,
        attempt.plugin,
    )
