"""What a run that was killed leaves behind, and how the next one treats it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from router.events import DeliveryStatus
from router.inbox import AttemptOutcome, Done, Retry
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from tests.inbox.build import ROUTES, attempt, claim, entry, event, failed


async def opened(path: Path) -> SqliteInbox:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    return inbox


def as_a_kill_leaves_it(path: Path, number: int) -> Path:
    """Copy the file as it is now: what the process still has in memory is not in it."""
    copy = path.with_name(f"killed{number}.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


def status(path: Path, delivery: int) -> DeliveryStatus:
    with closing(SqliteLedger(path)) as ledger:
        return ledger.delivery(delivery).status


async def test_after_a_kill_a_delivery_is_shown_as_running_before_it_runs(
    tmp_path: Path,
) -> None:
    first = await opened(tmp_path / "router.db")
    await first.put(entry(event(1)))
    await claim(first)  # and the handler takes the process down at once
    killed = as_a_kill_leaves_it(tmp_path / "router.db", 1)
    await first.close()

    second = await opened(killed)
    claimed = await claim(second)

    assert (claimed.attempt, status(killed, 1)) == (1, DeliveryStatus.RUNNING)
    await second.close()


async def test_a_handler_that_takes_the_process_down_every_time_uses_up_its_attempts(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    inbox = await opened(path)
    await inbox.put(entry(event(1)))
    attempts = []
    for life in range(4):
        attempts.append((await claim(inbox)).round_attempt)
        killed = as_a_kill_leaves_it(path, life)
        await inbox.close()
        path = killed
        inbox = await opened(path)
    await inbox.close()

    assert attempts == [1, 1, 2, 3]  # the first one left no trace
    with closing(SqliteLedger(path)) as ledger:
        history = ledger.delivery(1).history
    assert [(a.number, a.outcome) for a in history] == [
        (number, AttemptOutcome.INTERRUPTED) for number in (1, 2, 3)
    ]
    assert all(abs(a.started_at - datetime.now(UTC)) < timedelta(minutes=1) for a in history)


async def test_what_comes_in_after_a_kill_is_handed_out_without_being_shown_first(tmp_path: Path) -> None:
    first = await opened(tmp_path / "router.db")
    killed = as_a_kill_leaves_it(tmp_path / "router.db", 1)
    await first.close()

    second = await opened(killed)
    await second.put(entry(event(1)))
    await claim(second)

    assert status(killed, 1) is DeliveryStatus.PENDING
    await second.close()


async def test_after_an_end_in_good_order_nobody_is_careful(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    first = await opened(path)
    await first.put(entry(event(1)))
    await first.close()

    second = await opened(path)
    await claim(second)

    assert status(path, 1) is DeliveryStatus.PENDING
    await second.close()


async def test_a_claim_that_is_given_up_while_it_is_being_shown_is_not_lost(tmp_path: Path) -> None:
    first = await opened(tmp_path / "router.db")
    await first.put(entry(event(1)))
    killed = as_a_kill_leaves_it(tmp_path / "router.db", 1)
    await first.close()
    second = await opened(killed)
    with closing(sqlite3.connect(killed, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer has to wait
        claiming = asyncio.ensure_future(second.claim())
        while not second._is_writing:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        other.execute("COMMIT")

    claimed = await claim(second)
    second.settle(claimed, Done(attempt()))
    await second.close()

    assert status(killed, 1) is DeliveryStatus.DONE


async def test_an_interrupted_attempt_is_counted_after_those_that_failed(
    tmp_path: Path,
) -> None:
    inbox = await opened(tmp_path / "router.db")
    await inbox.put(entry(event(1)))
    inbox.settle(await claim(inbox), Retry(failed(), 0.0))
    inbox.started(await claim(inbox))
    await inbox.put(entry(event(2), "nowhere"))
    killed = as_a_kill_leaves_it(tmp_path / "router.db", 1)
    await inbox.close()

    second = await opened(killed)
    claimed = await claim(second)
    await second.close()

    assert (claimed.attempt, claimed.round_attempt) == (3, 3)
    with closing(SqliteLedger(killed)) as ledger:
        history = ledger.delivery(1).history
    assert [a.outcome for a in history] == [AttemptOutcome.ERROR, AttemptOutcome.INTERRUPTED]
