"""Waiting for an answer that does not come any more once the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks whether a connection was lost without a word.
_LOOK = 0.5


class Lost(Exception):
    """Raised when the connection is lost before the answer came."""


class Loss:
    """Happens once, when a connection is lost; for clients that leave those who wait without a word.

    Args:
        has_happened: Tells whether the client is disconnected, should it not call `happen`.
    """

    def __init__(self, has_happened: Callable[[], bool] = lambda: False) -> None:
        self._has_happened = has_happened
        self._happened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def happen(self) -> None:
        """Tell all who wait."""
        if not self._happened.done():
            self._happened.set_result(None)

    async def or_answer(self, answer: Awaitable[T]) -> T:
        """Return the answer.

        Raises:
            Lost: The connection is lost.
        """
        answered = asyncio.ensure_future(answer)
        answered.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, if nobody waits
        either = (answered, self._happened)
        try:
            while not (await asyncio.wait(either, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED))[0]:
                if self._has_happened():
                    self.happen()
            if not answered.done():
                raise Lost
            return answered.result()
        finally:
            answered.cancel()
