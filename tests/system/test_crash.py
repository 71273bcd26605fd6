"""``kill -9`` while notifications come in: what was answered 200 is there and gets handled, in order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.system.harness import Router, Sender, delivered, order_violations, repeats

pytestmark = pytest.mark.system

CHATS = [f"chat{number}" for number in range(16)]


@pytest.mark.timeout(300)
async def test_nothing_answered_is_lost_or_disordered_by_a_hundred_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(20261124)
    router = Router(tmp_path)
    router.start()
    sender = Sender(router, CHATS)
    sending = asyncio.ensure_future(sender.run())

    for _ in range(100):
        await asyncio.sleep(chance.uniform(0.02, 0.6))
        router.kill()
        await asyncio.to_thread(router.start)
    sender.stopped = True
    await sending
    await delivered(router, sender.answered)

    assert router.stop() == 0
    record = router.record()
    with capsys.disabled():
        print(f"\n100 kills: {sum(sender.answered.values())} answered, {repeats(record)} handled twice")
    assert order_violations(record) == []
    assert "Traceback" not in router.log.read_text()


async def test_sigterm_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    router = Router(tmp_path)
    router.start()
    sender = Sender(router, CHATS)
    sending = asyncio.ensure_future(sender.run())

    codes = []
    for _ in range(5):
        await asyncio.sleep(0.3)
        codes.append(await asyncio.to_thread(router.stop))
        await asyncio.to_thread(router.start)
    sender.stopped = True
    await sending
    await delivered(router, sender.answered)
    codes.append(router.stop())

    record = router.record()
    assert codes == [0] * 6
    assert repeats(record) == 0
    assert order_violations(record) == []
