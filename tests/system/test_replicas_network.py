"""Networks that part, lose, delay and swallow what replicas and their database say to each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.system.conftest import Report
from tests.system.judge import until
from tests.system.replicas.fleet import ALL, Fleet
from tests.system.replicas.judge import Verdict, judge, read
from tests.system.replicas.load import load_on
from tests.system.replicas.network import Host, Network
from tests.system.replicas.proxy import Proxy
from tests.system.replicas.running import Ask, new_audited_database
from tests.system.replicas.servers import Server
from tests.system.sender import ready, until_ready

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

#: Seconds of the lease.
LEASE = 2.0
#: Handlers that are over long before a lease is.
QUICK = ALL.replace("100ms", "20ms")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@asynccontextmanager
async def hosts(folder: Path, *routes: str) -> AsyncIterator[tuple[Fleet, Ask, Network, Host]]:
    """Run three replicas and their database on a host each; yield the database's host last."""
    with Network() as network:
        home = network.add("database")
        with Server(address=home.address, wrap=home.wrap) as server:
            url = new_audited_database(server)
            with Fleet(folder, url, *routes) as fleet:
                for number in range(3):
                    host = network.add(f"replica{number + 1}")
                    fleet.add(wrap=host.wrap, host=host.address)
                await asyncio.to_thread(fleet.start)
                yield fleet, lambda statement: server.query(url, statement), network, home


@asynccontextmanager
async def behind(
    server: Server, folder: Path, count: int, *routes: str
) -> AsyncIterator[tuple[Fleet, Ask, Proxy]]:
    """Run three replicas, so many of which reach the database by way of a proxy."""
    url = new_audited_database(server)
    with Proxy(server.address, server.port) as proxy, Fleet(folder, url, *routes) as fleet:
        for number in range(3):
            fleet.add(url=proxy.leads_to(url) if number < count else "")
        await asyncio.to_thread(fleet.start)
        yield fleet, lambda statement: server.query(url, statement), proxy


def part(network: Network, replica: Host, home: Host) -> None:
    network.part(replica, home)


def deafen(network: Network, replica: Host, home: Host) -> None:
    network.drop(home, replica)


def silence(network: Network, replica: Host, home: Host) -> None:
    network.drop(replica, home)


@pytest.mark.parametrize("cut", [part, deafen, silence])
async def test_one_that_is_cut_off_for_longer_than_its_lease_is_taken_over(
    cut: Callable[[Network, Host, Host], None], tmp_path: Path, report: Report
) -> None:
    async with hosts(tmp_path) as (fleet, ask, network, home):
        first = fleet.replicas[0]
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(150)
            cut_at = time.monotonic()
            cut(network, network.hosts[1], home)
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            while (await ready(first)).status != 503:
                await asyncio.sleep(0.02)
            await asyncio.sleep(max(0.0, cut_at + 2 * LEASE - time.monotonic()))
            healed_at = time.monotonic()
            network.heal()
            await until_ready(first)
            await load.until(150)
        verdict = await judge(fleet, ask, load.answered)
        stale = sum(record["count"] for record in first.logged("inbox.stale_settles"))
        begun = [line for line in read(fleet.records) if line.replica == first.name and line.what == "start"]
        report(f"{verdict}; stale outcomes kept out {stale}; refused {dict(load.refused)}")

        assert verdict.wrong == []
        assert {earlier.start.replica for earlier, _ in verdict.overlaps} <= {first.name}
        assert [line for line in begun if cut_at + LEASE < line.at < healed_at] == []
        assert [line for line in begun if line.at > healed_at]
        assert len(first.logged("inbox.lease_lost")) == 1


async def test_lost_packets_lose_nothing(tmp_path: Path, report: Report) -> None:
    async with hosts(tmp_path) as (fleet, ask, network, home):
        for host in network.hosts[1:]:
            network.lose(host, home, 0.1)
        async with load_on(lambda: fleet.replicas, limit=10.0) as load:
            await load.until(300)
        network.heal()
        verdict = await judge(fleet, ask, load.answered)
        lost = len(fleet.logged("inbox.lease_lost"))
        report(f"{verdict}; leases lost {lost}; refused {dict(load.refused)}")

        assert verdict.wrong == []


@pytest.mark.parametrize(("latency", "rate"), [(0.05, 0), (0.005, 100_000)])
async def test_a_slow_way_to_the_database_costs_no_lease(
    latency: float, rate: int, server: Server, tmp_path: Path, report: Report
) -> None:
    async with behind(server, tmp_path, 3, QUICK) as (fleet, ask, proxy):
        proxy.latency, proxy.rate = latency, rate
        async with load_on(lambda: fleet.replicas, limit=10.0) as load:
            await load.until(300)
        verdict = await judge(fleet, ask, load.answered)
        times = sorted(one.answered_at - one.sent_at for one in load.answered)
        report(f"{verdict}; answers in {times[len(times) // 2]:.2f} s, {times[-1]:.2f} s at most")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert not fleet.logged("inbox.lease_lost")


def broken_requests(proxy: Proxy) -> None:
    proxy.break_request(300)


def lost_answers(proxy: Proxy) -> None:
    proxy.swallow_answers()


@pytest.mark.parametrize(
    "fault", [broken_requests, lost_answers, Proxy.swallow, Proxy.reset, Proxy.half_close]
)
async def test_what_breaks_for_a_moment_leaves_nothing_behind(
    fault: Callable[[Proxy], None], server: Server, tmp_path: Path, report: Report
) -> None:
    """Shorter than the lease: what was stored, and nobody was told, is the replica's own."""
    chance = Random(20261125)
    async with behind(server, tmp_path, 1, QUICK) as (fleet, ask, proxy):
        # A chat each, or what comes next would lead to what was forgotten.
        async with load_on(lambda: fleet.replicas, every=0.01, chats=10_000) as load:
            for _ in range(3):
                await load.until(20)
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                fault(proxy)
                await asyncio.sleep(chance.uniform(0.0, 0.3))
                proxy.heal()
                await until_ready(fleet.replicas[0])
            await load.until(50)
        verdict = await judge(fleet, ask, load.answered)
        report(f"{_figures(verdict, fleet)}; swallowed {proxy.swallowed} bytes; refused {dict(load.refused)}")

        assert (verdict.wrong, verdict.overlaps) == ([], [])
        assert fleet.replicas[0].logged("inbox.database_lost")


@pytest.mark.parametrize("fault", [broken_requests, lost_answers, Proxy.refuse])
async def test_what_breaks_for_longer_than_the_lease_is_taken_over(
    fault: Callable[[Proxy], None], server: Server, tmp_path: Path, report: Report
) -> None:
    async with behind(server, tmp_path, 1, QUICK) as (fleet, ask, proxy):
        first = fleet.replicas[0]
        async with load_on(lambda: fleet.replicas) as load:
            await load.until(150)
            fault(proxy)
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            while (await ready(first)).status != 503:
                await asyncio.sleep(0.02)
            proxy.heal()
            await until_ready(first)
            await load.until(150)
        verdict = await judge(fleet, ask, load.answered)
        report(_figures(verdict, fleet))

        assert verdict.wrong == []
        assert {earlier.start.replica for earlier, _ in verdict.overlaps} <= {first.name}


def _figures(verdict: Verdict, fleet: Fleet) -> str:
    lost, stale = fleet.logged("inbox.lease_lost"), fleet.logged("inbox.stale_settles")
    return f"{verdict}; leases lost {len(lost)}, stale outcomes kept out {sum(one['count'] for one in stale)}"
