"""The lease of a replica: the row that it renews, and without which nothing that it writes is taken.

It expires after seven tenths of ``inbox.lease``, so that another replica has taken over before that
time is up. By its own clock the replica stops handing out deliveries a little earlier than by the
database's. Whoever froze or was cut off for longer finds its row gone, and takes a new one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Protocol

import orjson
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router import clock
from router.errors import InboxUnavailable
from router.inbox.postgres.database import Database
from router.inbox.postgres.link import NO_LEASE, Link

_log = structlog.get_logger("router.inbox")

#: Shares of ``inbox.lease``: when the row expires, when it is renewed, and how long that may take.
_EXPIRES, _RENEWED, _LIMIT = 0.7, 0.2, 0.3
#: Seconds between two looks at most, at what is free and at who is dead, and that a look gets at least.
_LOOK, _LEAST = 1.0, 0.5
#: Seconds that those who write wait for a new lease.
_PATIENCE = 3.0

_JOIN = """
INSERT INTO replicas (name, expires_at) VALUES (%s, clock_timestamp() + %s * interval '1 second')
RETURNING id"""
_RENEW = """
UPDATE replicas SET expires_at = clock_timestamp() + %s * interval '1 second' WHERE id = %s"""
_END_EXPIRED = "SELECT id, name, freed_lanes, freed_pollers FROM end_expired_leases(%s)"
_FREE = """
SELECT route FROM unnest(%s::text[]) AS mine (route)
WHERE EXISTS (SELECT FROM lanes WHERE owner IS NULL AND lanes.route = mine.route)"""


class Owner(Protocol):
    """Whom the lease tells, in the event loop."""

    def extended(self, until: float) -> None:
        """Deliveries may be handed out until then, by `router.clock.seconds`."""

    def unreachable(self) -> None:
        """The lease cannot be renewed for the moment."""

    def lease_lost(self, me: int) -> None:
        """All that is claimed under this lease is void."""

    def look(self, route: str) -> None:
        """There are free lanes of a route."""

    def lane_changed(self, route: str, lane: str) -> None:
        """A person changed a lane."""

    def all_changed(self) -> None:
        """Something may have been missed."""


class Shared(Protocol):
    """What is shared out among replicas beside the lanes."""

    async def beat(self, connection: AsyncConnection[TupleRow], me: int) -> None:
        """Take what is free, and give back what is more than a share."""


class Lease:
    """Joins, renews, and ends the leases of those who are dead.

    Args:
        database: Where.
        seconds: ``inbox.lease``.
        routes: Whose lanes are run here.
        owner: Whom it tells.
        shared: Shared out with every renewal.
    """

    def __init__(
        self, database: Database, seconds: float, routes: Sequence[str], owner: Owner, shared: Shared
    ) -> None:
        self._seconds = seconds
        self._routes = list(routes)
        self._owner = owner
        self._shared = shared
        self._pause = min(seconds * _RENEWED, _LOOK)
        self._limit = max(seconds * _LIMIT, _LEAST)
        self._link = Link(database, limit=self._limit, prepare=self._listen)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._id: int | None = None
        self._joined = asyncio.Event()
        self._is_new_connection = False
        #: By the own clock: when the lease is over, and before when nobody is taken for dead.
        self._until = inf
        self._lenient_until = 0.0
        self._hearing: asyncio.Timeout | None = None
        self._is_hurried = False

    async def held(self) -> int:
        """Return the id of the lease, once there is one.

        Raises:
            InboxUnavailable: There is none to be had.
        """
        try:
            await asyncio.wait_for(self._joined.wait(), _PATIENCE)
        except TimeoutError:
            raise InboxUnavailable("this replica has no lease") from None
        assert self._id is not None, "it is joined"
        return self._id

    @property
    def id(self) -> int | None:
        """The id of the lease, ``None`` while there is none."""
        return self._id

    def lose(self, me: int) -> None:
        """Take in that a lease is gone: this replica was taken for dead."""
        if self._id == me:
            self._id = None
            self._joined.clear()
            self._owner.lease_lost(me)

    async def beat(self) -> None:
        """Renew the lease, or take a new one; see who is dead and what is free.

        Raises:
            InboxUnavailable: The database cannot be reached.
        """
        try:
            await self._link.do(self._beat)
        except psycopg.Error as exc:
            if exc.sqlstate != NO_LEASE or self._id is None:
                raise
            self.lose(self._id)

    async def run(self) -> None:
        """Renew until cancelled; listen to what others tell meanwhile."""
        while True:
            try:
                await self._link.do(self._hear, limit=self._pause + self._limit)
                await self.beat()
            except InboxUnavailable:
                self._owner.unreachable()
                self._is_hurried = True  # some of the lease is gone already: renew it before anything else
                await asyncio.sleep(self._pause)
            except Exception:  # whatever it is, a replica that stops renewing is dead to the others
                _log.exception("inbox.lease_failed", replica=self._id)
                await asyncio.sleep(self._pause)

    def hurry(self) -> None:
        """Have the next beat at once: there is something to share out."""
        if self._hearing is not None and not self._is_hurried:  # a second time it may be ending already
            self._hearing.reschedule(asyncio.get_running_loop().time())
        self._is_hurried = True

    async def leave(self) -> None:
        """Give everything back."""
        me, self._id = self._id, None
        self._joined.clear()

        async def end(connection: AsyncConnection[TupleRow]) -> None:
            await connection.execute("SELECT end_lease(%s, false)", (me,))

        if me is not None:
            with suppress(InboxUnavailable):  # then it expires
                await self._link.do(end)
        await self._link.close()

    async def _listen(self, connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute("LISTEN router_free; LISTEN router_changed")
        self._is_new_connection = True

    async def _hear(self, connection: AsyncConnection[TupleRow]) -> None:
        """Hear what others tell until it is time for a beat."""
        if self._is_hurried:
            return
        try:
            async with asyncio.timeout(None) as self._hearing:
                async for told in connection.notifies(timeout=self._pause):
                    self._told(told)
        except TimeoutError:  # it is in a hurry
            pass
        finally:
            self._hearing = None

    def _told(self, told: psycopg.Notify) -> None:
        if told.channel == "router_free":
            self._look()
        elif told.payload == "*":
            self._owner.all_changed()
        else:
            changed = orjson.loads(told.payload)
            self._owner.lane_changed(changed["route"], changed["lane"])

    async def _beat(self, connection: AsyncConnection[TupleRow]) -> None:
        started = clock.seconds()
        self._is_hurried = False
        is_new, self._is_new_connection = self._is_new_connection, False
        if self._id is not None:
            await self._renew(connection)
        if self._id is None:
            await self._join(connection)
        if started > self._until:
            # The others may have been cut off as well, and be about to come back.
            self._lenient_until = started + self._seconds * _EXPIRES
        self._until = started + self._seconds * _EXPIRES
        self._owner.extended(self._until)
        if started >= self._lenient_until:
            await self._end_expired(connection)
        await self._look_for_free(connection)
        assert self._id is not None, "it is joined"
        await self._shared.beat(connection, self._id)
        if is_new:
            self._owner.all_changed()

    async def _renew(self, connection: AsyncConnection[TupleRow]) -> None:
        me = self._id
        cursor = await connection.execute(_RENEW, (self._seconds * _EXPIRES, me))
        if not cursor.rowcount and me is not None:
            self.lose(me)

    async def _join(self, connection: AsyncConnection[TupleRow]) -> None:
        cursor = await connection.execute(_JOIN, (self._name, self._seconds * _EXPIRES))
        row = await cursor.fetchone()
        assert row is not None, "a row was inserted"
        self._id = int(row[0])
        self._joined.set()
        _log.info("inbox.joined", replica=self._id, name=self._name)

    async def _end_expired(self, connection: AsyncConnection[TupleRow]) -> None:
        cursor = await connection.execute(_END_EXPIRED, (self._seconds * _EXPIRES,))
        for dead, name, lanes, pollers in await cursor.fetchall():
            _log.warning("inbox.took_over", replica=dead, name=name, lanes=lanes, pollers=pollers)

    async def _look_for_free(self, connection: AsyncConnection[TupleRow]) -> None:
        cursor = await connection.execute(_FREE, (self._routes,))
        for (route,) in await cursor.fetchall():
            self._owner.look(route)

    def _look(self) -> None:
        for route in self._routes:
            self._owner.look(route)
