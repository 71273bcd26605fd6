"""SIGTERM under load: exit code 0, nothing lost, nothing handled twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import send, sending

pytestmark = pytest.mark.system


@pytest.mark.parametrize("handler", ["keep", "uneven"])
@pytest.mark.parametrize("signals", [1, 2])
async def test_sigterm_under_load_loses_nothing_and_repeats_nothing(
    handler: str, signals: int, tmp_path: Path, report: Report
) -> None:
    codes = []
    with Router(tmp_path, f"{{name: all, type: incomingMessageReceived, handler: {handler}}}") as router:
        router.start()
        async with sending(router) as sender:
            for _ in range(5):
                await sender.until(sender.total + 300)
                for _ in range(signals):
                    router.terminate()
                codes.append(await asyncio.to_thread(router.wait))
                await asyncio.to_thread(router.start)
            await sender.until(sender.total + 300)
        verdict = await judge(router, sender.answered)
        codes.append(router.stop())
        report(f"{verdict}; exit codes {codes}")

        assert codes == [0] * 6
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert router.deliveries() == {"done": verdict.answered}
        assert "Traceback" not in router.log.read_text()


async def test_what_does_not_end_in_time_is_given_back(tmp_path: Path) -> None:
    route = "{name: all, type: incomingMessageReceived, handler: hang}"
    with Router(tmp_path, route, settings="delivery: {shutdown_grace: 1s}") as router:
        router.start()
        await send(router, "chat", 1)
        await until(lambda: router.record.count("start"), what="a handler that hangs")

        assert await asyncio.to_thread(router.stop) == 0
        assert [record["attempt"] for record in router.logged("delivery.interrupted")] == [1]
        assert router.query("SELECT status, attempts FROM deliveries") == [("pending", 0)]


async def test_a_thread_that_never_returns_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    route = "{name: all, type: incomingMessageReceived, handler: hang_in_thread}"
    with Router(tmp_path, route, settings="delivery: {shutdown_grace: 1s}") as router:
        router.start()
        await send(router, "chat", 1)
        await until(lambda: router.record.count("start"), what="a handler that hangs")
        router.terminate()
        await until(lambda: router.logged("router.stopped"), what="the end of the router")
        await until(router.has_ended, what="the end of the process", patience=5)
        assert router.wait() == 0


async def test_a_handler_that_refuses_to_be_cancelled_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    route = "{name: all, type: incomingMessageReceived, handler: stubborn}"
    with Router(tmp_path, route, settings="delivery: {shutdown_grace: 1s}") as router:
        router.start()
        await send(router, "chat", 1)
        await until(lambda: router.record.count("start") == 1, what="the handler begins")

        code = router.stop()

        assert code == 0
        assert len(router.logged("router.left")) == 1
        router.start()
        await until(lambda: router.record.count("start") == 2, what="the delivery runs again")


async def test_a_thread_that_asyncio_waits_for_does_not_keep_the_process_alive(
    tmp_path: Path, report: Report
) -> None:
    route = "{name: all, type: incomingMessageReceived, handler: hang_in_executor}"
    with Router(tmp_path, route, settings="delivery: {shutdown_grace: 1s}") as router:
        router.start()
        await send(router, "chat", 1)
        await until(lambda: router.record.count("start"), what="a handler whose thread hangs")

        assert await asyncio.to_thread(router.stop) == 0
        (stopped,), (left,) = router.logged("router.stopped"), router.logged("router.left")
        took = datetime.fromisoformat(left["timestamp"]) - datetime.fromisoformat(stopped["timestamp"])
        report(f"ended {took.total_seconds():.1f} s after router.stopped")
        assert took < timedelta(seconds=3)
        assert router.query("SELECT status, attempts FROM deliveries") == [("pending", 0)]
