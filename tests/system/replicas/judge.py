"""What became of what was answered 200 by many replicas: from their records, and from the database.

In the records a *handling* is what lies between a start and its end, in one process. The first handling of
each delivery of a lane has to begin in the order in which the notifications were sent, and after an end of
every earlier one. Beyond that a delivery may be handled again, as at least once allows: that is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.harness import PATIENCE
from tests.system.replicas.fleet import Fleet
from tests.system.replicas.load import Answered

#: What a replica's handlers write when a handling is over; ``end``: as it should be.
ENDS = ("end", "fail", "cut")
#: A delivery: route, chat and number.
Which = tuple[str, str, int]


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of a record, at a time of the monotonic clock."""

    at: float
    what: str
    replica: str
    route: str
    chat: str
    number: int
    event: str
    attempt: int
    #: The file it stands in: one for each process.
    file: str = ""

    @property
    def which(self) -> Which:
        """The delivery that it is about."""
        return self.route, self.chat, self.number

    @staticmethod
    def of(text: str, file: str) -> Line:
        """Read a line."""
        at, what, replica, route, chat, number, event, attempt = text.split()
        return Line(float(at), what, replica, route, chat, int(number), event, int(attempt), file)


@dataclass(frozen=True, slots=True)
class Handling:
    """A start, and its end; none where the process ended first."""

    start: Line
    end: Line | None

    def overlaps(self, later: Handling) -> bool:
        """Tell whether one that started later started before this one's end."""
        return self.end is not None and later.start.at < self.end.at


