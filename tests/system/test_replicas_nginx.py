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
from tests.system.sender import Answer, answer_of, hang_up, notification, request

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


async def test_no_request_fails_while_a_replica_stands_still(
    server: Server, tmp_path: Path, report: Report
) -> None:
    async with three(server, tmp_path / "fleet") as (fleet, ask):
        first = fleet.replicas[0]
        with Nginx(tmp_path / "nginx", fleet.replicas) as nginx:
            async with load_on(lambda: [nginx], limit=30.0) as load:
                await load.until(100)
                first.freeze()
                await until(lambda: "upstream timed out" in nginx.log, what="the time limit of nginx")
                await load.until(100)
                first.thaw()
                await until(lambda: len(first.logged("inbox.joined")) == 2, what="a new lease")
                await load.until(100)
            verdict = await judge(fleet, ask, load.answered)
            slowest = max(one.answered_at - one.sent_at for one in load.answered)
            report(f"{verdict}; slowest answer {slowest:.2f} s")

        assert verdict.wrong == []
        assert (load.refused, load.unanswered) == ({}, 0)
        assert {earlier.start.replica for earlier, _ in verdict.overlaps} <= {first.name}


async def test_the_address_of_the_sender_is_passed_on_and_cannot_be_forged(
    server: Server, tmp_path: Path
) -> None:
    allowed, other = "127.0.0.5", "127.0.0.6"
    settings = f"webhook: {{trusted_proxies: [127.0.0.1], allow: [{allowed}]}}"
    async with three(server, tmp_path / "fleet", settings=settings) as (fleet, _):
        with Nginx(tmp_path / "nginx", fleet.replicas) as nginx:
            body = notification("chat", 1)
            forged = f"X-Forwarded-For: {allowed}"
            assert (await post_from(nginx, body, allowed)).status == 200
            assert (await post_from(nginx, body, other)).status == 403
            assert (await post_from(nginx, body, other, forged)).status == 403
            assert (await post_from(nginx, body, allowed, f"X-Forwarded-For: {other}")).status == 200
            assert (await post_from(nginx, bytes(2 << 20), allowed)).status == 200  # no JSON: it is kept
            assert (await post_from(nginx, bytes((2 << 20) + 1), allowed)).status == 413


async def test_who_sends_too_much_is_told_so_and_loses_nothing(
    server: Server, tmp_path: Path, report: Report
) -> None:
    slower = {"rate=2000r/s": "rate=50r/s", "burst=2000": "burst=4"}
    async with three(server, tmp_path / "fleet") as (fleet, ask):
        with Nginx(tmp_path / "nginx", fleet.replicas, slower) as nginx:
            async with load_on(lambda: [nginx], limit=15.0, every=0) as load:
                await load.until(150)
            verdict = await judge(fleet, ask, load.answered)
            report(f"{verdict}; refused {dict(load.refused)}")

        assert (verdict.wrong, verdict.overlaps, verdict.repeats) == ([], [], 0)
        assert set(load.refused) == {429}


async def post_from(nginx: Nginx, body: bytes, source: str, header: str = "X-Nothing: here") -> Answer:
    """Send a body from an address of this machine."""
    reader, writer = await asyncio.open_connection(nginx.host, nginx.port, local_addr=(source, 0))
    try:
        head, _, rest = request(body).partition(b"\r\n\r\n")
        writer.write(head + f"\r\n{header}\r\n\r\n".encode() + rest)
        return await answer_of(reader)
    finally:
        await hang_up(writer)
