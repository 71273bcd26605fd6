"""One event is one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from router import Event


def line(event: Event, *, with_data: bool) -> bytes:
    """Return an event as one line of JSON."""
    return json.dumps(event.as_json(with_data=with_data), ensure_ascii=False).encode("utf-8") + b"\n"


class Record(msgspec.Struct):
    """A line as `line` writes it."""

    id: str
    received_at: Annotated[datetime, msgspec.Meta(tz=True)]
    type: str | None = None
    instance: int | None = None
    messenger: str | None = None
    chat: str | None = None
    sender: str | None = None
    message_type: str | None = None
    text: str | None = None
    timestamp: int | None = None
    transport: str | None = None
    #: JSON; not read any further, which is what takes long.
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read."""

    #: 1 for the first line of the file.
    number: int
    content: bytes
    #: ``None`` if the line is damaged: no JSON object, or none that this plugin wrote.
    record: Record | None


def read(path: Path, size: int | None = None) -> Iterator[Line]:
    """Yield the lines of a file that are not empty.

    Args:
        path: The file.
        size: How many bytes of it are read; all of them when left out.
    """
    left = path.stat().st_size if size is None else size
    number = 0
    with path.open("rb") as file:
        while content := file.readline(left):
            left -= len(content)
            number += 1
            if content.strip():
                yield Line(number, content, _record(content))


def _record(content: bytes) -> Record | None:
    try:
        return _DECODER.decode(content.decode())
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
