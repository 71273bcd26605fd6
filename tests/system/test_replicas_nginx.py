"""nginx in front of replicas, as it is shipped: whoever sends does not notice that one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.judge import until
from tests.system.replicas.judge import judge
from tests.system.replicas.load import load_on
from tests.system.replicas.nginx import Nginx
from tests.system.replicas.running import three
from tests.system.replicas.servers import Server

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


async def test_no_request_fails_while_replicas_die_and_come_back(
    server: Server, tmp_path: Path, report: Report
) -> None:
    async with three(server, tmp_path / "fleet") as (fleet, ask):
        with Nginx(tmp_path / "nginx", fleet.replicas) as nginx:
            # GREEN-API waits longer than nginx may take for all of its tries.
            async with load_on(lambda: [nginx], limit=30.0) as load:
                *killed, stopped = fleet.replicas
                for replica in killed:
                    await load.until(100)
                    await asyncio.to_thread(replica.kill)
                    await load.until(100)
                    await asyncio.to_thread(replica.start)
                    await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
                code = await asyncio.to_thread(stopped.stop)
                await load.until(100)
            verdict = await judge(fleet, ask, load.answered)
            slowest = max(one.answered_at - one.sent_at for one in load.answered)
            passed_on = nginx.log.count("while connecting to upstream") + nginx.log.count(
                "upstream prematurely"
            )
            report(f"{verdict}; slowest answer {slowest:.2f} s; nginx tried another one {passed_on} times")

        assert (verdict.wrong, verdict.overlaps) == ([], [])
        assert (load.refused, load.unanswered) == ({}, 0)
        assert code == 0
        assert passed_on
