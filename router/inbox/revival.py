"""What is read back from a store: events as they were, and waits as they are now."""

from __future__ import annotations

from datetime import datetime

from router import clock
from router.events import Event, Transport
from router.jsontext import parse
from router.normalize import normalize


def revive(event_id: str, instance: int | None, received_at: datetime, transport: str, body: bytes) -> Event:
    """Return a stored event as it was when it came."""
    data = parse(body)
    return normalize(
        data if isinstance(data, dict) else {},
        id=event_id,
        received_at=received_at,
        transport=Transport(transport),
        instance=instance,
    )


def remaining(due_at: datetime, delay: float | None) -> float:
    """Return the seconds until ``due_at``: never more than it was from the start, whatever the clock says."""
    left = (due_at - clock.now()).total_seconds()
    return left if delay is None else min(left, delay)
