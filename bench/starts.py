"""When handlers were started: what the handler ``record`` noted, and how long after the notification came."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bench.figures import CannotMeasure


@dataclass(frozen=True, slots=True)
class Start:
    """One call of the handler; times are seconds since 1970, by the one clock of the router's machine."""

    event: str
    chat: str
    received: float
    started: float


def parse(text: str) -> list[Start]:
    """Read what the handler noted."""
    rows = (line.split(",") for line in text.splitlines())
    return [Start(event, chat, float(received), float(started)) for event, chat, received, started in rows]


def after(starts: Iterable[Start], warm_up: float) -> list[Start]:
    """Leave out those of notifications that came within the first seconds."""
    starts = list(starts)
    began = min((start.received for start in starts), default=0.0)
    return [start for start in starts if start.received - began >= warm_up]


def lags(starts: Iterable[Start]) -> list[float]:
    """Return the milliseconds from each notification's receipt to its handler's start."""
    return [(start.started - start.received) * 1e3 for start in starts]


def lags_from_answer(starts: Iterable[Start], log: Iterable[bytes]) -> list[float]:
    """Return the milliseconds from each answer to its handler's start.

    The answer's moment is that of the line ``notification.accepted``, which the router logs when the
    event is committed, just before it answers: the same clock, and no delay of a sender adds to it.

    Raises:
        CannotMeasure: An event has no such line.
    """
    answered = _answered(log)
    try:
        return [(start.started - answered[start.event]) * 1e3 for start in starts]
    except KeyError as exc:
        raise CannotMeasure(f"event {exc.args[0]} was handled, but is not in the log as accepted") from None


def _answered(log: Iterable[bytes]) -> dict[str, float]:
    lines = (json.loads(line) for line in log if b'"notification.accepted"' in line)
    return {line["event_id"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines}
