"""The operator's verbs. The command line and the console call these and only show what they return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from router.config import Config
from router.errors import InboxUnavailable, WrongState
from router.events import DeliveryStatus, JsonObject
from router.inbox import (
    Attempt,
    DeliveryRecord,
    EventRecord,
    Ledger,
)
from router.inbox.sqlite_ledger import SqliteLedger
from router.jsontext import parse


@contextmanager
def ledger_of(config: Config) -> Iterator[Ledger]:
    """Open the inbox of a configuration for reading and for an operator's changes.

    Raises:
        InboxUnavailable: There is none yet, it cannot be opened, or it lives in the router's memory.
    """
    if config.inbox.path is None:
        raise InboxUnavailable("inbox memory:// lives in the running router only: there is nothing to open")
    with closing(SqliteLedger(config.inbox.path)) as ledger:
        yield ledger


def retry(ledger: Ledger, delivery_ids: Sequence[int]) -> list[DeliveryRecord]:
    """Have dead letters delivered again, each in its lane's order; return them as they are now.

    Raises:
        NotFound: One of the ids is no delivery's; nothing was changed.
        WrongState: One of them is not dead; nothing was changed.
    """
    _require(ledger, delivery_ids, {DeliveryStatus.DEAD})
    ledger.retry(delivery_ids)
    return [ledger.delivery(delivery_id) for delivery_id in delivery_ids]


def discard(ledger: Ledger, delivery_ids: Sequence[int]) -> list[DeliveryRecord]:
    """Settle unfinished or dead deliveries as not to be handled; return them as they are now.

    Raises:
        NotFound: One of the ids is no delivery's; nothing was changed.
        WrongState: One of them is done or discarded; nothing was changed.
    """
    _require(ledger, delivery_ids, {DeliveryStatus.DEAD, DeliveryStatus.PENDING, DeliveryStatus.RUNNING})
    ledger.discard(delivery_ids)
    return [ledger.delivery(delivery_id) for delivery_id in delivery_ids]


def _require(ledger: Ledger, delivery_ids: Sequence[int], allowed: set[DeliveryStatus]) -> None:
    for delivery_id in delivery_ids:
        found = ledger.delivery(delivery_id)
        if found.status not in allowed:
            expected = " or ".join(sorted(status.value for status in allowed))
            raise WrongState(f"delivery {delivery_id} is {found.status.value}, not {expected}")


# As JSON: the words of the glossary are the keys


def event_json(record: EventRecord) -> JsonObject:
    """Return an event without its body and deliveries."""
    return {
        "id": record.id,
        "type": record.type,
        "instance": record.instance,
        "chat": record.chat,
        "status": record.status.value,
        "received_at": record.received_at.isoformat(),
        "transport": record.transport.value,
        "duplicates": record.duplicates,
        "changed": record.changed,
    }


def whole_event_json(record: EventRecord) -> JsonObject:
    """Return an event with its notification, problems and deliveries."""
    data = parse(record.body)
    return {
        **event_json(record),
        "problems": [{"path": p.path, "rule": p.rule, "message": p.message} for p in record.problems],
        "deliveries": [whole_delivery_json(delivery) for delivery in record.deliveries],
        "notification": data if isinstance(data, dict) else record.body.decode("utf-8", "backslashreplace"),
    }


def delivery_json(record: DeliveryRecord) -> JsonObject:
    """Return a delivery without its history."""
    return {
        "id": record.id,
        "event": record.event,
        "route": record.route,
        "type": record.type,
        "instance": record.instance,
        "chat": record.chat,
        "status": record.status.value,
        "attempts": record.attempts,
        "error": record.error,
        "received_at": record.received_at.isoformat(),
        "due_at": record.due_at.isoformat() if record.due_at else None,
        "settled_at": record.settled_at.isoformat() if record.settled_at else None,
    }


def whole_delivery_json(record: DeliveryRecord) -> JsonObject:
    """Return a delivery with its history."""
    return {**delivery_json(record), "history": [_attempt_json(attempt) for attempt in record.history]}


def _attempt_json(attempt: Attempt) -> JsonObject:
    return {
        "number": attempt.number,
        "started_at": attempt.started_at.isoformat(),
        "duration": attempt.duration,
        "outcome": attempt.outcome.value,
        "error": attempt.error,
        "traceback": attempt.traceback,
        "plugin": attempt.plugin,
    }
