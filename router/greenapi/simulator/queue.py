"""The queue of one instance: first in, first out, and nothing stays longer than a day."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from router.greenapi.simulator.clock import Clock

#: Seconds that a notification is kept.
RETENTION = 24 * 3600.0


@dataclass(slots=True)
class Entry:
    """A notification that waits."""

    receipt: int
    body: bytes
    #: When it is lost, by GREEN-API's clock.
    until: float
    #: Whether it was given out; only then it can be deleted.
    was_received: bool = False


class Queue:
    """What waits to be received; only the head can be received and removed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        #: How many were ever put in.
        self.total = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        self._drop_old()
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        self._drop_old()
        return iter(self._entries)

    def put(self, body: bytes) -> Entry:
        """Add a notification at the end."""
        self.total += 1
        entry = Entry(self.total, body, self._clock.now() + RETENTION)
        self._entries.append(entry)
        self._filled.set()
        return entry

    def head(self) -> Entry | None:
        """Return the oldest one that waits."""
        self._drop_old()
        return self._entries[0] if self._entries else None

    async def first(self) -> Entry:
        """Return the oldest one that waits, once there is one."""
        while (entry := self.head()) is None:
            self._filled.clear()
            await self._filled.wait()
        return entry

    def remove(self, receipt: int) -> bool:
        """Remove the head, if this is its receipt and it was received; return whether it was."""
        entry = self.head()
        if entry is None or entry.receipt != receipt or not entry.was_received:
            return False
        self._entries.popleft()
        return True

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()

    def _drop_old(self) -> None:
        while self._entries and self._entries[0].until <= self._clock.now():
            self._entries.popleft()
