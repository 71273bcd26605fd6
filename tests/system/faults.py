"""Faults that can be switched on and off around a running router."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.harness import PATIENCE

_MEBIBYTE = 1 << 20


def need_root(what: str) -> None:
    """Skip the test, visibly, where this user may not do that."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} needs root")


def need(*commands: str) -> None:
    """Skip the test, visibly, where these cannot be run."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make test-system installs it when run by root)")


class SmallDisk:
    """A file system that can be filled up and emptied; as a context it is unmounted at the end.

    Args:
        folder: Where it is mounted.
        size: In MiB.
    """

    def __init__(self, folder: Path, size: int) -> None:
        need_root("a small disk (mount)")
        need("mount", "umount")
        self.folder = folder
        self._size = size
        self._ballast = folder / "ballast"

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir()
        options = f"size={self._size}m"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)], check=False)
        if done.returncode:
            pytest.skip("this machine lets nobody mount a tmpfs")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but ``leave`` MiB."""
        free = shutil.disk_usage(self.folder).free - leave * _MEBIBYTE
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while free > 0:
                    free -= ballast.write(bytes(min(_MEBIBYTE, free)))
            except OSError:  # full a little earlier than was said
                assert not leave

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()


@contextmanager
def failing(call: str, pid: int, trace: Path, *options: str, when: str = "1+") -> Iterator[None]:
    """Let a system call fail with an I/O error, without being done, until the block ends.

    Args:
        call: Its name.
        pid: The process whose calls fail.
        trace: Where the calls are noted.
        options: More of strace's.
        when: Which calls, as strace has it: ``3+5`` is the third and each fifth after it.
    """
    inject = f"inject={call}:error=EIO:when={when}"
    with traced(pid, trace, "-e", f"trace={call}", *options, "-e", inject):
        yield


@contextmanager
def traced(pid: int, trace: Path, *options: str) -> Iterator[None]:
    """Have strace note what a process asks of the kernel until the block ends."""
    need("strace")
    said = trace.with_suffix(".strace")
    with said.open("wb") as stderr:
        tracer = subprocess.Popen(["strace", "-f", *options, "-o", str(trace), "-p", str(pid)], stderr=stderr)
        try:
            _wait_for_attached(tracer, said)
            yield
        finally:
            tracer.send_signal(signal.SIGINT)  # lets the process go on without it
            tracer.wait(PATIENCE)


def _wait_for_attached(tracer: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while b"attached" not in said.read_bytes():
        if tracer.poll() is not None:
            pytest.skip(f"this machine lets nobody trace a process: {said.read_text().strip()}")
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.01)


class Clock:
    """The wall clock that a router sees: off by ``offset``, which may be set while it runs.

    Its monotonic clock is left alone, as the kernel leaves it when the time is set.
    """

    def __init__(self, folder: Path) -> None:
        need("faketime")
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip("libfaketime is not where Debian has it")
        self._offset = folder / "clock"
        self.set("+0")
        self.environ = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Set it off by ``-1h``, ``+30d`` …, at once."""
        new = self._offset.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._offset)
