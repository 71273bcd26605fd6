"""What a route calls: a function or an object, with what it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from router import hookimpl, plugins
from router.dispatch import Target
from router.events import Event
from router.handlers import RouteHandler
from router.plugins import Wanted
from tests.inbox.build import entry, event
from tests.test_dispatch import route, running
from tests.test_watchdog import Told, told  # noqa: F401 - a fixture


def made(handler: Callable[..., Any], name: str = "it", **options: Any) -> RouteHandler:
    """Return what a route calls if a plugin registers this handler."""

    class Plugin:
        @hookimpl
        def register_handlers(self, register: Any) -> None:
            register(name, handler)

    found = plugins.load(Wanted(), None, [Plugin])
    assert not found.problems, found.problems
    return RouteHandler(route(handler=name, options=options), found.handlers[name])


def target(handler: RouteHandler) -> Target:
    return Target(
        route=handler.route,
        handler=handler.call,
        is_async=handler.registered.is_async,
        plugin="test 1.0",
        options=handler.options,
    )


class Failing:
    async def __call__(self, event: Event) -> None:
        raise ValueError(event.id)


async def by_name(event: Event) -> None:
    raise ValueError(event.id)


def in_thread(event: Event) -> None:
    raise ValueError(event.id)


async def as_usual(event: Event, context: object) -> None:
    raise ValueError(event.id)


@pytest.mark.parametrize("function", [Failing, by_name, in_thread, as_usual])
async def test_a_traceback_begins_with_the_handler(function: Callable[..., Any]) -> None:
    handler = made(function)
    await handler.start(None)
    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        (dead,) = await run.settled()
    trace = str(dead.history[0].traceback)
    assert trace.splitlines()[1].startswith(f'  File "{__file__}"')
    assert "router/arguments.py" not in trace


async def test_a_handler_that_takes_an_event_and_a_context_is_called_as_it_is() -> None:
    assert made(as_usual).call is as_usual


async def test_a_task_that_a_class_of_handlers_left_behind_is_named_when_it_blocks(
    told: Told,  # noqa: F811
) -> None:
    left: list[asyncio.Task[None]] = []

    async def left_behind() -> None:
        told.blocking.wait(30)

    class Leaving:
        async def __call__(self) -> None:
            left.append(asyncio.create_task(left_behind()))

    handler = made(Leaving)
    await handler.start(None)
    async with running(target(handler)) as run:
        await run.inbox.put(entry(event(1)))
        await run.settled()
        await asyncio.gather(*left)
    blocking, _ = told.facts()
    assert blocking == ("handler.blocking", {"plugin": "test 1.0", "handler": "it", "route": "orders"})
