"""A PostgreSQL server for the tests, and a database with the tables of an inbox for each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from router.inbox.postgres.database import Database

_TOOLS = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A server; its URL, with ``NAME`` for the database."""
    if not (_TOOLS / "initdb").exists():
        pytest.skip("there is no PostgreSQL server here")
    folder = Path(tempfile.mkdtemp(prefix="router-pg-", dir="/tmp"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    _run("initdb", "-D", str(data), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    _run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
    yield f"postgresql://postgres@127.0.0.1:{port}/NAME"
    _run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder)


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


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A database with the tables of an inbox, and nothing in them."""
    name = f"test_{os.getpid()}"
    _execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield postgres_server.replace("NAME", name)
    _execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server.replace("NAME", "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())
