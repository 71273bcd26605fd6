"""Old events go, unfinished ones stay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anyio import fail_after, sleep

from router.inbox import Claim, Dead, DeliveryFilter, Done, EventFilter, Outcome, Retry
from router.inbox.sqlite.file import create
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from router.inbox.sqlite.retention import Retention
from router.inbox.sqlite.store import write
from tests.inbox.build import ROUTES, attempt, claim, entry, event, failed

LONG_AGO = datetime.now(UTC) - timedelta(days=8)
WEEK = 7 * 86400.0


async def fill(path: Path, outcomes: list[Outcome | None], *, received_at: datetime = LONG_AGO) -> None:
    """Store an event for each outcome and settle its delivery with it."""
    inbox = SqliteInbox(path, ROUTES, retention=10 * WEEK)
    await inbox.open()
    for number, outcome in enumerate(outcomes, 1):
        await inbox.put(entry(event(number, chat=f"c{number}", received_at=received_at)))
        claimed: Claim = await claim(inbox)
        if outcome is None:
            inbox.release(claimed)
            inbox._lanes.pause()
        else:
            inbox.settle(claimed, outcome)
    await inbox.put(entry(event(9999, received_at=datetime.now(UTC)), "nowhere"))
    await inbox.close()


def remove_old(path: Path) -> None:
    """Do what the writer does between batches, until there is nothing more to do."""
    retention = Retention(WEEK)
    with closing(create(path)) as db:
        retention.step(db)
        while retention.pause < 1:
            retention.step(db)


def count(db: sqlite3.Connection) -> int:
    """Return how many values the file holds, over or not."""
    found: int = db.execute("SELECT count(*) FROM store").fetchone()[0]
    return found


def events(path: Path) -> list[str]:
    with closing(SqliteLedger(path)) as ledger:
        return sorted(record.id for record in ledger.events(EventFilter(), limit=1000))


@pytest.mark.parametrize(
    ("outcome", "goes"),
    [
        (Done(attempt()), True),
        (Retry(failed(), 3600.0), False),
        (Dead("no", failed()), False),
        (None, False),
    ],
    ids=["done", "waits for a retry", "dead", "pending"],
)
async def test_an_old_event_goes_only_when_its_delivery_is_finished(
    tmp_path: Path, outcome: Outcome | None, goes: bool
) -> None:
    path = tmp_path / "router.db"
    await fill(path, [outcome])

    remove_old(path)

    assert events(path) == (["00009999"] if goes else ["00000001", "00009999"])
    with closing(SqliteLedger(path)) as ledger:
        left = {record.event for record in ledger.deliveries(DeliveryFilter())}
    assert left == ({"00009999"} if goes else {"00000001", "00009999"})


async def test_what_is_discarded_goes_with_its_attempts(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Dead("no", failed())])
    with closing(SqliteLedger(path)) as ledger:
        ledger.discard([1])

    remove_old(path)

    assert events(path) == ["00009999"]
    with closing(create(path)) as db:
        assert db.execute("SELECT count(*) FROM attempts").fetchone() == (0,)


async def test_nothing_is_kept_of_an_attempt_that_ends_after_its_event_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    inbox = SqliteInbox(path, ROUTES, retention=10 * WEEK)
    await inbox.open()
    await inbox.put(entry(event(1, received_at=LONG_AGO)))
    await inbox.put(entry(event(2, received_at=datetime.now(UTC)), "nowhere"))
    claimed = await claim(inbox)
    with closing(SqliteLedger(path)) as ledger:
        ledger.discard([claimed.id])
    remove_old(path)

    inbox.settle(claimed, Dead("no", failed()))
    await inbox.close()

    assert events(path) == ["00000002"]
    with closing(create(path)) as db:
        assert db.execute("SELECT count(*) FROM attempts").fetchone() == (0,)


async def test_what_is_not_old_stays(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Done(attempt())], received_at=datetime.now(UTC) - timedelta(days=6))

    remove_old(path)

    assert events(path) == ["00000001", "00009999"]


async def test_old_ones_go_from_behind_many_unfinished_ones(
    tmp_path: Path,
) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Dead("no", failed())] * 150 + [Done(attempt())] * 150)

    remove_old(path)

    assert len(events(path)) == 151


async def test_the_numbers_of_what_went_are_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Done(attempt())] * 3)
    with closing(create(path)) as db:
        db.execute("UPDATE events SET received_at = 0")
        db.execute("UPDATE deliveries SET status = 'done'")
    remove_old(path)

    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    await inbox.put(entry(event(100)))
    claimed = await claim(inbox)
    await inbox.close()

    assert claimed.id == 5


async def test_an_outbox_goes_with_its_delivery(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Done(attempt()), Dead("no", failed())])
    with closing(SqliteLedger(path)) as ledger:
        for scope in ("outbox/1", "outbox/11", "outbox/2", "once/1"):
            ledger.store_set(scope, "k", b"")

    remove_old(path)

    with closing(SqliteLedger(path)) as ledger:
        assert [item.scope for item in ledger.store_items()] == ["once/1", "outbox/11", "outbox/2"]


async def test_values_go_when_they_are_over_a_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    with closing(create(path)) as db:
        over = {("s", f"{number}"): (b"", number) for number in range(500)}
        write(db, {**over, ("s", "for ever"): (b"", None), ("s", "for long"): (b"", 2**62)})
        retention = Retention(WEEK)
        left = []
        for _ in range(3):
            retention.step(db)
            left.append((count(db), retention.pause < 1))

    assert left == [(302, True), (102, True), (2, False)]


async def test_a_running_router_removes_what_is_old_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    await fill(path, [Done(attempt())] * 250)

    inbox = SqliteInbox(path, ROUTES, retention=WEEK)
    await inbox.open()
    with fail_after(10):
        while len(events(path)) > 1:
            await sleep(0.01)
    await inbox.close()

    assert events(path) == ["00009999"]
