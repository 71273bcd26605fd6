"""A connection that comes back: made when it is needed, given up when it fails or takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router.errors import InboxUnavailable
from router.inbox.postgres.database import Database, cut, is_unavailable

T = TypeVar("T")
#: What is done with a connection.
Work = Callable[[AsyncConnection[TupleRow]], Awaitable[T]]


class Link:
    """One connection to the database at most, for one user at a time.

    Args:
        database: Where.
        limit: Seconds that what is done with the connection may take.
        prepare: Done first with each new connection.
    """

    def __init__(self, database: Database, *, limit: float, prepare: Work[None] | None = None) -> None:
        self._database = database
        self._limit = limit
        self._prepare = prepare
        self._connection: AsyncConnection[TupleRow] | None = None

    async def do(self, work: Work[T], *, limit: float | None = None) -> T:
        """Do something with the connection, which is made if there is none.

        Raises:
            InboxUnavailable: The database cannot be reached, or what was done failed or took too long.
                It may have happened nevertheless.
            psycopg.Error: What was asked for cannot be stored, or the lease is over.
        """
        try:
            with self._database.unavailable():
                connection = await self._connected()
                return await self._within_limit(connection, work, self._limit if limit is None else limit)
        except InboxUnavailable as exc:
            if isinstance(exc.__cause__, psycopg.Error) and _is_of_the_request(exc.__cause__):
                raise exc.__cause__ from None
            await self.close()
            raise
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the connection up; the next use makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> AsyncConnection[TupleRow]:
        if self._connection is None:
            connection = await self._database.connect()
            self._connection = connection
            if self._prepare is not None:
                await self._within_limit(connection, self._prepare, self._limit)
        return self._connection

    async def _within_limit(self, connection: AsyncConnection[TupleRow], work: Work[T], limit: float) -> T:
        timer = asyncio.get_running_loop().call_later(limit, cut, connection)
        try:
            return await work(connection)
        finally:
            timer.cancel()


def _is_of_the_request(exc: psycopg.Error) -> bool:
    return exc.sqlstate == NO_LEASE or not is_unavailable(exc)


#: The error of ``hold_lease``.
NO_LEASE = "RT001"
