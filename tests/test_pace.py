from __future__ import annotations

import pytest

from router.pace import Pace


class Clock:
    """Time that passes only where it is waited for or worked; remembers the pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.pauses.append(round(seconds, 6))
        self.now += seconds
        return False


def sizes(pace: Pace, things: int, clock: Clock, *, work: float = 0.0) -> list[int]:
    """Go through some things, each batch of which is so much work; return how many were in each batch."""
    found = []
    for batch in pace.batches(range(things)):
        found.append(len(batch))
        clock.now += work
    return found


def test_the_inbox_is_left_free_for_as_long_as_a_batch_took() -> None:
    clock = Clock()
    assert sizes(Pace(None, clock.wait, clock=clock), 1_200, clock, work=0.25) == [500, 500, 200]
    assert clock.pauses == [0.0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("rate", "things", "batches", "seconds"),
    [
        (1, 3, [1, 1, 1], 2.0),
        (10, 12, [5, 5, 2], 1.0),
        (250, 250, [125, 125], 0.5),
        (5_000, 1_000, [500, 500], 0.1),
    ],
)
def test_no_more_are_done_than_the_rate_allows(
    rate: int, things: int, batches: list[int], seconds: float
) -> None:
    clock = Clock()
    assert sizes(Pace(rate, clock.wait, clock=clock), things, clock) == batches
    assert clock.now == pytest.approx(seconds)


def test_batches_can_be_smaller() -> None:
    clock = Clock()
    batches = Pace(None, clock.wait, clock=clock).batches(range(5), 2)
    assert list(batches) == [[0, 1], [2, 3], [4]]


def test_the_time_that_the_work_takes_counts_towards_the_rate() -> None:
    clock = Clock()
    sizes(Pace(10, clock.wait, clock=clock), 15, clock, work=0.1)
    assert clock.pauses == [0.0, 0.4, 0.4]


def test_a_rate_that_cannot_be_had_leaves_the_inbox_free_half_of_the_time_all_the_same() -> None:
    clock = Clock()
    sizes(Pace(1_000_000, clock.wait, clock=clock), 1_500, clock, work=2.0)
    assert clock.pauses == [0.0, 2.0, 2.0]


def test_a_wait_that_is_to_end_is_the_end() -> None:
    waits = iter([False, False, True])
    pace = Pace(2, lambda _: next(waits), clock=Clock())
    assert list(pace.batches("abcdef")) == [["a"], ["b"]]


def test_nothing_is_read_before_it_is_needed() -> None:
    clock = Clock()
    things = iter(range(1_000))
    assert next(Pace(20, clock.wait, clock=clock).batches(things)) == list(range(10))
    assert next(things) == 10


def test_of_nothing_there_is_no_batch_and_no_pause() -> None:
    clock = Clock()
    assert (sizes(Pace(1, clock.wait, clock=clock), 0, clock), clock.pauses) == ([], [])
