"""The disk that the log is written to fills up: the router goes on, and the log does once there is space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.system.conftest import Report
from tests.system.faults import SmallDisk
from tests.system.harness import Router
from tests.system.judge import judge
from tests.system.sender import sending

pytestmark = pytest.mark.system


@pytest.fixture
def router(tmp_path: Path, disk: SmallDisk) -> Iterator[Router]:
    """Killed before the disk of its log is taken away."""
    with Router(tmp_path, log="disk/log") as router:
        yield router


@pytest.fixture(params=[pytest.param("1", id="unbuffered"), pytest.param("", id="buffered")])
def mute(request: pytest.FixtureRequest, disk: SmallDisk, router: Router) -> Router:
    """Have a router that runs and cannot write its log, with and without a buffer of Python's."""
    router.start(environ={"PYTHONUNBUFFERED": request.param})
    disk.fill()
    return router


async def test_a_log_that_cannot_be_written_stops_nobody(
    disk: SmallDisk, router: Router, report: Report
) -> None:
    router.start()
    disk.fill()
    async with sending(router) as sender:
        await sender.until(1000)
        disk.free()
        size = router.log.stat().st_size
        await sender.until(sender.total + 200)
    verdict = await judge(router, sender.answered)
    logged = len(router.log.read_bytes()[size:].splitlines())
    report(f"{verdict}; {logged} lines were logged once there was space")

    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
    assert sender.refused == 0
    assert logged > 200
    assert router.stop() == 0


async def test_the_exit_code_is_0_while_the_log_cannot_be_written(mute: Router) -> None:
    async with sending(mute) as sender:
        await sender.until(100)
    assert mute.stop() == 0


async def test_each_line_is_whole_but_the_one_that_was_cut_off(disk: SmallDisk, mute: Router) -> None:
    async with sending(mute) as sender:
        await sender.until(100)
        disk.free()
        await sender.until(sender.total + 100)
    assert mute.stop() == 0
    lines = mute.log.read_bytes().splitlines()
    last = lines.index(next(line for line in lines if b"router.stopped" in line))
    cut_off = [line for line in lines if not is_whole(line)]
    assert len(cut_off) <= 1
    assert all(line.count(b'{"timestamp"') <= 1 for line in cut_off)
    assert last == len(lines) - 1


def is_whole(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
