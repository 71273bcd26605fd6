"""``kill -9`` while notifications come in: what was answered 200 is there and gets handled, in order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge
from tests.system.sender import sending

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
