"""The inbox's file, seen from outside: what is settled, how many commits there were, and how to fill one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.figures import CannotMeasure

#: Seconds that deliveries get to be settled once the load has ended, and how often they are counted.
_PATIENCE, _COUNT_EVERY = 60.0, 0.01
#: Where the index of the write-ahead log counts transactions: https://sqlite.org/walformat.html, section 2.1.
_CHANGES = struct.Struct("=8xI")


class InboxFile:
    """A SQLite inbox that a router runs on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def deliveries(self) -> dict[str, int]:
        """Return how many deliveries there are of each status."""
        with self._open() as db:
            return dict(db.execute("SELECT status, count(*) FROM deliveries GROUP BY status"))

    def unsettled(self, route: str | None = None) -> int:
        """Return how many deliveries, of one route or of all, wait or run."""
        with self._open() as db:
            return _unsettled(db, route)

    def events_of(self, kind: str) -> int:
        """Return how many events there are of a type."""
        with self._open() as db:
            count: int = db.execute("SELECT count(*) FROM events WHERE type = ?", (kind,)).fetchone()[0]
            return count

    def commits(self) -> int:
        """Return how many transactions were committed, by a number that begins anywhere."""
        with self.path.with_name(f"{self.path.name}-shm").open("rb") as file:
            count: int = _CHANGES.unpack(file.read(_CHANGES.size))[0]
            return count

    def wait_until_settled(self, route: str | None = None) -> None:
        """Wait until no delivery, of one route or of all, waits or runs.

        Raises:
            CannotMeasure: That takes too long.
        """
        deadline = time.monotonic() + _PATIENCE
        with self._open() as db:
            while left := _unsettled(db, route):
                if time.monotonic() > deadline:
                    raise CannotMeasure(f"{left} deliveries were not settled within {_PATIENCE:g} s")
                time.sleep(_COUNT_EVERY)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            yield db


def _unsettled(db: sqlite3.Connection, route: str | None) -> int:
    # One question for each status: so each is answered by its own index.
    where = "" if route is None else "AND route = :route"
    counts = [
        db.execute(f"SELECT count(*) FROM deliveries WHERE status = '{status}' {where}", {"route": route})
        for status in ("pending", "running")
    ]
    return sum(count for cursor in counts for (count,) in cursor)


def multiply(source: Path, target: Path, deliveries: int) -> int:
    """Copy an inbox on which no router runs, its events again and again; return how many deliveries it has.

    Each copy is an event of its own: another id, another dedup key, later in the order of arrival. This
    is what the router itself would have stored, in a twentieth of the time.
    """
    shutil.copy(source, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -500000")
        columns = {table: _columns(db, table) for table in ("events", "deliveries")}
        seqs, ids, count = db.execute(
            "SELECT (SELECT max(seq) FROM events), max(id), count(*) FROM deliveries"
        ).fetchone()
        copies = -(-deliveries // count)
        for number in range(1, copies):
            db.execute("BEGIN")
            _copy(db, "events", columns["events"], _EVENT, "seq", number=number, seqs=seqs, ids=ids)
            _copy(db, "deliveries", columns["deliveries"], _DELIVERY, "id", number=number, seqs=seqs, ids=ids)
            db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _flush(target)
    total: int = copies * count
    return total


def age(path: Path) -> None:
    """Make all events of an inbox on which no router runs a year older."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET received_at = received_at - 365 * 86400 * 1000000")
    _flush(path)


def _flush(path: Path) -> None:
    """Have the disk write it now, and not while something is measured."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


#: What is another in a copy; an id begins with the time (RFC 9562, UUID version 7), here with a late one.
_EVENT = {
    "seq": "seq + :number * :seqs",
    "id": "printf('ff%06x', :number) || substr(id, 9)",
    "key": "CASE typeof(key) WHEN 'blob' THEN randomblob(length(key)) ELSE key || '-' || :number END",
    "received_at": "received_at + :number",
}
_DELIVERY = {"id": "id + :number * :ids", "event": "event + :number * :seqs"}


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]


def _copy(
    db: sqlite3.Connection, table: str, columns: list[str], changed: dict[str, str], key: str, **values: int
) -> None:
    last = {"seq": ":seqs", "id": ":ids"}[key]
    chosen = ", ".join(changed.get(name, name) for name in columns)
    db.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE {key} <= {last}",
        values,
    )
