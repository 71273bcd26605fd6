"""The embedded inbox: one SQLite file, written by one thread that commits many requests at once.

Requests (`Put`, `_Settle`, `_Load` …) go to the writer in order and come back in order, so that
what `Lanes` is told agrees with what the file holds. While one commit waits for the disk the next
requests gather: the slower the disk, the more share a commit. Nothing is answered before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import structlog

from router.errors import InboxUnavailable
from router.inbox import Claim, Duplicate, Entry, Outcome, Retry, Stored
from router.inbox.awaited import Awaited
from router.inbox.lanes import Lanes
from router.inbox.sqlite_file import create, lock
from router.inbox.sqlite_requests import (
    Dedup,
    Discover,
    Load,
    Probe,
    Put,
    ReadChanges,
    Release,
    Request,
    Settle,
    Start,
    loop_time,
)

#: Requests that share one commit at most.
_BATCH = 512
#: How often the file is asked whether an operator's command changed it, in seconds.
_LOOK_EVERY = 0.5
#: Pause before what could not be written is tried again, in seconds.
_RETRY_AFTER = 1.0

_log = structlog.get_logger("router.inbox")


class SqliteInbox:
    """An `Inbox` in a SQLite file (WAL, ``synchronous = FULL``).

    Args:
        path: The file; made where it is not there.
        routes: Concurrency bound by route name.
        dedup_window: Seconds within which a key counts as seen.
        deliver_changed: Store a notification whose key was seen with other content as an event of its own.
    """

    def __init__(
        self,
        path: Path,
        routes: Mapping[str, int],
        *,
        dedup_window: float = 48 * 3600,
        deliver_changed: bool = False,
    ) -> None:
        self._path = path
        self._routes = frozenset(routes)
        self._dedup = Dedup(timedelta(seconds=dedup_window), deliver_changed)
        self._lanes = Lanes(routes, load=self._load, discover=self._discover)
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._awaited = Awaited(keeps_failed=True)
        self._problem: str | None = None
        # From open to close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: TextIO | None = None
        self._writer: threading.Thread | None = None

    async def open(self) -> None:
        """See `Inbox.open`."""
        self._lock = lock(self._path)
        try:
            db = create(self._path)
        except BaseException:
            self._lock.close()
            raise
        self._tell_orphans(db)
        self._loop = asyncio.get_running_loop()
        writer = _Writer(db, self, self._requests, self._lanes, self._loop)
        self._writer = threading.Thread(target=writer.run, name="inbox-writer", daemon=True)
        self._writer.start()
        self._lanes.start()

    async def close(self) -> None:
        """See `Inbox.close`."""
        if self._writer is None or self._lock is None:
            return
        self.stop_claims()
        self._requests.put(None)
        await asyncio.to_thread(self._writer.join)
        self._lock.close()
        self._writer = self._lock = None

    async def put(self, entry: Entry) -> Stored | Duplicate:
        """See `Inbox.put`."""
        assert self._loop is not None, "an inbox is opened before it is used"
        request = Put(entry, self._dedup, self._lanes, self._awaited, self._loop.create_future())
        self._requests.put(request)
        return await request.answer

    async def claim(self) -> Claim | None:
        """See `Inbox.claim`."""
        return await self._lanes.claim()

    def stop_claims(self) -> None:
        """See `Inbox.stop_claims`."""
        self._lanes.stop()

    def started(self, claim: Claim) -> None:
        """See `Inbox.started`."""
        self._requests.put(Start(claim))

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """See `Inbox.settle`."""
        self._requests.put(Settle(claim, outcome))
        self._awaited.ended(claim.event.id, outcome)  # a retry is ours: GREEN-API need not send it again
        if isinstance(outcome, Retry):
            self._lanes.retry(_next_attempt(claim, outcome), loop_time(outcome.due_at))
        else:
            self._lanes.finished(claim)

    def release(self, claim: Claim) -> None:
        """See `Inbox.release`."""
        self._requests.put(Release(claim))
        self._lanes.changed(claim.route, claim.lane)
        self._lanes.finished(claim)

    def problem(self) -> str | None:
        """See `Inbox.problem`."""
        return self._problem

    def _tell_orphans(self, db: sqlite3.Connection) -> None:
        """Warn of deliveries that wait for a route that is gone: they stay until it is back or discarded."""
        waiting = db.execute("SELECT route, count(*) FROM deliveries WHERE status = 'pending' GROUP BY route")
        for route, count in waiting.fetchall():
            if route not in self._routes:
                _log.warning("inbox.route_gone", route=route, waiting=count)

    def _load(self, route: str, lane: str) -> None:
        self._requests.put(Load(route, lane, self._lanes))

    def _discover(self, route: str, cursor: int) -> None:
        self._requests.put(Discover(route, cursor, self._lanes))

    # Called by the writer, in the event loop

    def committed(self, requests: Sequence[Request]) -> None:
        """Take further what is now durable."""
        for request in requests:
            request.done()
        if self._problem is not None:
            self._problem = None
            self._lanes.resume()

    def not_committed(self, requests: Sequence[Request], exc: Exception) -> None:
        """Tell the askers that the file cannot be written; nothing is handed out until it can."""
        self._problem = f"inbox {self._path}: {exc}"
        self._lanes.pause()
        for request in requests:
            request.refused(InboxUnavailable(self._problem))

    def rejected(self, request: Request, exc: Exception) -> None:
        """Tell the asker that its request, and no other, cannot be stored."""
        _log.error("inbox.request_rejected", request=repr(request), exc_info=exc)
        request.refused(InboxUnavailable(f"inbox {self._path}: {exc}"))


class _Writer:
    """The thread that owns the connection."""

    def __init__(
        self,
        db: sqlite3.Connection,
        inbox: SqliteInbox,
        requests: queue.SimpleQueue[Request | None],
        lanes: Lanes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._db = db
        self._inbox = inbox
        self._requests = requests
        self._lanes = lanes
        self._loop = loop
        self._kept: list[Request] = []
        self._failed = False
        self._closing = False
        self._looked_at = 0.0
        self._data_version = self._read_data_version()

    def run(self) -> None:
        """Write until told to close; what could not be written is then tried once more."""
        try:
            while not self._closing:
                self._write(self._gather())
        finally:
            self._db.close()

    def _gather(self) -> list[Request]:
        """Wait for requests; return all there are, those kept from an earlier commit first."""
        batch, self._kept = self._kept, []
        try:
            request = self._requests.get(timeout=_RETRY_AFTER if batch else _LOOK_EVERY)
            while request is not None:
                batch.append(request)
                if len(batch) >= _BATCH:
                    break
                request = self._requests.get_nowait()
            else:
                self._closing = True
        except queue.Empty:
            pass
        if not batch and self._failed:
            # Whoever sends notifications only to a router that is ready would wait for one for ever.
            batch.append(Probe())
        if self._changed_by_others():
            batch.append(ReadChanges(self._lanes))
        return batch

    def _write(self, batch: Sequence[Request]) -> None:
        """Run all requests in one transaction. A request that cannot be stored at all fails alone."""
        if not batch:
            return
        try:
            self._commit(batch)
        except Exception as exc:
            self._roll_back()
            self._failed = _is_unavailable(exc)
            if self._failed:
                self._kept += [request for request in batch if request.kept]
                self._post(self._inbox.not_committed, [r for r in batch if not r.kept], exc)
            elif len(batch) == 1:
                self._post(self._inbox.rejected, batch[0], exc)
            else:
                for request in batch:
                    self._write([request])
        else:
            self._failed = False
            self._post(self._inbox.committed, batch)

    def _commit(self, batch: Sequence[Request]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for request in batch:
            request.run(self._db)
        self._db.execute("COMMIT")

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)

    def _changed_by_others(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at = now
        before, self._data_version = self._data_version, self._read_data_version()
        return before != self._data_version

    def _read_data_version(self) -> int:
        """Return a number that differs once another connection has committed something."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version


def _is_unavailable(exc: Exception) -> bool:
    """Tell a file that cannot be written (full, locked, broken) from a request that cannot be stored."""
    return isinstance(exc, sqlite3.OperationalError) or type(exc) is sqlite3.DatabaseError


def _next_attempt(claim: Claim, outcome: Retry) -> Claim:
    return replace(
        claim,
        attempt=claim.attempt + 1,
        round_attempt=claim.round_attempt + 1,
        blocked_since=claim.blocked_since or datetime.now(UTC),
    )
