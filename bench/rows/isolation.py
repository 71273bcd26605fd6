"""What a busy chat, a slow route and a handler that hangs cost the others."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bench import open_loop, starts
from bench.figures import CannotMeasure, Figure, percentile, ratios
from bench.open_loop import WARM_UP
from bench.routers import Router
from bench.rows import Effort, Row

ABOUT = """\
500 notifications a second, of 500 chats; a handler takes 10 ms. Then three of ten of them go elsewhere,
more than can be handled there, so that a backlog grows beside the ordinary chats:

- *one chat*: 150 a second, whose lane can do 100 at most;
- *a slow route*: its handler takes 100 ms, four at a time: 40 a second;
- *a handler that hangs*: never ends, four at a time.

The figures are the time from receipt to handler of the ordinary chats, as a ratio to that without anything
beside them. There is no budget for them but the promise that one route, or one chat, does not delay
another.
"""

_RATE = 500
_HOT_CHAT = "78000000000@c.us"
_ROUTES = (
    "{name: ordinary, type: incomingMessageReceived, handler: record, options: {seconds: 0.01}}",
    "{name: slow, type: outgoingMessageReceived, handler: slow, concurrency: 4}",
    "{name: hanging, type: outgoingAPIMessageReceived, handler: hang, concurrency: 4}",
)
_ALONE = "nothing"
#: What stands beside the ordinary chats, and where three of ten notifications go then.
_SIDES = {
    _ALONE: "",
    "one chat with 30 % of the load": "hot",
    "a slow route": "outgoingMessageReceived",
    "a handler that hangs": "outgoingAPIMessageReceived",
}


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure each case in turn, each time with a new router."""
    lags = defaultdict(list)
    for turn in range(effort.rounds):
        for number, (name, side) in enumerate(_SIDES.items()):
            lags[name].append(_lags(folder / f"{turn}-{number}", side, effort.seconds))
    return [
        *(
            figure
            for name in _SIDES
            if name != _ALONE
            for figure in _compared(name, lags[name], lags[_ALONE])
        ),
        Figure.of_rounds(
            "from receipt to handler, alone, p99", [percentile(turn, 99) for turn in lags[_ALONE]], "ms"
        ),
    ]


def _lags(folder: Path, side: str, seconds: int) -> list[float]:
    router = Router(folder, *_ROUTES)
    with router.serve() as server:
        answers = open_loop.answers(server.url, "run", rate=_RATE, seconds=seconds, side=side, folder=folder)
        router.inbox.wait_until_settled("ordinary")
        stored = sum(router.inbox.deliveries().values())
        if stored != answers.sent:
            raise CannotMeasure(f"{answers.sent} notifications were answered, but {stored} are stored")
    noted = [start for start in starts.parse(router.starts()) if start.chat != _HOT_CHAT]
    return starts.lags(starts.after(noted, WARM_UP))


def _compared(name: str, beside: list[list[float]], alone: list[list[float]]) -> list[Figure]:
    figures = []
    for percent, word in ((50, "median"), (99, "p99")):
        of_beside, of_alone = ([percentile(turn, percent) for turn in side] for side in (beside, alone))
        detail = f"{percentile(of_beside, 50):.2f} ms, {percentile(of_alone, 50):.2f} ms"
        figures.append(
            Figure.of_rounds(
                f"{name}, {word}: beside it / alone", ratios(of_beside, of_alone), "×", detail=detail
            )
        )
    return figures


ROW = Row(name="isolation", title="Who delays whom", about=ABOUT, measure=measure)
