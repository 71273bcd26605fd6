"""Waiting for an answer that does not come any more once the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Lost(Exception):
    """Raised when the connection is lost before the answer came."""


class Loss:
    """Happens once, when a connection is lost; for clients that leave those who wait without a word."""

    def __init__(self) -> None:
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
        try:
            await asyncio.wait((answered, self._happened), return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                raise Lost
            return answered.result()
        finally:
            answered.cancel()
