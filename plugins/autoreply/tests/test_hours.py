from __future__ import annotations

from datetime import UTC, datetime

import pytest
from router_autoreply.hours import Week

OPEN = {"mon-thu": ["09:00-13:00", "14:00-18:00"], "fri": ["22:00-02:00"], "sun": ["00:00-24:00"]}
WEEK = Week.parse("Europe/Moscow", OPEN, ["2026-11-26", "2027-01-01"])


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [  # in UTC; Moscow is three hours ahead. 2026-11-23 is a Monday
        ("2026-11-23 05:59", False),
        ("2026-11-23 06:00", True),
        ("2026-11-23 09:59", True),
        ("2026-11-23 10:00", False),
        ("2026-11-23 11:00", True),
        ("2026-11-23 14:59", True),
        ("2026-11-23 15:00", False),
        ("2026-11-26 08:00", False),  # a holiday
        ("2026-11-27 18:59", False),
        ("2026-11-27 19:00", True),  # Friday, 22:00
        ("2026-11-27 22:59", True),  # Saturday, 01:59
        ("2026-11-27 23:00", False),
        ("2026-11-28 20:59", False),
        ("2026-11-28 21:00", True),  # Sunday, 00:00
        ("2026-11-29 20:59", True),
        ("2026-11-29 21:00", False),
        ("2027-01-01 20:00", False),  # Friday, 23:00, a holiday …
        ("2027-01-01 22:00", False),  # … and what would have gone on into Saturday
    ],
)
def test_hours_are_those_of_the_zone(moment: str, is_open: bool) -> None:
    assert WEEK.has(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is is_open


def test_a_night_that_ends_on_a_holiday_ends_when_it_says() -> None:
    week = Week.parse("UTC", {"mon-sun": ["20:00-04:00"]}, ["2026-12-25"])

    assert week.has(datetime(2026, 12, 25, 3, 59, tzinfo=UTC))
    assert not week.has(datetime(2026, 12, 25, 21, 0, tzinfo=UTC))
    assert not week.has(datetime(2026, 12, 26, 3, 0, tzinfo=UTC))


def test_summer_time_moves_the_hours() -> None:
    week = Week.parse("Europe/Berlin", {"mon-sun": ["09:00-10:00"]}, [])

    assert week.has(datetime(2026, 7, 1, 7, 30, tzinfo=UTC))
    assert not week.has(datetime(2026, 12, 1, 7, 30, tzinfo=UTC))
    assert week.has(datetime(2026, 12, 1, 8, 30, tzinfo=UTC))


def test_days_may_go_over_the_weekend() -> None:
    week = Week.parse("UTC", {"sat-mon": ["10:00-11:00"]}, [])

    assert [week.has(datetime(2026, 11, day, 10, 0, tzinfo=UTC)) for day in range(23, 30)] == [
        True, False, False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "opened", "holidays", "problem"),
    [
        ("Mars/Base", {}, [], "zone: there is no time zone 'Mars/Base'; expected one such as Europe/Berlin"),
        ("", {}, [], "zone: there is no time zone ''"),
        ("../etc/passwd", {}, [], "zone: there is no time zone"),
        ("Europe", {}, [], "zone: there is no time zone 'Europe'"),
        ("UTC", {"monday": []}, [], "open: 'monday' is no day; expected mon, tue, wed, thu, fri, sat, sun"),
        ("UTC", {"mon-": []}, [], "open: 'mon-' is no day"),
        ("UTC", {"mon-tue-fri": []}, [], "open: 'mon-tue-fri' is no day"),
        ("UTC", {"mon-fri": [], "tue": []}, [], "open: tue occurs twice, the second time in 'tue'"),
        ("UTC", {"mon": ["9-18"]}, [], "open: '9-18' is no interval; expected one such as 09:00-18:00"),
        ("UTC", {"mon": ["09:00-24:30"]}, [], "open: '09:00-24:30' has no meaning"),
        ("UTC", {"mon": ["24:00-02:00"]}, [], "has no meaning; a day is from 00:00 to 24:00"),
        ("UTC", {"mon": ["09:00-09:00"]}, [], "has no meaning"),
        ("UTC", {}, ["1 May"], "holidays: '1 May' is no date; expected one such as 2027-01-01"),
        ("UTC", {}, ["2027-02-29"], "holidays: '2027-02-29' is no date"),
    ],
)
def test_hours_without_meaning_are_refused(
    zone: str, opened: dict[str, list[str]], holidays: list[str], problem: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Week.parse(zone, opened, holidays)

    assert problem in str(caught.value)
