"""Many replicas on one PostgreSQL: what was answered 200 is handled in order, whatever becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from router.inbox.postgres.database import Database
from tests.system.conftest import Report
from tests.system.judge import until
from tests.system.replicas.fleet import ALL, Fleet, Replica
from tests.system.replicas.judge import AUDIT, handlings, judge, read, taken_over_after
from tests.system.replicas.load import Load, load_on
from tests.system.replicas.servers import Server
from tests.system.sender import ready, send, until_ready

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Ask = Callable[[str], Sequence[Any]]
#: How many dead letters there are, and how many attempts the least tried of them had.
DEAD = "SELECT count(*), min(attempts) FROM router.deliveries WHERE status = 'dead'"
#: Connections that wait for a lock.
WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""
#: How many wait for another attempt.
FAILED = "SELECT count(*) FROM router.deliveries WHERE status = 'pending' AND attempts = 1"
STATUSES = "SELECT route, status, count(*) FROM router.deliveries GROUP BY 1, 2 ORDER BY 1, 2"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@asynccontextmanager
async def three(server: Server, folder: Path, *routes: str) -> AsyncIterator[tuple[Fleet, Ask]]:
    """Run three replicas on a new database that notes who settles what; yield them, and what asks it."""
    url = server.new_database()
    Database(server.beside(url)).prepare()
    server.query(url, AUDIT)
    with Fleet(folder, url, *routes) as fleet:
        for _ in range(3):
            fleet.add()
        await asyncio.to_thread(fleet.start)
        yield fleet, lambda statement: server.query(url, statement)


async def kill(replica: Replica) -> float:
    """Kill a replica; return when."""
    killed_at = time.monotonic()
    await asyncio.to_thread(replica.kill)
    return killed_at


# Replicas


async def test_a_killed_replica_is_taken_over(server: Server, tmp_path: Path, report: Report) -> None:
    async with three(server, tmp_path) as (fleet, ask):
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(200)
            killed_at = await kill(fleet.replicas[0])
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            await load.until(200)
        verdict = await judge(fleet, ask, load.answered)
        gaps = taken_over_after(handlings(read(fleet.records)), killed_at, "r1")
        report(f"{verdict}; {len(gaps)} lanes went on within {max(gaps, default=0):.2f} s (lease 2 s)")

        assert (verdict.wrong, verdict.overlaps) == ([], [])
        assert load.unanswered
        assert gaps


@pytest.mark.parametrize("version", [17, 18])
async def test_a_killed_replica_is_taken_over_on_newer_servers(
    version: int, tmp_path: Path, report: Report
) -> None:
    with Server(version) as server:
        async with three(server, tmp_path) as (fleet, ask):
            async with load_on(lambda: fleet.replicas) as load:
                await load.until(100)
                await kill(fleet.replicas[0])
                await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
                await load.until(100)
            verdict = await judge(fleet, ask, load.answered)
            report(verdict)

            assert (verdict.wrong, verdict.overlaps) == ([], [])


async def test_one_joins_and_one_leaves_under_load(server: Server, tmp_path: Path, report: Report) -> None:
    async with three(server, tmp_path) as (fleet, ask):
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(100)
            fourth = fleet.add()
            await asyncio.to_thread(fleet.start, fourth)
            await load.until(200)
            code = await asyncio.to_thread(fleet.replicas[0].stop)
            await load.until(200)
        verdict = await judge(fleet, ask, load.answered)
        of_fourth = sum(line.replica == fourth.name for line in read(fleet.records))
        report(f"{verdict}; the one that joined wrote {of_fourth} lines")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats, code) == ([], [], 0, 0)
        assert of_fourth
        assert not fleet.logged("inbox.took_over")


async def test_a_rolling_restart_under_load_loses_nothing_and_repeats_nothing(
    server: Server, tmp_path: Path, report: Report
) -> None:
    codes = []
    async with three(server, tmp_path) as (fleet, ask):
        async with load_on(lambda: fleet.replicas) as load:
            for replica in fleet.replicas:
                await load.until(100)
                codes.append(await asyncio.to_thread(replica.stop))
                await load.until(50)
                await asyncio.to_thread(replica.start)
            await load.until(100)
        verdict = await judge(fleet, ask, load.answered)
        report(f"{verdict}; exit codes {codes}; refused {dict(load.refused)}")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert codes == [0] * 3
        assert not load.refused
        assert not fleet.logged("inbox.took_over")


async def test_one_that_stood_still_longer_than_its_lease_is_not_believed(
    server: Server, tmp_path: Path, report: Report
) -> None:
    # So slow that what it did when it froze runs in another when it wakes up, and would be settled twice.
    slow = ALL.replace("100ms", "1500ms")
    async with three(server, tmp_path, slow) as (fleet, ask):
        first = fleet.replicas[0]
        async with load_on(lambda: fleet.replicas, every=0.4, limit=0.5) as load:
            await load.until(48)
            frozen_at = time.monotonic()
            first.freeze()
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            await asyncio.sleep(max(0.0, frozen_at + 2.0 - time.monotonic()))  # the lease
            first.thaw()
            await until(lambda: len(first.logged("inbox.joined")) == 2, what="a new lease")
            await load.until(24)
        verdict = await judge(fleet, ask, load.answered)
        refused = sum(record["count"] for record in first.logged("inbox.stale_settles"))
        gaps = taken_over_after(handlings(read(fleet.records)), frozen_at, first.name)
        report(f"{verdict}; {refused} stale outcomes refused; lanes went on within {max(gaps):.2f} s")

        assert verdict.wrong == []
        assert refused
        assert len(first.logged("inbox.lease_lost")) == 1
        # Only what it did when it froze went on when it woke up.
        for earlier, _ in verdict.overlaps:
            assert (earlier.start.replica, earlier.start.at < frozen_at + 0.1) == (first.name, True)


KILLER = (
    "{name: killer, type: incomingMessageReceived, when: {text: [{prefix: deadly}]}, stop: true, "
    "handler: deadly, retry: {attempts: 3}}"
)


async def test_a_handler_that_kills_its_replicas_ends_as_a_dead_letter(
    server: Server, tmp_path: Path, report: Report
) -> None:
    others = ALL.replace("100ms}", "30ms}, retry: {attempts: 20, first: 100ms}")
    async with three(server, tmp_path, KILLER, others) as (fleet, ask):
        async with load_on(lambda: fleet.replicas, every=0.1) as load, restarting(fleet) as restarts:
            await load.until(50)
            with suppress(OSError, EOFError):  # it may be gone before it has answered
                await send(fleet.replicas[0], "deadly", 1)
            await until(lambda: ask(DEAD) == [(1, 3)], what="a dead letter of three attempts")
            await load.until(50)
        verdict = await judge(fleet, ask, load.answered)
        killed = [line.replica for line in read(fleet.records) if line.chat == "deadly"]
        report(f"{verdict}; it killed {', '.join(killed)}; {len(restarts)} restarts")

        assert (verdict.wrong, verdict.overlaps) == ([], [])
        assert ask(DEAD) == [(1, 3)]
        assert 3 <= len(killed) <= 4  # the first one may leave no trace


async def test_what_ran_beside_a_handler_that_kills_its_replicas_is_done(
    server: Server, tmp_path: Path
) -> None:
    route = ALL.replace("keep", "deadly").replace("100ms}", "1s}, retry: {attempts: 3}")
    async with three(server, tmp_path, route) as (fleet, ask), restarting(fleet):
        for chat in range(8):
            await send(fleet.replicas[0], f"other{chat}", 1)
        await until(lambda: started(fleet, "all") == 8, what="eight that run")
        with suppress(OSError, EOFError):  # it may be gone before it has answered
            await send(fleet.replicas[0], "deadly", 1)
        unfinished = "SELECT 1 FROM router.deliveries WHERE status IN ('pending', 'running')"
        await until(lambda: not ask(unfinished), what="the end of all")

        assert ask(STATUSES) == [("all", "dead", 1), ("all", "done", 8)]


@asynccontextmanager
async def restarting(fleet: Fleet) -> AsyncIterator[list[str]]:
    """Start again what ends, until the block does; yield the names of those that ended."""
    ended: list[str] = []

    async def watch() -> None:
        while True:
            for replica in fleet.replicas:
                if replica.has_ended():
                    ended.append(replica.name)
                    await asyncio.to_thread(replica.try_to_start)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(watch())
    try:
        yield ended
    finally:
        task.cancel()


# The database


async def test_the_database_is_killed_and_comes_back(server: Server, tmp_path: Path, report: Report) -> None:
    async with three(server, tmp_path) as (fleet, ask):
        async with load_on(lambda: fleet.replicas) as load:
            for _ in range(3):
                await load.until(100)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            await load.until(100)
        verdict = await judge(fleet, ask, load.answered)
        away = [record["after"] for record in fleet.logged("inbox.database_back")]
        report(f"{verdict}; refused {dict(load.refused)}; away for {max(away)} s at most")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert all(replica.logged("inbox.database_lost") for replica in fleet.replicas)


async def test_the_database_is_away_for_longer_than_the_lease(
    server: Server, tmp_path: Path, report: Report
) -> None:
    slow = ALL.replace("100ms", "900ms")  # deliveries wait in memory all the time
    async with three(server, tmp_path, slow) as (fleet, ask):
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(200)
            await asyncio.to_thread(server.stop)
            over_at = time.monotonic() + 2.0  # the lease
            answers = [await _until_not_ready(replica) for replica in fleet.replicas]
            await asyncio.sleep(max(0.0, over_at + 1.5 - time.monotonic()))
            await _until_refused(load)
            await asyncio.to_thread(server.start)
            back_at = time.monotonic()
            await load.until(24)
        for replica in fleet.replicas:
            await until_ready(replica)
        verdict = await judge(fleet, ask, load.answered)
        meanwhile = [line for line in read(fleet.records) if over_at < line.at < back_at]
        report(f"{verdict}; refused {dict(load.refused)}")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert all("inbox" in reason for reason in answers)
        assert {refusal.status for refusal in load.refusals} == {503}
        assert all(int(refusal.headers["retry-after"]) > 0 for refusal in load.refusals)
        assert [line for line in meanwhile if line.what == "start"] == []


async def _until_not_ready(replica: Replica) -> str:
    """Return the reasons for which a replica says that it is not ready, once it says so."""
    while (answer := await ready(replica)).status != 503:
        await asyncio.sleep(0.02)
    return "; ".join(orjson.loads(answer.body)["reasons"])


async def _until_refused(load: Load) -> None:
    """Wait until one more of each instance was refused."""
    refused = len(load.refusals)
    await until(lambda: len(load.refusals) >= refused + load.instances, what="refusals")


async def test_five_that_start_at_once_make_the_tables_once(
    server: Server, tmp_path: Path, report: Report
) -> None:
    url = server.new_database()
    with Fleet(tmp_path, url) as fleet:
        for _ in range(5):
            fleet.add()
        # All of them come so far before one goes on: what makes the tables begins with the schema.
        with psycopg.connect(server.beside(url)) as connection:
            connection.execute("CREATE SCHEMA router")
            for replica in fleet.replicas:
                replica.launch()
            await until(lambda: server.query(url, WAITING) == [(5,)], what="five that wait")
            connection.rollback()
        for replica in fleet.replicas:
            assert await asyncio.to_thread(replica.wait_until_it_listens), replica.tail()
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(100)
        verdict = await judge(fleet, lambda statement: server.query(url, statement), load.answered)
        report(verdict)

        scripts = [*(files("router.inbox.postgres") / "migrations").iterdir()]
        assert server.query(url, "SELECT number FROM router.migrations ORDER BY number") == [
            (number,) for number in range(1, len(scripts) + 1)
        ]
        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert len(fleet.logged("inbox.joined")) == 5


# The operator


async def test_what_an_operator_changes_is_taken_up_at_once(
    server: Server, tmp_path: Path, report: Report
) -> None:
    broken = tmp_path / "broken"
    common = f"type: incomingMessageReceived, handler: keep, options: {{takes: 1ms, broken: {broken}}}"
    async with three(
        server,
        tmp_path,
        f"{{name: all, {common}, retry: {{attempts: 1}}}}",
        f"{{name: patient, {common}, retry: {{first: 1m}}}}",
    ) as (fleet, ask):
        broken.touch()
        load = Load(lambda: fleet.replicas, instances=4, chats=2, every=0, total=4)
        await load.run()  # two of each of eight chats
        await until(lambda: ask(DEAD) == [(16, 1)], what="sixteen dead letters")
        await until(lambda: ask(FAILED) == [(8,)], what="eight that wait for their retry")
        broken.unlink()

        retried = await _change(fleet, "all", 16, "dead", "retry", "--route", "all")
        replayed = await _change(
            fleet, "all", 1, "events", "replay", "--route", "all", load.answered[0].event
        )
        waiting = "SELECT min(id) FROM router.deliveries WHERE route = 'patient' GROUP BY lane"
        ids = [str(number) for (number,) in ask(waiting)]
        discarded = await _change(fleet, "patient", 8, "dead", "discard", *ids)
        firsts = {(route, one.chat, 1) for route in ("all", "patient") for one in load.answered}
        verdicts = [
            await judge(fleet, ask, load.answered, route=route, dead=firsts) for route in ("all", "patient")
        ]
        report(
            f"the last of 16 retried began {retried:+.2f} s, the one replayed {replayed:+.2f} s, "
            f"the last of 8 behind a discarded one {discarded:+.2f} s after the command had ended"
        )

        assert [verdict.wrong for verdict in verdicts] == [[], []]
        assert ask(STATUSES) == [("all", "done", 17), ("patient", "discarded", 8), ("patient", "done", 8)]


def started(fleet: Fleet, route: str) -> int:
    """Return how many handlings of a route have begun."""
    return sum(line.what == "start" and line.route == route for line in read(fleet.records))


async def _change(fleet: Fleet, route: str, more: int, *command: str) -> float:
    """Run a command; return after how many seconds all that it leads to has begun."""
    before = started(fleet, route)
    await asyncio.to_thread(fleet.run, *command)
    done_at = time.monotonic()
    await until(lambda: started(fleet, route) >= before + more, what=f"{' '.join(command)} taken up")
    return max(line.at for line in read(fleet.records) if line.what == "start") - done_at
