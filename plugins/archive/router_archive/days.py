"""Which files a folder of the archive has."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.(jsonl|parquet)")


def files(folder: Path) -> list[Path]:
    """Return the files of all days, oldest first.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and day_of(path))


def logs_until(folder: Path, today: date) -> list[Path]:
    """Return the JSONL files of the days that are over, oldest first.

    Raises:
        OSError: The folder cannot be read.
    """
    return [path for path in files(folder) if path.suffix == ".jsonl" and (day_of(path) or today) < today]


def day_of(path: Path) -> date | None:
    """Return the day of a file; ``None`` if there is no such day."""
    try:
        return date.fromisoformat(path.stem)
    except ValueError:
        return None
