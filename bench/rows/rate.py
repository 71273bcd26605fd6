"""Answer time and lag at 1,000 notifications a second."""

from __future__ import annotations

from pathlib import Path

from bench import open_loop, starts
from bench.figures import Budget, CannotMeasure, Figure, percentile
from bench.machine import fsync_of, fsync_times
from bench.open_loop import WARM_UP
from bench.others import bare
from bench.routers import Router
from bench.rows import Effort, Row

ABOUT = """\
k6 sends 1,000 notifications a second of 20 instances and 500 chats, whether or not the last ones were
answered (an open loop): a slow answer holds up no later request, so none is left out of the figures. The
first second does not count.

- *Answer time* is what k6 sees, from the request to the end of the answer. GREEN-API sends the next
  notification of an instance only after it. The bare application's, under the same load, is what the
  machine and k6 add.
- *From answer to handler* is how long an event waits for its handler once GREEN-API was answered. Both
  moments are the router's: its log line `notification.accepted`, written when the event is committed and
  just before the answer, and the first line of the handler.
"""

_RATE = 1_000
_BUDGET_MS = 10.0
#: An answer may take as long as so many waits for the disk, when both are slow.
_FSYNCS = 20.0


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Send to the bare application and to the router."""
    seconds = effort.rounds * effort.seconds
    with bare(folder) as server:
        plain = open_loop.answers(server.url, "bare", rate=_RATE, seconds=seconds, folder=folder)
    router = Router(folder / "router", "{name: all, type: incomingMessageReceived, handler: record}")
    disk = fsync_times(folder)
    with router.serve() as server:
        answers = open_loop.answers(server.url, "router", rate=_RATE, seconds=seconds, folder=folder)
        router.inbox.wait_until_settled()
        _require_all_done(router, answers.sent)
        memory = server.rss()
    fsync = fsync_of(disk + fsync_times(folder))
    noted = starts.after(starts.parse(router.starts()), WARM_UP)
    with router.log.open("rb") as log:
        from_answer = starts.lags_from_answer(noted, log)
    p99 = percentile(answers.times, 99)
    return [
        Figure(name="answer time, p99", value=p99, unit="ms", budget=Budget(at_most=_BUDGET_MS)),
        Figure(
            name="answer time, p99 / one fsync, p99",
            value=p99 / fsync.p99,
            unit="×",
            budget=Budget(at_most=_FSYNCS),
            detail=f"one fsync takes {fsync.p99:.2f} ms (p99), right before and after",
        ),
        Figure(name="answer time, median", value=percentile(answers.times, 50), unit="ms"),
        Figure(name="bare application: answer time, p99", value=percentile(plain.times, 99), unit="ms"),
        Figure(name="bare application: answer time, median", value=percentile(plain.times, 50), unit="ms"),
        Figure(
            name="from answer to handler, p99",
            value=percentile(from_answer, 99),
            unit="ms",
            budget=Budget(at_most=_BUDGET_MS),
        ),
        Figure(name="from answer to handler, median", value=percentile(from_answer, 50), unit="ms"),
        Figure(name="from receipt to handler, p99", value=percentile(starts.lags(noted), 99), unit="ms"),
        Figure(name="memory after it", value=memory, unit="MB", detail=f"{answers.sent:,} notifications"),
    ]


def _require_all_done(router: Router, sent: int) -> None:
    found = router.inbox.deliveries()
    if found != {"done": sent}:
        raise CannotMeasure(f"{sent} notifications were answered, but the inbox has {found}")


ROW = Row(name="rate", title="Answer time and lag at 1,000 a second", about=ABOUT, measure=measure)
