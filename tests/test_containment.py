"""What a plugin leaves behind in the event loop cannot end it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from router.containment import begin_task, contain_tasks, current_plugin
from router.context import Context, Delivery, current_delivery
from router.events import Event
from tests.conftest import Log
from tests.inbox.build import entry, event
from tests.test_dispatch import running, target

DELIVERY = Delivery(7, "e1", "orders", "crm", 1)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(autouse=True)
async def contained() -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    contain_tasks(loop)
    yield
    loop.set_task_factory(None)


async def raising(exception: BaseException) -> None:
    await asyncio.sleep(0)
    raise exception


def of_plugin(make: Callable[[], asyncio.Task[Any]]) -> asyncio.Task[Any]:
    context = contextvars.copy_context()
    context.run(current_plugin.set, "crm")
    return context.run(make)


EXITS = {
    "SystemExit": (SystemExit(3), "SystemExit: 3"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
}


@pytest.mark.parametrize(("exception", "told"), EXITS.values(), ids=EXITS.keys())
async def test_a_task_of_a_plugin_that_exits_fails_and_is_told(
    log: Log, exception: BaseException, told: str
) -> None:
    task = of_plugin(lambda: asyncio.create_task(raising(exception)))
    with pytest.raises(RuntimeError, match=f"the task raising raised {told}"):
        await task
    (exit_,) = log.named("plugin.task_exit")
    assert (exit_["level"], exit_["plugin"], exit_["task"], exit_["error"]) == (
        "ERROR",
        "crm",
        "raising",
        told,
    )


async def test_a_task_that_a_task_begins_is_the_plugins_too(log: Log) -> None:
    inner: list[asyncio.Task[None]] = []

    async def outer() -> None:
        inner.append(asyncio.create_task(raising(SystemExit(3))))

    await of_plugin(lambda: asyncio.create_task(outer()))
    await asyncio.gather(*inner, return_exceptions=True)
    assert [record["plugin"] for record in log.named("plugin.task_exit")] == ["crm"]


@pytest.mark.parametrize("how", [asyncio.create_task, asyncio.ensure_future])
async def test_a_task_of_a_handler_that_exits_is_told_with_its_route(
    log: Log, how: Callable[..., Any]
) -> None:
    left: list[asyncio.Task[None]] = []

    async def handler(event: Event, context: Context) -> None:
        left.append(how(raising(SystemExit(3))))

    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (done,) = await run.settled()
        await asyncio.gather(*left, return_exceptions=True)
    assert done.status == "done"
    (exit_,) = log.named("plugin.task_exit")
    assert (exit_["route"], exit_["handler"]) == ("orders", "h")


async def test_what_a_task_group_of_a_plugin_raises_comes_out_of_it(log: Log) -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(raising(SystemExit(3)))

    with pytest.raises(ExceptionGroup):
        await of_plugin(lambda: asyncio.create_task(work()))


async def test_results_errors_and_cancellation_are_as_ever() -> None:
    async def value() -> int:
        await asyncio.sleep(0)
        return 5

    assert await of_plugin(lambda: asyncio.create_task(value())) == 5
    with pytest.raises(ValueError, match="no"):
        await of_plugin(lambda: asyncio.create_task(raising(ValueError("no"))))
    task = of_plugin(lambda: asyncio.create_task(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_keeps_its_name_and_context() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, 7)

    async def look() -> int:
        return variable.get()

    task = of_plugin(lambda: asyncio.create_task(look(), name="looking", context=context))
    assert (task.get_name(), await task) == ("looking", 7)
    assert "look()" in repr(task)


async def test_tasks_of_nobodys_plugin_are_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    coroutine = task.get_coro()
    assert asyncio.iscoroutine(coroutine)
    assert type(coroutine).__name__ == "coroutine"
    await task


async def test_a_task_that_is_begun_for_a_plugin_is_its_own_and_no_deliverys() -> None:
    async def look() -> tuple[Any, Any]:
        return current_plugin.get(), current_delivery.get()

    token = current_delivery.set(DELIVERY)
    assert await begin_task("crm", look()) == ("crm", None)
    assert (current_plugin.get(), current_delivery.get()) == (None, DELIVERY)
    current_delivery.reset(token)