@dataclass
class Verdict:
    """What was found out about one route."""

    answered: int = 0
    #: Answered notifications that are not in the database, and those whose handling never came to its end.
    not_stored: list[str] = field(default_factory=list)
    lost: list[Which] = field(default_factory=list)
    #: First handlings that began out of turn.
    violations: list[str] = field(default_factory=list)
    #: Handlings of one lane at the same time.
    overlaps: list[tuple[Handling, Handling]] = field(default_factory=list)
    #: Deliveries that were begun again, without having failed.
    repeats: int = 0
    #: What is wrong in the database.
    faults: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What no fault excuses."""
        lost = [f"lost: {which}" for which in self.lost]
        return [*self.not_stored, *lost, *self.violations, *self.faults]

    def __str__(self) -> str:
        return (
            f"answered {self.answered}, lost {len(self.lost) + len(self.not_stored)}, violations "
            f"{len(self.violations)}, overlaps {len(self.overlaps)}, repeats {self.repeats}, "
            f"faults in the database {len(self.faults)}"
        )


async def judge(
    fleet: Fleet,
    ask: Callable[[str], Sequence[Any]],
    answered: Sequence[Answered],
    *,
    route: str = "all",
    dead: Collection[Which] = (),
    patience: float = PATIENCE,
) -> Verdict:
    """Wait until nothing is left to do, or nothing moves any more; then judge.

    Args:
        fleet: Whose records are read.
        ask: Asks the database.
        answered: What was answered 200.
        route: Which is judged.
        dead: Deliveries of it that are to be dead letters.
        patience: Seconds without movement.
    """
    await _until_idle(ask, patience)
    lines = [line for line in read(fleet.records) if line.route == route]
    found = handlings(lines)
    stored = {event for (event,) in ask("SELECT id FROM router.events")}
    alive = [one for one in answered if (route, one.chat, one.number) not in dead]
    faults = broken_rules(ask)
    if ask("SELECT to_regclass('router.settled')") != [(None,)]:
        faults += stale_settles(ask(SETTLED), fleet.names)
    return Verdict(
        answered=len(answered),
        not_stored=[f"not stored: {one}" for one in answered if one.event not in stored],
        lost=lost(lines, alive, route),
        violations=violations(found, dead),
        overlaps=overlaps(found),
        repeats=repeats(lines),
        faults=faults,
    )


async def _until_idle(ask: Callable[[str], Sequence[Any]], patience: float) -> None:
    left, moved_at = None, time.monotonic()
    while time.monotonic() - moved_at < patience:
        now = ask(_LEFT)[0]
        if now[:2] == (0, 0):
            return
        if now != left:
            left, moved_at = now, time.monotonic()
        await asyncio.sleep(0.1)


def read(records: Path) -> list[Line]:
    """Return all lines of all processes, by time."""
    return sorted(
        Line.of(text, file.name) for file in records.iterdir() for text in file.read_text().splitlines()
    )


# The record


def handlings(lines: Iterable[Line]) -> list[Handling]:
    """Return what was handled, by its start."""
    running: dict[tuple[str, Which], Line] = {}
    found: list[Handling] = []
    for line in lines:
        process = (line.file, line.which)
        if line.what == "start":
            running[process] = line
        else:
            found.append(Handling(running.pop(process), line))
    found += [Handling(start, None) for start in running.values()]
    return sorted(found, key=lambda handling: handling.start)


def lost(lines: Iterable[Line], answered: Iterable[Answered], route: str = "all") -> list[Which]:
    """Return the answered notifications whose handling never came to its end."""
    ended = {line.which for line in lines if line.what == "end"}
    return [which for one in answered if (which := (route, one.chat, one.number)) not in ended]


def violations(found: Iterable[Handling], dead: Collection[Which] = ()) -> list[str]:
    """Return the first handlings that began out of turn.

    Args:
        found: By start.
        dead: Deliveries that are dead letters: nobody has to wait for their end.
    """
    wrong: list[str] = []
    lanes: dict[tuple[str, str], list[Handling]] = defaultdict(list)
    for handling in found:
        start = handling.start
        before = lanes[start.route, start.chat]
        if start.number not in {other.start.number for other in before}:
            wrong += _out_of_turn(handling, before, dead)
        before.append(handling)
    return wrong


def _out_of_turn(first: Handling, before: Sequence[Handling], dead: Collection[Which]) -> list[str]:
    start = first.start
    begun = {other.start.number for other in before}
    ended = {
        other.start.number
        for other in before
        if other.end is not None and other.end.what == "end" and other.end.at <= start.at
    }
    due = max(begun, default=0) + 1
    wrong = [] if start.number == due else [f"{start} began when {due} was due"]
    waited_for = {number for number in begun if (start.route, start.chat, number) not in dead}
    return [*wrong, *(f"{start} began before the end of {number}" for number in sorted(waited_for - ended))]


def overlaps(found: Iterable[Handling]) -> list[tuple[Handling, Handling]]:
    """Return what was handled at the same time in one lane."""
    lanes: dict[tuple[str, str], list[Handling]] = defaultdict(list)
    pairs: list[tuple[Handling, Handling]] = []
    for handling in found:
        before = lanes[handling.start.route, handling.start.chat]
        pairs += [(other, handling) for other in before if other.overlaps(handling)]
        before.append(handling)
    return pairs


def repeats(lines: Iterable[Line]) -> int:
    """Return how often a delivery was begun again without having failed."""
    begun: dict[Which, int] = defaultdict(int)
    failed: dict[Which, int] = defaultdict(int)
    for line in lines:
        begun[line.which] += line.what == "start"
        failed[line.which] += line.what == "fail"
    return sum(max(0, starts - 1 - failed[which]) for which, starts in begun.items())


def taken_over_after(found: Sequence[Handling], at: float, dead: str) -> list[float]:
    """Return for each lane in which a replica was cut off how many seconds later it went on in another.

    Args:
        found: By start.
        at: When the replica was cut off.
        dead: Its name.
    """
    cut_off = {
        (handling.start.route, handling.start.chat)
        for handling in found
        if handling.start.replica == dead
        and handling.start.at < at
        and (handling.end is None or handling.end.at > at)
    }
    gaps = []
    for lane in cut_off:
        later = [
            one.start.at - at
            for one in found
            if (one.start.route, one.start.chat) == lane and one.start.at > at and one.start.replica != dead
        ]
        gaps += later[:1]
    return gaps


# The database

#: Notes who writes how a delivery ended, and who runs its lane at that moment.
AUDIT = """
CREATE TABLE router.settled (
    delivery bigint, status text, writer text, owner text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION router.note_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO router.settled (delivery, status, writer, owner)
    VALUES (new.id, new.status, current_setting('application_name'), (
        SELECT r.name FROM router.lanes l JOIN router.replicas r ON r.id = l.owner
        WHERE l.route = new.route AND l.lane = new.lane));
    RETURN NULL;
END $$;
CREATE TRIGGER note_settled AFTER UPDATE ON router.deliveries FOR EACH ROW
WHEN (old.status IN ('pending', 'running') AND new.status IN ('done', 'dead'))
EXECUTE FUNCTION router.note_settled();
"""
#: What has to hold when nothing is left to do, each with the rows that break it.
RULES = {
    "lane without anything unfinished": """
        SELECT route, lane, owner FROM router.lanes l WHERE NOT EXISTS (
            SELECT FROM router.deliveries d WHERE d.route = l.route AND d.lane = l.lane
                AND d.status IN ('pending', 'running'))""",
    "unfinished delivery without a lane": """
        SELECT id, route, lane, status FROM router.deliveries d WHERE status IN ('pending', 'running')
            AND NOT EXISTS (SELECT FROM router.lanes l WHERE l.route = d.route AND l.lane = d.lane)""",
    "lane of nobody who lives": """
        SELECT route, lane, owner FROM router.lanes WHERE owner IS NOT NULL
            AND owner NOT IN (SELECT id FROM router.replicas)""",
    "delivery that is not settled": """
        SELECT id, route, lane, status, attempts FROM router.deliveries
        WHERE status NOT IN ('done', 'dead', 'discarded')""",
    "delivery without its event": """
        SELECT id, event FROM router.deliveries WHERE event NOT IN (SELECT seq FROM router.events)""",
    "attempts that do not count up": """
        SELECT d.id, d.status, d.attempts, array_agg(a.number ORDER BY a.number)
        FROM router.deliveries d LEFT JOIN router.attempts a ON a.delivery = d.id
        WHERE d.status IN ('done', 'dead') GROUP BY d.id
        HAVING count(a.number) <> d.attempts - (d.status = 'done')::integer
            OR coalesce(max(a.number), 0) <> d.attempts - (d.status = 'done')::integer""",
}
#: Deliveries and lanes that are left, and what moves while there are some.
_LEFT = """
SELECT (SELECT count(*) FROM router.deliveries WHERE status IN ('pending', 'running')),
    (SELECT count(*) FROM router.lanes), (SELECT coalesce(sum(attempts), 0) FROM router.deliveries)"""
#: Whoever wrote how a delivery ended, and whoever owned its lane then: host and process.
SETTLED = "SELECT delivery, status, writer, owner FROM router.settled"


def broken_rules(ask: Callable[[str], Sequence[Any]]) -> list[str]:
    """Return what is wrong in the database, when nothing is left to do."""
    return [f"{rule}: {row}" for rule, statement in RULES.items() for row in ask(statement)]


def stale_settles(rows: Iterable[Sequence[Any]], names: dict[int, str]) -> list[str]:
    """Return the outcomes that were written by another replica than the one that ran the lane.

    Args:
        rows: Of `SETTLED`.
        names: Of each process the name of its replica.
    """
    found = []
    for delivery, status, writer, owner in rows:
        runs = names.get(int(owner.rpartition("/")[2])) if owner else None
        if writer != runs:
            found.append(f"stale settle: delivery {delivery} {status} by {writer}, its lane is of {runs}")
    return found
