"""One event is one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from router import Event


def fields(event: Event) -> dict[str, Any]:
    """Return the event's fields, without the notification."""
    return {
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


def line(event: Event, *, with_data: bool) -> bytes:
    """Return an event as one line of JSON."""
    content = {**fields(event), "data": event.data} if with_data else fields(event)
    return json.dumps(content, ensure_ascii=False).encode("utf-8") + b"\n"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read."""

    #: 1 for the first line of the file.
    number: int
    content: bytes
    #: ``None`` if the line is damaged: no JSON object, or none that this plugin wrote.
    record: dict[str, Any] | None


def read(path: Path, size: int | None = None) -> Iterator[Line]:
    """Yield the lines of a file that are not empty.

    Args:
        path: The file.
        size: How many bytes of it are read; all of them when left out.
    """
    left = path.stat().st_size if size is None else size
    with path.open("rb") as file:
        for number, content in enumerate(iter(lambda: file.readline(left), b""), start=1):
            left -= len(content)
            if content.strip():
                yield Line(number, content, _record(content))


def _record(content: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(content)
        datetime.fromisoformat(record["received_at"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if isinstance(record.get("id"), str) else None
