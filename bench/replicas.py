"""Several routers on one PostgreSQL, and notifications sent to all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import closed_loop
from bench.closed_loop import CONNECTIONS, KIND
from bench.figures import CannotMeasure
from bench.inbox_database import Usage
from bench.machine import cores
from bench.postgres import Postgres
from bench.routers import Router
from bench.servers import Cpu, Server


@dataclass(frozen=True, slots=True)
class Turn:
    """What all of them did."""

    requests: int
    #: From the first notification until the last one was settled.
    seconds: float
    #: Of the replicas, and of the database.
    replicas: Cpu
    database: Cpu
    usage: Usage

    @property
    def rate(self) -> float:
        """Notifications per second."""
        return self.requests / self.seconds


class Replicas:
    """Routers that run on any processor until the block ends.

    Args:
        folder: For their folders.
        database: Has their inbox.
        routes: As `Router` takes them.
    """

    def __init__(self, folder: Path, database: Postgres, *routes: str) -> None:
        self._folder = folder
        self._database = database
        self._routes = routes
        self._running = ExitStack()
        self.routers: list[Router] = []
        self.servers: list[Server] = []

    def __enter__(self) -> Replicas:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, exc, traceback)

    def join(self, count: int = 1) -> None:
        """Start more."""
        for _ in range(count):
            folder = self._folder / f"replica-{len(self.routers) + 1}"
            router = Router(folder, *self._routes, inbox={"url": self._database.url})
            self.servers.append(self._running.enter_context(router.serve(on=cores())))
            self.routers.append(router)

    def take_turn(self, run: str, seconds: float, *, kind: str = KIND, hot: bool = False) -> Turn:
        """Have wrk send to all of them at once, and wait until all is settled.

        Raises:
            CannotMeasure: Something was not answered with 200, or not settled.
        """
        return self.turn(lambda: self._load(run, seconds, kind, hot))

    def turn(self, load: Callable[[], int]) -> Turn:
        """Have something send notifications and tell how many, and wait until all is settled.

        Raises:
            CannotMeasure: Something was not settled.
        """
        inbox = self._database.inbox
        inbox.clean()
        done, usage = inbox.deliveries().get("done", 0), inbox.usage()
        cpu, of_database = self.cpu(), self._database.cpu_with_children()
        began = time.perf_counter()
        requests = load()
        inbox.wait_until_settled()
        took = time.perf_counter() - began
        cpu, of_database = self.cpu() - cpu, self._database.cpu_with_children() - of_database
        found = inbox.deliveries()
        if not requests <= found.get("done", 0) - done <= requests + CONNECTIONS or len(found) > 1:
            raise CannotMeasure(f"{requests} notifications were answered beside {done} before: {found}")
        return Turn(requests, took, cpu, of_database, inbox.usage() - usage)

    def cpu(self) -> Cpu:
        """Return the processor time that they have used."""
        return sum((server.cpu() for server in self.servers), Cpu(0, 0))

    def _load(self, run: str, seconds: float, kind: str, hot: bool) -> int:
        connections = CONNECTIONS // len(self.servers)

        def load(number: int) -> int:
            options: dict[str, Any] = {"kind": kind, "hot": hot, "connections": connections}
            log = self.routers[number].folder / "wrk.log"
            url = self.servers[number].url
            return closed_loop.load(url, f"{run} {number}", seconds, log, **options).requests

        with ThreadPoolExecutor(len(self.servers)) as threads:
            return sum(threads.map(load, range(len(self.servers))))
