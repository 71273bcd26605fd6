"""Who else used the processors: a figure that was taken beside other work is worth little."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

#: The share of the processors from which on a row counts as disturbed.
TOO_MUCH = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


class Neighbours:
    """Watches from its making on. Sees a process of ours once it has ended."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._all, self._ours = _used_by_all(), _used_by_us()

    def share(self) -> float:
        """Return the share of all processors that neither stood idle nor worked for us, from 0 to 1."""
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = (_used_by_all() - self._all) - (_used_by_us() - self._ours)
        return max(0.0, others / seconds)


def used(stat: str) -> float:
    """Read the text of ``/proc/stat``: seconds in which processors worked, or worked for other machines.

    Interrupts are left out: those of our own traffic are not counted as ours.
    """
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, stat.split()[1:9])
    return (user + nice + system + steal) / _TICKS


def _used_by_all() -> float:
    return used(Path("/proc/stat").read_text("ascii"))


def _used_by_us() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
