"""Who polls an instance: its row in the database names the replica, and every replica takes its share.

The replica's heartbeat carries all of it: what ended is given up, what is free is taken, and what is above
the share while another replica has room is asked back. Whoever has no lease polls nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

_log = structlog.get_logger("router.polling")

_SHARE = "SELECT owned, unwanted FROM share_pollers(%s, %s::bigint[], %s::bigint[])"


class PostgresPollers:
    """The `Pollers` of a replica.

    Args:
        hurry: Asks for a `beat` soon, since there is something to tell.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        # Instances that somebody waits for or polls, and those that are polled
        self._listed: set[int] = set()
        self._polled: set[int] = set()
        # Those that may be polled, and those whose poller has ended, which the database is to be told
        self._mine: set[int] = set()
        self._ended: set[int] = set()
        self._is_listing = False
        self._losses = 0
        self._has_changed = asyncio.Event()

    async def taken(self, instance: int) -> None:
        """See `Pollers.taken`."""
        self._listed.add(instance)
        self._hurry()
        try:
            await self._until(lambda: instance in self._mine)
        except BaseException:
            self._listed.discard(instance)
            raise
        self._polled.add(instance)
        _log.info("polling.taken", idInstance=instance)

    async def asked_back(self, instance: int) -> None:
        """See `Pollers.asked_back`."""
        await self._until(lambda: instance not in self._mine)

    def give_back(self, instance: int) -> None:
        """See `Pollers.give_back`."""
        _log.info("polling.given_up", idInstance=instance)
        for instances in (self._listed, self._polled, self._mine):
            instances.discard(instance)
        self._ended.add(instance)
        self._hurry()

    async def beat(self, connection: AsyncConnection[TupleRow], replica: int) -> None:
        """Tell the database what has changed here, and learn what has changed there.

        Args:
            connection: On which nothing else is done meanwhile.
            replica: Whose lease is held.

        Raises:
            psycopg.Error: Nothing was changed, or nobody knows; with the code `NO_LEASE` the lease is over.
        """
        listed, ended, losses = sorted(self._listed), list(self._ended), self._losses
        if not (listed or self._is_listing):
            return
        row = await (await connection.execute(_SHARE, (replica, listed, ended))).fetchone()
        assert row is not None, "a function has an answer"
        if losses == self._losses:
            self._is_listing = bool(listed)
            self._ended.difference_update(ended)
            self._note(owned=set(row[0] or ()), unwanted=set(row[1] or ()))

    def lost(self) -> None:
        """Let all polling end: the lease is over, or may be."""
        self._losses += 1
        self._note(owned=set(), unwanted=set())

    def _note(self, *, owned: set[int], unwanted: set[int]) -> None:
        self._ended |= unwanted - self._polled
        mine = owned - unwanted - self._ended
        if mine != self._mine:
            self._mine = mine
            self._has_changed.set()
            self._has_changed = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._has_changed.wait()
