"""The wall clock is set, while the router runs and while it does not."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.system.conftest import Report
from tests.system.faults import Clock
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import send, sending

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROUTES = [
    "{name: all, type: incomingMessageReceived, handler: keep, when: {text: [{prefix: chat}]}}",
    "{name: again, type: incomingMessageReceived, handler: flaky, when: {text: [{prefix: again}]},"
    " retry: {first: 5s}}",
    "{name: twice, type: incomingMessageReceived, handler: keep, when: {text: [{prefix: twice}]}}",
]
OFFSETS = {
    "-1h": timedelta(hours=-1),
    "-30d": timedelta(days=-30),
    "+1h": timedelta(hours=1),
    "+30d": timedelta(days=30),
}
#: Seconds that a delivery may wait for an attempt which is due after five: far less than the clock is off.
PATIENCE = 20.0


@pytest.mark.parametrize("when", ["while it runs", "across a restart"])
@pytest.mark.parametrize("offset", OFFSETS)
async def test_a_clock_that_is_set(offset: str, when: str, tmp_path: Path, report: Report) -> None:
    clock = Clock(tmp_path)
    with Router(tmp_path, *ROUTES) as router:
        router.start(environ=clock.environ)
        async with sending(router) as sender:
            await sender.until(200)
            for chat in ("twice", "again"):
                assert (await send(router, chat, 1)).status == 200
            await until(lambda: waiting_for_a_retry(router), what="a delivery that waits for its retry")
            before = now_of(router)
            clock.set(offset)
            if when == "across a restart":
                assert await asyncio.to_thread(router.stop) == 0
                assert waiting_for_a_retry(router)
                await asyncio.to_thread(router.start, environ=clock.environ)
            await sender.until(sender.total + 200)
            moved = now_of(router) - before
            receipt = orjson.loads((await send(router, "twice", 1)).body)["status"]
        waited = await judge(router, {"again": 1}, route="again", patience=PATIENCE)
        verdict = await judge(router, sender.answered)
        retry = "still waits" if waited.lost else "is done"
        report(f"{verdict}; the same again: {receipt}; a retry of 5 s {retry}")

        assert abs(moved - OFFSETS[offset]) < timedelta(minutes=1)
        assert receipt == ("accepted" if offset == "+30d" else "duplicate")
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert router.stop() == 0
        assert (waited.lost, waited.repeated) == ([], 0)


def waiting_for_a_retry(router: Router) -> bool:
    return bool(router.query("SELECT 1 FROM deliveries WHERE status = 'pending' AND due_at IS NOT NULL"))


def now_of(router: Router) -> datetime:
    """Return what the router takes for the time, from its log."""
    return datetime.fromisoformat(router.logged("notification.accepted")[-1]["timestamp"])
