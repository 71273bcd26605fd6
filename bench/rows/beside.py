"""Two routers in turns, one of them with something in its inbox: what does it cost those that come in?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import open_loop, starts
from bench.figures import Budget, Figure, percentile, ratios
from bench.open_loop import WARM_UP
from bench.routers import Router

#: Notifications a second, all for the route `FRESH`.
RATE = 500
#: The route that takes them, on both routers.
FRESH = "{name: fresh, type: incomingMessageReceived, handler: record}"


class Side:
    """One of the two routers, and what its turns showed. It runs only while it is its turn."""

    def __init__(self, folder: Path, route: str) -> None:
        self.router = Router(folder, route, FRESH)
        #: Turn by turn, in milliseconds.
        self.answers: list[list[float]] = []
        self.lags: list[list[float]] = []
        #: Seconds to ready, and the most memory it held, in MB.
        self.ready: list[float] = []
        self.memory: list[float] = []

    def take_turn(self, run: str, seconds: int) -> None:
        """Start the router, send notifications until they are settled, stop it."""
        router = self.router
        with router.serve() as server:
            found = open_loop.answers(server.url, run, rate=RATE, seconds=seconds, folder=router.folder)
            router.inbox.wait_until_settled("fresh")
            self.ready.append(server.ready_after)
            self.memory.append(server.peak_rss())
        self.answers.append(found.times)
        self.lags.append(starts.lags(starts.after(starts.parse(router.starts()), WARM_UP)))


def compared(full: Side, empty: Side, budget: Budget | None = None) -> list[Figure]:
    """Return the ratios of answer times and lags."""
    return [
        *_compared("answer time", full.answers, empty.answers, budget),
        *_compared("from receipt to handler", full.lags, empty.lags, budget),
    ]


def _compared(
    name: str, full: Sequence[list[float]], empty: Sequence[list[float]], budget: Budget | None
) -> list[Figure]:
    figures = []
    for percent, word in ((50, "median"), (99, "p99")):
        of_full, of_empty = ([percentile(turn, percent) for turn in turns] for turns in (full, empty))
        detail = f"{percentile(of_full, 50):.2f} ms, {percentile(of_empty, 50):.2f} ms"
        rounds = ratios(of_full, of_empty)
        figures.append(
            Figure.of_rounds(f"{name}, {word}: with it / empty", rounds, "×", budget=budget, detail=detail)
        )
    return figures
