"""Who polls an instance: one process among all that share an inbox."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Pollers(Protocol):
    """Which instances this process polls. All methods belong to one event loop.

    For each instance, over and over: `taken`, then polling until `asked_back` returns, then `give_back`.
    """

    async def taken(self, instance: int) -> None:
        """Wait until this process is the one that polls it."""

    async def asked_back(self, instance: int) -> None:
        """Wait until it should stop: another process is to poll it, or may do so already."""

    def give_back(self, instance: int) -> None:
        """Say that it is not polled any more; nothing is stored or deleted for it from now on."""


class AllOurs:
    """The `Pollers` of an inbox that no other process shares."""

    async def taken(self, instance: int) -> None:
        """See `Pollers.taken`."""

    async def asked_back(self, instance: int) -> None:
        """See `Pollers.asked_back`."""
        await asyncio.Event().wait()

    def give_back(self, instance: int) -> None:
        """See `Pollers.give_back`."""
