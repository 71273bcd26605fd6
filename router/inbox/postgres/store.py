"""What handlers keep, in PostgreSQL: shared by all replicas, on a connection of its own.

What is asked for while others are answered gathers, and is answered together: one call of a function of
the database, one commit. A key comes once in a batch; who asks for the same key again waits for the next.

When the connection is lost before there is an answer, nobody knows whether the batch was committed. It is
asked again, for a few seconds: each ``add`` has a token, by which it knows the value that it wrote itself,
and a ``set`` or ``delete`` is done once more, after what others may have written meanwhile. Who is told
`InboxUnavailable` after that has changed nothing: before anything else is answered, what an ``add`` may
have written is taken back. So a key of `Context.once` that was refused is new to the next attempt, unless
this process ends, or another replica takes the delivery over, before the database is back: then it is as
after a crash right behind ``once``.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Future, sleep
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from random import SystemRandom
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router import clock
from router.errors import InboxUnavailable
from router.inbox.postgres.database import Database
from router.inbox.postgres.link import Link
from router.inbox.store import expiry
from router.retry import RetryPolicy

#: Seconds that the database may take for a batch.
_LIMIT = 3.0
#: Seconds within which a batch that failed is asked again.
_PATIENCE = 3.0
#: Between attempts to reach the database.
_BACKOFF = RetryPolicy(attempts=sys.maxsize, first=0.02, factor=2, max=2, jitter=0.5)
#: Requests and bytes of a batch, at most; a single one may have more bytes.
_MOST, _MOST_BYTES = 1000, 8 * 2**20
#: Bytes of scope and key together: what an index of PostgreSQL takes, with some room.
LONGEST_PLACE: Final = 2600

_random = SystemRandom()

_KEEP = "SELECT * FROM keep(%s, %s, %b::bytea[], %b::bytea[], %b::bytea[], %s::timestamptz[], %s::bigint[])"
_UNDO = """
DELETE FROM store USING unnest(%b::bytea[], %b::bytea[], %s::bigint[]) AS gone (scope, key, token)
WHERE store.scope = gone.scope AND store.key = gone.key AND store.token = gone.token"""


@dataclass(slots=True, eq=False, kw_only=True)
class _Request:
    """What a handler asks for about one key."""

    verb: str
    scope: bytes
    key: bytes
    value: bytes = b""
    expires_at: datetime | None = None
    #: Of an ``add``.
    token: int | None = None
    answer: Future[bytes | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def done(self, found: bytes | None) -> None:
        if not self.answer.done():
            self.answer.set_result(found)

    def refuse(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(InboxUnavailable(reason))


class PostgresStore:
    """A `Store` in a PostgreSQL inbox.

    While the database is away, requests are refused at once; it is looked for in ever longer intervals.

    Args:
        database: Where; its tables are there.
    """

    def __init__(self, database: Database) -> None:
        self._where = database.where
        self._link = Link(database, limit=_LIMIT)
        self._waiting: list[_Request] = []
        self._has_changed = asyncio.Event()
        self._is_closed = True
        #: Why nothing can be asked now.
        self._away: str | None = None
        self._runner: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            InboxUnavailable: The database cannot be reached.
        """
        await self._link.do(partial(_keep, []))
        self._is_closed = False
        self._runner = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Answer what was asked for, and refuse everything from then on."""
        self._is_closed = True
        self._has_changed.set()
        if self._runner is not None:
            if self._away is not None:
                self._runner.cancel()
            await asyncio.wait([self._runner])
        await self._link.close()

    async def get(self, scope: str, key: str) -> bytes | None:
        """See `Store.get`."""
        return await self._answer(_request("get", scope, key))

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Store.set`."""
        await self._answer(_request("set", scope, key, value, expiry(ttl)))

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        """See `Store.add`."""
        return await self._answer(_request("add", scope, key, value, expiry(ttl), _random.getrandbits(63)))

    async def delete(self, scope: str, key: str) -> None:
        """See `Store.delete`."""
        await self._answer(_request("delete", scope, key))

    async def _answer(self, request: _Request) -> bytes | None:
        if self._is_closed:
            raise InboxUnavailable(f"inbox {self._where} is closed: the router stops")
        if self._away is not None:
            raise InboxUnavailable(self._away)
        self._waiting.append(request)
        self._has_changed.set()
        return await request.answer

    # The runner

    async def _run(self) -> None:
        """Answer what gathers, batch by batch, until it is closed and nothing waits."""
        while self._waiting or not self._is_closed:
            self._has_changed.clear()
            if self._waiting:
                await self._answer_batch(self._next_batch())
            else:
                await self._has_changed.wait()

    def _next_batch(self) -> list[_Request]:
        """Take what has waited longest, each key once."""
        batch: dict[tuple[bytes, bytes], _Request] = {}
        later: list[_Request] = []
        size = 0
        for request in self._waiting:
            place = request.scope, request.key
            size += len(request.value) if place not in batch else 0
            is_full = len(batch) == _MOST or (size > _MOST_BYTES and batch)
            if place in batch or is_full:
                later.append(request)
            else:
                batch[place] = request
        self._waiting = later
        return list(batch.values())

    async def _answer_batch(self, batch: list[_Request]) -> None:
        try:
            found = await self._ask(batch)
        except InboxUnavailable as exc:
            self._refuse(batch, str(exc))
            await self._come_back(batch)
        except psycopg.Error as exc:
            for request in batch:
                request.refuse(f"inbox {self._where}: {exc}")
        else:
            for number, request in enumerate(batch, 1):
                request.done(found.get(number))

    async def _ask(self, batch: Sequence[_Request]) -> dict[int, bytes]:
        """Ask until there is an answer, or patience is over."""
        until = clock.seconds() + _PATIENCE
        for attempt in count(1):
            try:
                return await self._link.do(partial(_keep, batch))
            except InboxUnavailable:
                wait = _wait(attempt)
                if clock.seconds() + wait > until:
                    raise
                await sleep(wait)
        raise AssertionError("there is always another attempt")

    def _refuse(self, batch: Sequence[_Request], reason: str) -> None:
        self._away = reason
        waiting, self._waiting = self._waiting, []
        for request in [*batch, *waiting]:
            request.refuse(reason)

    async def _come_back(self, refused: Sequence[_Request]) -> None:
        """Wait for the database, and take back what it may have done of what was refused."""
        for attempt in count(1):
            await sleep(_wait(attempt))
            try:
                await self._link.do(partial(_undo, refused))
            except InboxUnavailable as exc:
                if self._is_closed:
                    return
                self._away = str(exc)
            else:
                self._away = None
                return


