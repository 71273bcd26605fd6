"""What handlers keep, without a disk: lost with the process, and bounded.

What is over is forgotten with the next write. Nothing else is ever forgotten to make room, since
`Store.add` must not answer twice that a key is new: when the bound is reached, what would need more
is refused.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from sys import getsizeof

from router import clock
from router.errors import InboxUnavailable
from router.inbox.store import StoreItem, expiry

#: Bytes of values, with what it takes to keep them.
_MAX_BYTES = 64 * 2**20
#: Bytes that it takes to keep a value, beside those of scope, key and value.
_OVERHEAD = 500
#: Times that are over for another reason, beside as many as there are values.
_STALE = 1_000


@dataclass(frozen=True, slots=True)
class _Value:
    content: bytes
    expires_at: datetime | None
    size: int

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class MemoryStore:
    """A `Store` in this process's memory, and its operator's side.

    Args:
        max_bytes: Of all values, with what it takes to keep them.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._count = 0
        self._scopes: dict[str, dict[str, _Value]] = {}
        #: When to look whether a value is over; a heap. It may be another one's time by then.
        self._times: list[tuple[datetime, str, str]] = []

    async def get(self, scope: str, key: str) -> bytes | None:
        """See `Store.get`."""
        return self._get(scope, key)

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `Store.set`."""
        self.keep(scope, key, value, ttl=ttl)

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        """See `Store.add`."""
        there = self._get(scope, key)
        if there is None:
            self.keep(scope, key, value, ttl=ttl)
        return there

    async def delete(self, scope: str, key: str) -> None:
        """See `Store.delete`."""
        self.forget(scope, key)

    def keep(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Do what `set` does.

        Raises:
            InboxUnavailable: There is no room for it.
        """
        expires_at = expiry(ttl)
        self._forget_what_is_over()
        new = _Value(value, expires_at, _OVERHEAD + sum(map(getsizeof, (scope, key, value))))
        there = self._scopes.get(scope, {}).get(key)
        if self._bytes - (there.size if there else 0) + new.size > self._max_bytes:
            raise InboxUnavailable(
                f"inbox memory:// keeps {self._max_bytes >> 20} MiB for handlers, its limit: what they keep "
                "needs a ttl, or an inbox in a file"
            )
        self.forget(scope, key)
        self._scopes.setdefault(scope, {})[key] = new
        self._bytes += new.size
        self._count += 1
        if expires_at is not None:
            self._remember(expires_at, scope, key)

    def forget(self, scope: str, key: str) -> bool:
        """Forget a value; return whether it was there."""
        keys = self._scopes.get(scope, {})
        value = keys.pop(key, None)
        if value is None:
            return False
        if not keys:
            del self._scopes[scope]
        self._bytes -= value.size
        self._count -= 1
        return not value.is_over(clock.now())

    def forget_scope(self, scope: str) -> None:
        """Forget all values of a scope."""
        for key in [*self._scopes.get(scope, ())]:
            self.forget(scope, key)

    def items(self, scope_prefix: str, limit: int) -> list[StoreItem]:
        """See `Ledger.store_items`."""
        scopes = sorted(scope for scope in self._scopes if scope.startswith(scope_prefix))
        return list(islice((item for scope in scopes for item in self._items(scope)), limit))

    def items_of(self, scope: str, limit: int) -> list[StoreItem]:
        """See `Ledger.store_items_of`."""
        return list(islice(self._items(scope), limit))

    def _items(self, scope: str) -> Iterator[StoreItem]:
        now = clock.now()
        for key, value in sorted(self._scopes.get(scope, {}).items(), key=lambda item: item[0]):
            if not value.is_over(now):
                yield StoreItem(scope=scope, key=key, value=value.content, expires_at=value.expires_at)

    def _get(self, scope: str, key: str) -> bytes | None:
        value = self._scopes.get(scope, {}).get(key)
        return None if value is None or value.is_over(clock.now()) else value.content

    def _remember(self, expires_at: datetime, scope: str, key: str) -> None:
        heapq.heappush(self._times, (expires_at, scope, key))
        if len(self._times) > 2 * self._count + _STALE:
            self._times = sorted(
                (value.expires_at, of, name)
                for of, values in self._scopes.items()
                for name, value in values.items()
                if value.expires_at is not None
            )

    def _forget_what_is_over(self) -> None:
        now = clock.now()
        while self._times and self._times[0][0] <= now:
            _, scope, key = heapq.heappop(self._times)
            value = self._scopes.get(scope, {}).get(key)
            if value is not None and value.is_over(now):
                self.forget(scope, key)
