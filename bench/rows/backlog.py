"""What a million waiting deliveries cost those that come in, and the machine."""

from __future__ import annotations

import time
from pathlib import Path

from bench import inbox_file
from bench.figures import Budget, CannotMeasure, Figure, percentile
from bench.filled import few_events
from bench.routers import Router
from bench.rows import Effort, Row
from bench.rows.beside import Side, compared

ABOUT = """\
The inbox holds a million deliveries of 10,000 chats that wait for a handler that never ends, as after a
long outage of what the handler writes to. Beside it runs a router with an empty inbox. Both take turns at
500 notifications a second for another route, whose handler does nothing. What counts is the ratio of the
two: the backlog must not be felt.

- *From receipt to handler* has the commit and the claim in it.
- *Time per delivery while it drains*: both routers are started again, the handler now does nothing, and
  what waits is delivered: a million, or a hundred thousand.
- *Ready* is the time from the start of the process to the first 200 of `/readyz`, *memory* the most it ever
  held.

The backlog is made of 10,000 notifications that the router itself took in, copied in the file as events of
their own, which is twenty times faster. It is in the page cache of the operating system: on a machine that
has just been started, reading it takes longer.
"""

#: Deliveries that wait in the smaller of the two inboxes that are drained.
_FEW = 100_000
_RATIO = Budget(at_most=1.5)
_MEMORY = Budget(at_most=250)
_WAITING = "{name: waiting, type: outgoingMessageReceived, handler: hang, timeout: 1h}"
_DRAINING = "{name: waiting, type: outgoingMessageReceived, handler: nothing}"


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Fill an inbox, measure beside an empty one, then drain it."""
    base = few_events(folder / "base", _WAITING)
    full, empty = (Side(folder / name, _WAITING) for name in ("full", "empty"))
    waiting = inbox_file.multiply(base.inbox.path, full.router.inbox.path, effort.backlog)
    few = Router(folder / "few", _DRAINING)
    inbox_file.multiply(base.inbox.path, few.inbox.path, _FEW)
    for turn in range(effort.rounds):
        empty.take_turn(f"{turn}", effort.seconds)
        full.take_turn(f"{turn}", effort.seconds)
        _require_still_waiting(full.router, waiting)
    return [
        *compared(full, empty, _RATIO),
        Figure.of_rounds(
            "ready",
            full.ready,
            "s",
            budget=Budget(at_most=2.0),
            detail=f"with an empty inbox {percentile(empty.ready, 50):.2f} s",
        ),
        Figure.of_rounds("memory", full.memory, "MB", budget=_MEMORY, detail=f"{waiting:,} waiting"),
        *_draining(full.router, few, effort.seconds),
    ]


def _require_still_waiting(router: Router, waiting: int) -> None:
    left = router.inbox.unsettled("waiting")
    if left != waiting:
        raise CannotMeasure(f"{waiting} deliveries were to wait all the time, but {left} do")


def _draining(full: Router, few: Router, seconds: int) -> list[Figure]:
    full.configure(_DRAINING)
    with few.serve():
        of_few = _drain_rate(few, seconds)
    with full.serve() as server:
        of_full = _drain_rate(full, seconds)
        memory = server.peak_rss()
    return [
        Figure(
            name="time per delivery while it drains: a million / 100,000",
            value=of_few / of_full,
            unit="×",
            budget=_RATIO,
            detail=f"{of_full:,.0f}/s, {of_few:,.0f}/s",
        ),
        Figure(name="memory while it drains", value=memory, unit="MB", budget=_MEMORY),
    ]


def _drain_rate(router: Router, seconds: int) -> float:
    """Return how many deliveries a second are settled, over some seconds or until none is left."""
    ends = time.monotonic() + seconds
    began = time.monotonic()
    began_with = router.inbox.unsettled("waiting")
    if not began_with:
        raise CannotMeasure("nothing was left to drain")
    while True:
        asked = time.monotonic()
        left = router.inbox.unsettled("waiting")
        if not left or asked > ends:
            break
        time.sleep(0.05)
    if "dead" in router.inbox.deliveries():
        raise CannotMeasure("deliveries were given up while they should have been handled")
    return (began_with - left) / (asked - began)


ROW = Row(name="backlog", title="A million waiting", about=ABOUT, measure=measure)
