"""A PostgreSQL server for the inbox: with its own defaults, so that each commit waits for the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.figures import CannotMeasure
from bench.inbox_database import InboxDatabase
from bench.machine import cores
from bench.servers import PATIENCE, Process, free_port, running

#: Who runs the server if we are root, whom it refuses.
_USER = "postgres"
#: Pause between two attempts to connect, in seconds.
_AGAIN = 0.02


@dataclass(frozen=True, slots=True)
class Postgres(Process):
    """A running server with an empty database."""

    url: str
    inbox: InboxDatabase


@contextmanager
def postgres(folder: Path, *, preload: str = "") -> Iterator[Postgres]:
    """Run a server on all processors until the block ends.

    Args:
        folder: An empty one.
        preload: A library of PostgreSQL's to load into it.

    Raises:
        CannotMeasure: There is no server to run, or it did not start.
    """
    tools, port, log = _tools(), free_port(), folder / "postgres.log"
    data = folder / "postgres"
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, _USER)
    _initdb(tools, data)
    settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={data}"]
    if preload:
        settings.append(f"shared_preload_libraries={preload}")
    options = [f"--{setting}" for setting in settings]
    command = [*_as_user(), str(tools / "postgres"), "-D", str(data), *options]
    address = f"127.0.0.1:{port}"
    url = f"postgresql://{_USER}@{address}"
    with running(command, log=log, cwd=data, on=cores()) as process:
        _wait_for(f"{url}/postgres", process, log)
        _make_database(f"{url}/postgres")
        yield Postgres(process.pid, f"postgresql://router@{address}/router", InboxDatabase(f"{url}/router"))


def version() -> str:
    """Return the version of the server that is measured; a dash where there is none."""
    try:
        tools = _tools()
    except CannotMeasure:
        return "–"
    command = [str(tools / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]


def _tools() -> Path:
    """Return the folder of the newest server that is installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folders = [*(Path(name) for name in os.get_exec_path()), *debian]
    for folder in reversed(folders):
        if all((folder / tool).exists() for tool in ("initdb", "postgres")):
            return folder
    raise CannotMeasure("no PostgreSQL server found: apt-get install postgresql")


def _initdb(tools: Path, data: Path) -> None:
    settings = ["--no-sync", "-A", "trust", "-U", _USER, "-E", "UTF8", "--locale", "C.UTF-8"]
    ended = subprocess.run(
        [*_as_user(), str(tools / "initdb"), "-D", str(data), *settings],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if ended.returncode:
        raise CannotMeasure(f"initdb ended with {ended.returncode}: {ended.stderr.strip()}")


def _as_user() -> Sequence[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups"]


def _make_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE ROLE router LOGIN")
        db.execute("CREATE DATABASE router OWNER router")


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure(f"PostgreSQL did not start: {exc}; {log.read_text('utf-8')}") from None
        else:
            return
        time.sleep(_AGAIN)
