from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(name="postgresql", scope="session")
def _postgresql() -> Iterator[str]:
    """Start a PostgreSQL of its own; return the beginning of its URLs, and leave nothing behind."""
    initdb = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    if initdb is None or os.geteuid() != 0:
        pytest.skip("needs PostgreSQL's server in /usr/lib/postgresql, and root")
    folder = Path(tempfile.mkdtemp(prefix="archive-postgresql-", dir="/var/tmp"))
    shutil.chown(folder, "postgres")
    port = _free_port()
    data, log = folder / "data", folder / "log"
    try:
        _as_postgres(initdb, "-D", data, "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        _as_postgres(initdb.with_name("pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/"
        finally:
            _as_postgres(initdb.with_name("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(name="mysql", scope="session")
def _mysql() -> Iterator[str]:
    """Start a MariaDB of its own; return the beginning of its URLs, and leave nothing behind."""
    install, server = shutil.which("mariadb-install-db"), shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
    if install is None or server is None or os.geteuid() != 0:
        pytest.skip("needs MariaDB's server, and root")
    folder = Path(tempfile.mkdtemp(prefix="archive-mariadb-", dir="/var/tmp"))
    shutil.chown(folder, "mysql")
    port = _free_port()
    own = ["--no-defaults", f"--datadir={folder}/data", "--user=mysql"]
    try:
        subprocess.run(
            [install, *own, "--auth-root-authentication-method=normal"], check=True, stdout=subprocess.DEVNULL
        )
        where = [f"--port={port}", f"--socket={folder}/socket", "--bind-address=127.0.0.1"]
        with subprocess.Popen(
            [server, *own, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _wait_for(port)
            yield f"mysql://root@127.0.0.1:{port}/"
            process.terminate()
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def _as_postgres(*command: object) -> None:
    user = pwd.getpwnam("postgres")
    subprocess.run(
        list(map(str, command)),
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        check=True,
        stdout=subprocess.DEVNULL,
    )
