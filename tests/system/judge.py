"""What became of what was answered 200: lost, repeated, disordered."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.system.harness import PATIENCE, Line, Router


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test found out about one route."""

    #: Notifications that were answered 200.
    answered: int
    #: Of these, those that were not handled.
    lost: list[tuple[str, int]]
    #: Deliveries that were begun more than once.
    repeated: int
    #: Deliveries that were handled out of turn.
    violations: list[str]

    def __str__(self) -> str:
        return (
            f"answered {self.answered}, lost {len(self.lost)}, "
            f"repeated {self.repeated}, violations {len(self.violations)}"
        )


async def judge(
    router: Router, answered: Mapping[str, int], *, route: str = "all", patience: float = PATIENCE
) -> Verdict:
    """Wait until everything that was answered has been handled, or nothing moves any more."""
    total, lines = sum(answered.values()), 0
    moved_at = time.monotonic()
    while router.record.count("end", route) < total or _lost(router, answered, route):
        if len(router.record.lines()) > lines:
            lines, moved_at = len(router.record.lines()), time.monotonic()
        if time.monotonic() - moved_at > patience:
            break
        await asyncio.sleep(0.1)
    record = [line for line in router.record.lines() if line.route == route]
    return Verdict(total, _lost(router, answered, route), repeats(record), order_violations(record))


def _lost(router: Router, answered: Mapping[str, int], route: str) -> list[tuple[str, int]]:
    ended = {
        (line.chat, line.number)
        for line in router.record.lines()
        if line.what == "end" and line.route == route
    }
    return [
        (chat, number)
        for chat, last in answered.items()
        for number in range(1, last + 1)
        if (chat, number) not in ended
    ]


async def until(condition: Callable[[], object], *, what: str, patience: float = PATIENCE) -> None:
    """Wait for what must happen soon."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"in vain waited for: {what}"
        await asyncio.sleep(0.02)


def repeats(record: Iterable[Line]) -> int:
    """Return how many deliveries were begun more than once."""
    started = [(line.route, line.chat, line.number) for line in record if line.what == "start"]
    return len(started) - len(set(started))


def order_violations(record: Iterable[Line]) -> list[str]:
    """Return where a chat's notifications were not handled one at a time, in order, within one life.

    After a crash a life may begin again at what the last one had handled but not yet written down; so
    the numbers of a life ascend by one each, and no life begins beyond the next one due.
    """
    wrong: list[str] = []
    running: dict[tuple[int, str, str], int] = {}
    last: dict[tuple[int, str, str], int] = {}
    highest: dict[tuple[str, str], int] = defaultdict(int)
    for line in record:
        lane, life = (line.route, line.chat), (line.pid, line.route, line.chat)
        if line.what == "end":
            running.pop(life, None)
        elif line.what == "start":
            if life in running:
                wrong.append(f"{line} began while {running[life]} ran")
            due = last[life] + 1 if life in last else None
            if (due is not None and line.number != due) or line.number > highest[lane] + 1:
                wrong.append(f"{line} came after {due and due - 1} (highest so far {highest[lane]})")
            running[life] = last[life] = line.number
            highest[lane] = max(highest[lane], line.number)
    return wrong
