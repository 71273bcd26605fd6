"""Files while they are written: under a name of their own, removed unless they are put in place."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from router import RetryLater

_PART = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{16}\.part")
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def part_of(folder: Path, key: str) -> Iterator[BinaryIO]:
    """Open a new file in a folder; remove it at the end, unless it has another name by then.

    Raises:
        RetryLater: The disk is full.
        OSError: The file cannot be written.
    """
    path = folder / f".{key}-{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "xb", opener=_private) as file:
            yield file
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        raise RetryLater(f"{folder}: {os.strerror(exc.errno)}") from None
    finally:
        path.unlink(missing_ok=True)


def require_room(folder: Path, more: int, min_free: int) -> None:
    """Return if the disk has room for more bytes.

    Raises:
        RetryLater: Less than ``min_free`` would be left.
    """
    free = shutil.disk_usage(folder).free
    if free - more < min_free:
        raise RetryLater(f"{folder}: {free} bytes are free, and the option min_free keeps {min_free}")


def flush(file: BinaryIO) -> None:
    """Wait until the disk has the file."""
    file.flush()
    os.fsync(file.fileno())


def place(file: BinaryIO, path: Path) -> None:
    """Give a file its name, in a folder that is made if missing, and wait for the disk."""
    flush(file)
    missing = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file.name, path)
    for folder in (path.parent, *(each.parent for each in missing)):
        _sync_folder(folder)


def is_part(name: str) -> bool:
    """Return whether a file of that name is one that is being written, or was when the router crashed."""
    return _PART.fullmatch(name) is not None


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
