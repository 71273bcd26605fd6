"""``make bench``: the webhook's throughput as a share of a bare application's, in one run on one machine.

Both servers run on one processor and wrk on another, with 32 connections; they take turns, and the
median of the rounds counts. The router validates, deduplicates, stores (SQLite, synchronous=FULL),
routes to a handler that does nothing and settles, with INFO lines in a file. Beside the figures
stands what one fsync costs here: on a fast disk absolute rates flatter.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS = 3
SECONDS = 4
CONNECTIONS = 32
ROUTES = """\
plugins_dir: .
logging: {format: json}
routes: [{name: all, type: incomingMessageReceived, handler: nothing}]
"""
PLUGIN = """\
from router import hookimpl

async def nothing(event, context): pass

@hookimpl
def register_handlers(register): register("nothing", nothing)
"""


def main() -> None:
    """Measure and print a table."""
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        sys.exit("make bench needs wrk and taskset: apt-get install wrk util-linux")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "nothing.py").write_text(PLUGIN)
        bare = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", "8291", "--log-level", "error"]
        router = [
            sys.executable,
            "-m",
            "router",
            "--config",
            f"{folder}/routes.yaml",
            "serve",
            "--port",
            "8292",
        ]
        with server(bare, 8291, folder / "bare.log"), server(router, 8292, folder / "router.log"):
            rates = [(rate(8291, f"b{turn}"), rate(8292, f"r{turn}")) for turn in range(ROUNDS)]
        fsync = fsync_time(folder)
    bare_rate, router_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    share = statistics.median(router / bare for bare, router in rates)
    print(f"one fsync                {fsync * 1e6:8.0f} µs")
    print(f"bare application         {bare_rate:8.0f} requests/s")
    print(f"router, durable          {router_rate:8.0f} notifications/s")
    print(f"router / bare            {share:8.2f}")


@contextmanager
def server(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server on the first processor until the block ends."""
    with log.open("wb") as file:
        process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=file, stderr=file)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until something answers on the port."""
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def rate(port: int, run: str) -> float:
    """Return requests per second, all of them answered 200."""
    command = [
        "taskset",
        "-c",
        "1",
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{SECONDS}",
        "-s",
        str(HERE / "load.lua"),
    ]
    ended = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RUN": run},
    )
    if "Non-2xx" in ended.stdout:
        sys.exit(f"not every answer was 200:\n{ended.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", ended.stdout)
    assert found, ended.stdout
    return float(found[1])


def fsync_time(folder: Path) -> float:
    """Return the median of what appending 4 KiB and waiting for the disk takes, in seconds."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(500):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
