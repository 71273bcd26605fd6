"""Everything at once, by chance: replicas that die, freeze and are cut off, and a database that dies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.system.conftest import Report
from tests.system.replicas.fleet import ALL, Fleet, Replica
from tests.system.replicas.judge import judge
from tests.system.replicas.load import load_on
from tests.system.replicas.proxy import Proxy
from tests.system.replicas.running import new_audited_database
from tests.system.replicas.servers import Server

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

#: How many faults follow each other, and which chances are tried: more of both on a machine that has time.
FAULTS = int(os.environ.get("ROUTER_TEST_FAULTS", "10"))
SEEDS = [int(seed) for seed in os.environ.get("ROUTER_TEST_SEEDS", "20261125").split(",")]
#: Handlers of two durations, one of them as long as a lease.
ROUTES = [
    ALL.replace("100ms", "20ms"),
    "{name: slow, type: incomingMessageReceived, handler: keep, options: {takes: 700ms}, concurrency: 64}",
]


class Chaos:
    """Lets one thing after another go wrong.

    Args:
        server: The database.
        fleet: Replicas, each behind a proxy of its own.
        proxies: Theirs.
        chance: Decides.
    """

    def __init__(self, server: Server, fleet: Fleet, proxies: list[Proxy], chance: Random) -> None:
        self._server = server
        self._fleet = fleet
        self._proxies = proxies
        self._chance = chance
        #: What happened.
        self.happened: list[str] = []
        #: Replicas that ran on while they were taken for dead, if they were.
        self.cut_off: set[str] = set()

    async def one(self) -> None:
        """Let something go wrong for a while, and wait a while."""
        faults: list[Callable[[Replica, Proxy, float], Awaitable[None]]] = [
            self._kill,
            self._stop,
            self._freeze,
            self._cut_off,
            self._reset,
            self._kill_server,
        ]
        fault = self._chance.choice(faults)
        number = self._chance.randrange(len(self._proxies))
        seconds = self._chance.choice([0.0, 0.5, 1.5, 3.0])
        self.happened.append(f"{fault.__name__.strip('_')} {number + 1} {seconds}")
        await fault(self._fleet.replicas[number], self._proxies[number], seconds)
        await asyncio.sleep(self._chance.choice([0.0, 0.5, 1.0]))

    async def _kill(self, replica: Replica, _: Proxy, seconds: float) -> None:
        await asyncio.to_thread(replica.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(replica.start)

    async def _stop(self, replica: Replica, _: Proxy, seconds: float) -> None:
        await asyncio.to_thread(replica.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(replica.start)

    async def _freeze(self, replica: Replica, _: Proxy, seconds: float) -> None:
        self.cut_off.add(replica.name)
        replica.freeze()
        await asyncio.sleep(seconds)
        replica.thaw()

    async def _cut_off(self, replica: Replica, proxy: Proxy, seconds: float) -> None:
        self.cut_off.add(replica.name)
        self._chance.choice([proxy.swallow, proxy.swallow_answers, proxy.refuse])()
        await asyncio.sleep(seconds)
        proxy.heal()

    async def _reset(self, replica: Replica, proxy: Proxy, seconds: float) -> None:
        self.cut_off.add(replica.name)
        proxy.reset()

    async def _kill_server(self, replica: Replica, proxy: Proxy, seconds: float) -> None:
        self.cut_off.update(one.name for one in self._fleet.replicas)
        await asyncio.to_thread(self._server.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._server.start)


@pytest.mark.parametrize("seed", SEEDS)
async def test_everything_at_once_loses_and_disorders_nothing(
    seed: int, tmp_path: Path, report: Report
) -> None:
    with Server() as server, ExitStack() as stack:
        url = new_audited_database(server)
        fleet = stack.enter_context(Fleet(tmp_path, url, *ROUTES))
        proxies = [stack.enter_context(Proxy(server.address, server.port)) for _ in range(3)]
        for proxy in proxies:
            fleet.add(url=proxy.leads_to(url))
        await asyncio.to_thread(fleet.start)
        chaos = Chaos(server, fleet, proxies, Random(seed))
        async with load_on(lambda: fleet.replicas, every=0.4, chats=12) as load:
            for _ in range(FAULTS):
                await chaos.one()
            await load.until(50)
        verdicts = [
            await judge(fleet, lambda statement: server.query(url, statement), load.answered, route=route)
            for route in ("all", "slow")
        ]
        report(f"quick: {verdicts[0]}; slow: {verdicts[1]}; {', '.join(chaos.happened)}")

        assert [verdict.wrong for verdict in verdicts] == [[], []]
        overlapping = {earlier.start.replica for verdict in verdicts for earlier, _ in verdict.overlaps}
        assert overlapping <= chaos.cut_off
