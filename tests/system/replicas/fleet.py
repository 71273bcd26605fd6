"""Replicas: real ``router serve`` processes on one database, with one ``routes.yaml``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from tests.system.harness import Process
from tests.system.replicas.servers import free_port

_PLUGINS = Path(__file__).parent / "plugins"
#: One route for everything; its handler takes a moment, so that there is something to be cut off.
ALL = "{name: all, type: incomingMessageReceived, handler: keep, options: {takes: 100ms}}"


class Replica(Process):
    """One router of a fleet.

    Args:
        fleet: Which.
        name: In the record, and as the application that is connected to the database.
        url: Where it finds the database.
        wrap: A command that runs it, with the same process id.
        host: Where it listens.
    """

    def __init__(self, fleet: Fleet, name: str, url: str, wrap: Sequence[str], host: str) -> None:
        environ = fleet.environ(name, url)
        super().__init__(
            fleet.folder,
            fleet.folder / f"{name}.log",
            wrap=wrap,
            host=host,
            port=free_port(),
            environ=environ,
        )
        self.name = name
        self.fleet = fleet

    def freeze(self) -> None:
        """Let it stand still where it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait_until_it_listens(self) -> bool:
        """See `Process.wait_until_it_listens`."""
        self.fleet.names[self.pid] = self.name
        return super().wait_until_it_listens()


class Fleet:
    """Replicas of one router; as a context they are killed at the end, those that still run.

    Args:
        folder: Where everything of them is: ``routes.yaml``, logs, what was recorded in ``records``.
        url: Of the database.
        routes: As in ``routes.yaml``, each on one line.
        lease: As in ``routes.yaml``.
        settings: More lines of ``routes.yaml``.
    """

    def __init__(self, folder: Path, url: str, *routes: str, lease: str = "2s", settings: str = "") -> None:
        self.folder = folder
        self.url = url
        self.records = folder / "records"
        self.replicas: list[Replica] = []
        #: Of each process the name of its replica.
        self.names: dict[int, str] = {}
        self._numbers = count(1)
        self._running = ExitStack()
        self.records.mkdir(parents=True)
        lines = [
            f"plugins_dir: {_PLUGINS}",
            f'inbox: {{url: "${{INBOX_URL}}", lease: {lease}}}',
            "logging: {format: json}",
            settings,
            "routes:",
            *(f"  - {route}" for route in routes or (ALL,)),
        ]
        (folder / "routes.yaml").write_text("\n".join(lines))

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def environ(self, name: str, url: str) -> dict[str, str]:
        """Return what a process of this fleet finds in its environment."""
        mark = "&" if "?" in url else "?"
        named = f"{url}{mark}application_name={name}"
        return {"INBOX_URL": named, "REPLICA": name, "RECORDS": str(self.records)}

    def add(self, *, url: str = "", wrap: Sequence[str] = (), host: str = "127.0.0.1") -> Replica:
        """Add a replica, which is not started yet.

        Args:
            url: Of the database as it is seen from there; without it the fleet's.
            wrap: A command that runs it, with the same process id: ``ip netns exec NAME``.
            host: Where it listens.
        """
        replica = Replica(self, f"r{next(self._numbers)}", url or self.url, wrap, host)
        self._running.enter_context(replica)
        self.replicas.append(replica)
        return replica

    def start(self, *replicas: Replica) -> None:
        """Start replicas at the same moment, by default all, and wait until they listen."""
        for replica in replicas or self.replicas:
            replica.launch()
        for replica in replicas or self.replicas:
            assert replica.wait_until_it_listens(), f"{replica.name} ended: {replica.tail()}"

    def run(self, *arguments: str) -> str:
        """Run a command of the operator beside the replicas; return what it prints."""
        command = [sys.executable, "-m", "router", *arguments]
        environ = {**os.environ, **self.environ("operator", self.url)}
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the records of one name from the logs of all replicas."""
        return [record for replica in self.replicas for record in replica.logged(event)]
