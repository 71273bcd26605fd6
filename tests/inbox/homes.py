"""The inboxes as the state machine drives them: step by step, with a clock and a disk at its command.

Everything the machine has to know of their insides is here.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router import clock
from router.inbox import Inbox, Ledger, lanes, memory
from router.inbox.lanes import Lanes
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite import requests as sqlite_requests
from router.inbox.sqlite import writer as sqlite_writer
from router.inbox.sqlite.file import create
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DEDUP_WINDOW = 3600.0
#: What a memory inbox holds at most.
MAX_UNFINISHED = 12
MAX_FINISHED = 4
#: Turns of the event loop within which all that follows from a callback has happened.
_TURNS = 10_000
#: Seconds within which the writer has done what it was asked for; nothing waits for them when all is well.
_DEADLINE = 20.0
#: Seconds until something happens by itself: never, the machine does it when it is to happen.
_NEVER = 1e9
#: Bytes of a WAL file that say which run of it the rest belongs to.
_WAL_HEADER = 32

#: Writes that fail on a broken disk.
_WRITES = ["INSERT ON events", "INSERT ON deliveries", "UPDATE ON deliveries"]
_BREAK = "CREATE TRIGGER broken_{} BEFORE {} BEGIN SELECT json('broken'); END"
_BROKEN = "SELECT name FROM sqlite_schema WHERE name LIKE 'broken%'"
_numbers = itertools.count()


@dataclass(frozen=True)
class Bounds:
    """How little of the store is held in memory and read at once, and how much runs at once."""

    waiting: int
    bytes: int
    lanes: int
    page: int
    page_bytes: int
    discovery: int
    concurrency: int


class Clock:
    """The wall clock and the event loop's: both stand still until they are moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        self._machine_clock = clock
        super().__init__()

    def time(self) -> float:
        return self._machine_clock.seconds

    def is_idle(self) -> bool:
        """Tell, within a callback, whether no other is to be called now."""
        ready, scheduled = vars(self)["_ready"], vars(self)["_scheduled"]
        return not ready and not (scheduled and scheduled[0].when() <= self.time())


class Home:
    """An inbox with its ledger and its event loop.

    Args:
        bounds: Kept to until `leave`.
        deliver_changed: As the inbox takes it.
    """

    #: It outlives its process, and its disk can be stopped or break.
    lasts: bool
    inbox: Inbox
    ledger: Ledger

    def __init__(self, bounds: Bounds, *, deliver_changed: bool) -> None:
        self.clock = Clock()
        self.loop = _Loop(self.clock)
        self._settings: dict[str, Any] = {
            "concurrency": bounds.concurrency,
            "dedup_window": DEDUP_WINDOW,
            "deliver_changed": deliver_changed,
        }
        self._patch = pytest.MonkeyPatch()
        self._set_bounds(bounds)
        self._time = ExitStack()
        self._time.enter_context(clock.taken_from(self.clock.now, lambda: self.clock.seconds))

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something in the event loop to its end."""
        self.loop.run_until_complete(coroutine)

    def do(self, *actions: Callable[[], object]) -> None:
        """Run what is no coroutine within one turn of the event loop."""

        async def all_of_them() -> None:
            for action in actions:
                action()

        self.run(all_of_them())

    def ask(self, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run all of them at once; return their results."""
        tasks = [self.loop.create_task(coroutine) for coroutine in coroutines]
        self.settle_down()
        return [task.result() for task in tasks]

    def open(self, routes: Mapping[str, int]) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """Undo everything."""
        self._time.close()
        self._patch.undo()
        self.loop.close()

    def turn(self) -> None:
        """Let the event loop do what it can do now."""

        async def until_idle() -> None:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
                if self.loop.is_idle():
                    return
            raise AssertionError("the event loop does not come to rest")

        self.run(until_idle())

    def settle_down(self) -> None:
        """Wait until everything that was asked for is answered, and what follows from that as well."""
        self.turn()

    def notice(self) -> None:
        """Wait until the inbox has taken up what the ledger changed."""

    def _set_bounds(self, bounds: Bounds) -> None:
        defaults = cast("dict[str, Any]", Lanes.__init__.__kwdefaults__)
        self._patch.setitem(defaults, "max_waiting", bounds.waiting)
        self._patch.setitem(defaults, "max_bytes", bounds.bytes)
        self._patch.setitem(defaults, "max_lanes", bounds.lanes)
        self._patch.setattr(lanes, "PAGE", bounds.page)
        self._patch.setattr(sqlite_requests, "_PAGE_BYTES", bounds.page_bytes)
        self._patch.setattr(sqlite_requests, "_DISCOVERY", bounds.discovery)
        self._patch.setattr(sqlite_writer, "_LOOK_EVERY", _NEVER)
        self._patch.setattr(memory, "_MAX_FINISHED", MAX_FINISHED)


class MemoryHome(Home):
    lasts = False

    def open(self, routes: Mapping[str, int]) -> None:
        inbox = MemoryInbox(routes, max_unfinished=MAX_UNFINISHED, **self._settings)
        self.inbox = self.ledger = inbox
        self.run(inbox.open())

    def leave(self) -> None:
        self.run(self.inbox.close())
        super().leave()


