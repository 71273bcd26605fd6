"""System calls on the inbox's file fail, as they do on a disk that breaks.

strace lets them fail without doing them. What a disk forgets after it said "written", or after an
``fdatasync`` that failed, cannot be shown in this way: the kernel still has the pages.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.faults import failing
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import ready, send, sending, until_ready

pytestmark = pytest.mark.system

ROUTE = "{name: all, type: incomingMessageReceived, handler: uneven}"


@pytest.mark.parametrize("end", ["over", "kill -9"])
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", ["1+", "3+5"], ids=["each", "each fifth"])
async def test_calls_that_fail_lose_nothing(
    call: str, when: str, end: str, tmp_path: Path, report: Report
) -> None:
    trace = tmp_path / "trace"
    with Router(tmp_path, ROUTE) as router:
        router.start()
        async with sending(router) as sender:
            await sender.until(500)
            with failing(call, router.pid, trace, when=when):
                await until(lambda: sender.refused > 50, what="refusals")
                if end == "kill -9":
                    router.kill()
            if end == "kill -9":
                await asyncio.to_thread(router.start)
            await sender.until(sender.total + 500)
        verdict = await judge(router, sender.answered)
        duplicates = router.query("SELECT sum(duplicates) FROM events")[0][0]
        code = router.stop()
        report(
            f"{verdict}; {sender.refused} refused, of which {duplicates} were there all the same; "
            f"{trace.read_text().count('INJECTED')} calls failed"
        )

        assert code == 0
        assert (verdict.lost, verdict.violations) == ([], [])
        if end == "over":
            assert verdict.repeated == 0
            assert router.logged("alert.recovered")
        assert router.deliveries() == {"done": verdict.answered}
        assert router.query("PRAGMA integrity_check") == [("ok",)]


async def test_a_file_that_cannot_be_read_is_told_and_survived(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with Router(tmp_path) as router:
        router.start()
        assert (await send(router, "chat", 1)).status == 200
        with failing("pread64", router.pid, trace):
            with closing(sqlite3.connect(router.inbox)) as other:  # what is cached is no longer of use
                other.execute("INSERT INTO changes (route, lane) VALUES ('all', 'none')")
                other.commit()
            assert (await send(router, "chat", 2)).status == 503
            await until(lambda: trace.read_text().count("INJECTED") > 5, what="more tries", patience=10)
            assert (await send(router, "chat", 2)).status == 503
            assert (await ready(router)).status == 503
        await until_ready(router)
        assert (await send(router, "chat", 2)).status == 200
        verdict = await judge(router, {"chat": 2})
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
