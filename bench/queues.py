"""The stand-in for GREEN-API as those who measure see it: told to begin and to end, asked what it counted."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.figures import CannotMeasure
from bench.machine import cores
from bench.servers import PATIENCE, Server, free_port, serving
from bench.stand_in import Counts

#: Pause between two questions how things stand, in seconds.
_ASK_EVERY = 0.02


class Queues:
    """Queues of as many instances as anybody asks for."""

    def __init__(self, server: Server, connection: http.client.HTTPConnection) -> None:
        self.server = server
        self._connection = connection

    def begin(self) -> None:
        """Have a notification wait in each queue, at any time."""
        self._ask("/begin")

    def end(self) -> None:
        """Have none wait, but those that were told already, and wait until these are deleted.

        Raises:
            CannotMeasure: That takes too long.
        """
        self._ask("/end")
        self._wait(lambda counts: counts.told == 0, "notifications were told and not deleted")

    def wait_for_pollers(self, count: int) -> None:
        """Wait until so many requests wait for a notification.

        Raises:
            CannotMeasure: That takes too long.
        """
        self._wait(lambda counts: counts.held == count, f"not all of {count} instances are polled")

    def counts(self) -> Counts:
        """Return what it counted."""
        return Counts(**self._ask("/counts"))

    def _wait(self, condition: Callable[[Counts], bool], problem: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition(counts := self.counts()):
            if time.monotonic() > deadline:
                raise CannotMeasure(f"{problem} within {PATIENCE:g} s: {counts}")
            time.sleep(_ASK_EVERY)

    def _ask(self, path: str) -> Any:
        self._connection.request("GET", path)
        return json.loads(self._connection.getresponse().read())


@contextmanager
def queues(folder: Path) -> Iterator[Queues]:
    """Run the stand-in on the second processor until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "bench.stand_in", str(port)]
    log, root = folder / "stand_in.log", Path(__file__).parents[1]
    with (
        serving(command, port=port, path="", log=log, cwd=root, on=cores()[1:]) as server,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection,
    ):
        yield Queues(server, connection)
