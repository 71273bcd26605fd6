"""The webhook's throughput beside a bare application's and GREEN-API's own servers'."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import closed_loop
from bench.figures import Budget, CannotMeasure, Figure, ratios
from bench.others import bare, of_green_api, packages_of_green_api
from bench.routers import Router
from bench.rows import Effort, Row
from bench.servers import Cpu, Server

ABOUT = """\
How many notifications a second one processor takes, from the request to the settled delivery: validated,
deduplicated, stored (SQLite, `synchronous=FULL`), answered, routed to a handler that does nothing, settled;
INFO lines as JSON in a file. wrk sends over 32 connections, each its next notification once the last was
answered. A turn ends when everything that was answered is settled, and that time counts.

The others answer the same requests on the same processor, in turns with the router:

- *bare application*: an ASGI application that reads the body and answers 200, in the same uvicorn with the
  same settings. It is the most that any router in this server could do; the ratio is what the work costs.
- *GREEN-API's server*: the packages `whatsapp-api-webhook-server-python` (Tornado) and
  `whatsapp-api-webhook-server-python-v2` (FastAPI), as their READMEs run them, with a handler that does
  nothing. They store nothing: what they have answered and not yet handled is lost in a crash.

After each turn the figures are checked against the inbox and the log: every notification that was answered
is a settled delivery and one line. *Events per commit* shows that many share one wait for the disk.
"""

#: The least ratio to each of the others; their names in the report.
_BARE = "bare application"
_GREEN_API = {"greenapi_v1": "GREEN-API's server (Tornado)", "greenapi_v2": "GREEN-API's server v2 (FastAPI)"}
_BUDGETS = {_BARE: 0.33} | dict.fromkeys(_GREEN_API.values(), 2.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One server's turn."""

    requests: int
    seconds: float
    cpu: Cpu
    #: Of the router's inbox.
    commits: int = 0

    @property
    def rate(self) -> float:
        """Notifications per second."""
        return self.requests / self.seconds


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Let the servers take turns."""
    router = Router(folder / "router", "{name: all, type: incomingMessageReceived, handler: nothing}")
    with ExitStack() as running:
        turns: dict[str, Callable[[str, int], Turn]] = {
            "router": partial(_turn_of_router, running.enter_context(router.serve()), router),
            _BARE: partial(_turn, running.enter_context(bare(folder)), folder),
        }
        for package in packages_of_green_api():
            server = running.enter_context(of_green_api(package, folder))
            turns[_GREEN_API[package]] = partial(_turn, server, folder)
        taken = _take(turns, effort)
        _require_a_line_for_each(router)
    return _figures(taken)


def _take(turns: dict[str, Callable[[str, int], Turn]], effort: Effort) -> dict[str, list[Turn]]:
    taken = defaultdict(list)
    for name, turn in turns.items():
        turn(f"warm-up {name}", 1)
    for number in range(effort.rounds):
        for name, turn in turns.items():
            taken[name].append(turn(f"{number} {name}", effort.seconds))
    return taken


def _turn(server: Server, folder: Path, run: str, seconds: int) -> Turn:
    cpu = server.cpu()
    load = closed_loop.load(server.url, run, seconds, folder / "wrk.log")
    return Turn(load.requests, load.seconds, server.cpu() - cpu)


def _turn_of_router(server: Server, router: Router, run: str, seconds: int) -> Turn:
    inbox = router.inbox
    cpu, done, commits = server.cpu(), inbox.deliveries().get("done", 0), inbox.commits()
    load = closed_loop.load(server.url, run, seconds, router.folder / "wrk.log")
    answered_at = time.perf_counter()
    inbox.wait_until_settled()
    settling = time.perf_counter() - answered_at
    used, commits = server.cpu() - cpu, inbox.commits() - commits
    closed_loop.require_all(load, inbox.deliveries().get("done", 0) - done, "deliveries are done")
    return Turn(load.requests, load.seconds + settling, used, commits)


def _require_a_line_for_each(router: Router) -> None:
    lines, deliveries = router.lines("notification.accepted"), sum(router.inbox.deliveries().values())
    if lines != deliveries:
        raise CannotMeasure(f"{deliveries} notifications are stored, {lines} are in the log as accepted")


def _figures(taken: dict[str, list[Turn]]) -> list[Figure]:
    router = taken["router"]
    requests = sum(turn.requests for turn in router)
    cpu = sum((turn.cpu for turn in router), Cpu(0, 0)).per(requests)
    return [
        *(_ratio(name, router, turns) for name, turns in taken.items() if turns is not router),
        *(_rate(name, turns) for name, turns in taken.items()),
        Figure(
            name="router: processor time per notification",
            value=cpu.total,
            unit="µs",
            detail=f"user {cpu.user:.0f} µs, system {cpu.system:.0f} µs",
        ),
        Figure(
            name="router: events per commit",
            value=requests / sum(turn.commits for turn in router),
            unit="",
            detail=f"{requests:,} events, each of them settled and in the log",
        ),
    ]


def _ratio(name: str, router: Sequence[Turn], other: Sequence[Turn]) -> Figure:
    rounds = ratios([turn.rate for turn in router], [turn.rate for turn in other])
    return Figure.of_rounds(f"router / {name}", rounds, "×", budget=Budget(at_least=_BUDGETS[name]))


def _rate(name: str, turns: Sequence[Turn]) -> Figure:
    busy = sum(turn.cpu.total for turn in turns) / sum(turn.seconds for turn in turns)
    rounds = [turn.rate for turn in turns]
    return Figure.of_rounds(name, rounds, "/s", detail=f"its processor is {busy:.0%} busy")


ROW = Row(name="webhook", title="Throughput of the webhook", about=ABOUT, measure=measure)
