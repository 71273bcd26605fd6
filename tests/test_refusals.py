from __future__ import annotations

import pytest

from router.transports.refusals import Refusals


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_told_and_what_follows_is_kept_back(clock: Clock) -> None:
    refusals = Refusals(clock)
    assert [refusals.may_tell(401) for _ in range(23)] == [0] * 20 + [None] * 3


def test_the_next_one_told_says_how_many_were_kept_back(clock: Clock) -> None:
    refusals = Refusals(clock)
    for _ in range(25):
        refusals.may_tell(401)
    clock.now += 1
    assert [refusals.may_tell(401), refusals.may_tell(401)] == [5, None]
    clock.now += 1
    assert refusals.may_tell(401) == 1


def test_less_than_a_second_is_not_enough(clock: Clock) -> None:
    refusals = Refusals(clock)
    for _ in range(20):
        refusals.may_tell(401)
    clock.now += 0.75
    assert refusals.may_tell(401) is None
    clock.now += 0.25
    assert refusals.may_tell(401) == 1


def test_a_long_silence_allows_one_burst_and_no_more(clock: Clock) -> None:
    refusals = Refusals(clock)
    refusals.may_tell(401)
    clock.now += 86_400
    assert [refusals.may_tell(401) for _ in range(21)] == [0] * 20 + [None]


def test_each_kind_has_a_burst_of_its_own(clock: Clock) -> None:
    refusals = Refusals(clock)
    for _ in range(30):
        refusals.may_tell(401)
    assert refusals.may_tell(413) == 0
