from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from router.alerts import Alerts
from router.events import AlertKind, JsonObject
from tests.conftest import Log

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def timer(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alerts(clock: Clock) -> Alerts:
    return Alerts(600, clock, clock.timer)


def told(log: Log) -> list[JsonObject]:
    return [{name: value for name, value in line.items() if name != "timestamp"} for line in log.records]


def test_what_starts_is_told_at_once_with_its_facts(alerts: Alerts, log: Log) -> None:
    alerts.report(AlertKind.DEAD, "orders", delivery=7, error="gave up")
    assert told(log) == [
        {
            "level": "WARNING",
            "event": "alert.raised",
            "kind": "dead",
            "subject": "orders",
            "count": 1,
            "first_at": "2026-11-24T12:00:00.000+00:00",
            "last_at": "2026-11-24T12:00:00.000+00:00",
            "delivery": 7,
            "error": "gave up",
        }
    ]


def test_the_same_is_told_again_only_after_a_while_with_a_count(
    alerts: Alerts, clock: Clock, log: Log
) -> None:
    for _ in range(599):
        alerts.report(AlertKind.DEAD, "orders")
        clock.advance(1)
    assert [line["count"] for line in told(log)] == [1]
    clock.advance(1)
    alerts.report(AlertKind.DEAD, "orders")
    assert told(log)[1:] == [
        {
            "level": "WARNING",
            "event": "alert.raised",
            "kind": "dead",
            "subject": "orders",
            "count": 600,
            "first_at": "2026-11-24T12:00:00.000+00:00",
            "last_at": "2026-11-24T12:10:00.000+00:00",
        }
    ]


def test_another_subject_and_another_kind_are_alerts_of_their_own(alerts: Alerts, log: Log) -> None:
    alerts.report(AlertKind.DEAD, "orders")
    alerts.report(AlertKind.DEAD, "audit")
    alerts.report(AlertKind.INVALID, "orders")
    assert [(line["kind"], line["subject"], line["count"]) for line in told(log)] == [
        ("dead", "orders", 1),
        ("dead", "audit", 1),
        ("invalid", "orders", 1),
    ]


def test_what_is_over_is_told_once_with_its_whole_count(alerts: Alerts, clock: Clock, log: Log) -> None:
    alerts.report(AlertKind.INBOX_UNAVAILABLE, "inbox")
    clock.advance(5)
    alerts.report(AlertKind.INBOX_UNAVAILABLE, "inbox")
    clock.advance(5)
    alerts.recover(AlertKind.INBOX_UNAVAILABLE, "inbox")
    alerts.recover(AlertKind.INBOX_UNAVAILABLE, "inbox")
    assert told(log)[1:] == [
        {
            "level": "INFO",
            "event": "alert.recovered",
            "kind": "inbox_unavailable",
            "subject": "inbox",
            "count": 2,
            "first_at": "2026-11-24T12:00:00.000+00:00",
            "last_at": "2026-11-24T12:00:05.000+00:00",
        }
    ]


def test_what_never_started_is_not_over(alerts: Alerts, log: Log) -> None:
    alerts.recover(AlertKind.INBOX_UNAVAILABLE, "inbox")
    assert told(log) == []


def test_what_starts_again_is_new(alerts: Alerts, log: Log) -> None:
    alerts.report(AlertKind.INBOX_UNAVAILABLE, "inbox")
    alerts.recover(AlertKind.INBOX_UNAVAILABLE, "inbox")
    alerts.report(AlertKind.INBOX_UNAVAILABLE, "inbox")
    assert [(line["event"], line["count"]) for line in told(log)] == [
        ("alert.raised", 1),
        ("alert.recovered", 1),
        ("alert.raised", 1),
    ]


def test_a_sender_of_ever_new_types_does_not_fill_the_memory(alerts: Alerts, log: Log) -> None:
    for number in range(1_001):
        alerts.report(AlertKind.UNKNOWN_TYPE, f"type {number}")
    log.configure()
    alerts.report(AlertKind.UNKNOWN_TYPE, "type 1")  # is remembered
    alerts.report(AlertKind.UNKNOWN_TYPE, "type 0")  # was forgotten
    assert [line["subject"] for line in told(log)] == ["type 0"]


def test_a_clock_that_is_set_back_keeps_no_alert_from_being_told(
    alerts: Alerts, clock: Clock, log: Log
) -> None:
    alerts.report(AlertKind.DEAD, "orders")
    clock.advance(600)
    clock.now -= timedelta(days=30)

    alerts.report(AlertKind.DEAD, "orders")

    assert [line["count"] for line in told(log)] == [1, 2]
