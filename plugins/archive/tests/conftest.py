from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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
