"""Progress while much waits."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import structlog
from anyio import fail_after, sleep

from router.inbox import Dead, backlog
from router.inbox.backlog import Backlog
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from tests.inbox.build import ROUTES, claim, entry, event, failed


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


async def test_what_operators_changed_is_counted_anew_with_the_next_look_and_only_then() -> None:
    asked = []
    watched = Backlog(lambda: asked.append("count"))
    with structlog.testing.capture_logs() as records:
        watched.watch()
        watched.is_stale = True
        watched.watch()
        watched.counted(2_000)
        watched.watch()
    watched.stop()

    assert asked == ["count"]
    assert [record["waiting"] for record in records] == [2_000]


async def test_what_an_operator_lets_go_again_counts_as_waiting_and_so_does_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    for number, chat in enumerate("abc", 1):
        await inbox.put(entry(event(number, chat=chat)))
    first, second = await claim(inbox), await claim(inbox)
    inbox.settle(first, Dead("no", failed()))
    inbox.started(second)
    await inbox.put(entry(event(9), "nowhere"))
    before = inbox._backlog.waiting
    with closing(SqliteLedger(path)) as ledger:
        ledger.retry([first.id])
    with fail_after(5):
        while not inbox._backlog.is_stale:
            await sleep(0.01)
        inbox._backlog.watch()
        while inbox._backlog.is_stale:
            await sleep(0.01)
    await inbox.close()

    assert (before, inbox._backlog.waiting) == (
        3,
        3,
    )  # one of them for no route of ours, until it was counted
