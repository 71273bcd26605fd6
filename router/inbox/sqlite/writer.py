"""The thread that owns the connection: it writes one batch of requests after another, each in one commit."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from router.inbox.sqlite.put import Put, store
from router.inbox.sqlite.recovery import end_cleanly
from router.inbox.sqlite.requests import Probe, Step
from router.inbox.sqlite.retention import Retention
from router.inbox.sqlite.settle import Settle, settle
from router.inbox.sqlite.store import StoreRequest, keep

#: How often the file is asked whether an operator's command changed it, in seconds.
_LOOK_EVERY = 0.5
#: Pause before what could not be written is tried again, in seconds.
_RETRY_AFTER = 1.0

#: What the writer is asked for.
Request = Put | Settle | StoreRequest | Step

_log = structlog.get_logger("router.inbox")


class Owner(Protocol):
    """Whom the writer tells, in the event loop, what became of its requests."""

    def written(self, results: Sequence[Callable[[], None]]) -> None:
        """Take what became of a batch: calls of the three below, to be made in this order."""

    def committed(self, requests: Sequence[Request]) -> None:
        """Take further what is now durable."""

    def not_committed(self, requests: Sequence[Request], exc: Exception) -> None:
        """Tell the askers that the file cannot be written."""

    def rejected(self, request: Request, exc: Exception) -> None:
        """Tell the asker that its request, and no other, cannot be stored."""


class Writer:
    """Writes batches in a thread of its own.

    Args:
        db: The connection; the writer closes it.
        owner: Whom it tells.
        changed: Makes the step that is to be done when another process has written to the file.
        retention: Removes what is old between two batches.
        loop: Where the owner is told.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        owner: Owner,
        *,
        changed: Callable[[], Step],
        retention: Retention,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._db = db
        self._owner = owner
        self._changed = changed
        self._retention = retention
        self._loop = loop
        self._batches: queue.SimpleQueue[list[Request] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._kept: list[Request] = []
        self._results: list[Callable[[], None]] = []
        self._failed = False
        self._closing = False
        self._looked_at = 0.0
        self._data_version = self._read_data_version()
        self._retention_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def write(self, batch: list[Request]) -> None:
        """Write the requests, after those of earlier calls; the owner is told."""
        self._batches.put(batch)

    def close(self) -> None:
        """Write what is still to be written, what failed before once more, and wait for the end."""
        self._batches.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing:
                batch = self._next_batch()
                self._write(batch)
                if batch:
                    self._loop.call_soon_threadsafe(self._owner.written, self._results)
                    self._results = []
                self._remove_old()
            self._end()
        finally:
            self._db.close()

    def _end(self) -> None:
        """Note that all that ran is settled, if it is."""
        lost = sum(isinstance(request, Settle) for request in self._kept)
        if lost:
            _log.warning("inbox.outcomes_lost", deliveries=lost)
            return
        with contextlib.suppress(sqlite3.Error):  # the next start is a careful one, then
            end_cleanly(self._db)

    def _next_batch(self) -> list[Request]:
        """Wait for a batch; return it after what is kept from earlier ones, with what is due by itself."""
        batch, self._kept = self._kept, []
        wait = _RETRY_AFTER if batch else min(_LOOK_EVERY, self._retention.pause)
        with contextlib.suppress(queue.Empty):
            asked = self._batches.get(timeout=wait)
            self._closing = asked is None
            batch += asked or []
        if self._failed:
            # Whoever sends notifications only to a router that is ready would wait for one for ever; and
            # what only reads would seem to show that the file can be written.
            batch.append(Probe())
        if self._changed_by_others():
            batch.append(self._changed())
        return batch

    def _write(self, batch: Sequence[Request]) -> None:
        """Run all requests in one transaction. A request that cannot be stored at all fails alone."""
        if not batch:
            return
        try:
            self._commit(batch)
        except Exception as exc:
            self._roll_back()
            if _is_unavailable(exc):
                self._set_aside(batch, exc)
            else:
                self._write_one_by_one(batch)

    def _write_one_by_one(self, batch: Sequence[Request]) -> None:
        for number, request in enumerate(batch):
            try:
                self._commit([request])
            except Exception as exc:
                self._roll_back()
                if _is_unavailable(exc):
                    self._set_aside(batch[number:], exc)  # nothing overtakes what is kept
                    return
                self._tell(self._owner.rejected, request, exc)

    def _set_aside(self, batch: Sequence[Request], exc: Exception) -> None:
        """Keep what can be written later, in its order, and refuse the rest."""
        self._failed = True
        self._kept += [request for request in batch if request.kept]
        self._tell(self._owner.not_committed, [request for request in batch if not request.kept], exc)

    def _commit(self, batch: Sequence[Request]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        puts: list[Put] = []
        settles: list[Settle] = []
        keeps: list[StoreRequest] = []
        for request in batch:
            match request:
                case Put():
                    puts.append(request)
                case Settle():
                    settles.append(request)
                case StoreRequest():
                    keeps.append(request)
                case _:  # sees what was asked before it, and nothing that was asked after it
                    self._store_and_settle(puts, settles)
                    request.run(self._db)
        self._store_and_settle(puts, settles)
        if keeps:  # what handlers keep is seen by nothing else here
            keep(self._db, keeps)
        self._db.execute("COMMIT")
        self._failed = False
        self._tell(self._owner.committed, batch)

    def _store_and_settle(self, puts: list[Put], settles: list[Settle]) -> None:
        """Write and forget both: neither depends on the other."""
        if puts:
            store(self._db, puts)
        if settles:
            settle(self._db, settles)
        puts.clear()
        settles.clear()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _tell(self, result: Callable[..., None], *args: object) -> None:
        self._results.append(partial(result, *args))

    def _remove_old(self) -> None:
        now = time.monotonic()
        if now < self._retention_at or self._failed:
            return
        try:
            self._retention.step(self._db)
        except sqlite3.Error as exc:  # the next batch finds out whether that is more than a moment's trouble
            self._roll_back()
            _log.warning("inbox.retention_failed", error=str(exc))
        self._retention_at = now + self._retention.pause

    def _changed_by_others(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at = now
        before = self._data_version
        with contextlib.suppress(sqlite3.Error):  # a file that cannot be read: it is asked again
            self._data_version = self._read_data_version()
        return before != self._data_version

    def _read_data_version(self) -> int:
        """Return a number that differs once another connection has committed something."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version


def _is_unavailable(exc: Exception) -> bool:
    """Tell a file that cannot be written (full, locked, broken) from a request that cannot be stored."""
    return isinstance(exc, sqlite3.OperationalError) or type(exc) is sqlite3.DatabaseError
