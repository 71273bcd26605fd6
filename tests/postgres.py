"""A PostgreSQL server for the tests, and a database with the tables of an inbox for each."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from router.inbox.postgres.database import Database

#: Those of the newest version that is installed, as Debian and Ubuntu have them.
_TOOLS = max(
    Path("/usr/lib/postgresql").glob("*/bin"),
    key=lambda tools: float(tools.parent.name),
    default=Path("/usr/lib/postgresql/none"),
)
#: Seconds within which a server that was killed can be started again.
_DEADLINE = 30.0


class Server:
    """A server.

    Args:
        folder: Belongs to it.
        fsync: Whether it is to outlive the machine.
    """

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder = folder
        self._data = folder / "data"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        how_safe = "on" if fsync else "off"
        self._options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync={how_safe}"
        #: With ``NAME`` for the database.
        self.url = f"postgresql://postgres@127.0.0.1:{port}/NAME"
        _run("initdb", "-D", str(self._data), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        log = str(self._folder / "log")
        _run("pg_ctl", "-D", str(self._data), "-l", log, "-o", self._options, "-w", "start")

    def kill(self) -> None:
        """Let it end as if the power went."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def start_again(self) -> None:
        """Start what was killed: not before all of it has ended."""
        until = time.monotonic() + _DEADLINE
        while not self._could_start():
            assert time.monotonic() < until, "it does not start"

    def stop(self) -> None:
        _run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def _could_start(self) -> bool:
        with suppress(subprocess.CalledProcessError):
            self.start()
            return True
        return False


@contextmanager
def _serving(*, fsync: bool) -> Iterator[Server]:
    if not (_TOOLS / "initdb").exists():
        pytest.skip("there is no PostgreSQL server here")
    folder = Path(tempfile.mkdtemp(prefix="router-pg-", dir="/tmp"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Server(folder, fsync=fsync)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server, with ``NAME`` for the database."""
    with _serving(fsync=False) as server:
        yield server.url


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server for one test, which can be killed."""
    with _serving(fsync=True) as server:
        yield server


def _run(tool: str, *arguments: str) -> None:
    user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    prefix = user if os.geteuid() == 0 else []
    subprocess.run([*prefix, str(_TOOLS / tool), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a database with the tables of an inbox, to be copied."""
    _execute(postgres_server, "CREATE DATABASE prepared")
    Database(postgres_server.replace("NAME", "prepared")).prepare()
    return "prepared"


@pytest.fixture(scope="session")
def used_database(postgres_server: str, postgres_template: str) -> str:
    """The URL of a database that one test after another uses: to make one takes ten times as long."""
    name = f"test_{os.getpid()}"
    _execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    return postgres_server.replace("NAME", name)


@pytest.fixture
def postgres_url(used_database: str, postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A database with the tables of an inbox, and nothing in them."""
    before = _made(used_database)
    yield used_database
    if _made(used_database) == before:
        with psycopg.connect(used_database, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            connection.execute(_EMPTY)
        return
    name = used_database.rpartition("/")[2]
    _execute(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")


_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_EMPTY = """
SET search_path = router;
TRUNCATE replicas, events, deliveries, attempts, lanes, pollers, store RESTART IDENTITY"""
#: What a test may have made beside rows: tables, functions, triggers, migrations.
_MADE = """
SELECT (SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE oid >= 16384),
    (SELECT array_agg(oid ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
    (SELECT array_agg(oid ORDER BY oid) FROM pg_trigger),
    (SELECT array_agg(number ORDER BY number) FROM router.migrations)"""


def _made(url: str) -> object:
    """Return what is there beside rows; ``None`` if it is not even that."""
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(_MADE).fetchone()
    return None


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server.replace("NAME", "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())
