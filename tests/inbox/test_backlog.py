"""Progress while much waits."""

from __future__ import annotations

import pytest
import structlog
from anyio import fail_after, sleep

from router.inbox import backlog
from router.inbox.backlog import Backlog


async def test_a_long_backlog_is_told_with_its_rate_and_so_is_its_end() -> None:
    watched = Backlog()
    with structlog.testing.capture_logs() as records:
        watched.waiting = 1_500
        watched.watch()
        for _ in range(300):
            watched.settled()
        watched.watch()
        for _ in range(300):
            watched.settled()
        watched.watch()
        watched.watch()
    watched.stop()

    assert [(r["event"], r["waiting"], r.get("settled_per_second")) for r in records] == [
        ("inbox.draining", 1_500, 0.0),
        ("inbox.draining", 1_200, 30.0),
        ("inbox.drained", 900, None),
    ]


async def test_it_is_told_again_and_again_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "_EVERY", 0.001)
    watched = Backlog()
    watched.waiting = 5_000

    with structlog.testing.capture_logs() as records, fail_after(5):
        watched.watch()
        while len(records) < 3:
            await sleep(0.001)
        watched.stop()
        told = len(records)
        await sleep(0.02)

    assert len(records) == told


async def test_a_few_that_wait_are_not_worth_a_line() -> None:
    watched = Backlog()
    watched.waiting = 999
    with structlog.testing.capture_logs() as records:
        watched.watch()
    watched.stop()

    assert records == []
