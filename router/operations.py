"""The operator's verbs. The command line and the console call these and only show what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from typing import Final

from router import clock
from router.config import Config
from router.errors import InboxUnavailable, NotFound, WrongState
from router.events import DeliveryStatus, JsonObject, Problem
from router.inbox import Attempt, DeliveryFilter, DeliveryRecord, EventRecord, Ledger
from router.inbox.sqlite.ledger import SqliteLedger
from router.inbox.store import DOUBTS, doubt_scope, outbox_scope
from router.jsontext import parse
from router.outbox import Doubt, doubt_of, seen
from router.pace import Pace
from router.replay import ReplayedEvent

#: What may be retried, and what may be discarded.
RETRIABLE: Final = frozenset({DeliveryStatus.DEAD})
DISCARDABLE: Final = frozenset({DeliveryStatus.DEAD, DeliveryStatus.PENDING, DeliveryStatus.RUNNING})

#: More than one delivery sends.
_ALL: Final = 1_000_000


@contextmanager
def ledger_of(config: Config) -> Iterator[Ledger]:
    """Open the inbox of a configuration for reading and for an operator's changes.

    Raises:
        InboxUnavailable: There is none yet, it cannot be opened, or it lives in the router's memory.
    """
    inbox = config.inbox
    ledger: AbstractContextManager[Ledger]
    if inbox.url is not None:
        ledger = _postgres_ledger(inbox.url)
    elif inbox.path is not None:
        ledger = closing(SqliteLedger(inbox.path))
    else:
        raise InboxUnavailable("inbox memory:// lives in the running router only: there is nothing to open")
    with ledger as opened:
        yield opened


def _postgres_ledger(url: str) -> AbstractContextManager[Ledger]:
    # Most do without psycopg, and it takes 0.1 s.
    from router.inbox.postgres.database import Database  # noqa: PLC0415
    from router.inbox.postgres.ledger import PostgresLedger  # noqa: PLC0415

    return closing(PostgresLedger(Database(url)))


def named(
    ledger: Ledger, delivery_ids: Iterable[int], allowed: frozenset[DeliveryStatus]
) -> list[DeliveryRecord]:
    """Return the deliveries of these ids, each once.

    Raises:
        NotFound: One of the ids is no delivery's.
        WrongState: The status of one of them is not among those allowed.
    """
    found = [ledger.delivery(delivery_id) for delivery_id in dict.fromkeys(delivery_ids)]
    for delivery in found:
        if delivery.status not in allowed:
            expected = " or ".join(sorted(status.value for status in allowed))
            raise WrongState(f"delivery {delivery.id} is {delivery.status.value}, not {expected}")
    return found


def dead(where: DeliveryFilter) -> DeliveryFilter:
    """Return the filter for those that are dead by now: what dies later is left alone."""
    return replace(where, status=DeliveryStatus.DEAD, before=where.before or clock.now())


def retry(ledger: Ledger, dead: Iterable[DeliveryRecord], pace: Pace) -> Iterator[list[DeliveryRecord]]:
    """Have dead letters delivered again, each in its lane's order; yield those of each transaction.

    Oldest first, they go ahead of what came later and still waits in their lane.
    """
    return _change(ledger.retry, dead, pace)


def discard(
    ledger: Ledger, deliveries: Iterable[DeliveryRecord], pace: Pace
) -> Iterator[list[DeliveryRecord]]:
    """Settle unfinished or dead deliveries as not to be handled; yield those of each transaction."""
    return _change(ledger.discard, deliveries, pace)


def _change(
    change: Callable[[Sequence[int]], list[int]], deliveries: Iterable[DeliveryRecord], pace: Pace
) -> Iterator[list[DeliveryRecord]]:
    for batch in pace.batches(deliveries):
        changed = set(change([delivery.id for delivery in batch]))
        yield [delivery for delivery in batch if delivery.id in changed]


# The outbox


def doubts(ledger: Ledger, limit: int) -> list[Doubt]:
    """Return what was sent and may or may not have been done, by delivery."""
    found = [doubt_of(item) for item in ledger.store_items(DOUBTS, limit)]
    return sorted(found, key=lambda doubt: (doubt.delivery, doubt.key))


def take_as_sent(ledger: Ledger, delivery_id: int, key: str) -> Doubt:
    """Settle a doubt: a person saw that it was done, and later attempts take it as sent.

    Raises:
        NotFound: There is no such doubt.
    """
    doubt = _doubt(ledger, delivery_id, key)
    ledger.store_set(outbox_scope(delivery_id), key, seen(doubt))
    ledger.store_delete(doubt_scope(delivery_id), key)
    return doubt


def send_again(ledger: Ledger, delivery_id: int, key: str) -> Doubt:
    """Settle a doubt: it was not done, and the next attempt sends it.

    Raises:
        NotFound: There is no such doubt.
    """
    doubt = _doubt(ledger, delivery_id, key)
    ledger.store_delete(outbox_scope(delivery_id), key)
    ledger.store_delete(doubt_scope(delivery_id), key)
    return doubt


def _doubt(ledger: Ledger, delivery_id: int, key: str) -> Doubt:
    items = ledger.store_items_of(doubt_scope(delivery_id), _ALL)
    found = next((doubt_of(item) for item in items if item.key == key), None)
    if found is None:
        raise NotFound(
            f"nothing that delivery {delivery_id} sent with key {key!r} is in doubt: see 'router outbox list'"
        )
    return found


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
        "problems": _problems_json(record.problems),
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


def replayed_json(replayed: ReplayedEvent) -> JsonObject:
    """Return what became of an event that was to be replayed."""
    return {
        "id": replayed.event.id,
        "type": replayed.event.type,
        "status": replayed.status.value,
        "result": replayed.result.value,
        "routes": list(replayed.routes),
        "reason": replayed.reason,
        "problems": _problems_json(replayed.problems),
    }


def doubt_json(doubt: Doubt) -> JsonObject:
    """Return something in doubt."""
    return {
        "delivery": doubt.delivery,
        "key": doubt.key,
        "method": doubt.method,
        "instance": doubt.instance,
        "chat": doubt.chat,
        "at": doubt.at.isoformat(),
        "error": doubt.error,
    }


def _problems_json(problems: Sequence[Problem]) -> list[JsonObject]:
    return [{"path": p.path, "rule": p.rule, "message": p.message} for p in problems]
