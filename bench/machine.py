"""What the figures depend on: the processor, the disk, the versions. No names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.figures import CannotMeasure, percentile

#: Samples of one measurement of the disk, and the seconds after which it ends all the same.
_SAMPLES, _PATIENCE = 2_000, 2.0
_PAGE = bytes(4096)


@cache
def cores() -> tuple[int, int]:
    """Return the processors for the server and for the load, of those that the first caller may use.

    Raises:
        CannotMeasure: There is only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise CannotMeasure("two processors are needed, one for the server and one for the load; found one")
    return usable[0], usable[1]


def facts(folder: Path) -> dict[str, str]:
    """Return what a reader has to know of the machine; ``folder`` is on the disk that is measured."""
    memory = int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0)
    return {
        "processor": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.machine(),
        "processors": str(os.cpu_count()),
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": _output("stat", "-f", "-c", "%T", str(folder)),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }


@dataclass(frozen=True, slots=True)
class Fsync:
    """What appending 4 KiB and waiting for the disk takes, in milliseconds."""

    p50: float
    p99: float


def fsync_times(folder: Path) -> list[float]:
    """Append 4 KiB and wait for the disk, again and again; return what each took, in milliseconds."""
    times: list[float] = []
    path = folder / "fsync"
    ends = time.monotonic() + _PATIENCE
    with path.open("wb", buffering=0) as file:
        while len(times) < _SAMPLES and time.monotonic() < ends:
            file.write(_PAGE)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1e3)
    path.unlink()
    return times


def fsync_of(times: list[float]) -> Fsync:
    """Return the figures of what `fsync_times` returned."""
    return Fsync(percentile(times, 50), percentile(times, 99))


def _first(pattern: str, path: str) -> str | None:
    found = re.search(pattern, Path(path).read_text("utf-8"))
    return found and found[1]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
