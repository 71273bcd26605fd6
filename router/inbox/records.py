"""What an operator sees, made of the rows of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from router.events import DeliveryStatus, EventStatus, Transport
from router.inbox import Attempt, AttemptOutcome, DeliveryRecord, EventRecord
from router.inbox.problems import load_problems

#: Makes a time of what a table holds; never called for ``NULL``.
ToTime = Callable[[Any], datetime]


class Row(Protocol):
    """A row of which the columns are known by name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return a value."""


def event_record(row: Row, to_time: ToTime, deliveries: Sequence[DeliveryRecord] = ()) -> EventRecord:
    """Return an event of its row."""
    return EventRecord(
        id=row["id"],
        type=row["type"],
        instance=row["instance"],
        chat=row["chat"],
        status=EventStatus(row["status"]),
        received_at=to_time(row["received_at"]),
        transport=Transport(row["transport"]),
        duplicates=row["duplicates"],
        changed=row["changed"],
        problems=load_problems(row["problems"]),
        body=row["body"],
        deliveries=tuple(deliveries),
    )


def delivery_record(row: Row, to_time: ToTime, failed: Sequence[Attempt] | None = None) -> DeliveryRecord:
    """Return a delivery of its row; with its history where its failed attempts are given."""
    return DeliveryRecord(
        id=row["id"],
        event=row["event"],
        type=row["type"],
        instance=row["instance"],
        chat=row["chat"],
        route=row["route"],
        lane=row["lane"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        received_at=to_time(row["received_at"]),
        due_at=to_time(row["due_at"]) if row["due_at"] is not None else None,
        settled_at=to_time(row["settled_at"]) if row["settled_at"] is not None else None,
        error=row["error"],
        history=() if failed is None else _history(row, to_time, failed),
    )


def attempt_of(row: Row, to_time: ToTime) -> Attempt:
    """Return an attempt that failed of its row."""
    return Attempt(
        number=row["number"],
        started_at=to_time(row["started_at"]),
        duration=row["duration"],
        outcome=AttemptOutcome(row["outcome"]),
        error=row["error"],
        traceback=row["traceback"],
        plugin=row["plugin"],
    )


def is_in_error(part: str | None, error: str | None) -> bool:
    """Tell whether an error has this part, in small or capital letters of any alphabet."""
    return part is not None and error is not None and part.casefold() in error.casefold()


def _history(delivery: Row, to_time: ToTime, failed: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Return all attempts: the one that is done stands in its delivery."""
    if delivery["started_at"] is None:
        return tuple(failed)
    done = Attempt(
        number=delivery["attempts"],
        started_at=to_time(delivery["started_at"]),
        duration=delivery["duration"],
        outcome=AttemptOutcome.DONE,
        plugin=delivery["plugin"],
    )
    return (*failed, done)
