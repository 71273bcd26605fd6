"""Turns the JSONL file of a day into Parquet. It may be stopped or crash anywhere and be run again.

The lines are removed only after the Parquet file has been read back, compared and is on the disk. Lines
that come later, of a delivery that was held up, are merged into it the next time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from msgspec import UnsetType

from router_archive.files import is_at, sync_folder
from router_archive.lines import Line, Record, read

#: Rows that are in memory at once, and in one row group.
_ROWS = 10_000
_INT64 = 2**63
_NUMBERS = ("instance", "timestamp")

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("instance", pa.int64()),
        ("messenger", pa.string()),
        ("chat", pa.string()),
        ("sender", pa.string()),
        ("message_type", pa.string()),
        ("text", pa.string()),
        ("timestamp", pa.int64()),
        ("received_at", pa.timestamp("us", "UTC")),
        ("transport", pa.string()),
        ("data", pa.string()),
    ]
)

_Row = dict[str, Any]


class Stopped(Exception):
    """Raised when a conversion is to end: nothing has changed."""


class Busy(Exception):
    """Raised when another process converts the same folder."""


class NotVerified(Exception):
    """Raised when what was read back is not what was written; the lines are still there."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of a day."""

    file: Path
    rows: int
    #: Lines that are no event, kept in a file beside.
    damaged: int


def convert(log: Path, is_stopped: Callable[[], bool] = lambda: False) -> Converted:
    """Turn the JSONL file of a day into Parquet, or merge it into that which is there.

    Args:
        log: The JSONL file.
        is_stopped: Asked from time to time.

    Raises:
        OSError, Stopped, Busy, NotVerified: The lines are still there; try again later.
    """
    with _alone(log.parent):
        while True:
            size = log.stat().st_size
            done = _Day(log, size, is_stopped).write()
            if _remove(log, size):  # else more came meanwhile
                return done


class _Day:
    """One attempt at one day."""

    def __init__(self, log: Path, size: int, is_stopped: Callable[[], bool]) -> None:
        self._log = log
        self._size = size
        self._is_stopped = is_stopped
        self._target = log.with_suffix(".parquet")
        self._damaged: list[Line] = []

    def write(self) -> Converted:
        part = self._target.with_name(f".{self._target.name}.part")
        try:
            rows = self._write(part)
            self._verify(part)
            self._keep_damaged()
            part.replace(self._target)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(self._target.parent)
        return Converted(self._target, rows, len(self._damaged))

    def _write(self, part: Path) -> int:
        count = 0
        part.unlink(missing_ok=True)
        with open(part, "xb", opener=_private) as file:
            with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                for table in self._tables():
                    writer.write_table(table)
                    count += table.num_rows
            file.flush()
            os.fsync(file.fileno())
        return count

    def _verify(self, part: Path) -> None:
        for number, (found, wanted) in enumerate(zip_longest(_groups(part), self._tables()), start=1):
            if found is None or wanted is None or not found.equals(wanted):
                raise NotVerified(f"{part}: row group {number} is not what was written")

    def _tables(self) -> Iterator[pa.Table]:
        rows = self._rows()
        while batch := list(islice(rows, _ROWS)):
            yield pa.Table.from_pylist(batch, schema=SCHEMA)

    def _rows(self) -> Iterator[_Row]:
        """Yield what belongs into the file, each event once."""
        self._damaged.clear()
        seen: set[str] = set()
        for number, row in enumerate(self._all_rows()):
            if number % _ROWS == 0 and self._is_stopped():
                raise Stopped
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row

    def _all_rows(self) -> Iterator[_Row]:
        if self._target.exists():
            for table in _groups(self._target):
                yield from table.to_pylist()
        for line in read(self._log, self._size):
            if line.record is None:
                self._damaged.append(line)
            else:
                yield _row(line.record)

    def _keep_damaged(self) -> None:
        """Append lines that are no event to a file of their own, unless it has them."""
        if not self._damaged:
            return
        path = self._log.with_suffix(".damaged")
        with open(path, "a+b", opener=_private) as file:
            file.seek(0)
            known = {content.strip() for content in file}
            new = [content for line in self._damaged if (content := line.content.strip()) not in known]
            file.write(b"".join(content + b"\n" for content in new))
            file.flush()
            os.fsync(file.fileno())


def _row(record: Record) -> _Row:
    """Return a record as a row; a number that does not fit is ``None``."""
    row: _Row = {name: getattr(record, name) for name in SCHEMA.names}
    row |= {name: _fitting(row[name]) for name in _NUMBERS}
    row["data"] = None if isinstance(record.data, UnsetType) else bytes(record.data).decode()
    return row


def _fitting(number: int | None) -> int | None:
    return number if number is not None and -_INT64 <= number < _INT64 else None


def _groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def _remove(log: Path, size: int) -> bool:
    """Remove lines if no more were added; whoever waits to append begins a new file."""
    with open(log, "rb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not is_at(file, log) or os.fstat(file.fileno()).st_size != size:
            return False
        log.unlink()
    sync_folder(log.parent)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes and threads from converting the same folder."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise Busy(f"{folder}: another process turns it into Parquet") from exc
    finally:
        os.close(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
