"""``kill -9`` while notifications come in: what was answered 200 is there and gets handled, in order."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import send, sending

pytestmark = pytest.mark.system


@pytest.mark.timeout(300)
async def test_nothing_answered_is_lost_or_disordered_by_a_hundred_kills(
    tmp_path: Path, report: Report
) -> None:
    chance = random.Random(20261124)
    with Router(tmp_path) as router:
        router.start()
        async with sending(router) as sender:
            for _ in range(100):
                await asyncio.sleep(chance.uniform(0.02, 0.6))
                router.kill()
                await asyncio.to_thread(router.start)
        verdict = await judge(router, sender.answered)
        code = router.stop()
        report(verdict)

        assert code == 0
        assert (verdict.lost, verdict.violations) == ([], [])
        assert "Traceback" not in router.log.read_text()


async def test_a_handler_that_takes_the_process_down_ends_as_a_dead_letter(
    tmp_path: Path, report: Report
) -> None:
    """A supervisor starts the router again and again; what kills it must not do so for ever."""
    route = "{name: all, type: incomingMessageReceived, handler: deadly, retry: {attempts: 3}}"
    with Router(tmp_path, route) as router:
        router.start()
        await send(router, "other", 1)
        with suppress(OSError, EOFError):  # it may be gone before it has answered
            await send(router, "deadly", 1)
        while not router.deliveries().get("dead"):
            await until(lambda: router.has_ended() or router.deliveries().get("dead"), what="one more end")
            if router.has_ended():
                router.try_to_start()
        await send(router, "deadly2", 1)
        verdict = await judge(router, {"other": 1, "deadly2": 1})
        killed = router.record.count("start", "all") - 2
        report(f"{verdict}; the process was killed {killed} times before the delivery was dead")

        assert (verdict.lost, verdict.repeated - (killed - 1)) == ([], 0)
        await until(lambda: router.deliveries() == {"dead": 1, "done": 2}, what="the rest is done")
        assert killed == 4  # the first one left no trace
