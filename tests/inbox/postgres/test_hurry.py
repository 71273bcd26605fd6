"""The heartbeat of a replica that is told to hurry, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from anyio import fail_after, wait_all_tasks_blocked
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router.inbox.postgres.database import Database
from router.inbox.postgres.lease import Lease


class Owner:
    """Takes note of one thing that it is told."""

    def __init__(self) -> None:
        self.has_lost = asyncio.Event()

    def extended(self, until: float) -> None:
        pass

    def unreachable(self) -> None:
        self.has_lost.set()

    def lease_lost(self, me: int) -> None:
        pass

    def look(self, route: str) -> None:
        pass

    def lane_changed(self, route: str, lane: str) -> None:
        pass

    def all_changed(self) -> None:
        pass


class Beats:
    """Counts the beats."""

    def __init__(self) -> None:
        self.count = 0

    async def beat(self, connection: AsyncConnection[TupleRow], me: int) -> None:
        self.count += 1


@pytest.fixture
def beats() -> Beats:
    return Beats()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def lease(postgres_url: str, owner: Owner, beats: Beats) -> AsyncIterator[Lease]:
    """A lease whose next beat is far away."""
    lease = Lease(Database(postgres_url), 300.0, [], owner, beats)
    await lease.beat()
    task = asyncio.create_task(lease.run())
    await wait_all_tasks_blocked()
    yield lease
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await lease.leave()


async def hurry_until(lease: Lease, beats: Beats, count: int) -> None:
    """Ask for a beat with every turn of the loop, until there were so many more."""
    wanted = beats.count + count
    with fail_after(20):
        while beats.count < wanted:
            lease.hurry()
            await asyncio.sleep(0)


async def test_who_is_in_a_hurry_may_say_so_twice(lease: Lease, beats: Beats) -> None:
    await hurry_until(lease, beats, 3)


async def test_who_is_in_a_hurry_may_say_so_when_the_connection_was_lost(
    lease: Lease, owner: Owner, beats: Beats, postgres_url: str
) -> None:
    with Database(postgres_url).connect_now() as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await owner.has_lost.wait()
    await hurry_until(lease, beats, 1)
