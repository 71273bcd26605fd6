"""What is asynchronous, for code in threads: methods run in the event loop, and the thread waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Wrapped = TypeVar("Wrapped")

#: Starts something in the event loop.
Start = Callable[[], Coroutine[Any, Any, Any]]
#: Runs what it is given in the event loop, and returns what comes of it.
Wait = Callable[[Start], Any]


class Blocking(Generic[Wrapped]):
    """Something asynchronous whose methods block.

    Args:
        wrapped: What does it.
        wait: Runs its methods.
    """

    def __init__(self, wrapped: Wrapped, wait: Wait) -> None:
        self._wrapped = wrapped
        self._wait = wait


def blocking(
    method: Callable[Concatenate[Wrapped, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[Wrapped], P], T]:
    """Return the blocking form of a method."""

    @wraps(method)
    def block(self: Blocking[Wrapped], /, *args: P.args, **kwargs: P.kwargs) -> T:
        # By its name, since what is wrapped may have a method of its own in place of this one.
        bound: Callable[P, Coroutine[Any, Any, T]] = getattr(self._wrapped, method.__name__)
        result: T = self._wait(lambda: bound(*args, **kwargs))
        return result

    return block


def waiting_in(loop: asyncio.AbstractEventLoop) -> Wait:
    """Return what runs coroutines in a loop for the threads beside it."""

    def wait(start: Start) -> Any:
        if _is_in_a_loop():
            raise RuntimeError("this would block the event loop: an async def handler awaits, with a Context")
        coroutine = start()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise
        return future.result()

    return wait


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
