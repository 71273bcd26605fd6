"""The handler ``archive``: appends every event to the JSONL file of its day."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from datetime import UTC
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from router import Context, Event
from router_archive.lines import line


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where events are kept, and in which form."""

    folder: Annotated[
        str,
        Meta(
            description="Folder for the files, made if missing; relative to the working directory.",
            min_length=1,
        ),
    ]
    data: Annotated[
        bool, Meta(description="Whether the whole notification is kept beside the event's fields.")
    ] = True
    format: Annotated[
        Literal["jsonl", "parquet"],
        Meta(description="jsonl: one line for each event; parquet: a day becomes Parquet when it is over."),
    ] = "jsonl"

    def __post_init__(self) -> None:
        """Check what a schema cannot say."""
        if self.format == "parquet" and find_spec("pyarrow") is None:
            raise ValueError("format: parquet needs pyarrow: install green-event-router-archive[parquet]")


def archive(event: Event, context: Context) -> None:
    """Append one line for the event to ``FOLDER/YYYY-MM-DD.jsonl``, the day (UTC) it was received.

    A delivery that is repeated after a crash leaves a second line with the same ``id``.

    Raises:
        OSError: The file cannot be written; the delivery is tried again.
    """
    options: Options = context.options
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{event.received_at.astimezone(UTC):%Y-%m-%d}.jsonl"
    append(path, line(event, with_data=options.data))
    context.logger.info("archive.written", file=str(path))


def append(path: Path, content: bytes) -> None:
    """Append while nobody else does, and wait for the disk.

    What an earlier write left unfinished keeps a line of its own.
    """
    while True:
        with open(path, "a+b", buffering=0, opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not is_at(file, path):  # it became Parquet while this waited: begin a new one
                continue
            _write(file, content, path)
            is_new = file.tell() == len(content)
            fcntl.flock(file, fcntl.LOCK_UN)  # the disk may take the lines of several threads at once
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
        return


def is_at(file: FileIO, path: Path) -> bool:
    """Return whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's list of files."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write(file: FileIO, content: bytes, path: Path) -> None:
    content = content if _is_whole(file) else b"\n" + content
    written = file.write(content)
    if written != len(content):  # a disk that is nearly full takes a part of it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _is_whole(file: FileIO) -> bool:
    """Return whether the last line has its end."""
    size = file.seek(0, os.SEEK_END)
    return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
