"""A store in PostgreSQL, as the tests of every store drive it: without the rest of its inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from types import SimpleNamespace
from typing import Any, cast

from router.inbox import Inbox
from router.inbox.postgres.database import Database
from router.inbox.postgres.ledger import PostgresLedger
from router.inbox.postgres.store import PostgresStore
from tests.inbox.homes import Bounds, Home


class PostgresStoreHome(Home):
    lasts = True

    def __init__(self, bounds: Bounds, url: str) -> None:
        super().__init__(bounds, deliver_changed=False)
        self._database = Database(url)
        self.ledger = self._ledger = PostgresLedger(self._database)

    def open(self, routes: Mapping[str, int]) -> None:
        self._store = PostgresStore(self._database)
        self.inbox = cast("Inbox", SimpleNamespace(store=self._store))
        self.run(self._store.open())

    def ask(self, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return [*await asyncio.gather(*coroutines)]

        return self.loop.run_until_complete(all_of_them())

    def close(self) -> None:
        """End the run as a signal does."""
        self.run(self._store.close())

    def leave(self) -> None:
        self.close()
        self._ledger.close()
        super().leave()
