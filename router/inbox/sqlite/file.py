"""The SQLite file: opening it, its tables, and the one router that may run on it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TextIO

from router.errors import InboxInUse, InboxUnavailable
from router.inbox.sqlite.many import MOST_ROWS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: How long a statement waits for the other process that writes at the moment, in seconds.
_BUSY_TIMEOUT = 5.0
#: Statements that stay prepared: six of up to `MOST_ROWS` rows, and the others.
_PREPARED = 6 * MOST_ROWS + 32


def to_micros(moment: datetime) -> int:
    """Return UTC microseconds since 1970, as the tables hold times."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the UTC time that the tables hold as ``micros``."""
    return _EPOCH + timedelta(microseconds=micros)


@contextmanager
def unavailable(path: Path) -> Iterator[None]:
    """Turn an error of SQLite or of the file system into `InboxUnavailable`, which says where."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise InboxUnavailable(f"inbox {path}: {exc}") from exc


def connect(path: Path) -> sqlite3.Connection:
    """Open the database file, which has to be there, for use by any one thread at a time."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_PREPARED,
    )
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA temp_store = MEMORY")  # what a statement of many rows may have to take back
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path) -> sqlite3.Connection:
    """Open the database file, made and brought up to date where needed.

    Raises:
        InboxUnavailable: It cannot be opened, or a newer version of the router wrote it.
    """
    with unavailable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        db = connect(path)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            _migrate(db, path)
        except BaseException:
            db.close()
            raise
        return db


def open_existing(path: Path) -> sqlite3.Connection:
    """Open a database that a router made.

    Raises:
        InboxUnavailable: It is not there, or its tables are of another version.
    """
    if not path.exists():
        raise InboxUnavailable(f"there is no inbox at {path}: 'router serve' makes it when it first runs")
    with unavailable(path):
        db = connect(path)
        try:
            _require_version(db, path)
        except BaseException:
            db.close()
            raise
        return db


def lock(path: Path) -> TextIO:
    """Take the right to run a router on this inbox, held until the returned file is closed.

    Raises:
        InboxInUse: Another process has it.
        InboxUnavailable: The lock file cannot be written.
    """
    lock_path = path.with_name(path.name + ".lock")
    with unavailable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock_path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise InboxInUse(
            f"another router (process {holder}) runs on inbox {path}: stop it, or give this one an "
            "inbox.url of its own"
        ) from None
    try:
        with unavailable(path):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
    except InboxUnavailable:
        with suppress(OSError):  # what could not be flushed is tried again
            file.close()
        raise
    return file


def _migrations() -> list[str]:
    folder = files("router.inbox.sqlite") / "migrations"
    return [file.read_text("utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _require_version(db: sqlite3.Connection, path: Path) -> None:
    found, latest = _version(db), len(_migrations())
    if found != latest:
        raise InboxUnavailable(
            f"inbox {path} has tables of version {found}, this router uses {latest}: "
            "run the commands of the router that serves it"
        )


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    migrations = _migrations()
    found = _version(db)
    if found > len(migrations):
        raise InboxUnavailable(f"inbox {path} was written by a newer version of the router: use that one")
    for number, script in enumerate(migrations[found:], found + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
