"""A real ``router serve`` that can be killed and started again, and a plugin that keeps a record.

The record is a file to which handlers append a line when they start and one when they end, with
one ``write`` each: what a killed process wrote is kept by the kernel.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

PLUGIN = """\
import asyncio
import os
import threading
from pathlib import Path

from router import hookimpl

record = os.open(Path(__file__).parent.parent / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what, event, context):
    os.write(record, f"{os.getpid()} {context.delivery.route} {what} {event.text}\\n".encode())


async def keep(event, context):
    note("start", event, context)
    note("end", event, context)


async def uneven(event, context):
    note("start", event, context)
    if int(event.text.split()[1]) % 10 == 0:
        await asyncio.sleep(0.2)
    note("end", event, context)


async def slow(event, context):
    note("start", event, context)
    await asyncio.sleep(0.05)
    note("end", event, context)


async def flaky(event, context):
    if context.delivery.attempt == 1:
        note("fail", event, context)
        raise RuntimeError("the first attempt fails")
    note("start", event, context)
    note("end", event, context)


async def deadly(event, context):
    note("start", event, context)
    if event.text.split()[0] == "deadly":
        os._exit(1)
    note("end", event, context)


async def hang(event, context):
    note("start", event, context)
    await asyncio.Event().wait()


async def hang_in_executor(event, context):
    note("start", event, context)
    await asyncio.to_thread(threading.Event().wait)


async def stubborn(event, context):
    note("start", event, context)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


def hang_in_thread(event, context):
    note("start", event, context)
    threading.Event().wait()


@hookimpl
def register_handlers(register):
    for handler in (keep, uneven, slow, flaky, deadly, hang, hang_in_executor, stubborn, hang_in_thread):
        register(handler.__name__, handler)
"""
#: One route for everything.
ALL = "{name: all, type: incomingMessageReceived, handler: keep}"
#: Seconds without any progress after which a router counts as stuck.
PATIENCE = 30.0
_STARTED = re.compile(rb'"event":"router.started".*?"webhook":"http://[^/"]*:(\d+)')


class Process:
    """A ``router serve`` in a folder with a ``routes.yaml``; as a context it is killed at its end.

    Args:
        folder: Where it runs.
        log: The file its output goes to.
        wrap: A command that runs the router, with the same process id.
        host: Where it listens.
        port: Where it listens; 0: on a port that is free, another one each time.
        environ: What it gets beside the environment of the tests.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        *,
        wrap: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log = log
        self.host = host
        self.port = port
        self._asked_port = port
        self._wrap = wrap
        self._environ = environ or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and not self.has_ended():
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "a router has a process once it was started"
        return self._process.pid

    def launch(self, *, environ: Mapping[str, str] | None = None) -> None:
        """Start it and do not wait."""
        place = ["--host", self.host, "--port", str(self._asked_port)]
        command = [*self._wrap, sys.executable, "-m", "router", "serve", *place]
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environ, **(environ or {})},
            )

    def start(self, *, environ: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it listens."""
        assert self.try_to_start(environ=environ), f"the router ended: {self.tail()}"

    def try_to_start(self, *, environ: Mapping[str, str] | None = None) -> bool:
        """Start it and wait until it listens; return false if it ends instead."""
        self.launch(environ=environ)
        return self.wait_until_it_listens()

    def wait_until_it_listens(self) -> bool:
        """Wait until it listens, after `launch`; return false if it ends instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = self.has_ended()
            with self.log.open("rb") as log:
                log.seek(self._begin)
                found = _STARTED.search(log.read())
            if found:
                self.port = int(found[1])
                return True
            if ended:
                return False
            time.sleep(0.01)
        raise AssertionError(f"the router did not start: {self.tail()}")

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop, and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def has_ended(self) -> bool:
        """Whether its process is gone."""
        assert self._process is not None
        return self._process.poll() is not None

    def tail(self) -> str:
        """Return the end of its log, for a failed assertion."""
        return self.log.read_bytes()[-2000:].decode("utf-8", "replace")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's records of one name."""
        mark = f'"event":"{event}"'.encode()
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines() if mark in line]

    def memory(self, name: str = "VmRSS") -> int:
        """Return a line of the process's memory, in bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, status
        return int(found[1]) * 1024


class Router(Process):
    """A router on an inbox in SQLite, with a record of what its handlers did, all in its folder.

    Args:
        folder: Where everything of it is.
        routes: As in ``routes.yaml``, each on one line.
        inbox: The file, within the folder.
        log: The file its output goes to, within the folder.
        wrap: A command that runs the router, with the same process id.
        settings: More lines of ``routes.yaml``.
    """

    def __init__(
        self,
        folder: Path,
        *routes: str,
        inbox: str = "router.db",
        log: str = "log",
        wrap: Sequence[str] = (),
        settings: str = "",
    ) -> None:
        super().__init__(folder, folder / log, wrap=wrap)
        self.inbox = folder / inbox
        self.record = Record(folder / "record")
        (folder / "plugins").mkdir(parents=True, exist_ok=True)
        (folder / "plugins" / "keep.py").write_text(PLUGIN)
        lines = [
            "plugins_dir: plugins",
            f'inbox: {{url: "sqlite:///{inbox}"}}',
            "logging: {format: json}",
            settings,
            "routes:",
            *(f"  - {route}" for route in routes or (ALL,)),
        ]
        (folder / "routes.yaml").write_text("\n".join(lines))

    def query(self, statement: str) -> list[Any]:
        """Ask the inbox's file."""
        with closing(sqlite3.connect(f"{self.inbox.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def deliveries(self) -> dict[str, int]:
        """Return how many deliveries have each status in the inbox's file."""
        return dict(self.query("SELECT status, count(*) FROM deliveries GROUP BY status"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the record: on ``route``, the ``number``-th of ``chat`` started or ended in ``pid``."""

    pid: int
    route: str
    what: str
    chat: str
    number: int

    @staticmethod
    def of(line: str) -> Line:
        pid, route, what, chat, number = line.split()
        return Line(int(pid), route, what, chat, int(number))


class Record:
    """What the handlers did, in order, over all lives of the router."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines: list[Line] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def lines(self) -> list[Line]:
        """Return everything so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                read = file.read()
            self._read += len(read)
            new = [Line.of(line) for line in read.decode().splitlines()]
            self._counts.update((line.what, line.route) for line in new)
            self._lines += new
        return self._lines

    def count(self, what: str, route: str = "all") -> int:
        """Return how often a route's handler started or ended so far."""
        self.lines()
        return self._counts[what, route]
