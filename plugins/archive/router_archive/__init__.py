"""Appends every event to a JSONL file of its day, on disk before the delivery is done."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from datetime import UTC
from io import FileIO
from pathlib import Path
from typing import Any

from router import Context, Event, RegisterHandler, hookimpl

#: A folder, and whether the whole notification is kept or the event's fields only.
OPTIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "folder": {
            "type": "string",
            "minLength": 1,
            "description": "Folder for the files, made if missing; relative to the working directory.",
        },
        "data": {
            "type": "boolean",
            "default": True,
            "description": "Whether the whole notification is kept beside the event's fields.",
        },
    },
    "required": ["folder"],
    "additionalProperties": False,
}


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``archive``."""
    register("archive", archive, options=OPTIONS)


def archive(event: Event, context: Context) -> None:
    """Append one line for the event to ``FOLDER/YYYY-MM-DD.jsonl``, the day (UTC) it was received.

    A delivery that is repeated after a crash leaves a second line with the same ``id``.

    Raises:
        OSError: The file cannot be written; the delivery is tried again.
    """
    folder = Path(context.options["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{event.received_at.astimezone(UTC):%Y-%m-%d}.jsonl"
    append(path, line(event, with_data=context.options.get("data", True)))
    context.logger.info("archive.written", file=str(path))


def line(event: Event, *, with_data: bool) -> bytes:
    """Return an event as one line of JSON."""
    fields: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "instance": event.instance,
        "messenger": event.messenger,
        "chat": event.chat,
        "sender": event.sender,
        "message_type": event.message_type,
        "text": event.text,
        "timestamp": event.timestamp,
        "received_at": event.received_at.isoformat(),
        "transport": event.transport.value,
    }
    if with_data:
        fields["data"] = event.data
    return json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"


def append(path: Path, content: bytes) -> None:
    """Append while nobody else does, and wait for the disk.

    What an earlier write left unfinished keeps a line of its own.
    """
    with open(path, "a+b", buffering=0, opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        content = content if _is_whole(file) else b"\n" + content
        written = file.write(content)
        if written != len(content):  # a disk that is nearly full takes a part of it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        fcntl.flock(file, fcntl.LOCK_UN)  # the disk may take the lines of several threads at once
        os.fsync(file.fileno())


def _is_whole(file: FileIO) -> bool:
    """Return whether the last line has its end."""
    size = file.seek(0, os.SEEK_END)
    return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