class SqliteHome(Home):
    lasts = True

    def __init__(self, bounds: Bounds, folder: Path, *, deliver_changed: bool) -> None:
        super().__init__(bounds, deliver_changed=deliver_changed)
        self._folder = folder
        self._runs = 0
        self._batches = _Batches()
        self._patch.setattr(
            sqlite_writer, "queue", SimpleNamespace(SimpleQueue=self._make_queue, Empty=queue.Empty)
        )
        self._is_held = False
        self._path = self._next_path()
        create(self._path).close()
        self._read()

    def open(self, routes: Mapping[str, int]) -> None:
        self._is_held = False
        self.inbox = self._inbox = SqliteInbox(self._path, routes, retention=_NEVER, **self._settings)
        self.run(self._inbox.open())

    @property
    def careful_until(self) -> int:
        """The last delivery that is shown as running before it runs."""
        return self._inbox._careful_until

    def close(self) -> None:
        """End the run as a signal does."""
        self.run(self._inbox.close())

    def leave(self) -> None:
        self.close()
        self._ledger.close()
        super().leave()

    def settle_down(self) -> None:
        self.turn()
        while not self._is_held and self._batches.hand_over():
            self.turn()

    def notice(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite_writer, "_LOOK_EVERY", 0.0)
            self._batches.time_out()
        assert not self._execute("SELECT 1 FROM changes")

    # The disk

    def hold(self) -> None:
        """Let the disk take its time: requests gather, none is answered."""
        self._is_held = True

    def let_go(self) -> None:
        self._is_held = False

    def break_(self) -> None:
        """Let every write fail from now on."""
        # A name is used once: the writer still knows it when it is gone.
        self._execute(*(_BREAK.format(next(_numbers), write) for write in _WRITES))

    def mend(self) -> None:
        self._execute(*(f"DROP TRIGGER {name}" for (name,) in self._execute(_BROKEN)))

    def look_again(self) -> None:
        """Let the time pass after which the writer tries again what failed."""
        self._batches.time_out()

    def crash(self, cut: float) -> None:
        """Kill the process, and go on with the files as they were at that moment.

        Args:
            cut: How far the disk came with what was not confirmed yet: the share of its bytes.
        """
        before, wal_before = self._path.read_bytes(), _wal(self._path)  # the writer stands still
        self._is_held = False
        self.settle_down()
        wal = _torn(wal_before, _wal(self._path), cut)
        self.close()
        self._ledger.close()
        self._path = self._next_path()
        self._path.write_bytes(before)
        self._path.with_name(self._path.name + "-wal").write_bytes(wal)
        self.mend()
        self._read()

    def _execute(self, *statements: str) -> list[Any]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
            return [row for statement in statements for row in db.execute(statement)]

    def _read(self) -> None:
        self.ledger = self._ledger = SqliteLedger(self._path)

    def _next_path(self) -> Path:
        self._runs += 1
        return self._folder / f"router{self._runs}.db"

    def _make_queue(self) -> _Batches:
        self._batches = _Batches()
        return self._batches


class _Batches:
    """The queue between the inbox and its writer, who runs only while the event loop stands still.

    So batches are the same whenever the same is asked for.
    """

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._handed_over: deque[Any] = deque()
        self._is_idle = False
        self._timed_out = False
        self._changed = threading.Condition()

    # For the machine

    def hand_over(self) -> bool:
        """Let the writer do all that was asked for; return whether that was anything."""
        with self._changed:
            asked, self._waiting = self._waiting, []
            self._handed_over.extend(asked)
            self._let_writer_run()
        return bool(asked)

    def time_out(self) -> None:
        """Let the writer find that it was asked for nothing for as long as it waits."""
        with self._changed:
            self._timed_out = True
            self._let_writer_run()

    def _let_writer_run(self) -> None:
        self._changed.notify_all()
        assert self._changed.wait_for(self._stands_still, _DEADLINE)

    def _stands_still(self) -> bool:
        return self._is_idle and not self._handed_over and not self._timed_out

    # For the inbox

    def put(self, batch: Any) -> None:
        with self._changed:
            self._waiting.append(batch)
            if batch is None:  # it closes: the writer does what is left
                self._handed_over.extend(self._waiting)
                self._changed.notify_all()

    def get(self, timeout: float) -> Any:
        with self._changed:
            self._is_idle = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._handed_over or self._timed_out)
            self._is_idle = False
            if self._handed_over:
                return self._handed_over.popleft()
            self._timed_out = False
            raise queue.Empty


def _wal(path: Path) -> bytes:
    wal = path.with_name(path.name + "-wal")
    return wal.read_bytes() if wal.exists() else b""


def _torn(before: bytes, after: bytes, cut: float) -> bytes:
    """Return the WAL as it is when a write stops half way."""
    if not before or before[:_WAL_HEADER] != after[:_WAL_HEADER]:
        return before  # it began anew: what was written then is not to be had any more
    same = range(0, len(before), _WAL_HEADER)
    start = next((i for i in same if before[i : i + _WAL_HEADER] != after[i : i + _WAL_HEADER]), len(before))
    end = start + round(cut * (len(after) - start))
    return after[:end] + before[end:]
