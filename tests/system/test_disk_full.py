"""The disk of the inbox fills up under load, and gets room again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.faults import SmallDisk
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import Sender, ready, send, sending, until_ready

pytestmark = pytest.mark.system

#: Bytes of each body: so much that the disk is full before memory holds only a part of what waits.
PADDING = 5_000
#: Outcomes that may have to wait for space: of what ran, not of what was begun all the same.
MOST_KEPT = 100
ROUTE = "{name: all, type: incomingMessageReceived, handler: uneven}"


@pytest.fixture
def router(tmp_path: Path, disk: SmallDisk) -> Iterator[Router]:
    """Killed before its disk is taken away."""
    with Router(tmp_path, ROUTE, inbox="disk/router.db") as router:
        yield router


async def full(sender: Sender) -> None:
    """Wait until so many were refused that the disk has been full for a while."""
    await until(lambda: sender.refused > 50, what="a full disk")


def unsettled(router: Router) -> int:
    """Return how many deliveries were begun, and are not settled in the file."""
    begun = {(line.chat, line.number) for line in router.record.lines() if line.what == "start"}
    return len(begun) - router.deliveries()["done"]


async def test_a_full_disk_is_told_and_nothing_is_lost(
    disk: SmallDisk, router: Router, report: Report
) -> None:
    disk.fill(leave=6)
    router.start()
    async with sending(router, padding=PADDING) as sender:
        await full(sender)
        before, kept = sender.total, unsettled(router)
        refusal, readiness = await send(router, "other", 1), await ready(router)
        disk.free()
        await sender.until(before + 100)
    readiness_after = await ready(router)
    verdict = await judge(router, sender.answered)
    code = router.stop()
    report(f"{verdict}; {sender.refused} refused, {kept} outcomes kept until there was space")

    assert (refusal.status, refusal.headers["retry-after"]) == (503, "30")
    assert readiness.status == 503
    assert b"disk is full" in readiness.body
    assert readiness_after.status == 200
    assert {record["level"] for record in router.logged("inbox.unavailable")} == {"ERROR"}
    raised, recovered = router.logged("alert.raised"), router.logged("alert.recovered")
    assert {record["kind"] for record in [*raised, *recovered]} == {"inbox_unavailable"}
    assert len(raised) == len(recovered) > 0
    assert code == 0
    assert 0 < kept < MOST_KEPT
    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
    assert router.deliveries() == {"done": verdict.answered}
    assert router.query("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("how", ["kill -9", "SIGTERM"])
async def test_a_router_that_ends_while_the_disk_is_full_loses_nothing(
    how: str, disk: SmallDisk, router: Router, report: Report
) -> None:
    disk.fill(leave=6)
    router.start()
    async with sending(router, padding=PADDING) as sender:
        await full(sender)
        code = await asyncio.to_thread(router.stop if how == "SIGTERM" else router.kill)
        sender.stopped = True
    again = unsettled(router)
    if await asyncio.to_thread(router.try_to_start):  # without a word to the disk it cannot know
        started = "started, answered 503"
        refusal, readiness = await send(router, "other", 1), await ready(router)
        assert (refusal.status, readiness.status) == (503, 503)
        disk.free()
    else:
        started = "did not start"
        assert router.wait() == 3
        assert router.tail().endswith("database or disk is full\n")
        disk.free()
        await asyncio.to_thread(router.start)
    verdict = await judge(router, sender.answered)
    report(f"{verdict}; {again} outcomes could not be written before the end; on the full disk it {started}")

    assert code == (0 if how == "SIGTERM" else None)
    assert again > 0
    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], again, [])
    await until(lambda: router.deliveries() == {"done": verdict.answered}, what="everything settled")
    await until_ready(router)
    assert router.stop() == 0


async def test_a_router_without_an_inbox_does_not_start_on_a_full_disk(
    disk: SmallDisk, router: Router
) -> None:
    disk.fill()
    router.launch()
    assert await asyncio.to_thread(router.wait) == 3
    assert len(router.log.read_text().splitlines()) == 1
    assert "disk" in router.tail()
    disk.free()
    router.start()
    assert router.stop() == 0
