"""Messages that GREEN-API's journal has and the inbox has not: which they are, and feeding them in.

They go into the inbox itself, as what an operator replays does, whether a router runs on it or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from router import clock
from router.config import Instance
from router.events import Event, EventStatus, JsonObject, Problem
from router.greenapi.journal import notification
from router.inbox import Entry, EventFilter, Ledger, NewDelivery
from router.intake import new_id
from router.jsontext import dump, parse
from router.normalize import dedup_key, normalize
from router.routing import Table
from router.validation import Validator

_TYPE = "incomingMessageReceived"
#: How far the clocks of GREEN-API and of this machine may differ.
_CLOCKS = timedelta(hours=1)
#: Messages in one transaction.
_BATCH = 100


class FillStatus(StrEnum):
    """What became of a message that never came."""

    #: It is not in the inbox.
    MISSING = "missing"
    #: It was fed in.
    STORED = "stored"
    #: It came meanwhile.
    CAME = "came"
    #: What the journal has of it breaks the schema of a notification.
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Missing:
    """A message that the journal has and the inbox has not."""

    event: Event
    routes: Sequence[str]
    deliveries: Sequence[NewDelivery]
    status: FillStatus = FillStatus.MISSING
    #: The event that it is: the one fed in, or the one that came meanwhile.
    stored_as: str | None = None
    problems: Sequence[Problem] = ()


class Backfill:
    """Compares the journal of instances with an inbox.

    Args:
        ledger: The inbox.
        validator: Knows the schemas.
        table: The routes. A message that none of them takes is not looked for: it would not be kept.
    """

    def __init__(self, ledger: Ledger, validator: Validator, table: Table) -> None:
        self._ledger = ledger
        self._validator = validator
        self._table = table

    def missing(
        self, instance: Instance, instance_data: JsonObject, records: Iterable[JsonObject], minutes: int
    ) -> list[Missing]:
        """Return the messages that never came, oldest first, each once.

        Args:
            instance: Whose they are.
            instance_data: As its notifications have it.
            records: What ``lastIncomingMessages`` says, asked before this is called.
            minutes: For how many it was asked.
        """
        events: dict[tuple[str | None, str | None], Event] = {}
        for record in records:
            event = _event(instance, notification(record, instance_data))
            if event.chat and event.id_message:
                events[event.chat, event.id_message] = event
        for came in self._came(instance, minutes):
            events.pop(came, None)
        taken = [(event, self._table.match(event)) for event in events.values()]
        return [
            Missing(
                event,
                [route.name for route in routes],
                [NewDelivery(route.name, route.lane(event)) for route in routes],
            )
            for event, routes in sorted(taken, key=lambda pair: pair[0].timestamp or 0)
            if routes
        ]

    def feed(self, missing: Sequence[Missing]) -> list[Missing]:
        """Store messages and have them delivered; return what became of each."""
        done = []
        for begin in range(0, len(missing), _BATCH):
            judged = [self._judge(each) for each in missing[begin : begin + _BATCH]]
            valid = [each for each in judged if each.status is FillStatus.MISSING]
            others = dict(zip(map(id, valid), self._ledger.add(list(map(_entry, valid))), strict=True))
            done += [_told(each, others[id(each)]) if id(each) in others else each for each in judged]
        return done

    def _came(self, instance: Instance, minutes: int) -> Iterable[tuple[str | None, str | None]]:
        since = clock.now() - timedelta(minutes=minutes) - _CLOCKS
        where = EventFilter(type=_TYPE, instance=instance.id, since=since)
        for record in self._ledger.each_event(where):
            data = parse(record.body)
            if not isinstance(data, Problem):
                event = _event(instance, data)
                yield event.chat, event.id_message

    def _judge(self, missing: Missing) -> Missing:
        problems = self._validator.problems(missing.event.data)
        if not problems:
            return missing
        return Missing(
            missing.event, missing.routes, missing.deliveries, FillStatus.INVALID, problems=problems
        )


def _event(instance: Instance, data: JsonObject) -> Event:
    return normalize(
        data,
        id=new_id(),
        received_at=clock.now(),
        transport=instance.transport,
        instance=instance.id,
    )


def _entry(missing: Missing) -> Entry:
    event = missing.event
    return Entry(
        event=event,
        status=EventStatus.ACCEPTED,
        key=dedup_key(event),
        body=dump(event.data).encode(),
        deliveries=missing.deliveries,
    )


def _told(missing: Missing, other: str | None) -> Missing:
    status = FillStatus.STORED if other is None else FillStatus.CAME
    return Missing(missing.event, missing.routes, missing.deliveries, status, other or missing.event.id)
