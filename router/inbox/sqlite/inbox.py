"""The embedded inbox: one SQLite file, written by one thread that commits many requests at once.

Requests (`Put`, `Settle`, `Load` …) go to the writer in order and come back in order, so that what
`Lanes` is told agrees with what the file holds. While one commit waits for the disk the next
requests gather: the slower the disk, the more share a commit. Nothing is answered before it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TextIO

import structlog

from router.errors import InboxUnavailable
from router.inbox import Claim, Duplicate, Entry, Outcome, Retry, Stored, next_attempt
from router.inbox.awaited import Awaited
from router.inbox.backlog import Backlog
from router.inbox.keys import Dedup
from router.inbox.lanes import Lanes
from router.inbox.pollers import AllOurs
from router.inbox.sqlite.file import create, lock, unavailable
from router.inbox.sqlite.put import Put
from router.inbox.sqlite.recovery import recover
from router.inbox.sqlite.requests import (
    CountWaiting,
    Discover,
    Load,
    ReadChanges,
    Release,
    Start,
    count_waiting,
)
from router.inbox.sqlite.retention import Retention
from router.inbox.sqlite.settle import Settle
from router.inbox.sqlite.store import SqliteStore, StoreRequest
from router.inbox.sqlite.writer import Request, Writer

#: Requests that are handed over without waiting for more.
_ENOUGH = 128

_log = structlog.get_logger("router.inbox")


class SqliteInbox:
    """An `Inbox` in a SQLite file (WAL, ``synchronous = FULL``).

    Args:
        path: The file; made where it is not there.
        routes: Concurrency bound by route name.
        concurrency: Deliveries that run at once, over all routes.
        dedup_window: Seconds within which a key counts as seen.
        deliver_changed: Store a notification whose key was seen with other content as an event of its own.
        retention: Seconds for which an event is kept, and longer while one of its deliveries is not done.
    """

    def __init__(
        self,
        path: Path,
        routes: Mapping[str, int],
        *,
        concurrency: int = 256,
        dedup_window: float = 48 * 3600,
        deliver_changed: bool = False,
        retention: float = 7 * 86400,
    ) -> None:
        self._path = path
        self._routes = frozenset(routes)
        self._dedup = Dedup(timedelta(seconds=dedup_window), deliver_changed)
        self._retention = retention
        self.store = SqliteStore(self._ask_store)
        self.pollers = AllOurs()
        self._lanes = Lanes(routes, concurrency=concurrency, load=self._load, discover=self._discover)
        self._awaited = Awaited(keeps_failed=True)
        self._backlog = Backlog(self._recount)
        self._problem: str | None = None
        self._is_open = False
        #: What the writer is not asked for yet, since it is busy or this turn of the loop goes on.
        self._requests: list[Request] = []
        self._is_asking = False
        self._is_writing = False
        #: Deliveries up to this one are shown as running before they run.
        self._careful_until = 0
        # From open to close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: TextIO | None = None
        self._writer: Writer | None = None

    async def open(self) -> None:
        """See `Inbox.open`."""
        self._lock = lock(self._path)
        with ExitStack() as on_failure:
            on_failure.callback(self._lock.close)
            db = create(self._path)
            on_failure.callback(db.close)
            with unavailable(self._path):
                self._careful_until = recover(db)
                self._count_waiting(db)
            on_failure.pop_all()
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(
            db,
            self,
            changed=partial(ReadChanges, self._lanes, self._backlog),
            retention=Retention(self._retention),
            loop=self._loop,
        )
        self._writer.start()
        self._is_open = True
        self._backlog.watch()
        self._lanes.start()

    async def close(self) -> None:
        """See `Inbox.close`."""
        if self._writer is None or self._lock is None:
            return
        self._is_open = False
        self.stop_claims()
        self._backlog.stop()
        self._hand_over()
        await asyncio.to_thread(self._writer.close)
        self._lock.close()
        self._writer = self._lock = None

    async def put(self, entry: Entry) -> Stored | Duplicate:
        """See `Inbox.put`."""
        assert self._loop is not None, "an inbox is opened before it is used"
        answer: asyncio.Future[Stored | Duplicate] = self._loop.create_future()
        request = Put(entry, self._dedup, self._lanes, self._backlog, self._awaited, answer)
        self._ask(request)
        return await request.answer

    def hold(self, route: str) -> None:
        """See `Inbox.hold`."""
        self._lanes.leave(route)

    async def claim(self) -> Claim | None:
        """See `Inbox.claim`."""
        claim = await self._lanes.claim()
        if claim is not None and claim.id <= self._careful_until:
            await self._show_running(claim)
        return claim

    def stop_claims(self) -> None:
        """See `Inbox.stop_claims`."""
        self._lanes.stop()

    def started(self, claim: Claim) -> None:
        """See `Inbox.started`."""
        if claim.id > self._careful_until:
            self._ask(Start(claim))

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """See `Inbox.settle`."""
        self._ask(Settle(claim, outcome))
        self._awaited.ended(claim, outcome)  # a retry is ours: GREEN-API need not send it again
        if isinstance(outcome, Retry):
            self._lanes.retry(next_attempt(claim, outcome), self._lanes.now() + outcome.delay)
        else:
            self._backlog.settled()
            self._lanes.finished(claim)

    def release(self, claim: Claim) -> None:
        """See `Inbox.release`."""
        self._ask(Release(claim))
        self._lanes.changed(claim.route, claim.lane)
        self._lanes.finished(claim)

    def problem(self) -> str | None:
        """See `Inbox.problem`."""
        return self._problem

    async def _show_running(self, claim: Claim) -> None:
        assert self._loop is not None, "an inbox is opened before it is used"
        shown = self._loop.create_future()
        self._ask(Start(claim, shown))
        try:
            await shown
        except asyncio.CancelledError:
            self.release(claim)
            raise

    def _count_waiting(self, db: sqlite3.Connection) -> None:
        """Count what waits. Warn of what waits for a route that is gone: it stays until that is back."""
        for route, count in count_waiting(db).items():
            if route in self._routes:
                self._backlog.waiting += count
            else:
                _log.warning("inbox.route_gone", route=route, waiting=count)

    def _recount(self) -> None:
        self._ask(CountWaiting(self._routes, self._backlog))

    def _load(self, route: str, lane: str, most: int) -> None:
        self._ask(Load(route, lane, most, self._lanes))

    def _discover(self, route: str, cursor: int) -> None:
        self._ask(Discover(route, cursor, self._lanes))

    def _ask_store(self, request: StoreRequest) -> None:
        """Ask for what a handler keeps; whoever outlives the inbox is told so instead of waiting."""
        if not self._is_open:
            raise InboxUnavailable(f"inbox {self._path} is closed: the router stops")
        self._ask(request)

    # Asking the writer: one batch at a time

    def _ask(self, request: Request) -> None:
        self._requests.append(request)
        if not self._is_writing and not self._is_asking and self._loop is not None:
            self._is_asking = True
            self._loop.call_soon(self._wait_for_more, 0)

    def _wait_for_more(self, before: int) -> None:
        """Hand over what gathered, once a turn of the loop has brought nothing new: the more, the cheaper."""
        now = len(self._requests)
        if self._loop is not None and before < now < _ENOUGH:
            self._loop.call_soon(self._wait_for_more, now)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        self._is_asking = False
        if self._requests and self._writer is not None:
            self._is_writing = True
            self._writer.write(self._requests)
            self._requests = []

    # Called by the writer, in the event loop

    def written(self, results: Sequence[Callable[[], None]]) -> None:
        """Give the writer its next batch, and take further what became of the last one."""
        self._is_writing = False
        if self._requests and self._loop is not None:
            self._is_asking = True
            self._loop.call_soon(self._wait_for_more, len(self._requests))
        for result in results:
            result()

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
