"""What a million waiting deliveries cost those that come in, and the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import closed_loop, inbox_file, open_loop, starts
from bench.figures import Budget, CannotMeasure, Figure, percentile, ratios
from bench.open_loop import WARM_UP
from bench.routers import Router
from bench.rows import Effort, Row
from bench.servers import Server

ABOUT = """\
The inbox holds a million deliveries of 10,000 chats that wait for a handler that never ends, as after a
long outage of what the handler writes to. Beside it runs a router with an empty inbox. Both take turns at
500 notifications a second for another route, whose handler does nothing. What counts is the ratio of the
two: the backlog must not be felt.

- *From receipt to handler* has the commit and the claim in it.
- *Time per delivery while it drains*: both routers are started again, the handler now does nothing, and
  what waits is delivered: a million, or a few tens of thousands.
- *Ready* is the time from the start of the process to the first 200 of `/readyz`, *memory* the most it ever
  held.

The backlog is made of 10,000 notifications that the router itself took in, copied in the file as events of
their own, which is twenty times faster. It is in the page cache of the operating system: on a machine that
has just been started, reading it takes longer.
"""

_RATE = 500
_LANES = 10_000
#: Deliveries that wait in the smaller of the two inboxes that are drained.
_FEW = 30_000
_BUDGET = Budget(at_most=1.5)
_WAITING = "{name: waiting, type: outgoingMessageReceived, handler: hang, timeout: 1h}"
_DRAINING = "{name: waiting, type: outgoingMessageReceived, handler: nothing}"
_FRESH = "{name: fresh, type: incomingMessageReceived, handler: record}"


@dataclass(slots=True)
class Turns:
    """What one of the two routers did, turn by turn."""

    router: Router
    answers: list[list[float]] = field(default_factory=list)
    lags: list[list[float]] = field(default_factory=list)

    def take(self, server: Server, run: str, seconds: int) -> None:
        """Take a turn."""
        found = open_loop.answers(server.url, run, rate=_RATE, seconds=seconds, folder=self.router.folder)
        self.answers.append(found.times)
        self.router.inbox.wait_until_settled("fresh")

    def read_lags(self) -> None:
        """Read what the handler noted, once the router has stopped."""
        noted = starts.parse(self.router.starts())
        runs = dict.fromkeys(start.run for start in noted)
        self.lags = [
            starts.lags(starts.after((start for start in noted if start.run == run), WARM_UP)) for run in runs
        ]


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Fill an inbox, measure beside an empty one, then drain it."""
    base = _few_waiting(folder / "base")
    full, empty = (Router(folder / name, _WAITING, _FRESH) for name in ("full", "empty"))
    waiting = inbox_file.multiply(base.inbox.path, full.inbox.path, effort.backlog)
    beside = _beside(Turns(full), Turns(empty), effort, waiting)
    few = Router(folder / "few", _DRAINING)
    inbox_file.multiply(base.inbox.path, few.inbox.path, _FEW)
    return [*beside, *_draining(full, few, effort.seconds)]


def _few_waiting(folder: Path) -> Router:
    """Have a router take in a few deliveries for each lane, none of which ends."""
    router = Router(folder, _WAITING)
    with router.serve() as server:
        turn = 0
        while sum(router.inbox.deliveries().values()) < _LANES:
            closed_loop.load(
                server.url,
                f"fill {turn}",
                1,
                folder / "wrk.log",
                kind="outgoingMessageReceived",
                chats=_LANES,
            )
            turn += 1
    return router


def _beside(full: Turns, empty: Turns, effort: Effort, waiting: int) -> list[Figure]:
    with full.router.serve() as server, empty.router.serve() as other:
        started = server.ready_after, other.ready_after
        for turn in range(effort.rounds):
            empty.take(other, f"empty {turn}", effort.seconds)
            full.take(server, f"full {turn}", effort.seconds)
        memory = server.peak_rss()
        _require_still_waiting(full.router, waiting)
    full.read_lags()
    empty.read_lags()
    return [
        *_compared("answer time", full.answers, empty.answers),
        *_compared("from receipt to handler", full.lags, empty.lags),
        Figure(
            name="ready",
            value=started[0],
            unit="s",
            budget=Budget(at_most=2.0),
            detail=f"with an empty inbox {started[1]:.2f} s",
        ),
        Figure(
            name="memory", value=memory, unit="MB", budget=Budget(at_most=250), detail=f"{waiting:,} waiting"
        ),
    ]


def _compared(name: str, full: list[list[float]], empty: list[list[float]]) -> list[Figure]:
    figures = []
    for percent, word in ((50, "median"), (99, "p99")):
        of_full, of_empty = ([percentile(times, percent) for times in side] for side in (full, empty))
        figures.append(
            Figure.of_rounds(
                f"{name}, {word}: with a backlog / without",
                ratios(of_full, of_empty),
                "×",
                budget=_BUDGET,
                detail=f"{percentile(of_full, 50):.2f} ms, {percentile(of_empty, 50):.2f} ms",
            )
        )
    return figures


def _require_still_waiting(router: Router, waiting: int) -> None:
    left = router.inbox.unsettled("waiting")
    if left != waiting:
        raise CannotMeasure(f"{waiting} deliveries were to wait all the time, but {left} do")


def _draining(full: Router, few: Router, seconds: int) -> list[Figure]:
    full.configure(_DRAINING, _FRESH)
    with few.serve():
        of_few = _drain_rate(few, seconds)
    with full.serve() as server:
        of_full = _drain_rate(full, seconds)
        memory = server.peak_rss()
    return [
        Figure(
            name="time per delivery while it drains: a million / a few",
            value=of_few / of_full,
            unit="×",
            budget=_BUDGET,
            detail=f"{of_full:,.0f}/s, {of_few:,.0f}/s",
        ),
        Figure(name="memory while it drains", value=memory, unit="MB", budget=Budget(at_most=250)),
    ]


def _drain_rate(router: Router, seconds: int) -> float:
    """Return how many deliveries a second are settled, over some seconds or until none is left."""
    ends = time.monotonic() + seconds
    began_with, began = router.inbox.unsettled("waiting"), time.monotonic()
    if not began_with:
        raise CannotMeasure("nothing was left to drain")
    while True:
        asked = time.monotonic()
        left = router.inbox.unsettled("waiting")
        if not left or asked > ends:
            return (began_with - left) / (asked - began)
        time.sleep(0.05)


ROW = Row(name="backlog", title="A million waiting", about=ABOUT, measure=measure)
