"""Answer time and lag at 1,000 notifications a second, with the inbox in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from bench import open_loop, starts
from bench.figures import Budget, Figure, percentile
from bench.open_loop import WARM_UP
from bench.postgres import postgres
from bench.replicas import Replicas
from bench.rows import Effort, Row

ABOUT = """\
The load of *Answer time and lag at 1,000 a second*, sent to one router whose inbox is in PostgreSQL. The two
processors are shared by PostgreSQL, the router and k6, which has the second one: each waits for the others,
which is in the figures. A handler may begin a moment before its answer is logged: both follow the commit.
"""

_RATE = 1_000
_BUDGET = Budget(at_most=10.0)
_ROUTE = "{name: all, type: incomingMessageReceived, handler: record}"


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Send to one router."""
    seconds = effort.rounds * effort.seconds / 2
    times: list[float] = []
    with postgres(folder) as database:
        with Replicas(folder, database, _ROUTE) as replicas:

            def send() -> int:
                url = replicas.servers[0].url
                answers = open_loop.answers(url, "run", rate=_RATE, seconds=seconds, folder=folder)
                times.extend(answers.times)
                return answers.sent

            replicas.join()
            turn = replicas.turn(send)
        router = replicas.routers[0]
    noted = starts.after(starts.parse(router.starts()), WARM_UP)
    with router.log.open("rb") as log:
        from_answer = starts.lags_from_answer(noted, log)
    return [
        Figure(
            name="answer time, p99",
            value=percentile(times, 99),
            unit="ms",
            budget=_BUDGET,
            detail=f"{turn.requests:,} notifications",
        ),
        Figure(name="answer time, median", value=percentile(times, 50), unit="ms"),
        Figure(
            name="from answer to handler, p99", value=percentile(from_answer, 99), unit="ms", budget=_BUDGET
        ),
        Figure(name="from answer to handler, median", value=percentile(from_answer, 50), unit="ms"),
        Figure(name="from receipt to handler, p99", value=percentile(starts.lags(noted), 99), unit="ms"),
    ]


ROW = Row(
    name="rate_postgres",
    title="Answer time and lag at 1,000 a second, with PostgreSQL",
    about=ABOUT,
    measure=measure,
)
