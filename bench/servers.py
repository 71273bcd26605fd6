"""Servers that are measured, each alone on its processor, and what the kernel knows of them."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.figures import CannotMeasure
from bench.machine import cores

#: Seconds until a server has to answer, or to end when it is told to.
PATIENCE = 60.0
#: Pause between two questions whether it answers, in seconds.
_ASK_EVERY = 0.005
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time, in seconds."""

    user: float
    system: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.user + other.user, self.system + other.system)

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system

    def per(self, count: int) -> Cpu:
        """Return the share of each of so many, in µs."""
        return Cpu(self.user / count * 1e6, self.system / count * 1e6)


@dataclass(frozen=True, slots=True)
class Process:
    """A running process."""

    pid: int

    def cpu(self) -> Cpu:
        """Return the processor time that all its threads have used."""
        return cpu_of(Path(f"/proc/{self.pid}/stat").read_text("ascii"))

    def cpu_of_event_loop(self) -> Cpu:
        """Return what the first thread has used of it: in the router the event loop's."""
        return cpu_of(Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text("ascii"))

    def cpu_with_children(self) -> Cpu:
        """Return the processor time that it and its children have used, those that have ended included."""
        stat = Path(f"/proc/{self.pid}/stat").read_text("ascii")
        total = cpu_of(stat) + cpu_of_ended(stat)
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii").split():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ends just now
                total += cpu_of(Path(f"/proc/{child}/stat").read_text("utf-8", "replace"))
        return total

    def rss(self) -> float:
        """Return the memory it holds, in MB."""
        return memory_of(self._status(), "VmRSS")

    def peak_rss(self) -> float:
        """Return the most memory it ever held, in MB."""
        return memory_of(self._status(), "VmHWM")

    def _status(self) -> str:
        return Path(f"/proc/{self.pid}/status").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Server(Process):
    """A running server."""

    url: str
    #: Seconds from its start to its first good answer.
    ready_after: float


@contextmanager
def serving(
    command: Sequence[str],
    *,
    port: int,
    path: str,
    log: Path,
    cwd: Path,
    ready: int | None = None,
    on: Sequence[int] = (),
) -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        command: Starts it.
        port: Where it is to answer.
        path: Where notifications are posted.
        log: Takes what it prints.
        cwd: Where it runs.
        ready: Status of ``/readyz`` that says it is ready; any answer does when left out.
        on: The processors; the first one when left out.

    Raises:
        CannotMeasure: It ended, or did not answer in time.
    """
    started = time.perf_counter()
    with running(command, log=log, cwd=cwd, on=on) as process:
        _wait_for(process, port, ready, log)
        yield Server(process.pid, f"http://127.0.0.1:{port}{path}", time.perf_counter() - started)


@contextmanager
def running(
    command: Sequence[str], *, log: Path, cwd: Path, on: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process on these processors, the first one when left out, until the block ends."""
    pinned = ["taskset", "-c", ",".join(map(str, on or cores()[:1])), *command]
    with log.open("ab") as file:
        process = subprocess.Popen(pinned, cwd=cwd, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run_pinned(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> str:
    """Run a load generator on the second processor; return what it prints.

    Raises:
        CannotMeasure: It failed.
    """
    _, load_core = cores()
    with log.open("wb") as errors:
        ended = subprocess.run(
            ["taskset", "-c", str(load_core), *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **environ},
            check=False,
        )
    if ended.returncode:
        raise CannotMeasure(f"{command[0]} ended with {ended.returncode}: {_tail(log)}")
    return ended.stdout.decode("utf-8", "replace")


def cpu_of(stat: str) -> Cpu:
    """Read the text of ``/proc/PID/stat``, in which the name of the program may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return Cpu(int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)


def cpu_of_ended(stat: str) -> Cpu:
    """Read of the text of ``/proc/PID/stat`` what the children that have ended had used."""
    fields = stat.rpartition(")")[2].split()
    return Cpu(int(fields[13]) / _TICKS, int(fields[14]) / _TICKS)


def memory_of(status: str, field: str) -> float:
    """Read a field of the text of ``/proc/PID/status``, in MB."""
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _wait_for(process: subprocess.Popen[bytes], port: int, ready: int | None, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        status = _status_of(port)
        if status is not None and ready in {None, status}:
            return
        if process.poll() is not None:
            raise CannotMeasure(f"a server ended with {process.returncode} as it started: {_tail(log)}")
        if time.monotonic() > deadline:
            raise CannotMeasure(f"a server did not answer within {PATIENCE:g} s: {_tail(log)}")
        time.sleep(_ASK_EVERY)


def _status_of(port: int) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace").strip()[-2_000:] or "it printed nothing"
