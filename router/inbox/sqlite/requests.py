"""What the SQLite writer is asked for, beside storing and settling."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from typing import Any, Protocol

from router import clock
from router.errors import InboxUnavailable
from router.inbox import Claim
from router.inbox.backlog import Backlog
from router.inbox.lanes import Lanes
from router.inbox.revival import remaining, revive
from router.inbox.sqlite.file import from_micros, to_micros

#: Bytes of bodies after which a page ends, however many deliveries were asked for.
_PAGE_BYTES = 2**18
#: Waiting deliveries that are looked through at once for lanes not known yet.
_DISCOVERY = 1_000

_START = "UPDATE deliveries SET status = 'running', running_since = ? WHERE id = ? AND status = 'pending'"
_RELEASE = "UPDATE deliveries SET status = 'pending' WHERE id = ? AND status = 'running'"
_LOAD_LANE = """
SELECT d.id, d.attempts, d.round_attempts, d.blocked, d.due_at, d.delay,
       e.id, e.instance, e.received_at, e.transport, e.body
FROM deliveries d JOIN events e ON e.seq = d.event
WHERE d.route = ? AND d.lane = ? AND d.status = 'pending' ORDER BY d.id LIMIT ?"""
_COUNT_PENDING = "SELECT route, count(*) FROM deliveries WHERE status = 'pending' GROUP BY route"
_COUNT_RUNNING = "SELECT route, count(*) FROM deliveries WHERE status = 'running' GROUP BY route"
_DISCOVER = """
SELECT id, lane FROM deliveries INDEXED BY deliveries_waiting
WHERE route = ? AND status = 'pending' AND id > ? ORDER BY id LIMIT ?"""


class Step(Protocol):
    """One thing the writer does in a transaction that others share, and what follows from it."""

    #: While the file cannot be written, whether to keep it and do it later, in its place.
    kept: bool

    def run(self, db: sqlite3.Connection) -> None:
        """Do it: in the writer, and again after a rollback."""

    def done(self) -> None:
        """Take it further: in the event loop, once committed."""

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell the asker that it was not done: in the event loop."""


class Start:
    """Show a delivery as running.

    Args:
        claim: Which.
        answer: Set once that is committed, if somebody waits for it.
    """

    kept = True

    def __init__(self, claim: Claim, answer: asyncio.Future[None] | None = None) -> None:
        self._claim = claim
        self._answer = answer
        self._since = to_micros(clock.now())

    def run(self, db: sqlite3.Connection) -> None:
        db.execute(_START, (self._since, self._claim.id))

    def done(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def refused(self, exc: InboxUnavailable) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)


class Release:
    """Show a delivery as pending again."""

    kept = True

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def run(self, db: sqlite3.Connection) -> None:
        db.execute(_RELEASE, (self._claim.id,))

    def done(self) -> None:
        pass

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class Load:
    """Read the next deliveries of a lane, at most ``most`` of them."""

    kept = True

    def __init__(self, route: str, lane: str, most: int, lanes: Lanes) -> None:
        self._route = route
        self._lane = lane
        self._most = most
        self._lanes = lanes
        #: Each with the seconds it has to wait, if it waits for a retry.
        self._page: list[tuple[Claim, float | None]] = []
        self._more = False

    def run(self, db: sqlite3.Connection) -> None:
        self._page = []
        self._more = False
        size = 0
        for row in db.execute(_LOAD_LANE, (self._route, self._lane, self._most)):
            claim, wait = self._read(*row)
            # Only the first of a lane is ever held up: one that waits for a retry begins a page of its own.
            if self._page and (wait is not None or size + claim.size > _PAGE_BYTES):
                self._more = True
                return
            self._page.append((claim, wait))
            size += claim.size
        self._more = len(self._page) == self._most

    def _read(
        self,
        delivery_id: int,
        attempts: int,
        round_attempts: int,
        blocked: float,
        due_at: int | None,
        delay: float | None,
        *facts: Any,
    ) -> tuple[Claim, float | None]:
        event_id, instance, received_at, transport, body = facts
        event, size = revive(event_id, instance, from_micros(received_at), transport, body), len(body)
        claim = Claim(
            delivery_id, self._route, self._lane, event, attempts + 1, round_attempts + 1, blocked, size
        )
        return claim, None if due_at is None else remaining(from_micros(due_at), delay)

    def done(self) -> None:
        now = self._lanes.now()
        page = [(claim, None if wait is None else now + wait) for claim, wait in self._page]
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

    def __init__(self, lanes: Lanes, backlog: Backlog) -> None:
        self._lanes = lanes
        self._backlog = backlog
        self._changed: dict[tuple[str, str], None] = {}

    def run(self, db: sqlite3.Connection) -> None:
        rows = db.execute("SELECT route, lane FROM changes ORDER BY seq").fetchall()
        self._changed = dict.fromkeys(rows)
        if rows:
            db.execute("DELETE FROM changes")

    def done(self) -> None:
        for route, lane in self._changed:
            self._backlog.is_stale = True
            self._lanes.changed(route, lane)

    def refused(self, exc: InboxUnavailable) -> None:
        pass


class CountWaiting:
    """Count what waits for the given routes."""

    kept = False

    def __init__(self, routes: frozenset[str], backlog: Backlog) -> None:
        self._routes = routes
        self._backlog = backlog
        self._waiting = 0

    def run(self, db: sqlite3.Connection) -> None:
        self._waiting = sum(count for route, count in count_waiting(db).items() if route in self._routes)

    def done(self) -> None:
        self._backlog.counted(self._waiting)

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


def count_waiting(db: sqlite3.Connection) -> Counter[str]:
    """Return how many deliveries of each route are not settled."""
    waiting = Counter(dict(db.execute(_COUNT_PENDING)))  # one at a time, since each has its index
    waiting.update(dict(db.execute(_COUNT_RUNNING)))
    return waiting
