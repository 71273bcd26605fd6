"""What only the SQLite inbox has to promise: a file that outlives the process, and failing disks."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import anyio.lowlevel
import pytest
import structlog
from anyio import fail_after, sleep

from router.errors import InboxInUse, InboxUnavailable
from router.events import DeliveryStatus
from router.inbox import AttemptOutcome, Dead, DeliveryFilter, Done, EventFilter, Retry, Stored
from router.inbox.sqlite.file import create, open_existing
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from tests.inbox.build import ROUTES, attempt, claim, entry, event, failed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "router.db"


@contextmanager
def ledger_of(path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(path)) as ledger:
        yield ledger


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


#: A write that fails for as long as the trigger is there, as it would on a full or broken disk.
BREAK = "CREATE TRIGGER broken BEFORE {} BEGIN SELECT json('broken'); END"
MEND = "DROP TRIGGER broken"


async def test_what_is_unfinished_goes_on_after_a_restart_in_order_and_with_its_attempts(path: Path) -> None:
    before = SqliteInbox(path, ROUTES)
    await before.open()
    for number in (1, 2, 3):
        await before.put(entry(event(number)))
    first = await claim(before)
    before.settle(first, Retry(failed(), 0.001))
    await before.close()

    after = SqliteInbox(path, ROUTES)
    await after.open()
    seen = []
    for _ in range(3):
        claimed = await claim(after)
        seen.append((claimed.event, claimed.attempt))
        after.settle(claimed, Done(attempt(claimed.attempt)))
    await after.close()

    assert seen == [(event(1), 2), (event(2), 1), (event(3), 1)]


async def test_a_retry_waits_for_its_time_across_a_restart(path: Path) -> None:
    before = SqliteInbox(path, ROUTES)
    await before.open()
    await before.put(entry(event(1, chat="a")))
    await before.put(entry(event(2, chat="b")))
    before.settle(await claim(before), Retry(failed(), 3600.0))
    await before.close()

    after = SqliteInbox(path, ROUTES)
    await after.open()
    claimed = await claim(after)
    await after.close()

    assert claimed.event.id == "00000002"


async def test_a_backlog_longer_than_any_page_is_handed_out_whole_and_in_order(path: Path) -> None:
    before = SqliteInbox(path, {})  # no route takes them: they only pile up
    await before.open()
    for number in range(1, 301):
        await before.put(entry(event(number, chat=f"chat{number % 3}")))
    await before.close()

    after = SqliteInbox(path, ROUTES)
    await after.open()
    seen: dict[str, list[str]] = {}
    for _ in range(300):
        claimed = await claim(after)
        seen.setdefault(claimed.lane, []).append(claimed.event.id)
        after.settle(claimed, Done(attempt()))
    await after.close()

    assert sum(map(len, seen.values())) == 300
    assert all(ids == sorted(ids) for ids in seen.values())
    with ledger_of(path) as ledger:
        assert ledger.deliveries(DeliveryFilter(status=DeliveryStatus.PENDING)) == []


async def test_a_duplicate_is_told_across_a_restart(path: Path) -> None:
    for expected in (Stored, None):
        inbox = SqliteInbox(path, ROUTES)
        await inbox.open()
        result = await inbox.put(entry(event(1)))
        await inbox.close()
        assert (type(result) is Stored) is (expected is Stored)


async def test_a_second_router_on_the_same_file_is_refused_by_name(path: Path) -> None:
    first = SqliteInbox(path, ROUTES)
    await first.open()

    with pytest.raises(InboxInUse, match=rf"process {os.getpid()}\) runs on inbox .*router\.db"):
        await SqliteInbox(path, ROUTES).open()

    await first.close()
    again = SqliteInbox(path, ROUTES)
    await again.open()
    await again.close()


@pytest.mark.parametrize("content", [b"this is no database, but it is long enough to be read as one" * 20])
async def test_a_file_that_is_no_database_is_refused_in_one_line(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(InboxUnavailable, match=r"router\.db: file is not a database"):
        await SqliteInbox(path, ROUTES).open()

    assert path.read_bytes() == content


async def test_a_file_of_a_newer_router_is_refused(path: Path) -> None:
    create(path).close()
    execute(path, "PRAGMA user_version = 999")

    with pytest.raises(InboxUnavailable, match="newer version"):
        await SqliteInbox(path, ROUTES).open()
    with pytest.raises(InboxUnavailable, match="tables of version 999"):
        open_existing(path)


def test_a_ledger_makes_no_inbox(path: Path) -> None:
    with pytest.raises(InboxUnavailable, match=r"no inbox at .*router serve"):
        SqliteLedger(path)

    assert not path.parent.exists()


async def test_the_inbox_is_readable_by_its_owner_only(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    await inbox.close()

    assert path.stat().st_mode & 0o077 == 0


async def test_a_put_that_cannot_be_written_stores_nothing_and_a_later_one_can(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    execute(path, BREAK.format("INSERT ON deliveries"))

    with pytest.raises(InboxUnavailable, match="malformed JSON"):
        await inbox.put(entry(event(1)))
    problem_then = inbox.problem()
    execute(path, MEND)
    result = await inbox.put(entry(event(1)))

    assert "malformed JSON" in str(problem_then)
    assert result == Stored()
    assert inbox.problem() is None
    await inbox.close()
    with ledger_of(path) as ledger:
        assert [d.event for d in ledger.deliveries(DeliveryFilter())] == ["00000001"]


async def test_an_outcome_that_cannot_be_written_is_written_later_and_nothing_runs_meanwhile(
    path: Path,
) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    for number in (1, 2):
        await inbox.put(entry(event(number)))
    first = await claim(inbox)
    execute(path, BREAK.format("UPDATE ON deliveries"))

    inbox.settle(first, Dead("no", failed()))
    with fail_after(5):
        while inbox.problem() is None:
            await sleep(0.01)
    second_meanwhile = inbox._lanes.claim_nowait()
    execute(path, MEND)
    second = await claim(inbox)

    assert second_meanwhile is None
    assert second.event.id == "00000002"
    await inbox.close()
    with ledger_of(path) as ledger:
        assert [d.status for d in ledger.deliveries(DeliveryFilter())] == ["dead", "pending"]


async def test_one_request_that_cannot_be_stored_at_all_fails_alone(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    too_large = entry(event(1))
    object.__setattr__(too_large.event, "instance", 2**70)  # no integer of SQLite's

    with structlog.testing.capture_logs() as records:
        with pytest.raises(InboxUnavailable, match="too large"):
            await inbox.put(too_large)
        result = await inbox.put(entry(event(2)))

    assert result == Stored()
    assert inbox.problem() is None
    assert [record["event"] for record in records] == ["inbox.request_rejected"]
    await inbox.close()


async def test_what_an_operator_changes_is_taken_up_while_the_router_runs(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    await inbox.put(entry(event(1)))
    inbox.settle(await claim(inbox), Dead("no", failed()))
    await inbox.put(entry(event(2, chat="b"), "nowhere"))

    with ledger_of(path) as ledger:
        ledger.retry([1])
    with fail_after(5):
        again = await claim(inbox)

    assert (again.id, again.attempt, again.round_attempt) == (1, 2, 1)
    await inbox.close()


async def test_what_ran_when_the_router_was_killed_has_had_an_attempt(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    await inbox.put(entry(event(1)))
    inbox.started(await claim(inbox))
    await inbox.close()  # as a kill does, it settles nothing
    with ledger_of(path) as ledger:
        before = ledger.delivery(1).status

    after = SqliteInbox(path, ROUTES)
    await after.open()
    again = await claim(after)
    await after.close()

    assert (before, again.attempt, again.round_attempt) == ("running", 2, 2)
    with ledger_of(path) as ledger:
        history = ledger.delivery(1).history
    assert [(a.number, a.outcome) for a in history] == [(1, AttemptOutcome.INTERRUPTED)]


async def test_a_file_that_can_be_written_again_is_noticed_without_a_notification(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    execute(path, BREAK.format("INSERT ON deliveries"))
    with pytest.raises(InboxUnavailable):
        await inbox.put(entry(event(1)))
    problem_then = inbox.problem()

    with fail_after(5):
        while inbox.problem() is not None:
            await sleep(0.01)

    assert problem_then is not None
    await inbox.close()


async def test_what_gathered_while_the_file_was_busy_is_written_once_when_it_closes(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    executor = ThreadPoolExecutor(max_workers=1)
    asyncio.get_running_loop().set_default_executor(executor)
    free = Event()
    executor.submit(free.wait)  # what waits for the end of the writer waits for a thread
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = asyncio.ensure_future(inbox.put(entry(event(1), "nowhere")))
        with fail_after(5):
            while not inbox._is_writing:
                await anyio.lowlevel.checkpoint()
        second = asyncio.ensure_future(inbox.put(entry(event(2), "nowhere")))
        await anyio.lowlevel.checkpoint()
        closes = asyncio.ensure_future(inbox.close())
        await anyio.lowlevel.checkpoint()
        other.execute("COMMIT")

    answers = [await first, await second]
    free.set()
    await closes

    assert answers == [Stored(), Stored()]
    with ledger_of(path) as ledger:
        assert [(e.id, e.duplicates) for e in ledger.events(EventFilter())] == [
            ("00000002", 0),
            ("00000001", 0),
        ]


async def test_deliveries_of_a_route_that_is_gone_are_told_at_start(path: Path) -> None:
    before = SqliteInbox(path, {"gone": 1})
    await before.open()
    await before.put(entry(event(1), "gone"))
    await before.close()

    with structlog.testing.capture_logs() as records:
        after = SqliteInbox(path, ROUTES)
        await after.open()
        await after.close()

    assert records == [{"event": "inbox.route_gone", "log_level": "warning", "route": "gone", "waiting": 1}]


async def test_outcomes_that_share_a_batch_with_a_request_that_cannot_be_stored_are_all_kept(
    path: Path,
) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    for number, chat in [(1, "a"), (2, "b")]:
        await inbox.put(entry(event(number, chat=chat)))
    claims = [await claim(inbox), await claim(inbox)]
    too_large = entry(event(3))
    object.__setattr__(too_large.event, "instance", 2**70)
    execute(path, BREAK.format("UPDATE ON deliveries"))

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer waits, and the next requests gather
        first = asyncio.ensure_future(inbox.put(entry(event(4), "nowhere")))
        with fail_after(5):
            while not inbox._is_writing:
                await anyio.lowlevel.checkpoint()
        rejected = asyncio.ensure_future(inbox.put(too_large))
        await anyio.lowlevel.checkpoint()
        for claimed in claims:
            inbox.settle(claimed, Dead("no", failed()))
        other.execute("COMMIT")
    with structlog.testing.capture_logs(), pytest.raises(InboxUnavailable):
        await rejected
    execute(path, MEND)
    await first
    await inbox.put(entry(event(5), "nowhere"))
    await inbox.close()

    with ledger_of(path) as ledger:
        assert [ledger.delivery(claimed.id).status for claimed in claims] == ["dead", "dead"]
