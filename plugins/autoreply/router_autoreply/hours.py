"""When somebody is there: intervals of the week in a time zone, and days off."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_CLOCK = r"([01][0-9]|2[0-4]):([0-5][0-9])"
_INTERVAL = re.compile(rf"{_CLOCK}\s*-\s*{_CLOCK}")
_MIDNIGHT = 24 * 60
_NIGHT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """Minutes of a day, by the clock on the wall; one that ends on the next day has an end above 24 hours."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Week:
    """The hours of every week."""

    zone: ZoneInfo
    #: By the number of the day on which they begin, Monday being 0.
    intervals: Mapping[int, Sequence[Interval]]
    #: Days on which nothing begins.
    holidays: Collection[date]

    @classmethod
    def parse(cls, zone: str, opened: Mapping[str, Sequence[str]], holidays: Sequence[str]) -> Self:
        """Read hours as they are written in the options.

        Raises:
            ValueError: The zone, a day, an interval or a date has no meaning.
        """
        return cls(_zone(zone), _intervals(opened), frozenset(map(_date, holidays)))

    def has(self, moment: datetime) -> bool:
        """Return whether a moment is within the hours."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today = local.date()
        return self._has(today, minute) or self._has(today - _NIGHT, minute + _MIDNIGHT)

    def _has(self, day: date, minute: int) -> bool:
        if day in self.holidays:
            return False
        return any(each.start <= minute < each.end for each in self.intervals.get(day.weekday(), ()))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not there, a folder, no file of a zone
        raise ValueError(
            f"zone: there is no time zone {name!r}; expected one such as Europe/Berlin"
        ) from None


def _intervals(opened: Mapping[str, Sequence[str]]) -> dict[int, list[Interval]]:
    found: dict[int, list[Interval]] = {}
    for days, intervals in opened.items():
        for day in _days(days):
            if day in found:
                raise ValueError(f"open: {DAYS[day]} occurs twice, the second time in {days!r}")
            found[day] = [_interval(each) for each in intervals]
    return found


def _days(text: str) -> list[int]:
    """Return the numbers of the days in ``mon``, ``mon-fri`` or ``fri-mon``."""
    days = text.strip().split("-")
    if not set(days) <= set(DAYS) or len(days) > 2:
        raise ValueError(f"open: {text!r} is no day; expected {', '.join(DAYS)}, or a range such as mon-fri")
    start, end = DAYS.index(days[0]), DAYS.index(days[-1])
    return [number % 7 for number in range(start, end + 1 if end >= start else end + 8)]


def _interval(text: str) -> Interval:
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"open: {text!r} is no interval; expected one such as 09:00-18:00")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start >= _MIDNIGHT or end > _MIDNIGHT or start == end:
        raise ValueError(f"open: {text!r} has no meaning; a day is from 00:00 to 24:00")
    return Interval(start, end if end > start else end + _MIDNIGHT)


def _date(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError(f"holidays: {text!r} is no date; expected one such as 2027-01-01") from None
