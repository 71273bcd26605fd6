"""What it costs those that come in when old events are removed."""

from __future__ import annotations

import time
from pathlib import Path

from bench import inbox_file
from bench.figures import CannotMeasure, Figure
from bench.filled import few_events
from bench.rows import Effort, Row
from bench.rows.beside import Side, compared

ABOUT = """\
The inbox holds hundreds of thousands of events whose time is over (`inbox.retention`), as after a router
was started again with a shorter one; they are removed while notifications come in. Measured as above,
beside a router with an empty inbox.
"""

_OLD = "outgoingMessageReceived"
_DONE = f"{{name: old, type: {_OLD}, handler: nothing}}"


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Fill an inbox with old events, and measure beside an empty one while they are removed."""
    base = few_events(folder / "base", _DONE)
    full, empty = (Side(folder / name, _DONE) for name in ("full", "empty"))
    inbox = full.router.inbox
    left = inbox_file.multiply(base.inbox.path, inbox.path, effort.backlog // 2)
    inbox_file.age(inbox.path)
    removed = []
    for turn in range(effort.rounds):
        empty.take_turn(f"{turn}", effort.seconds)
        before, began = left, time.monotonic()
        full.take_turn(f"{turn}", effort.seconds)
        left = inbox.events_of(_OLD)
        removed.append((before - left) / (time.monotonic() - began))
        if not 0 < left < before:
            raise CannotMeasure(
                f"old events were to be removed all the time, but {left} of {before} are left"
            )
    return [*compared(full, empty), Figure.of_rounds("old events removed", removed, "/s")]


ROW = Row(name="retention", title="Old events being removed", about=ABOUT, measure=measure)
