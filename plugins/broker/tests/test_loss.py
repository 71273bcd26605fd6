from __future__ import annotations

import asyncio

import pytest
from router_broker import loss
from router_broker.loss import Loss, Lost


async def never() -> None:
    await asyncio.Event().wait()


async def test_an_answer_is_returned() -> None:
    assert await Loss().or_answer(asyncio.sleep(0, "answer")) == "answer"


async def test_an_error_is_raised() -> None:
    async def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await Loss().or_answer(fail())


async def test_all_who_wait_are_told_of_a_loss() -> None:
    lost = Loss()
    waiting = [asyncio.create_task(lost.or_answer(never())) for _ in range(3)]
    await asyncio.sleep(0)

    lost.happen()

    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {Lost}


async def test_after_a_loss_no_answer_is_waited_for() -> None:
    lost = Loss()
    lost.happen()
    lost.happen()

    with pytest.raises(Lost):
        await lost.or_answer(never())


async def test_a_loss_without_a_word_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "_LOOK", 0.001)
    looks = iter([False, False, True])

    with pytest.raises(Lost):
        await Loss(lambda: next(looks)).or_answer(never())


async def test_what_was_waited_for_is_cancelled_with_the_waiting() -> None:
    ended = asyncio.Event()

    async def answer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(Loss().or_answer(answer()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()

    await ended.wait()
