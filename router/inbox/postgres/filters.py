"""What an operator asks for, as a condition of a statement and its parameters."""

from __future__ import annotations

import re
from typing import Final

from router.inbox import DeliveryFilter, EventFilter

#: A condition and its parameters.
Clause = tuple[str, list[object]]

_TOO_LARGE: Final = 2**63
#: What no text of PostgreSQL holds: NUL, and the bytes of a command line that are no UTF-8.
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


def of_events(where: EventFilter) -> Clause:
    """Return which rows of ``events`` are meant."""
    clause, values = _all_of(
        ("type = %s", where.type),
        ("instance = %s", where.instance),
        ("chat = %s", where.chat),
        ("status = %s", where.status),
        ("received_at >= %s", where.since),
        ("received_at < %s", where.before),
    )
    of_delivery, more = _all_of(("status = %s", where.delivery), ("route = %s", where.route))
    if more:
        clause += f" AND seq IN (SELECT event FROM deliveries WHERE {of_delivery})"
    return clause, [*values, *more]


def of_deliveries(where: DeliveryFilter) -> Clause:
    """Return which rows of ``deliveries d`` with their ``events e`` are meant, whatever their error."""
    return _all_of(
        ("d.status = %s", where.status),
        ("d.route = %s", where.route),
        ("e.type = %s", where.type),
        ("e.instance = %s", where.instance),
        ("e.chat = %s", where.chat),
        ("d.settled_at >= %s", where.since),
        ("d.settled_at < %s", where.before),
    )


def bound(value: object) -> object:
    """Return a value as PostgreSQL takes it: ``NULL``, which equals nothing, for what it cannot hold."""
    if isinstance(value, int) and not -_TOO_LARGE <= value < _TOO_LARGE:
        return None
    if isinstance(value, str) and _NO_TEXT.search(value):
        return None
    return value


def _all_of(*conditions: tuple[str, object]) -> Clause:
    """Return the condition that all of these hold; one without a value is left out."""
    asked = [(condition, bound(value)) for condition, value in conditions if value is not None]
    clause = " AND ".join(["true", *(condition for condition, _ in asked)])
    return clause, [value for _, value in asked]
