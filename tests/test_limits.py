from __future__ import annotations

import asyncio

from anyio import create_task_group, fail_after, wait_all_tasks_blocked

from router.limits import Limit, Limits


async def test_a_task_that_passes_its_limit_is_cancelled_and_goes_on_after_it_is_cleared() -> None:
    told: list[str] = []
    limits: Limits[str] = Limits(told.append)
    passed: list[bool] = []

    async def work() -> None:
        limit = limits.of_this_task()
        limit.set(0.01, "first")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            passed.append(limit.clear())
        await asyncio.sleep(0)  # the task is itself again
        limit.set(60, "second")
        await asyncio.sleep(0)
        passed.append(limit.clear())

    with fail_after(10):
        async with create_task_group() as tasks:
            tasks.start_soon(limits.watch)
            await asyncio.gather(asyncio.create_task(work()))
            tasks.cancel_scope.cancel()

    assert passed == [True, False]
    assert told == []


async def test_a_task_that_goes_on_all_the_same_is_cancelled_again() -> None:
    told: list[str] = []
    limits: Limits[str] = Limits(told.append)
    cancelled = 0

    async def work() -> None:
        nonlocal cancelled
        limit = limits.of_this_task()
        limit.set(0.0, "stubborn")
        while cancelled < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1
        limit.clear()

    with fail_after(10):
        async with create_task_group() as tasks:
            tasks.start_soon(limits.watch)
            await asyncio.gather(asyncio.create_task(work()))
            tasks.cancel_scope.cancel()

    assert cancelled == 2
    assert told == ["stubborn"]


async def test_a_limit_that_is_cleared_in_time_cancels_nothing() -> None:
    task = asyncio.current_task()
    assert task is not None
    limit: Limit[str] = Limit(task, asyncio.get_running_loop(), asyncio.Event())

    limit.set(60, "work")

    assert limit.clear() is False
    assert task.cancelling() == 0


async def test_it_looks_at_nothing_while_nothing_is_worked_on() -> None:
    limits: Limits[str] = Limits(print)
    loop = asyncio.get_running_loop()

    async with create_task_group() as tasks:
        tasks.start_soon(limits.watch)
        await wait_all_tasks_blocked()
        before = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        limit = limits.of_this_task()
        limit.set(60, "work")
        await wait_all_tasks_blocked()
        after = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert (len(after) - len(before), limits.at_work()) == (1, [(asyncio.current_task(), "work")])
        limit.clear()
        assert limits.at_work() == []
        tasks.cancel_scope.cancel()