def _request(
    verb: str,
    scope: str,
    key: str,
    value: bytes = b"",
    expires_at: datetime | None = None,
    token: int | None = None,
) -> _Request:
    """Return a request.

    Raises:
        ValueError: Scope and key are too long.
    """
    place = _bytes(scope), _bytes(key)
    if sum(map(len, place)) > LONGEST_PLACE:
        found = f"{len(place[0])} and {len(place[1])} bytes"
        raise ValueError(
            f"scope and key have {found}: expected up to {LONGEST_PLACE} together, as UTF-8, in PostgreSQL"
        )
    return _Request(verb=verb, scope=place[0], key=place[1], value=value, expires_at=expires_at, token=token)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _wait(attempt: int) -> float:
    wait = _BACKOFF.next(attempt, _random.random)
    assert wait is not None, "there is always another attempt"
    return wait


async def _keep(batch: Sequence[_Request], connection: AsyncConnection[TupleRow]) -> dict[int, bytes]:
    """Do what is asked for; return what was found, by the number of the request from 1."""
    asked = (
        clock.now(),
        [request.verb for request in batch],
        [request.scope for request in batch],
        [request.key for request in batch],
        [request.value for request in batch],
        [request.expires_at for request in batch],
        [request.token for request in batch],
    )
    return dict(await (await connection.execute(_KEEP, asked, binary=True)).fetchall())


async def _undo(refused: Sequence[_Request], connection: AsyncConnection[TupleRow]) -> None:
    """Remove what an ``add`` of these has written."""
    adds = [request for request in refused if request.token is not None]
    await connection.execute(
        _UNDO,
        (
            [request.scope for request in adds],
            [request.key for request in adds],
            [request.token for request in adds],
        ),
    )
