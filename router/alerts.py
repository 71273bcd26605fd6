"""The operator is told: once when something starts, with a count while it lasts, once when it is over.

The channel ``log`` is built in: ``alert.raised`` and ``alert.recovered``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from router import clock

_log = structlog.get_logger("router.alerts")

#: Subjects that are remembered; beyond that the one raised longest ago is forgotten, and told anew.
_MAX_SUBJECTS = 1_000


class AlertKind(StrEnum):
    """What an alert is about."""

    #: A ``typeWebhook`` in no catalogue and no route; the subject is the type.
    UNKNOWN_TYPE = "unknown_type"
    #: A notification that breaks its schema; the subject is its type and first problem.
    INVALID = "invalid"
    #: A delivery used up its retries or gave up; the subject is the route.
    DEAD = "dead"
    #: The inbox cannot be written; webhooks are answered 503 meanwhile.
    INBOX_UNAVAILABLE = "inbox_unavailable"
    #: An instance cannot be polled; the subject is its number.
    INSTANCE_DOWN = "instance_down"
    #: An instance is not authorized in its messenger; the subject is its number.
    INSTANCE_STATE = "instance_state"
    #: Nothing has come from an instance for longer than its ``quiet_after``; the subject is its number.
    QUIET = "quiet"
    #: A plugin or a part of it does not work, and the router runs without it; the subject is its name.
    PLUGIN_FAILED = "plugin_failed"


@dataclass(slots=True)
class _Raised:
    first_at: datetime
    last_at: datetime
    told_at: float
    count: int


class Alerts:
    """Groups what happens by kind and subject, and tells each group at most once per ``every``.

    Args:
        every: Seconds between two alerts of the same kind and subject.
        clock: Tells the time, UTC.
        timer: Tells seconds that no setting of the clock changes.
    """

    def __init__(
        self,
        every: float,
        clock: Callable[[], datetime] = clock.now,
        timer: Callable[[], float] = clock.seconds,
    ) -> None:
        self._every = every
        self._clock = clock
        self._timer = timer
        self._raised: OrderedDict[tuple[AlertKind, str], _Raised] = OrderedDict()

    def report(self, kind: AlertKind, subject: str, **facts: Any) -> None:
        """Tell that something is wrong, unless the same was told a moment ago."""
        now, seconds = self._clock(), self._timer()
        raised = self._raised.setdefault((kind, subject), _Raised(now, now, seconds, 0))
        is_new = raised.count == 0
        raised.count += 1
        raised.last_at = now
        if is_new or seconds - raised.told_at >= self._every:
            raised.told_at = seconds
            _log.warning("alert.raised", **_facts(kind, subject, raised), **facts)
        if len(self._raised) > _MAX_SUBJECTS:
            self._raised.popitem(last=False)

    def recover(self, kind: AlertKind, subject: str) -> None:
        """Tell that it is over, if it was told at all."""
        raised = self._raised.pop((kind, subject), None)
        if raised is not None:
            _log.info("alert.recovered", **_facts(kind, subject, raised))


def _facts(kind: AlertKind, subject: str, raised: _Raised) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "subject": subject,
        "count": raised.count,
        "first_at": raised.first_at.isoformat(timespec="milliseconds"),
        "last_at": raised.last_at.isoformat(timespec="milliseconds"),
    }
