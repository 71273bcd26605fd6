"""Handlers that are slow, hang or get most of the load: the others' deliveries go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import sending

pytestmark = pytest.mark.system

#: More lanes than deliveries may run at once, over all routes.
MANY = [f"chat{number}" for number in range(300)]
OTHERS = MANY[:7]
#: One connection, as of one instance: three of ten notifications are of one chat.
TURNS = ["hot", *OTHERS[:2], "hot", *OTHERS[2:4], "hot", *OTHERS[4:]]
CONCURRENCY = 16
ROUTES = [
    "{name: all, type: incomingMessageReceived, handler: keep}",
    "{name: slow, type: incomingMessageReceived, handler: slow, concurrency: 1}",
    "{name: hang, type: incomingMessageReceived, handler: hang, timeout: 1s}",
    "{name: hang-in-thread, type: incomingMessageReceived, handler: hang_in_thread, timeout: 1s}",
]


async def test_a_slow_route_and_routes_that_hang_hold_up_no_other(tmp_path: Path, report: Report) -> None:
    with Router(tmp_path, *ROUTES) as router:
        router.start()
        async with sending(router, [MANY]) as sender:
            await sender.until(1000)
        verdict = await judge(router, sender.answered)
        slow, hanging = router.record.count("end", "slow"), router.record.count("start", "hang")
        report(f"{verdict}; meanwhile {slow} on the slow route, {hanging} begun where it hangs")

        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert 0 < slow < verdict.answered
        for route in ("hang", "hang-in-thread"):
            assert router.record.count("start", route) >= CONCURRENCY
            assert router.record.count("end", route) == 0
        await until(lambda: router.logged("delivery.failed"), what="the first time-outs")
        assert {record["outcome"] for record in router.logged("delivery.failed")} == {"timeout"}


async def test_a_hot_chat_holds_up_no_other(tmp_path: Path, report: Report) -> None:
    route = "{name: all, type: incomingMessageReceived, handler: slow}"
    with Router(tmp_path, route) as router:
        router.start()
        async with sending(router, [TURNS]) as sender:
            await sender.until(500)
        hot = sender.answered.pop("hot")
        others = await judge(router, sender.answered)
        waiting = hot - sum(line.chat == "hot" for line in router.record.lines() if line.what == "end")
        everything = await judge(router, {**sender.answered, "hot": hot})
        report(f"{everything}; {waiting} of {hot} of the hot chat still waited when the others were done")

        assert waiting > 0
        assert (others.lost, others.repeated, others.violations) == ([], 0, [])
        assert (everything.lost, everything.repeated, everything.violations) == ([], 0, [])
        assert router.stop() == 0


async def test_routes_that_hang_do_not_take_all_slots(tmp_path: Path, report: Report) -> None:
    hanging = [f"{{name: hang{n}, type: incomingMessageReceived, handler: hang}}" for n in range(17)]
    with Router(tmp_path, ROUTES[0], *hanging) as router:
        router.start()
        async with sending(router) as sender:
            await sender.until(500)
        verdict = await judge(router, sender.answered, patience=5)
        report(verdict)
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
