"""Polling: how many notifications a process fetches, and what it costs to wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bench.figures import Budget, CannotMeasure, Figure, ratios
from bench.others import polling_client
from bench.queues import Queues, queues
from bench.routers import Router
from bench.rows import Effort, Row
from bench.servers import Cpu, Process

ABOUT = """\
One process polls 200 instances of a stand-in for GREEN-API on loopback, which has the other processor; in
each queue a notification waits at any time. A notification takes two requests, one to receive it and one to
delete it, and the queue shows its next one only then. For the router it is stored before it is deleted, all
else is as in *Throughput of the webhook*: validated, deduplicated, told, handled, settled. A turn goes from
the first notification to the last deletion, for the router until the last one is settled, and what was
deleted is held against the deliveries in the inbox.

- *GREEN-API's client*: `startReceivingNotificationsAsync` of `whatsapp-api-client-python` 0.0.55 for each
  instance, all in one event loop, with a handler that does nothing, in turns with the router. It stores
  nothing. Its `deleteNotificationAsync` leaves the receipt's id out of the URL, so that as it is published
  it gets the same notification for ever; it is mended here.
- *Idle*: 1,000 instances, no notifications, `receive_timeout: 20s`: the share of one processor and the
  memory, over 20 seconds, so that each request is answered and sent again once.
"""

_POLLED, _IDLE = 200, 1_000
_ROUTE = "{name: all, type: incomingMessageReceived, handler: nothing}"
_CLIENT = "GREEN-API's client"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process fetched."""

    notifications: int
    requests: int
    seconds: float
    cpu: Cpu
    #: The share of the second processor that the stand-in took.
    stand_in: float

    @property
    def rate(self) -> float:
        """Notifications per second."""
        return self.notifications / self.seconds


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Let the router and GREEN-API's client take turns, then let a router wait."""
    with queues(folder) as api:
        router = Router(folder / "router", _ROUTE, instances=_instances(api, _POLLED))
        taken: dict[str, list[Turn]] = {"router": [], _CLIENT: []}
        for _ in range(effort.rounds):
            taken["router"].append(_turn_of_router(router, api, effort.seconds))
            taken[_CLIENT].append(_turn_of_client(api, effort.seconds, folder))
        idle = _idle(Router(folder / "idle", _ROUTE, instances=_instances(api, _IDLE)), api, effort)
    return [*_figures(taken), *idle]


def _instances(api: Queues, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "api_url": api.server.url,
            "token": sha256(b"%d" % number).hexdigest()[:50],
            "transport": "polling",
            "receive_timeout": "20s",
        }
        for number in _ids(count)
    ]


def _ids(count: int) -> range:
    return range(1_101_000_001, 1_101_000_001 + count)


def _turn_of_router(router: Router, api: Queues, seconds: float) -> Turn:
    done = router.inbox.deliveries().get("done", 0) if router.inbox.path.exists() else 0
    with router.serve() as server:
        turn = _turn(server, api, seconds, router.inbox.wait_until_settled)
        done = router.inbox.deliveries().get("done", 0) - done
    if done != turn.notifications:
        raise CannotMeasure(f"{turn.notifications} notifications were deleted, {done} deliveries are done")
    return turn


def _turn_of_client(api: Queues, seconds: float, folder: Path) -> Turn:
    with polling_client(api.server.url, _ids(_POLLED), folder) as client:
        return _turn(client, api, seconds)


def _turn(process: Process, api: Queues, seconds: float, settle: Callable[[], None] = lambda: None) -> Turn:
    api.wait_for_pollers(_POLLED)
    before, cpu, stand_in = api.counts(), process.cpu(), api.server.cpu()
    api.begin()
    time.sleep(seconds)
    api.end()
    deleted_at = time.perf_counter()
    settle()
    settling = time.perf_counter() - deleted_at
    counts, cpu, stand_in = api.counts(), process.cpu() - cpu, api.server.cpu() - stand_in
    took = counts.last_at - counts.first_at
    return Turn(
        notifications=counts.deleted - before.deleted,
        requests=counts.receive + counts.delete - before.receive - before.delete,
        seconds=took + settling,
        cpu=cpu,
        stand_in=stand_in.total / took,
    )


def _figures(taken: dict[str, list[Turn]]) -> list[Figure]:
    router, client = ([turn.rate for turn in turns] for turns in taken.values())
    return [
        _rate("router", taken["router"], Budget(at_least=1_500)),
        _rate(_CLIENT, taken[_CLIENT]),
        Figure.of_rounds(f"router / {_CLIENT}", ratios(router, client), "×"),
        *(_cost(name, turns) for name, turns in taken.items()),
        *(_requests(name, turns) for name, turns in taken.items()),
    ]


def _rate(name: str, turns: Sequence[Turn], budget: Budget | None = None) -> Figure:
    busy = sum(turn.cpu.total for turn in turns) / sum(turn.seconds for turn in turns)
    stand_in = max(turn.stand_in for turn in turns)
    detail = f"its processor is {busy:.0%} busy, the stand-in's at most {stand_in:.0%}"
    return Figure.of_rounds(name, [turn.rate for turn in turns], "/s", budget=budget, detail=detail)


def _cost(name: str, turns: Sequence[Turn]) -> Figure:
    rounds = [turn.cpu.total / turn.notifications * 1e6 for turn in turns]
    return Figure.of_rounds(f"{name}: processor time per notification", rounds, "µs")


def _requests(name: str, turns: Sequence[Turn]) -> Figure:
    rounds = [turn.requests / turn.notifications for turn in turns]
    return Figure.of_rounds(f"{name}: requests per notification", rounds, "")


def _idle(router: Router, api: Queues, effort: Effort) -> list[Figure]:
    with router.serve() as server:
        api.wait_for_pollers(_IDLE)
        began, cpu, requests = time.monotonic(), server.cpu(), api.counts().receive
        time.sleep(effort.idle)
        share = (server.cpu() - cpu).total / (time.monotonic() - began)
        detail = f"{api.counts().receive - requests:,} requests in {effort.idle} s"
        return [
            Figure(
                name="router, 1,000 idle instances: share of a processor",
                value=share * 100,
                unit="%",
                budget=Budget(at_most=5),
                detail=detail,
            ),
            Figure(
                name="router, 1,000 idle instances: memory",
                value=server.rss(),
                unit="MB",
                budget=Budget(at_most=200),
            ),
        ]


ROW = Row(name="polling", title="Polling", about=ABOUT, measure=measure)
