"""Three replicas on a database of their own, which notes who settles what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from router.inbox.postgres.database import Database
from tests.system.replicas.fleet import Fleet
from tests.system.replicas.judge import AUDIT
from tests.system.replicas.servers import Server

#: Asks the database.
Ask = Callable[[str], Sequence[Any]]


@asynccontextmanager
async def three(
    server: Server, folder: Path, *routes: str, settings: str = ""
) -> AsyncIterator[tuple[Fleet, Ask]]:
    """Run three replicas on a new database that notes who settles what; yield them, and what asks it."""
    url = new_audited_database(server)
    with Fleet(folder, url, *routes, settings=settings) as fleet:
        for _ in range(3):
            fleet.add()
        await asyncio.to_thread(fleet.start)
        yield fleet, lambda statement: server.query(url, statement)


def new_audited_database(server: Server) -> str:
    """Make a database with the tables of an inbox that notes who settles what; return its URL."""
    url = server.new_database()
    Database(server.beside(url)).prepare()
    server.query(url, AUDIT)
    return url
