"""The lease of a replica, and what becomes of it when the database cannot be reached for a moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
from anyio import fail_after, sleep
from psycopg import AsyncConnection

from router.inbox.postgres.database import Database
from router.inbox.postgres.lease import Lease
from tests.inbox.relay import Relay


class Recorder:
    """An `Owner` and a `Shared` that note what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def extended(self, until: float) -> None:
        self.told.append("extended")

    def unreachable(self) -> None:
        self.told.append("unreachable")

    def lease_lost(self, me: int) -> None:
        self.told.append("lease_lost")

    def look(self, route: str) -> None:
        self.told.append("look")

    def lane_changed(self, route: str, lane: str) -> None:
        self.told.append("lane_changed")

    def all_changed(self) -> None:
        self.told.append("all_changed")

    async def beat(self, connection: AsyncConnection[Any], me: int) -> None:
        self.told.append("shared")


async def test_a_lease_is_renewed_before_anything_else_when_the_database_is_back(postgres_url: str) -> None:
    """Part of it was gone when the connection broke: who first hears what others tell may lose the rest."""
    recorder = Recorder()
    async with Relay(postgres_url).running() as relay:
        lease = Lease(Database(relay.url), 2.0, ["orders"], recorder, recorder)
        await lease.beat()
        renewing = asyncio.create_task(lease.run())
        with psycopg.connect(postgres_url, autocommit=True) as others, fail_after(15):
            while "look" not in recorder.told:  # it listens
                others.execute("NOTIFY router_free")
                await sleep(0.01)
            relay.cut()
            while "unreachable" not in recorder.told:
                await sleep(0.01)
            recorder.told.clear()
            while not recorder.told:
                others.execute("NOTIFY router_free")
                await sleep(0.01)
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        await lease.leave()

    assert recorder.told[0] == "extended"
