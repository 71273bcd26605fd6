from __future__ import annotations

import pytest

from router.retry import RetryPolicy


def no_jitter() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(), [1.0, 2.0, 4.0, 8.0, None, None]),
        (RetryPolicy(attempts=1), [None, None]),
        (RetryPolicy(attempts=4, first=5, factor=3, max=30), [5.0, 15.0, 30.0, None]),
        (RetryPolicy(attempts=4, first=90), [60.0, 60.0, 60.0, None]),
        (RetryPolicy(attempts=3, first=0), [0.0, 0.0, None]),
        (RetryPolicy(attempts=4, first=7, factor=1), [7.0, 7.0, 7.0, None]),
    ],
    ids=["default", "one attempt", "capped", "first above max", "at once", "constant"],
)
def test_the_wait_after_each_attempt(policy: RetryPolicy, waits: list[float | None]) -> None:
    assert [policy.next(attempt, no_jitter) for attempt in range(1, len(waits) + 1)] == waits


@pytest.mark.parametrize(("random", "wait"), [(0.0, 60.0), (0.5, 63.0), (1.0, 66.0)])
def test_jitter_only_lengthens_a_wait_also_the_longest(random: float, wait: float) -> None:
    assert RetryPolicy(attempts=9).next(8, lambda: random) == pytest.approx(wait)


@pytest.mark.parametrize("factor", [2, 2.0, 1e300, 10**300])
def test_a_large_attempt_does_not_overflow(factor: float) -> None:
    policy = RetryPolicy(attempts=10**12, factor=factor)
    assert policy.next(10**9, no_jitter) == 60.0
    assert RetryPolicy(attempts=10**12, first=0, factor=factor).next(10**9, no_jitter) == 0.0
