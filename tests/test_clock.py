"""What time it is, and how a test takes that over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from router import clock

THEN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def test_it_is_the_systems_time_in_utc() -> None:
    before = datetime.now(UTC)
    assert timedelta(0) <= clock.now() - before < timedelta(minutes=1)
    assert clock.now().tzinfo is UTC
    assert clock.seconds() <= clock.seconds()


def test_it_can_be_taken_from_somewhere_else_for_a_while() -> None:
    with clock.taken_from(lambda: THEN, lambda: 5.0):
        assert (clock.now(), clock.seconds()) == (THEN, 5.0)
    assert clock.now() != THEN


def test_what_was_before_comes_back_whatever_happens() -> None:
    with pytest.raises(ZeroDivisionError), clock.taken_from(lambda: THEN, lambda: 1 / 0):
        clock.seconds()
    assert clock.now() != THEN
