"""What only a store in a file has to promise."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio.lowlevel
import pytest
import structlog
from anyio import fail_after

from router.errors import InboxUnavailable
from router.inbox import EventFilter, Stored
from router.inbox.sqlite import ledger as sqlite_ledger
from router.inbox.sqlite import retention as sqlite_retention
from router.inbox.sqlite import store as sqlite_store
from router.inbox.sqlite.file import create
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from tests.inbox.build import ROUTES, entry, event
from tests.inbox.test_sqlite import BREAK, MEND, execute


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "router.db"


@pytest.fixture
async def inbox(path: Path) -> AsyncIterator[SqliteInbox]:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    yield inbox
    await inbox.close()


async def test_what_is_kept_is_in_the_file_when_the_call_returns(inbox: SqliteInbox, path: Path) -> None:
    await inbox.store.add("s", "added", b"one")
    await inbox.store.set("s", "set", b"two", ttl=3600.0)
    await inbox.store.set("s", "deleted", b"three")
    await inbox.store.delete("s", "deleted")

    with closing(SqliteLedger(path)) as ledger:
        assert [(item.key, item.value) for item in ledger.store_items("s")] == [
            ("added", b"one"),
            ("set", b"two"),
        ]


async def test_what_is_kept_is_there_after_a_restart(path: Path) -> None:
    before = SqliteInbox(path, ROUTES)
    await before.open()
    await before.store.add("s", "k", b"one")
    await before.close()

    after = SqliteInbox(path, ROUTES)
    await after.open()
    answer = await after.store.add("s", "k", b"two")
    await after.close()

    assert answer == b"one"


async def test_what_gathers_shares_a_commit_with_what_is_put(inbox: SqliteInbox, path: Path) -> None:
    done: list[str] = []
    assert inbox._writer is not None
    inbox._writer._db.set_trace_callback(done.append)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer waits, and the next requests gather
        first = asyncio.ensure_future(inbox.store.add("s", "first", b""))
        with fail_after(5):
            while not inbox._is_writing:
                await anyio.lowlevel.checkpoint()
        adds = [asyncio.ensure_future(inbox.store.add("s", f"{number}", b"")) for number in range(500)]
        put = asyncio.ensure_future(inbox.put(entry(event(1), "nowhere")))
        await anyio.lowlevel.checkpoint()
        other.execute("COMMIT")

    answers = await asyncio.gather(first, *adds)

    assert answers == [None] * 501
    assert await put == Stored()
    assert done.count("COMMIT") == 2


@pytest.mark.parametrize("write", ["INSERT ON store", "INSERT ON deliveries"], ids=["its own", "another's"])
async def test_what_cannot_be_written_is_refused_and_changes_nothing(
    inbox: SqliteInbox, path: Path, write: str
) -> None:
    await inbox.store.set("s", "set", b"before")
    execute(path, BREAK.format(write))

    put = asyncio.ensure_future(inbox.put(entry(event(1), "nowhere")))
    answers = await asyncio.gather(
        inbox.store.add("s", "added", b"one"),
        inbox.store.set("s", "set", b"two"),
        inbox.store.get("s", "set"),
        return_exceptions=True,
    )
    with pytest.raises(InboxUnavailable):
        await put
    execute(path, MEND)

    assert [type(answer) for answer in answers] == [InboxUnavailable] * 3
    assert await inbox.store.get("s", "set") == b"before"
    assert await inbox.store.add("s", "added", b"three") is None


async def test_one_key_that_cannot_be_stored_fails_alone(inbox: SqliteInbox) -> None:
    with structlog.testing.capture_logs() as records:
        answers = await asyncio.gather(
            inbox.store.add("s", "before", b""),
            inbox.store.add("s", "\ud800", b""),
            inbox.store.add("s", "after", b""),
            return_exceptions=True,
        )

    assert (answers[0], type(answers[1]), answers[2]) == (None, InboxUnavailable, None)
    assert [record["event"] for record in records] == ["inbox.request_rejected"]
    assert inbox.problem() is None


async def test_whoever_stops_waiting_holds_up_nobody(inbox: SqliteInbox) -> None:
    impatient = asyncio.ensure_future(inbox.store.add("s", "k", b"one"))
    await anyio.lowlevel.checkpoint()
    impatient.cancel()

    with fail_after(5):
        assert await inbox.store.add("s", "k", b"two") == b"one"


async def test_a_handler_that_outlives_the_inbox_is_told_so(path: Path) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    asked_before = asyncio.ensure_future(inbox.store.add("s", "k", b"one"))
    await anyio.lowlevel.checkpoint()

    closes = asyncio.ensure_future(inbox.close())
    await anyio.lowlevel.checkpoint()
    with pytest.raises(InboxUnavailable, match="is closed: the router stops"):
        await inbox.store.get("s", "k")
    await closes

    assert await asked_before is None
    with pytest.raises(InboxUnavailable, match="is closed: the router stops"):
        await inbox.store.get("s", "k")


async def test_an_inbox_of_the_version_before_gets_a_store_and_keeps_its_events(path: Path) -> None:
    now = SqliteInbox(path, ROUTES)
    await now.open()
    await now.put(entry(event(1)))
    await now.close()
    execute(path, "DROP TABLE store", "PRAGMA user_version = 1")
    with pytest.raises(InboxUnavailable, match="tables of version 1, this router uses 2"):
        SqliteLedger(path)

    after = SqliteInbox(path, ROUTES)
    await after.open()
    with fail_after(5):
        claimed = await after.claim()
    answer = await after.store.add("s", "k", b"one")
    await after.close()

    assert claimed is not None
    assert (claimed.event, answer) == (event(1), None)
    with closing(SqliteLedger(path)) as ledger:
        assert [record.id for record in ledger.events(EventFilter())] == ["00000001"]


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (sqlite_store._READ, 2),
        (sqlite_store._WRITE, 4),
        (sqlite_store._DELETE, 2),
        (sqlite_ledger._VALUES, 2),
        (sqlite_ledger._VALUE, 3),
        (sqlite_ledger._DELETE_VALUE, 2),
        (sqlite_retention._DELETE_EXPIRED, 2),
        (sqlite_retention._DELETE_OUTBOXES, 1),
    ],
)
def test_nothing_looks_through_all_that_is_kept(path: Path, statement: str, values: int) -> None:
    row = f"({', '.join('?' * values)})"
    asked = f"EXPLAIN QUERY PLAN {statement.replace('ROWS', f'{row}, {row}')}"
    with closing(create(path)) as db:
        plan = [step for *_, step in db.execute(asked, ["[]"] * asked.count("?"))]

    assert not any(step.startswith("SCAN store") for step in plan), plan
