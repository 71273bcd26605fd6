"""Many replicas on one PostgreSQL: what was answered 200 is handled in order, whatever becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from router.inbox.postgres.database import Database
from tests.system.conftest import Report
from tests.system.judge import until
from tests.system.replicas.fleet import Fleet
from tests.system.replicas.judge import AUDIT, handlings, judge, read, taken_over_after
from tests.system.replicas.load import load_on
from tests.system.replicas.servers import Server

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Ask = Callable[[str], Sequence[Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def prepared(server: Server) -> tuple[str, Ask]:
    """Return the URL of a database with the tables of an inbox, whose outcomes are noted, and what asks."""
    url = server.new_database()
    Database(server.beside(url)).prepare()
    server.query(url, AUDIT)
    return url, lambda statement: server.query(url, statement)


async def test_a_killed_replica_is_taken_over(server: Server, tmp_path: Path, report: Report) -> None:
    url, ask = prepared(server)
    with Fleet(tmp_path, url) as fleet:
        first, *_ = [fleet.add() for _ in range(3)]
        await asyncio.to_thread(fleet.start)
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(200)
            await asyncio.to_thread(first.kill)
            killed_at = time.monotonic()
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            await load.until(200)
        verdict = await judge(fleet, ask, load.answered)
        gaps = taken_over_after(handlings(read(fleet.records)), killed_at, first.name)
        report(f"{verdict}; {len(gaps)} lanes were taken over within {max(gaps):.2f} s")

        assert (verdict.wrong, verdict.overlaps) == ([], [])
        assert load.unanswered
