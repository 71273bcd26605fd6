"""The operator is told: once when something starts, with a count while it lasts, once when it is over.

The log always tells it: ``alert.raised`` and ``alert.recovered``. Channels are told of everything, and
group for themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from router import clock
from router.events import AlertKind, JsonObject, Report

_log = structlog.get_logger("router.alerts")

#: Subjects that are remembered; beyond that the one raised longest ago is forgotten, and told anew.
_MAX_SUBJECTS = 1_000


@dataclass(slots=True)
class _Raised:
    first_at: datetime
    last_at: datetime
    told_at: float
    count: int


class Alerts:
    """Groups what happens by kind and subject, and logs each group at most once per ``every``.

    Args:
        every: Seconds between two lines about the same kind and subject.
        tell: Told of everything, at once; must not wait.
        clock: Tells the time, UTC.
        timer: Tells seconds that no setting of the clock changes.
    """

    def __init__(
        self,
        every: float,
        clock: Callable[[], datetime] = clock.now,
        timer: Callable[[], float] = clock.seconds,
        *,
        tell: Callable[[Report], None] = lambda _: None,
    ) -> None:
        self._every = every
        self._clock = clock
        self._timer = timer
        self._tell = tell
        self._raised: OrderedDict[tuple[AlertKind, str], _Raised] = OrderedDict()

    def report(self, kind: AlertKind, subject: str, **facts: Any) -> None:
        """Tell that something is wrong, unless the same was told a moment ago."""
        now, seconds = self._clock(), self._timer()
        raised = self._raised.setdefault((kind, subject), _Raised(now, now, seconds, 0))
        is_new = raised.count == 0
        raised.count += 1
        raised.last_at = now
        report = _report(kind, subject, raised, facts)
        if is_new or seconds - raised.told_at >= self._every:
            raised.told_at = seconds
            _log.warning("alert.raised", **_fields(report), **facts)
        if len(self._raised) > _MAX_SUBJECTS:
            self._raised.popitem(last=False)
        self._tell(report)

    def recover(self, kind: AlertKind, subject: str) -> None:
        """Tell that it is over, if it was told at all."""
        raised = self._raised.pop((kind, subject), None)
        if raised is not None:
            report = _report(kind, subject, raised, {}, is_recovered=True)
            _log.info("alert.recovered", **_fields(report))
            self._tell(report)


def _report(
    kind: AlertKind, subject: str, raised: _Raised, facts: JsonObject, *, is_recovered: bool = False
) -> Report:
    return Report(
        kind=kind,
        subject=subject,
        count=raised.count,
        first_at=raised.first_at,
        last_at=raised.last_at,
        is_recovered=is_recovered,
        facts=facts,
    )


def _fields(report: Report) -> JsonObject:
    return {
        "kind": report.kind.value,
        "subject": report.subject,
        "count": report.count,
        "first_at": report.first_at.isoformat(timespec="milliseconds"),
        "last_at": report.last_at.isoformat(timespec="milliseconds"),
    }
