"""What plugins leave behind in the event loop cannot end the process.

asyncio lets `SystemExit` and `KeyboardInterrupt` of any task through to whoever runs the loop. A task that
a handler or a hook began is that plugin's: there they become an error like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import structlog

from router.context import current_delivery

T = TypeVar("T")

#: The plugin whose hook runs in this task.
current_plugin: ContextVar[str | None] = ContextVar("current_plugin", default=None)

_log = structlog.get_logger("router.plugins")


def contain_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """See that no task of a plugin ends the loop."""
    loop.set_task_factory(_make_task)


def begin_task(plugin: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run a coroutine in a task that is the plugin's, whoever begins it."""
    context = copy_context()
    context.run(_belong_to, plugin)
    return context.run(asyncio.create_task, coro)


def _belong_to(plugin: str) -> None:
    current_plugin.set(plugin)
    current_delivery.set(None)


def _make_task(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **more: Any
) -> asyncio.Task[Any]:
    delivery, plugin = current_delivery.get(), current_plugin.get()
    if delivery is not None:
        coro = _Contained(coro, {"route": delivery.route, "handler": delivery.handler})
    elif plugin is not None:
        coro = _Contained(coro, {"plugin": plugin})
    return asyncio.Task(coro, loop=loop, **more)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that raises nothing by which a loop would end."""

    def __init__(self, inner: Any, owner: dict[str, str]) -> None:
        self._inner = inner
        self._owner = owner
        self.__name__ = getattr(inner, "__name__", type(inner).__name__)
        self.__qualname__ = getattr(inner, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        """See `Coroutine.send`."""
        try:
            return self._inner.send(value)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise self._told(exc) from exc

    def throw(self, *args: Any) -> Any:
        """See `Coroutine.throw`."""
        try:
            return self._inner.throw(*args)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise self._told(exc) from exc

    def close(self) -> None:
        """See `Coroutine.close`."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("a task drives it")

    def _told(self, exc: BaseException) -> RuntimeError:
        error = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        _log.error("plugin.task_exit", error=error, task=self.__qualname__, **self._owner)
        return RuntimeError(f"the task {self.__qualname__} raised {error}")
