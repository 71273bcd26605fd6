"""What is done now and then, on a connection of its own: removing what is old, counting what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router.errors import InboxUnavailable
from router.inbox.backlog import Backlog
from router.inbox.postgres.database import Database
from router.inbox.postgres.link import Link
from router.inbox.postgres.retention import Retention

#: Seconds that a step may take; a count of millions takes one.
_LIMIT = 10.0
#: Seconds after which what failed is tried again.
_LATER = 5.0

_COUNT = """
SELECT route, count(*) FROM deliveries WHERE status IN ('pending', 'running') GROUP BY route ORDER BY route"""

_log = structlog.get_logger("router.inbox")


class Housekeeping:
    """Removes and counts.

    Args:
        database: Where.
        retention: Seconds for which an event is kept.
        routes: Those of which is counted what waits.
        backlog: Told the count.
    """

    def __init__(
        self, database: Database, retention: float, routes: AbstractSet[str], backlog: Backlog
    ) -> None:
        self._link = Link(database, limit=_LIMIT)
        self._retention = Retention(retention)
        self._routes = routes
        self._backlog = backlog
        self._asked = asyncio.Event()

    async def count(self) -> None:
        """Count what waits. Warn of what waits for a route that is gone: it stays until that is back.

        Raises:
            InboxUnavailable: The database cannot be reached.
        """
        waiting = dict(await self._link.do(_count))
        for route in sorted(waiting.keys() - self._routes):
            _log.warning("inbox.route_gone", route=route, waiting=waiting[route])
        self._counted(waiting)

    def recount(self) -> None:
        """Count again, soon."""
        self._asked.set()

    async def run(self) -> None:
        """Do what is to be done until cancelled."""
        pause = 0.0
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._asked.wait()
            except TimeoutError:
                pause = await self._step()
            else:
                self._asked.clear()
                await self._recount()

    async def close(self) -> None:
        """Give the connection up."""
        await self._link.close()

    async def _step(self) -> float:
        try:
            return await self._link.do(self._retention.step)
        except InboxUnavailable as exc:
            _log.warning("inbox.retention_failed", error=str(exc))
            return _LATER

    async def _recount(self) -> None:
        try:
            waiting = dict(await self._link.do(_count))
        except InboxUnavailable:  # the writer tells it
            return
        self._counted(waiting)

    def _counted(self, waiting: Mapping[str, int]) -> None:
        self._backlog.counted(sum(waiting[route] for route in waiting.keys() & self._routes))
        self._backlog.is_stale = True  # the other replicas store and settle as well


async def _count(connection: AsyncConnection[TupleRow]) -> list[tuple[str, int]]:
    cursor = await connection.execute(_COUNT)
    return [(route, count) for route, count in await cursor.fetchall()]
