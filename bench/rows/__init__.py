"""The rows of the report: each measures a few figures that belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured."""

    #: Turns that each of the things compared gets; the median counts.
    rounds: int
    #: Length of a turn, in seconds.
    seconds: int
    #: Deliveries that wait in the row ``backlog``; old events in the row ``retention`` are half as many.
    backlog: int
    #: Seconds for which a router that polls and gets nothing is watched in the row ``polling``.
    idle: int


FULL = Effort(rounds=5, seconds=4, backlog=1_000_000, idle=20)
#: To see that everything works; too short for a figure that could be quoted.
QUICK = Effort(rounds=2, seconds=2, backlog=150_000, idle=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures that belong together."""

    #: What the command line calls it.
    name: str
    title: str
    #: What is measured, how, and what it means: Markdown, for ``docs/reference/performance.md``.
    about: str
    #: Takes the effort and an empty folder on the disk that is measured.
    measure: Callable[[Effort, Path], list[Figure]]
