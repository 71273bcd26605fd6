"""Reads an archive and tells whether its files are whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from router_archive.days import files
from router_archive.lines import read


@dataclass(frozen=True, slots=True)
class Checked:
    """What is in a file."""

    file: str
    #: Different ids.
    events: int
    #: Lines or rows whose event stands further up as well.
    again: int
    #: Numbers of the lines that are no event.
    damaged: list[int]
    #: Why the file cannot be read, if it cannot.
    error: str | None = None


def check_folder(folder: Path) -> list[Checked]:
    """Read every file of an archive, oldest first.

    Raises:
        OSError: The folder cannot be read.
    """
    return [check_file(path) for path in files(folder)]


def check_file(path: Path) -> Checked:
    """Read one file."""
    try:
        return _check_log(path) if path.suffix == ".jsonl" else _check_parquet(path)
    except Exception as exc:  # of pyarrow and its libraries
        return Checked(path.name, 0, 0, [], " ".join(str(exc).split()))


def _check_log(path: Path) -> Checked:
    seen: set[str] = set()
    again, damaged = 0, []
    for line in read(path):
        if line.record is None:
            damaged.append(line.number)
        elif line.record.id in seen:
            again += 1
        else:
            seen.add(line.record.id)
    return Checked(path.name, len(seen), again, damaged)


def _check_parquet(path: Path) -> Checked:
    try:
        import pyarrow.parquet as pq  # type: ignore[import-untyped] # noqa: PLC0415 - it is not always there
    except ImportError:
        return Checked(path.name, 0, 0, [], "install green-event-router-archive[parquet] to read it")
    with pq.ParquetFile(path) as file:
        ids = [value for batch in file.iter_batches() for value in batch.column("id").to_pylist()]
    return Checked(path.name, len(set(ids)), len(ids) - len(set(ids)), [])
