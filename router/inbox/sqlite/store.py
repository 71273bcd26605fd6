"""What handlers keep, in the SQLite file: requests that share commits with those of the inbox.

All that came together is answered with one look at the file and written once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence

from router import clock
from router.errors import InboxUnavailable
from router.inbox.sqlite.file import to_micros
from router.inbox.sqlite.many import execute_many, query_many
from router.inbox.store import expiry

# The VALUES stand in a SELECT of their own, or SQLite would look through the whole table.
_AMONG = "(scope, key) IN (SELECT column1, column2 FROM (VALUES ROWS))"
_READ = f"SELECT scope, key, value, expires_at FROM store WHERE {_AMONG}"
_WRITE = "INSERT OR REPLACE INTO store (scope, key, value, expires_at) VALUES ROWS"
_DELETE = f"DELETE FROM store WHERE {_AMONG}"

#: Scope and key.
Key = tuple[str, str]
#: A value, and when it is over in UTC microseconds since 1970.
Value = tuple[bytes, int | None]


class SqliteStore:
    """A `Store` in a SQLite inbox.

    Args:
        ask: Hands a request to the writer, or raises `InboxUnavailable`.
    """

    def __init__(self, ask: Callable[[StoreRequest], None]) -> None:
        self._ask = ask

    async def get(self, scope: str, key: str) -> bytes | None:
        """See `Store.get`."""
        return await self._answer(Get((scope, key)))

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Store.set`."""
        await self._answer(Set((scope, key), made(value, ttl)))

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        """See `Store.add`."""
        return await self._answer(Add((scope, key), made(value, ttl)))

    async def delete(self, scope: str, key: str) -> None:
        """See `Store.delete`."""
        await self._answer(Delete((scope, key)))

    async def _answer(self, request: StoreRequest) -> bytes | None:
        self._ask(request)
        return await request.answer


class StoreRequest:
    """What a handler asks for about one key."""

    kept = False

    def __init__(self, key: Key) -> None:
        self.key = key
        self.result: bytes | None = None
        self.answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def apply(self, there: Value | None) -> Value | None:
        """Set the result; return what is there afterwards: in the writer, and again after a rollback."""
        raise NotImplementedError

    def done(self) -> None:
        """Answer: in the event loop, once committed."""
        if not self.answer.done():
            self.answer.set_result(self.result)

    def refused(self, exc: InboxUnavailable) -> None:
        """Tell the asker that nothing was changed."""
        if not self.answer.done():
            self.answer.set_exception(exc)


class Get(StoreRequest):
    """A request to read a value."""

    def apply(self, there: Value | None) -> Value | None:
        """See `StoreRequest.apply`."""
        self.result = there and there[0]
        return there


class Delete(StoreRequest):
    """A request to forget a value."""

    def apply(self, there: Value | None) -> Value | None:
        """See `StoreRequest.apply`."""
        return None


class Set(StoreRequest):
    """A request to keep a value, whatever is there."""

    def __init__(self, key: Key, value: Value) -> None:
        super().__init__(key)
        self._value = value

    def apply(self, there: Value | None) -> Value | None:
        """See `StoreRequest.apply`."""
        return self._value


class Add(Set):
    """A request to keep a value if none is there."""

    def apply(self, there: Value | None) -> Value | None:
        """See `StoreRequest.apply`."""
        self.result = there and there[0]
        return there or self._value


def keep(db: sqlite3.Connection, requests: Sequence[StoreRequest]) -> None:
    """Do what is asked for, in order: in the writer, inside a transaction that others share."""
    now = to_micros(clock.now())
    before = _read(db, list({request.key for request in requests}), now)
    after: dict[Key, Value | None] = {**before}
    for request in requests:
        after[request.key] = request.apply(_unless_over(after.get(request.key), now))
    changed = {key: value for key, value in after.items() if value is not before.get(key)}
    write(db, {key: value for key, value in changed.items() if value is not None})
    execute_many(db, _DELETE, [key for key, value in changed.items() if value is None])


def made(value: bytes, ttl: float | None) -> Value:
    """Return a value as it is kept, from now on for ``ttl`` seconds."""
    over_at = expiry(ttl)
    return value, None if over_at is None else to_micros(over_at)


def write(db: sqlite3.Connection, values: dict[Key, Value]) -> None:
    """Keep these in place of what is there."""
    execute_many(db, _WRITE, [key + value for key, value in values.items()])


def _read(db: sqlite3.Connection, keys: Sequence[Key], now: int) -> dict[Key, Value]:
    found = query_many(db, _READ, keys)
    values = {(scope, key): (value, over_at) for scope, key, value, over_at in found}
    return {key: value for key, value in values.items() if _unless_over(value, now)}


def _unless_over(value: Value | None, now: int) -> Value | None:
    if value is None or value[1] is None:
        return value
    return value if value[1] > now else None
